//! Apps that something runs already: `init` finds what, where it listens and how it answers, and adopts it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::{Made, has_lines};
use crate::support::*;
use crate::systemd::boxed;

/// gunicorn in an environment that somebody made by hand, under a unit.
#[test]
fn a_python_app_under_systemd() {
    boxed(|host, inside| {
        let made = Made::of(host, "pip", |made| {
            fs::remove_file(made.dir.join("Procfile")).expect("the fixture has one");
        });
        host.run("python3", &["-m", "venv", "venv"]).exit(0);
        let pip = ["install", "-q", "--disable-pip-version-check", "-r", "requirements.txt"];
        host.run("venv/bin/pip", &pip).exit(0);
        let (app, port) = (made.dir.display(), made.port.number());
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nWorkingDirectory={app}\n\
             ExecStart={app}/venv/bin/gunicorn --bind 127.0.0.1:{port} app:app\n"
        );
        inside.unit("shop-web.service", &unit);
        inside.run("systemctl", &["start", "shop-web"]).exit(0);
        made.serves("1.0.0");
        // A deploy makes an environment of Python: on a busy machine that takes more than a command of the box may.
        let gitroll = |args: &[&str]| {
            let mut command = inside.command(&host.path("gitroll-inside").to_string_lossy());
            command.args(args);
            Answer::of(command, Duration::from_secs(180))
        };
        let config = made.init(&gitroll);
        has_lines(
            &config,
            &[
                "[service.shop-web]",
                "manager = \"systemd\"",
                "outputs = [\"venv\"]",
                &format!("http = \"http://127.0.0.1:{port}/health\""),
            ],
        );
        made.goes_out_and_comes_back(&config, &gitroll);
    });
}

/// Two apps of one npm workspace, as the ecosystem file has them; both are asked how they are.
#[test]
fn an_npm_workspace_under_pm2() {
    let host = TestEnvironment::new();
    let pm2 = pm2::Pm2::new();
    host.set("PM2_HOME", &pm2.home);
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.program.display()));
    let other = free_port();
    let made = Made::of(&host, "workspaces", |made| {
        made.replace("41998", &other.number().to_string());
        made.host.run("npm", &["install", "--silent"]).exit(0);
    });
    let gitroll = |args: &[&str]| host.gitroll(args);

    // Where pm2 runs nothing yet, gitroll would run what the file names.
    let config = made.init(&gitroll);
    has_lines(
        &config,
        &["command = [\"node\", \"packages/web/index.js\"]", "# ecosystem.config.js, api"],
    );
    assert!(config.contains("\"cd packages/api && exec node index.js\""), "{config}");
    made.git(&["reset", "-q", "--hard", "HEAD^"]);

    host.run("pm2", &["start", "ecosystem.config.js"]).exit(0);
    made.serves("1.0.0");
    made.answers(other.number(), "/health", "1.0.0");
    let config = made.init(&gitroll);
    let url = |port: u16| format!("http = \"http://127.0.0.1:{port}/health\"");
    has_lines(
        &config,
        &["[service.web]", "[service.api]", &url(made.port.number()), &url(other.number())],
    );
    made.goes_out_and_comes_back(&config, &gitroll);
    made.answers(other.number(), "/health", "1.0.0");
}

