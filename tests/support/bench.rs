//! A live tree with a small HTTP app, the binding it belongs to, and questions to the app.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gitroll::config::{Binding, Manager, Service, Signing, SigningFormat, Tools};
use gitroll::service::{self, Host, ServiceError, ServiceState};
use gitroll::system::procs::Ticks;
use serde_json::Value;

/// What the app does is in `VERSION`: `crash` and `hang` do so at boot, all else is its version.
const SERVER: &str = r"
const http = require('http');
const version = require('fs').readFileSync(__dirname + '/VERSION', 'utf8').trim();
process.on('disconnect', () => {});
if (version === 'crash') throw new Error('no database at boot');
if (version === 'hang') setInterval(() => {}, 1000); else {
  let closing = false;
  const server = http.createServer((request, response) => setTimeout(() => {
    if (closing) response.setHeader('connection', 'close');
    response.end(JSON.stringify({ version, pid: process.pid, cwd: process.cwd(), env: process.env }));
  }, 5));
  server.listen(+process.env.PORT, '127.0.0.1', () => process.send && process.send('ready'));
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {
    closing = true;
    // Not at once: pm2's daemon may just have handed this worker a connection, which it gives back.
    server.close(() => setTimeout(() => process.exit(0), 300));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), 1000);
  });
}
";

/// An app's live tree and gitroll's state directory beside it.
pub struct Bench {
    pub top: PathBuf,
    pub state: PathBuf,
    pub port: u16,
    pub binding: Binding,
}

impl Bench {
    /// A tree below `dir` with the app in version `v1`.
    pub fn new(dir: &Path) -> Self {
        let top = dir.join("app");
        write_app(&top, "v1");
        Self { state: dir.join("state"), port: free_port(), binding: binding(&top), top }
    }

    /// What an earlier [`Bench::new`] made below `dir`.
    #[allow(dead_code, reason = "not every test that includes this starts processes of its own")]
    pub fn over(dir: &Path) -> Self {
        let top = dir.join("app");
        Self { state: dir.join("state"), port: 0, binding: binding(&top), top }
    }

    pub fn host(&self) -> Host<'_> {
        Host {
            binding: &self.binding,
            top: self.top.clone(),
            state: self.state.clone(),
            extra: BTreeMap::from([("GITROLL_VERSION".to_owned(), "1.2.3".to_owned())]),
            flags: BTreeMap::new(),
        }
    }

    pub fn deploy(&self, version: &str) {
        std::fs::write(self.top.join("VERSION"), version).unwrap();
    }

    pub fn observe(&self, service: &Service) -> ServiceState {
        service::observe(&self.host(), service).unwrap()
    }

    pub fn reload(&self, service: &Service) -> Ticks {
        service::reload(&self.host(), service).unwrap()
    }

    pub fn start(&self, service: &Service) -> Result<(), ServiceError> {
        service::start(&self.host(), service)
    }

    pub fn stop(&self, service: &Service) {
        service::stop(&self.host(), service).unwrap();
    }

    /// Asks the app; `None` when it does not answer.
    pub fn ask(&self) -> Option<Value> {
        ask(self.port)
    }

    /// Asks until it answers with this version.
    pub fn serves(&self, version: &str) -> bool {
        until(|| self.ask().is_some_and(|answer| answer["version"] == version))
    }
}

pub fn write_app(dir: &Path, version: &str) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("server.js"), SERVER).unwrap();
    std::fs::write(dir.join("VERSION"), version).unwrap();
}

pub fn service(name: &str, manager: Manager) -> Service {
    Service {
        name: name.parse().unwrap(),
        manager,
        depends_on: Vec::new(),
        quiesce: false,
        ports: None,
    }
}

/// Waits until something holds, at most a minute.
pub fn until(mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

pub fn ask(port: u16) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn binding(top: &Path) -> Binding {
    Binding {
        dir: top.to_owned(),
        app: "shop".parse().unwrap(),
        path: top.to_owned(),
        environment: "production".parse().unwrap(),
        writer: "web-1.k3f9".parse().unwrap(),
        chain: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        run_as: gitroll::system::user::Account::current().name,
        umask: None,
        work_dir: top.to_owned(),
        points: None,
        signing: Signing { format: SigningFormat::Ssh, key: String::new() },
        openpgp: Vec::new(),
        follow: Vec::new(),
        tools: Tools::default(),
        pm2_home: None,
        path_variable: std::env::var("PATH").unwrap(),
        take_over: Vec::new(),
        pass: Vec::new(),
        distrust: None,
    }
}
