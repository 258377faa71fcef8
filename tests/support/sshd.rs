//! A real sshd on loopback, with one user (the one who runs the tests) and one key that is good for one command.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::environment::set_mode;
use super::{Port, TestEnvironment, free_port, wait_until};

/// An sshd that ends with the test. Everything it reads lies in the test's own directory.
pub struct Sshd<'h> {
    host: &'h TestEnvironment,
    port: Port,
    dir: PathBuf,
    server: Child,
}

impl<'h> Sshd<'h> {
    /// Starts it. Whatever a client asks for, `command` runs in its place, with the environment of `host`.
    #[track_caller]
    pub fn start(host: &'h TestEnvironment, command: &str) -> Self {
        let dir = host.path("ssh");
        fs::create_dir(&dir).expect("the host's directory is writable");
        for name in ["host-key", "client-key"] {
            let file = dir.join(name);
            let file = file.to_str().expect("temporary paths are UTF-8");
            host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file]).exit(0);
        }
        if rustix::process::geteuid().is_root() {
            // sshd of root separates its privileges there; the package's service would make it.
            fs::create_dir_all("/run/sshd").expect("root may write to /run");
        }
        let port = free_port();
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {dir}/host-key\nPidFile none\n\
             AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            port.number(),
            dir = dir.display()
        );
        fs::write(dir.join("config"), config).expect("the host's directory is writable");
        let log = fs::File::create(dir.join("log")).expect("the host's directory is writable");
        let server = Command::new(sshd())
            .args(["-D", "-e", "-f"])
            .arg(dir.join("config"))
            .env_clear()
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd can be started");
        let sshd = Self { host, port, dir, server };
        sshd.allow(command);
        wait_until("sshd listens", || TcpStream::connect(("127.0.0.1", sshd.number())).is_ok());
        sshd
    }

    /// From now on `command` is what the key is good for.
    pub fn allow(&self, command: &str) {
        let enter = self.dir.join("enter");
        let mut script = "#!/bin/sh\n".to_owned();
        for (name, value) in self.host.variables() {
            let value = value.to_string_lossy().replace('\'', r"'\''");
            script += &format!("export {}='{value}'\n", name.to_string_lossy());
        }
        script += &format!("cd '{}'\n{command}\n", self.host.root().display());
        fs::write(&enter, script).expect("the host's directory is writable");
        set_mode(&enter, 0o755);
        let public = self.read("client-key.pub");
        let line = format!("restrict,command=\"{}\" {public}", enter.display());
        fs::write(self.dir.join("authorized_keys"), line)
            .expect("the host's directory is writable");
    }

    /// Its port.
    pub fn number(&self) -> u16 {
        self.port.number()
    }

    /// Whom to log in as, and where: `ada@127.0.0.1`.
    pub fn destination(&self) -> String {
        let uid = rustix::process::getuid().as_raw().to_string();
        let answer = self.host.run("getent", &["passwd", &uid]);
        let name = answer.exit(0).text().split(':').next().unwrap_or_default();
        format!("{name}@127.0.0.1")
    }

    /// The file of the private key.
    pub fn key(&self) -> PathBuf {
        self.dir.join("client-key")
    }

    /// The line for known_hosts.
    pub fn known_hosts(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.number(), self.read("host-key.pub"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).expect("it was written at the start")
    }
}

impl Drop for Sshd<'_> {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// A bare repository behind an sshd whose user may do nothing but `git-shell`.
pub struct GitServer<'h> {
    /// It ends with this.
    _sshd: Sshd<'h>,
    /// The repository.
    pub bare: PathBuf,
    /// How git names it.
    pub url: String,
}

impl<'h> GitServer<'h> {
    /// Starts it; from now on git on this host finds the way there.
    #[track_caller]
    pub fn start(host: &'h TestEnvironment) -> Self {
        let bare = host.path("server.git");
        let place = bare.to_str().expect("temporary paths are UTF-8");
        host.run("git", &["init", "-q", "--bare", "-b", "main", place]).exit(0);
        let sshd = Sshd::start(host, "exec git-shell -c \"$SSH_ORIGINAL_COMMAND\"");
        let known = host.path("known_hosts");
        fs::write(&known, sshd.known_hosts()).expect("the host's directory is writable");
        let ssh = format!(
            "ssh -p {} -i '{}' -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile='{}'",
            sshd.number(),
            sshd.key().display(),
            known.display()
        );
        host.set("GIT_SSH_COMMAND", ssh);
        let url = format!("{}:{place}", sshd.destination());
        Self { _sshd: sshd, bare, url }
    }
}

/// It wants to be called by its full path, and lies where users do not look.
fn sshd() -> &'static Path {
    let places = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"];
    let found = places.into_iter().map(Path::new).find(|place| place.is_file());
    found.expect("sshd is on this machine; tests/run installs it")
}
