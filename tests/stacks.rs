//! Every kind of app, with its real tools: `gitroll init` writes a `gitroll.toml` that works as it is. Each goes out, goes
//! out again, falls ill after its proof and comes back, and nobody edits that file.

mod running;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::*;

/// An app made from `fixtures/stacks/<kind>`, at `app/`.
pub struct Made<'h> {
    pub host: &'h TestEnvironment,
    pub dir: PathBuf,
    pub port: Port,
}

impl<'h> Made<'h> {
    /// Its files, with a port of its own; `more` makes what belongs in the repository besides, such as lock files.
    pub fn of(host: &'h TestEnvironment, kind: &str, more: impl FnOnce(&Self)) -> Self {
        let made = Self { host, dir: host.path("app"), port: free_port() };
        let from = project().join("fixtures/stacks").join(kind);
        let copied = Command::new("cp").arg("-r").arg(from).arg(&made.dir).status();
        assert!(copied.expect("cp can be run").success());
        made.replace("41999", &made.port.number().to_string());
        more(&made);
        made.git(&["init", "-q", "-b", "main", "."]);
        made.commit("Release 1.0.0");
        made
    }

    /// Replaces a text in every file that is no lock.
    pub fn replace(&self, from: &str, to: &str) {
        let listed = self.host.run(
            "grep",
            &[
                "-rlIF",
                "--exclude-dir=.git",
                "--exclude-dir=node_modules",
                "--exclude-dir=.venv",
                "--exclude-dir=venv",
                "--exclude-dir=vendor",
                "--exclude-dir=dist",
                "--exclude-dir=target",
                "--exclude-dir=.yarn",
                "--exclude=*lock*",
                "--exclude=.pnp.cjs",
                "--exclude=gitroll.toml",
                "--exclude=*.gemspec",
                "-e",
                from,
                ".",
            ],
        );
        for file in listed.stdout.lines().map(|file| self.dir.join(file)) {
            let text = fs::read_to_string(&file).expect("fixtures are text");
            fs::write(&file, text.replace(from, to)).expect("it is ours");
        }
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.dir.join(path), text).expect("it is ours");
    }

    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        self.host.run("git", args).exit(0).text().to_owned()
    }

    #[track_caller]
    pub fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// `gitroll init`, and its file committed as it is.
    #[track_caller]
    pub fn init(&self, gitroll: &dyn Fn(&[&str]) -> Answer) -> String {
        gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
        let config = self.config();
        assert_eq!(
            self.git(&["status", "--porcelain"]),
            "?? gitroll.toml",
            "init leaves nothing else"
        );
        self.commit("Say how it is deployed");
        config
    }

    pub fn config(&self) -> String {
        fs::read_to_string(self.dir.join("gitroll.toml")).expect("init wrote it")
    }

    /// What a port answers at `/health`, or at another path.
    pub fn served(&self, port: u16, path: &str) -> String {
        http_get(&format!("http://127.0.0.1:{port}{path}"))
            .map(|answer| answer.body)
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn serves(&self, version: &str) {
        self.answers(self.port.number(), "/health", version);
    }

    #[track_caller]
    pub fn answers(&self, port: u16, path: &str, version: &str) {
        wait_until(&format!("{version} is answered"), || self.served(port, path).contains(version));
    }

    /// The first release with its `gitroll.toml`, the second, its late failure, and the way back.
    #[track_caller]
    pub fn goes_out_and_comes_back(&self, config: &str, gitroll: &dyn Fn(&[&str]) -> Answer) {
        gitroll(&["deploy", "--yes"]).exit(0);
        self.serves("1.0.0");
        self.replace("1.0.0", "2.0.0");
        self.commit("Release 2.0.0");
        gitroll(&["deploy", "--yes"]).exit(0);
        self.serves("2.0.0");
        fs::write(self.host.path("ill-2.0.0"), "").expect("it is ours");
        let url = format!("http://127.0.0.1:{}/health", self.port.number());
        wait_until("it falls ill", || http_get(&url).is_ok_and(|answer| answer.status == 500));
        gitroll(&["back", "--yes"]).exit(0).stdout_has("observed serving");
        self.serves("1.0.0");
        // What was adopted was there before the file.
        let now =
            fs::read_to_string(self.dir.join("gitroll.toml")).unwrap_or_else(|_| config.to_owned());
        assert_eq!(now, config, "nobody edited it");
        assert_eq!(self.git(&["status", "--porcelain"]), "");
    }

    /// All of it, of an app that nobody runs yet.
    #[track_caller]
    pub fn story(&self) -> String {
        let gitroll = |args: &[&str]| self.host.gitroll(args);
        let config = self.init(&gitroll);
        self.goes_out_and_comes_back(&config, &gitroll);
        config
    }
}

