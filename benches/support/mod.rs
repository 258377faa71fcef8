//! What the benchmarks share: an app with the least proof, and commands that see nothing of this machine's settings.

use std::path::Path;
use std::process::{Command, Stdio};

/// A command in `dir` that knows no git configuration but the repository's, with the bindings below `home`.
pub fn command(program: &str, dir: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GITROLL_HOME", home.join("gitroll"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(["AUTHOR", "COMMITTER"].iter().flat_map(|role| {
            [
                (format!("GIT_{role}_NAME"), "Bench"),
                (format!("GIT_{role}_EMAIL"), "bench@example.org"),
            ]
        }))
        .stdin(Stdio::null());
    command
}

/// A `gitroll.toml` with the least proof that is one: a single pass, no settle time. `more` comes before the service.
pub fn configuration(more: &str) -> String {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port can be bound");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    format!(
        "[app]\nname = \"bench\"\n\n{more}\
         [service.web]\nmanager = \"process\"\ncommand = [\"node\", \"server.js\"]\n\
         env = {{ PORT = \"{port}\" }}\n\n\
         [[check]]\nname = \"api\"\nhttp = \"http://127.0.0.1:{port}/api/health\"\n\
         expect = {{ status = 200, json = {{ \"/version\" = \"{{version}}\" }} }}\n\
         passes = 1\nsettle = \"0s\"\n"
    )
}