/// nginx hands out the checkout: no process of the app's own, so what it answers is all there is.
#[test]
fn a_site_that_nginx_hands_out() {
    let host = TestEnvironment::new();
    let made = Made::of(&host, "static", |_| {});
    let port = made.port.number();
    let servers = format!("server {{ listen 127.0.0.1:{port}; root {}; }}", made.dir.display());
    let file = host.path("nginx.conf");
    fs::write(&file, nginx_config(host.root(), &servers)).expect("it is ours");
    let program = find_tool("nginx").unwrap_or_else(|| "/usr/sbin/nginx".into());
    let mut nginx = host.command(&program);
    nginx.arg("-p").arg(host.root()).arg("-c").arg(&file).stderr(Stdio::null());
    let mut front = nginx.spawn().expect("nginx can be started");
    made.answers(port, "/", "1.0.0");
    let gitroll = |args: &[&str]| host.gitroll(args);
    let config = made.init(&gitroll);
    has_lines(
        &config,
        &[
            &format!("http = \"http://127.0.0.1:{port}/\""),
            "prove = \"weak\"",
            "own = false",
            "expect = { status = 200, file = \"index.html\" }",
        ],
    );

    gitroll(&["deploy", "--yes"]).exit(0);
    made.replace("1.0.0", "2.0.0");
    made.commit("Release 2.0.0");
    // Its page was seen, so this is more than a weak proof.
    gitroll(&["deploy", "--yes"]).exit(0).says("observed serving").never_says("weak");
    made.answers(port, "/", "2.0.0");
    // The page is wrong, and every check passes.
    gitroll(&["back", "--yes", "--to", "previous"]).exit(0);
    made.answers(port, "/", "1.0.0");
    assert_eq!(made.config(), config);

    // What is handed out from now on is a copy: a release that nobody sees is not deployed.
    let copy = host.path("copy");
    fs::create_dir(&copy).expect("it is ours");
    fs::copy(made.dir.join("index.html"), copy.join("index.html")).expect("it is there");
    let servers = format!("server {{ listen 127.0.0.1:{port}; root {}; }}", copy.display());
    fs::write(&file, nginx_config(host.root(), &servers)).expect("it is ours");
    let (root, file) = (host.root().display().to_string(), file.display().to_string());
    let program = program.display().to_string();
    host.run(&program, &["-p", &root, "-c", &file, "-s", "reload"]).exit(0);
    made.write("gitroll.toml", &config.replace("\"30s\"", "\"4s\"").replace("\"5s\"", "\"1s\""));
    made.replace("1.0.0", "3.0.0");
    made.commit("Release 3.0.0");
    let answer = gitroll(&["deploy", "HEAD", "--yes"]);
    answer.exit(20).says("is not index.html of this tree");
    made.answers(port, "/", "1.0.0");

    // The page of a release may be as it was: then the copy's answer does not show the release, nor that it was left.
    let page = |name: &str, expect: &str| {
        format!(
            "[[check]]\nname = \"{name}\"\nhttp = \"http://127.0.0.1:{port}/\"\nexpect = {{ {expect} }}\n\
             passes = 2\nsettle = \"100ms\"\ntimeout = \"2s\"\n"
        )
    };
    let name = config.lines().find(|line| line.starts_with("name = ")).expect("it has a name");
    let same = format!("[app]\n{name}\n{}", page("page", "status = 200, file = \"index.html\""));
    made.write("gitroll.toml", &same);
    made.write("other.html", "of 1.1.0\n");
    made.commit("Release 1.1.0");
    let unseen = "nothing was reloaded, and no answer distinguishes this version";
    gitroll(&["deploy", "HEAD", "--yes"]).exit(0).says(unseen).never_says("observed serving");
    made.write("gitroll.toml", &format!("{same}{}", page("missing", "status = 404")));
    made.write("other.html", "of 1.2.0\n");
    made.commit("Release 1.2.0");
    let answer = gitroll(&["deploy", "HEAD", "--yes"]);
    answer.exit(20).says(unseen).never_says("observed serving");
    front.kill().expect("it runs");
    let _ = front.wait();
}

/// Somebody started it in a shell: its own command line is what gitroll starts from now on.
#[test]
fn an_app_that_was_started_by_hand() {
    let host = TestEnvironment::new();
    let made = Made::of(&host, "backend-frontend", |made| {
        fs::create_dir_all(made.dir.join("backend/node_modules/ms")).expect("it is ours");
        made.write("backend/node_modules/ms/index.js", "module.exports = () => 1000;\n");
        made.write(".gitignore", "node_modules/\ndist/\n");
    });
    let mut shell = host
        .command("node")
        .args(["--no-warnings", "server.js"])
        .current_dir(made.dir.join("backend"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("node can be started");
    made.serves("1.0.0");
    let config = made.init(&|args: &[&str]| host.gitroll(args));
    assert!(config.contains("\"cd backend && exec node --no-warnings server.js\""), "{config}");
    assert!(config.contains(&format!("kill {}", shell.id())), "{config}");
    shell.kill().expect("it runs");
    let _ = shell.wait();
}
