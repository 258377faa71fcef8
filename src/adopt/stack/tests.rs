#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::adopt::builds::BuildFiles;
use crate::adopt::work_tree::LockFile;
use crate::config::Tools;

/// Files of these names are never ignored.
const SETTINGS: [&str; 8] = [
    "package.json",
    "package-lock.json",
    "yarn.lock",
    ".yarnrc.yml",
    "pnpm-lock.yaml",
    ".npmrc",
    "bun.lock",
    "prisma",
];

/// A work tree with some tracked paths.
struct Tree {
    dir: tempfile::TempDir,
    tracked: Vec<&'static str>,
    pm2: Vec<Pm2App>,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap(), tracked: Vec::new(), pm2: Vec::new() };
        for (path, text) in files {
            let path = tree.top().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        tree
    }

    fn top(&self) -> PathBuf {
        self.dir.path().join("")
    }

    fn tracking(mut self, paths: &[&'static str]) -> Self {
        self.tracked.extend(paths);
        self
    }

    fn running(mut self, name: &str, cwd: PathBuf, port: Option<u16>) -> Self {
        self.pm2.push(Pm2App { name: name.to_owned(), namespace: None, cwd, port, user: None });
        self
    }

    /// As git would list them: what is there and is not tracked, the outermost directories by themselves.
    fn ignored(&self) -> Vec<RepoPath> {
        fn walk(tree: &Tree, dir: &std::path::Path, found: &mut Vec<RepoPath>) {
            for entry in std::fs::read_dir(tree.top().join(dir)).unwrap().map(|e| e.unwrap()) {
                let path = dir.join(entry.file_name());
                let name = path.to_str().unwrap();
                let below = |t: &&str| t.starts_with(&format!("{name}/"));
                if tree.tracked.contains(&name) || SETTINGS.contains(&name) {
                    continue;
                }
                if tree.tracked.iter().any(below) {
                    walk(tree, &path, found);
                } else {
                    found.push(RepoPath::new(name).unwrap());
                }
            }
        }
        let mut found = Vec::new();
        walk(self, std::path::Path::new(""), &mut found);
        found.sort();
        found
    }

    fn files(&self) -> Vec<RepoPath> {
        self.tracked.iter().map(|path| RepoPath::new(*path).unwrap()).collect()
    }

    fn detect(&self) -> Stack {
        let tool = || Some(PathBuf::from("/usr/bin/x"));
        let tools = Tools { node: tool(), npm: tool(), ..Tools::default() };
        let tracked = |path: &RepoPath| {
            self.tracked.iter().any(|t| RepoPath::new(*t).unwrap().starts_with(path))
        };
        Stack::detect(&WorkTree {
            top: &self.top(),
            commit: Some(&"4be21d94be21d94be21d94be21d94be21d94be21".parse().unwrap()),
            tools: &tools,
            pm2: &self.pm2,
            units: &[],
            tracked: &tracked,
            files: &self.files(),
            ignored: &self.ignored(),
            has: &|_| true,
        })
    }
}

/// Answers requests on loopback: the raw answer for a path, else 404. Ends when dropped with the test.
fn serve(answers: &'static [(&'static str, &'static str)]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        answer_all(&listener, answers, "HTTP/1.1 404 Not Found\r\n\r\n");
    });
    port
}

fn answer_all(listener: &TcpListener, answers: &[(&str, &str)], rest: &str) {
    for stream in listener.incoming().take(40) {
        let Ok(mut stream) = stream else { return };
        let mut line = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = reader.read_line(&mut line);
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
        let answer = answers.iter().find(|(p, _)| *p == path).map(|(_, answer)| *answer);
        let _ = stream.write_all(answer.unwrap_or(rest).as_bytes());
    }
}

const EXPRESS: &str = r#"{"name": "@team/shop app", "version": "1.2.0",
    "scripts": {"start": "node server.js", "build": "webpack"},
    "dependencies": {"express": "4.21.2"}}"#;

