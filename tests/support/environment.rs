//! One host of a test's own: directories, environment, tools.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Answer, App, Fixture, Terminal, ending};

/// How long a command of a test may take. Far above what any takes: a hang must fail, not block.
const LIMIT: Duration = Duration::from_secs(180);

/// A host of its own: a temporary directory, an environment with nothing inherited, and the end of every
/// process that was started in it when it is dropped.
///
/// `GITROLL_TEST_KEEP=1` keeps the directory and says where it is.
pub struct TestEnvironment {
    root: PathBuf,
    variables: RefCell<BTreeMap<OsString, OsString>>,
}

impl TestEnvironment {
    /// A fresh host.
    pub fn new() -> Self {
        Self::new_in(&short_temporary_directory())
    }

    /// A fresh host below `dir`, which may be a file system of its own.
    pub fn new_in(dir: &Path) -> Self {
        let root = tempfile::Builder::new()
            .prefix("gr-")
            .tempdir_in(dir)
            .expect("a temporary directory can be made")
            .keep()
            .canonicalize()
            .expect("a directory just made has a real path");
        let environment = Self { root, variables: RefCell::default() };
        for dir in ["home", "gitroll", "tmp", "run"] {
            fs::create_dir(environment.path(dir)).expect("a fresh directory can be filled");
        }
        fs::write(environment.path("gitconfig"), GITCONFIG).expect("a fresh directory is writable");
        // Says whose a process is that outlives its test.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        fs::write(environment.path("test"), test + "\n").expect("a fresh directory is writable");
        environment.write_npmrc(None);
        for (name, place) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "home/.config"),
            ("XDG_STATE_HOME", "home/.local/state"),
            ("XDG_DATA_HOME", "home/.local/share"),
            ("XDG_CACHE_HOME", "home/.cache"),
            ("XDG_RUNTIME_DIR", "run"),
            ("GIT_CONFIG_GLOBAL", "gitconfig"),
            ("GITROLL_HOME", "gitroll"),
            ("PM2_HOME", "pm2"),
            ("TMPDIR", "tmp"),
        ] {
            environment.set(name, environment.path(place));
        }
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("NO_COLOR", "1"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("USER", "ada"),
        ] {
            environment.set(name, value);
        }
        environment.set("PATH", std::env::var_os("PATH").expect("tests run with a PATH"));
        environment.keep_npm_here();
        environment
    }

    /// Builds run with the home directory of the user's account: npm would use the real user's cache and
    /// registry there.
    fn keep_npm_here(&self) {
        let Some(npm) = find_tool("npm") else { return };
        let own = self.path("home/.npmrc");
        let script = format!(
            "#!/bin/sh\nnpm_config_userconfig='{}' exec '{}' \"$@\"\n",
            own.display(),
            npm.display()
        );
        self.put_first("tools", "npm", &script);
    }

    /// The directory everything of this host lies in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below [`Self::root`].
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Sets an environment variable for every later command.
    pub fn set(&self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &Self {
        self.variables.borrow_mut().insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Removes an environment variable for every later command.
    pub fn unset(&self, name: &str) -> &Self {
        self.variables.borrow_mut().remove(OsStr::new(name));
        self
    }

    /// The environment commands get.
    pub fn variables(&self) -> BTreeMap<OsString, OsString> {
        self.variables.borrow().clone()
    }

    /// A command with exactly this host's environment, no input, working directory the app's if there
    /// is one.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let app = self.path("app");
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.variables())
            .current_dir(if app.is_dir() { &app } else { &self.root })
            .stdin(Stdio::null());
        command
    }

    /// Runs a program here.
    #[track_caller]
    pub fn run(&self, program: &str, args: &[&str]) -> Answer {
        let mut command = self.command(program);
        command.args(args);
        Answer::of(command, LIMIT)
    }

    /// Runs the program under test in the app's directory.
    #[track_caller]
    pub fn gitroll(&self, args: &[&str]) -> Answer {
        self.run(GITROLL, args)
    }

    /// Runs the program under test in another directory.
    #[track_caller]
    pub fn gitroll_in(&self, dir: &Path, args: &[&str]) -> Answer {
        let mut command = self.command(GITROLL);
        command.args(args).current_dir(dir);
        Answer::of(command, LIMIT)
    }

    /// Starts the program under test and does not wait: for tests that kill it or run two at once.
    pub fn gitroll_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(GITROLL);
        command.args(args);
        command
    }

    /// Runs the program under test on a terminal.
    pub fn gitroll_on_terminal(&self, args: &[&str]) -> Terminal {
        Terminal::start(self, GITROLL, args)
    }

    /// The app of this host, made from a fixture: no commit yet, a port of its own.
    pub fn app(&self, fixture: Fixture) -> App<'_> {
        App::create(self, fixture)
    }

    /// From now on only these tools are found, as on a host where the others are missing.
    pub fn only_tools(&self, names: &[&str]) -> &Self {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).expect("the host's directory is writable");
        for name in names {
            let tool = find_tool(name).unwrap_or_else(|| panic!("{name} is not on this machine"));
            symlink(tool, bin.join(name)).expect("a link can be made");
        }
        self.set("PATH", bin)
    }

    /// Puts an executable of the test's own before all others, e.g. an npm that only fails.
    pub fn fake_tool(&self, name: &str, script: &str) -> &Self {
        self.put_first("fake", name, script)
    }

    fn put_first(&self, dir: &str, name: &str, script: &str) -> &Self {
        let bin = self.path(dir);
        fs::create_dir_all(&bin).expect("the host's directory is writable");
        let tool = bin.join(name);
        fs::write(&tool, script).expect("the host's directory is writable");
        set_mode(&tool, 0o755);
        let path = self.variables.borrow()[OsStr::new("PATH")].clone();
        if std::env::split_paths(&path).next() == Some(bin.clone()) {
            return self;
        }
        let dirs = std::iter::once(bin).chain(std::env::split_paths(&path));
        self.set("PATH", std::env::join_paths(dirs).expect("no directory holds a colon"))
    }

    /// The npm registry is away and nothing is cached: an install can only fail.
    pub fn registry_away(&self) -> &Self {
        self.write_npmrc(Some("http://127.0.0.1:1/"));
        self
    }

    /// The npm registry is back.
    pub fn registry_back(&self) -> &Self {
        self.write_npmrc(None);
        self
    }

    /// Gives the user an ssh key git signs with. Returns the private key's path.
    pub fn ssh_key(&self) -> PathBuf {
        let key = self.path("home/.ssh/id_ed25519");
        fs::create_dir_all(self.path("home/.ssh")).expect("the home directory is writable");
        set_mode(&self.path("home/.ssh"), 0o700);
        let file = key.to_str().expect("temporary paths are UTF-8");
        self.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", file]).exit(0);
        self.configure_git("gpg.format", "ssh");
        self.configure_git("user.signingKey", &format!("{file}.pub"));
        key
    }

    /// Where the binding of the only bound checkout lies.
    #[track_caller]
    pub fn binding_dir(&self) -> PathBuf {
        let mut dirs = vec![self.root().to_owned()];
        while let Some(dir) = dirs.pop() {
            if dir.join("host.toml").is_file() {
                return dir;
            }
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            dirs.extend(entries.map(|e| e.path()).filter(|p| p.is_dir() && !p.is_symlink()));
        }
        panic!("no binding below {}", self.root().display());
    }

    /// Sets a value in the user's git configuration, never in the repository's.
    pub fn configure_git(&self, name: &str, value: &str) {
        let file = self.path("gitconfig");
        let file = file.to_str().expect("temporary paths are UTF-8");
        self.run("git", &["config", "--file", file, name, value]).exit(0);
    }

    /// Ends every process that was started here. Happens on drop too.
    pub fn end_processes(&self) {
        ending::end_everything_below(&self.root, &self.variables());
    }

    fn write_npmrc(&self, dead_registry: Option<&str>) {
        let mut lines = vec!["fund=false", "audit=false", "update-notifier=false"]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        match dead_registry {
            Some(url) => {
                lines.push(format!("registry={url}"));
                lines.push(format!("cache={}", self.path("empty-npm-cache").display()));
                lines.push("fetch-retries=0".to_owned());
            }
            None => {
                lines.push(format!("cache={}", test_tools().join("npm-cache").display()));
                lines.push("prefer-offline=true".to_owned());
                lines.extend(ways_to_the_registry());
            }
        }
        let text = lines.join("\n") + "\n";
        fs::write(self.path("home/.npmrc"), text).expect("the home directory is writable");
    }
}