/// How this machine reaches the registries.
const WAYS: [&str; 9] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
];

/// Puts package managers on this host's `PATH`, with caches that all tests share.
pub fn with_tools(host: &TestEnvironment, names: &[(&str, &str)]) {
    let place = test_tools().join("stacks");
    let script = project().join("tests/support/stack-tools");
    let made = Command::new("bash").arg(script).arg(&place).output().expect("bash can be run");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (called, name) in names {
        let caches = [
            "YARN_CACHE_FOLDER",
            "YARN_GLOBAL_FOLDER",
            "npm_config_store_dir",
            "BUN_INSTALL_CACHE_DIR",
            "UV_CACHE_DIR",
            "POETRY_CACHE_DIR",
        ];
        let caches =
            caches.iter().map(|name| (*name, place.join("cache").join(name).into_os_string()));
        // Yarn's later versions would take it for their own.
        let caches = caches.filter(|(cache, _)| *cache != "YARN_CACHE_FOLDER" || *name == "yarn");
        let ways = WAYS.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let set = caches.chain(ways).map(|(name, value)| format!("{name}='{}'", value.display()));
        let caches: Vec<String> = set.collect();
        let program = place.join("bin").join(name);
        let caches = caches.join(" ");
        host.fake_tool(
            called,
            &format!(
                "#!/bin/sh\n{caches} YARN_ENABLE_TELEMETRY=0 exec '{}' \"$@\"\n",
                program.display()
            ),
        );
    }
}

/// Has a line for each text.
#[track_caller]
pub fn has_lines(config: &str, lines: &[&str]) {
    for line in lines {
        assert!(config.lines().any(|other| other == *line), "{line}\nis no line of\n{config}");
    }
}

#[test]
fn npm_with_a_build() {
    let host = TestEnvironment::new();
    let made = Made::of(&host, "npm", |made| {
        made.host.run("npm", &["install", "--package-lock-only", "--silent"]).exit(0);
    });
    let config = made.story();
    has_lines(&config, &["outputs = [\"dist\"]", "command = [\"node\", \"dist/server.js\"]"]);
}

#[test]
fn yarn_1() {
    let host = TestEnvironment::new();
    with_tools(&host, &[("yarn", "yarn")]);
    let made = Made::of(&host, "yarn", |made| {
        made.host.run("yarn", &["install", "--silent", "--no-progress"]).exit(0);
        fs::remove_dir_all(made.dir.join("node_modules")).expect("it was installed");
    });
    made.story();
}

#[test]
fn yarn_berry_without_node_modules() {
    let host = TestEnvironment::new();
    with_tools(&host, &[("yarn", "berry")]);
    let made = Made::of(&host, "berry", |made| {
        made.write("yarn.lock", "");
        made.host.run("yarn", &["install"]).exit(0);
        fs::remove_dir_all(made.dir.join(".yarn")).expect("it was installed");
        fs::remove_file(made.dir.join(".pnp.cjs")).expect("it was installed");
    });
    has_lines(&made.story(), &["command = [\"yarn\", \"node\", \"server.js\"]"]);
}

#[test]
fn pnpm() {
    let host = TestEnvironment::new();
    with_tools(&host, &[("pnpm", "pnpm")]);
    let made = Made::of(&host, "pnpm", |made| {
        made.host.run("pnpm", &["install", "--lockfile-only", "--silent"]).exit(0);
    });
    made.story();
}

#[test]
fn bun() {
    let host = TestEnvironment::new();
    with_tools(&host, &[("bun", "bun")]);
    let made = Made::of(&host, "bun", |made| {
        made.host.run("bun", &["install", "--lockfile-only"]).exit(0);
    });
    has_lines(&made.story(), &["command = [\"bun\", \"index.ts\"]"]);
}