#[test]
fn an_npm_app_is_described_by_its_package_and_lock_file() {
    let files =
        [("package.json", EXPRESS), ("package-lock.json", "{}"), (".npmrc", ""), ("dist/a.js", "")];
    let stack = Tree::new(&files).tracking(&["package.json"]).detect();
    assert_eq!(stack.name.unwrap().as_str(), "shop-app");
    assert_eq!(stack.warnings, Vec::<String>::new());
    let package = stack.package.unwrap();
    assert_eq!(package.version.as_deref(), Some("1.2.0"));
    assert_eq!(package.lock, Some(LockFile::Npm));
    assert_eq!(package.files.inputs, [".npmrc", "package-lock.json", "package.json"]);
    assert_eq!(package.files.built, ["dist"]);
    assert!(package.dependencies && !package.guessed && !package.vendored);
    assert_eq!(package.start.unwrap().command, ["node", "server.js"]);
}

#[test]
fn a_tracked_build_directory_is_no_output() {
    let stack = Tree::new(&[("package.json", EXPRESS), ("dist/a.js", "")]).tracking(&["dist/a.js"]);
    let package = stack.detect().package.unwrap();
    assert_eq!((package.files.built, package.guessed), (Vec::new(), false));
    let guessed = Tree::new(&[("package.json", EXPRESS)]).detect().package.unwrap();
    assert_eq!((guessed.files.built, guessed.guessed), (vec!["dist".to_owned()], true));
}

#[test]
fn lock_files_name_the_package_manager() {
    for (file, more, lock) in [
        ("yarn.lock", "x", LockFile::Yarn),
        ("yarn.lock", ".yarnrc.yml", LockFile::YarnBerry),
        ("pnpm-lock.yaml", "x", LockFile::Pnpm),
        ("npm-shrinkwrap.json", "x", LockFile::Npm),
        ("bun.lock", "x", LockFile::Bun),
    ] {
        let tree = Tree::new(&[("package.json", EXPRESS), (file, ""), (more, "")]);
        assert_eq!(tree.detect().package.unwrap().lock, Some(lock));
    }
    let stack = Tree::new(&[("package.json", EXPRESS)]).detect();
    assert!(stack.warnings[0].contains("no lock file"), "{:?}", stack.warnings);
}

#[test]
fn a_broken_package_json_is_a_warning() {
    for (text, wanted) in [
        ("{\"name\": \n oops}", "package.json is not valid JSON at line 2, column 2"),
        ("[1]", "does not contain an object"),
        ("", "is not valid JSON at line 1"),
    ] {
        let stack = Tree::new(&[("package.json", text)]).detect();
        assert!(stack.package.is_none());
        assert!(stack.warnings.concat().contains(wanted), "{:?}", stack.warnings);
    }
    let odd = r#"{"name": 5, "version": [], "scripts": "x", "dependencies": null}"#;
    let stack = Tree::new(&[("package.json", odd)]).detect();
    let package = stack.package.unwrap();
    assert_eq!(package.files.inputs, ["package.json"]);
    assert_eq!(Package { files: BuildFiles::default(), ..package }, Package::default());
    let tree = Tree::new(&[]);
    std::os::unix::fs::symlink("/etc/passwd", tree.top().join("package.json")).unwrap();
    assert!(tree.detect().warnings.concat().contains("not a regular file"));
    let huge = " ".repeat(2 << 20);
    let stack = Tree::new(&[("package.json", &huge)]).detect();
    assert!(stack.warnings.concat().contains("larger than 1 MiB"));
}

