//! A real pm2 in a private directory, with a daemon of its own that ends with the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gitroll::system::procs::ProcessId;
use tempfile::TempDir;

const VERSION: &str = "7.0.4";

/// One `PM2_HOME`. Its daemon, if one was started, is ended when this is dropped.
pub struct Pm2 {
    pub program: PathBuf,
    pub home: PathBuf,
    dir: TempDir,
}

impl Pm2 {
    pub fn new() -> Self {
        // Below /tmp whatever TMPDIR says: a Unix socket's path is short.
        let dir = tempfile::Builder::new().prefix("gp").tempdir_in("/tmp").unwrap();
        Self { program: installed(), home: dir.path().join("h"), dir }
    }

    /// A directory that lives as long as this.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs pm2 as a person would, in `cwd`, with some variables of that person's shell.
    pub fn run(&self, cwd: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
        Command::new(&self.program)
            .args(args)
            .current_dir(cwd)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir())
            .env("PM2_HOME", &self.home)
            .env("PM2_DISABLE_VERSION_CHECK", "true")
            .envs(variables.iter().copied().collect::<BTreeMap<_, _>>())
            .output()
            .unwrap()
    }

    pub fn daemon(&self) -> Option<ProcessId> {
        let text = std::fs::read_to_string(self.home.join("pm2.pid")).ok()?;
        ProcessId::of(text.trim().parse().ok()?)
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon() {
            self.run(Path::new("/"), &[], &["kill"]);
            daemon.kill();
        }
    }
}

/// The path of pm2: `GITROLL_TEST_PM2`, else one installed below `target/` when it is first needed.
fn installed() -> PathBuf {
    if let Some(path) = std::env::var_os("GITROLL_TEST_PM2") {
        return path.into();
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/pm2");
    let program = dir.join("node_modules/.bin/pm2");
    std::fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    // npm links the programs last, so this one is there only when everything is.
    if !program.exists() {
        std::fs::write(dir.join("package.json"), r#"{"name":"test-tools","private":true}"#)
            .unwrap();
        let package = format!("pm2@{VERSION}");
        let options = ["--no-audit", "--no-fund", "--ignore-scripts"];
        let status = Command::new("npm")
            .arg("install")
            .arg(package)
            .args(options)
            .current_dir(&dir)
            .output();
        let output = status.expect("npm is needed to install pm2");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    program
}