/// gunicorn and a worker, as the Procfile says; `.env` holds the port.
#[test]
fn pip_with_a_procfile() {
    let host = TestEnvironment::new();
    let made = Made::of(&host, "pip", |made| {
        made.write(".env", &format!("PORT={}\n", made.port.number()));
    });
    let config = made.story();
    has_lines(&config, &["[service.web]", "[service.worker]", "outputs = [\"venv\"]"]);
    assert!(!config.contains("[service.release]"), "it ends: {config}");
}

/// Its dependency is a wheel of the repository, so the lock names no registry.
#[test]
fn poetry() {
    let host = TestEnvironment::new();
    with_tools(&host, &[("poetry", "poetry")]);
    let made = Made::of(&host, "poetry", |made| {
        let get = [
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--disable-pip-version-check",
            "-d",
            "wheels",
        ];
        made.host.run("python3", &[&get[..], &["six==1.17.0"]].concat()).exit(0);
        made.host.run("poetry", &["lock"]).exit(0);
    });
    has_lines(&made.story(), &["command = [\".venv/bin/python\", \"main.py\"]"]);
}

#[test]
fn uv() {
    let host = TestEnvironment::new();
    with_tools(&host, &[("uv", "uv")]);
    let made = Made::of(&host, "uv", |made| {
        made.host.run("uv", &["lock", "--quiet"]).exit(0);
        made.write(".env", &format!("PORT={}\n", made.port.number()));
    });
    made.story();
}

#[test]
fn a_backend_and_a_frontend_in_one_repository() {
    let host = TestEnvironment::new();
    let made = Made::of(&host, "backend-frontend", |made| {
        let dir = made.dir.join("backend");
        let mut npm = made.host.command("npm");
        npm.args(["install", "--package-lock-only", "--silent"]).current_dir(dir);
        Answer::of(npm, std::time::Duration::from_secs(120)).exit(0);
    });
    let config = made.story();
    has_lines(
        &config,
        &[
            "[service.backend]",
            "outputs = [\"backend/node_modules\"]",
            "outputs = [\"frontend/dist\"]",
        ],
    );
    assert!(!config.contains("[service.frontend]"), "vite is for one's own desk: {config}");
    let page = fs::read_to_string(made.dir.join("frontend/dist/index.html")).expect("it was built");
    assert_eq!(page, "<p>version 1.0.0");
}

/// Large to install, so only where that was asked for: `just stacks`.
fn with_large_tools(kind: &str, more: impl FnOnce(&Made<'_>)) -> Option<String> {
    std::env::var_os("GITROLL_STACKS_FULL")?;
    let host = TestEnvironment::new();
    let made = Made::of(&host, kind, more);
    Some(made.story())
}

#[test]
fn go() {
    with_large_tools("go", |_| {});
}

#[test]
fn cargo() {
    with_large_tools("cargo", |made| {
        for name in ["CARGO_HOME", "RUSTUP_HOME"] {
            let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
            let usual = home.join(format!(".{}", name.trim_end_matches("_HOME").to_lowercase()));
            made.host.set(name, std::env::var_os(name).unwrap_or(usual.into()));
        }
        made.host.run("cargo", &["generate-lockfile", "--quiet"]).exit(0);
    });
}

#[test]
fn composer() {
    with_large_tools("composer", |made| {
        made.write(".env", &format!("PORT={}\n", made.port.number()));
        made.write(".gitignore", "vendor/\n.env\n");
        made.host
            .run("composer", &["update", "--no-install", "--quiet", "--no-interaction"])
            .exit(0);
    });
}

/// The gem comes from an index beside the app, of the form that a registry has.
#[test]
fn bundler() {
    with_large_tools("bundler", |made| {
        let index = made.host.path("gems");
        fs::create_dir_all(index.join("gems")).expect("it is ours");
        let mut build = made.host.command("gem");
        let to = index.join("gems/greeting-0.1.0.gem");
        build
            .args(["build", "-q", "greeting.gemspec", "-o"])
            .arg(&to)
            .current_dir(made.dir.join("greeting"));
        Answer::of(build, std::time::Duration::from_secs(60)).exit(0);
        fs::remove_dir_all(made.dir.join("greeting")).expect("it is ours");
        made.host.run("gem", &["generate_index", "-q", "-d", &index.to_string_lossy()]).exit(0);
        let gemfile = format!("source 'file://{}'\n\ngem 'greeting', '0.1.0'\n", index.display());
        made.write("Gemfile", &gemfile);
        made.host.run("bundle", &["lock"]).exit(0);
    });
}