#[test]
fn only_a_simple_start_script_becomes_a_command() {
    for (script, command) in [
        ("node server.js --x", vec!["node", "server.js", "--x"]),
        ("PORT=3000 node server.js", vec!["node", "server.js"]),
        ("./bin/www", vec!["./bin/www"]),
        ("next start", vec!["npm", "start"]),
        ("node a.js && node b.js", vec!["npm", "start"]),
        ("node $FILE", vec!["npm", "start"]),
        ("A-B=1 node x", vec!["npm", "start"]),
        ("PORT=3000", vec!["npm", "start"]),
    ] {
        let text = serde_json::json!({"scripts": {"start": script}}).to_string();
        let package = Tree::new(&[("package.json", &text)]).detect().package.unwrap();
        assert_eq!(package.start.unwrap().command, command, "{script}");
    }
    let package = Tree::new(&[("package.json", "{}"), ("server.js", "")]).detect().package.unwrap();
    assert_eq!(package.start.unwrap().command, ["node", "server.js"]);
}

#[test]
fn the_port_is_asked_of_pm2_then_env_then_the_script() {
    let package = r#"{"scripts": {"start": "next start -p 4001"}}"#;
    let files = [("package.json", package), (".env", "# x\nexport PORT='4002'\nSECRET=canary\n")];
    let tree = Tree::new(&files);
    let cwd = tree.top();
    let port = |stack: &Stack| stack.port.clone().map(|port| (port.number, port.source));
    assert_eq!(port(&tree.detect()), Some((4002, ".env")));
    assert_eq!(port(&Tree::new(&files[..1]).detect()), Some((4001, "package.json")));
    let stack = tree.running("web", cwd, Some(4003)).detect();
    assert_eq!(port(&stack), Some((4003, "pm2")));
    assert!(stack.env_file && !format!("{stack:?}").contains("canary"));
    assert!(!Tree::new(&files).tracking(&[".env"]).detect().env_file);
    let odd = Tree::new(&[(".env", "PORT=99999\nPORT\n=\n")]).detect();
    assert_eq!(odd.port, None);
}

#[test]
fn only_pm2_apps_of_this_tree_count() {
    let tree = Tree::new(&[("api/x", "")]);
    let top = tree.top();
    let link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&top, link.path().join("current")).unwrap();
    let beside = PathBuf::from(format!("{}-2", top.display().to_string().trim_end_matches('/')));
    let stack = tree
        .running("web", top.clone(), None)
        .running("api", top.join("api"), None)
        .running("linked", link.path().join("current"), None)
        .running("other", "/opt/other".into(), None)
        .running("beside", beside, None)
        .detect();
    let names: Vec<&str> = stack.pm2.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["web", "api", "linked"]);
}

#[test]
fn the_first_path_that_answers_200_is_its_health() {
    let port = serve(&[
        ("/api/health", "HTTP/1.1 500 Oops\r\n\r\n"),
        (
            "/health",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             2a\r\n{\"app\": {\"version\": \"1.2.0\"}, \"status\": \"O\r\n\
             41\r\nK\", \"rev\": \"4be21d94be21d94be21d94be21d94be21d94be21\", \"n\": 1.23}\r\n0\r\n\r\n",
        ),
        ("/", "HTTP/1.1 200 OK\r\n\r\nhello"),
    ]);
    let files = [("package.json", EXPRESS), ("package-lock.json", "{}")];
    let tree = Tree::new(&files);
    let top = tree.top();
    let health = tree.running("web", top, Some(port)).detect().health.unwrap();
    assert_eq!(health.url, format!("http://127.0.0.1:{port}/health"));
    assert_eq!(health.version.as_deref(), Some("/app/version"));
    assert_eq!(health.commit.as_deref(), Some("/rev"));
    assert_eq!(health.status, Some(("/status".to_owned(), "OK".to_owned())));
}

#[test]
fn an_app_that_never_answers_costs_seconds_at_most() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tree = Tree::new(&[]);
    let top = tree.top();
    let begin = Instant::now();
    let stack = tree.running("web", top, Some(listener.local_addr().unwrap().port())).detect();
    assert_eq!(stack.health, None);
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
}