impl Drop for TestEnvironment {
    fn drop(&mut self) {
        self.end_processes();
        if std::env::var_os("GITROLL_TEST_KEEP").is_some() {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("kept {}", self.root.display());
            }
            return;
        }
        remove(&self.root);
    }
}

/// The program under test.
const GITROLL: &str = env!("CARGO_BIN_EXE_gitroll");

const GITCONFIG: &str = "[user]\n\tname = Ada Operator\n\temail = ada@example.org\n\
    [init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n\
    [maintenance]\n\tauto = false\n";

/// The project's directory.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where tests keep what is expensive to fetch: pm2, npm's cache. Below the target directory.
pub fn test_tools() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    target.parent().unwrap_or(target).join("test-tools")
}

/// The executable `name` of the machine's own `PATH`.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a test owns its files");
}

/// pm2 listens on unix sockets below this directory, whose paths may have 107 bytes.
fn short_temporary_directory() -> PathBuf {
    Some(std::env::temp_dir())
        .filter(|dir| dir.as_os_str().len() <= 40)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// How this machine reaches the npm registry (mirror, proxy, certificates): the one thing that has to be
/// taken from the user's own configuration.
fn ways_to_the_registry() -> Vec<String> {
    const KEYS: [&str; 7] =
        ["registry", "cafile", "ca", "proxy", "https-proxy", "noproxy", "strict-ssl"];
    let mut found = BTreeMap::new();
    if let Some(home) = std::env::var_os("HOME") {
        let text = fs::read_to_string(Path::new(&home).join(".npmrc")).unwrap_or_default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            found.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    for (variable, key) in [
        ("HTTP_PROXY", "proxy"),
        ("HTTPS_PROXY", "https-proxy"),
        ("NO_PROXY", "noproxy"),
        ("NODE_EXTRA_CA_CERTS", "cafile"),
        ("npm_config_registry", "registry"),
        ("NPM_CONFIG_REGISTRY", "registry"),
    ] {
        if let Ok(value) = std::env::var(variable) {
            found.insert(key.to_owned(), value);
        }
    }
    let wanted = found.into_iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
    wanted.map(|(key, value)| format!("{key}={value}")).collect()
}

/// Removes a tree that may hold directories without write permission.
fn remove(root: &Path) {
    if fs::remove_dir_all(root).is_ok() {
        return;
    }
    fn open(dir: &Path) {
        set_mode(dir, 0o700);
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                open(&entry.path());
            }
        }
    }
    open(root);
    fs::remove_dir_all(root).ok();
}