/// Answers every request as `answer` says of its path and its number.
fn answering(answer: impl Fn(&str, usize) -> (&'static str, String) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.read_line(&mut line);
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
            let (kind, body) = answer(&path, number);
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\n");
            let _ = stream.write_all(
                format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            );
        }
    });
    port
}

#[test]
fn a_server_that_answers_everything_is_asked_at_its_top_unless_a_path_says_something_else() {
    const HTML: &str = "text/html; charset=utf-8";
    const JSON: &str = "application/json";
    let found = |port| {
        let health = find_health(port, None, None)?;
        let path = health.url.rsplit(':').next().unwrap().to_owned();
        Some((
            path[path.find('/').unwrap()..].to_owned(),
            health.catch_all,
            health.status.is_some(),
        ))
    };
    let top = |says| Some(("/".to_owned(), true, says));
    let path = |path: &str, says| Some((path.to_owned(), false, says));
    let page =
        |path: &str, number: usize| (HTML, format!("<p nonce=\"x{number}\">{path} is here</p>"));
    let fine = || (JSON, "{\"status\":\"ok\",\"uptime\":12}".to_owned());
    assert_eq!(
        found(answering(page)),
        top(false),
        "a page with the path and something of each time"
    );
    assert_eq!(
        found(answering(|_, number| (HTML, format!("<p>{}</p>", "a b ".repeat(number))))),
        top(false),
        "a page that is another each time"
    );
    assert_eq!(found(answering(move |_, _| fine())), top(true), "an API that answers all the same");
    let echo =
        |path: &str, number: usize| (JSON, format!("{{\"path\":\"{path}\",\"at\":{number}}}"));
    assert_eq!(found(answering(echo)), top(false), "one that repeats what it is asked");
    // A single page app with a true health path, whatever that answers.
    let app = |health: fn() -> (&'static str, String)| {
        answering(move |path, number| match path {
            "/health" => health(),
            _ => page(path, number),
        })
    };
    assert_eq!(found(app(|| (JSON, "{\"status\":\"ok\"}".to_owned()))), path("/health", true));
    assert_eq!(found(app(|| ("text/plain", "OK".to_owned()))), path("/health", false));
    assert_eq!(found(app(|| (JSON, "true".to_owned()))), path("/health", false));
    assert_eq!(found(app(|| (HTML, "<p>all is well</p>".to_owned()))), path("/health", false));
    // The same fields with other values, where errors are told with the status 200.
    let wrong = |says: &str| (JSON, format!("{{\"status\":\"{says}\",\"data\":null}}"));
    let api = answering(move |path, _| wrong(if path == "/health" { "ok" } else { "unknown" }));
    assert_eq!(found(api), path("/health", true));
    // What is below `/api` is answered by itself: no health path.
    let below = answering(move |path, number| match path.starts_with("/api/") {
        true => wrong("no such route"),
        false if path == "/healthz" => fine(),
        false => page(path, number),
    });
    assert_eq!(found(below), path("/healthz", true));
}

#[test]
fn an_endless_answer_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let begin = Instant::now();
    let health = find_health(port, None, None).unwrap();
    assert_eq!(health.url, format!("http://127.0.0.1:{port}/api/health"));
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn other_stacks_and_migrations_are_noted() {
    let files = [
        ("requirements.txt", ""),
        ("Procfile", "web: gunicorn app:app\n# x\nbad line\n: y\nworker: python w.py"),
        ("db/migrate/1.sql", ""),
        ("migrations/1.sql", ""),
    ];
    let stack = Tree::new(&files).tracking(&["db/migrate/1.sql"]).detect();
    assert_eq!(stack.others, ["requirements.txt"]);
    let web = ("web".to_owned(), "gunicorn app:app".to_owned());
    assert_eq!(stack.procfile, [web, ("worker".to_owned(), "python w.py".to_owned())]);
    assert_eq!(stack.migrations, ["db/migrate"]);
    assert_eq!(stack.package, None);
}
