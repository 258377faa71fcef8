#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::adopt::builds::BuildFiles;
use crate::adopt::recipe::Start;
use crate::adopt::stack::{Health, Package, Port};
use crate::adopt::work_tree::LockFile;
use crate::config::{CheckKind, Config, Manager};
use crate::service::Pm2App;

fn read(stack: &Stack) -> (Config, String) {
    let upstream = UpstreamBranch { remote: "origin".to_owned(), branch: "main".to_owned() };
    let text = render(&"shop".parse().unwrap(), stack, Some(&upstream), &[]).unwrap();
    (config::parse(&text, "gitroll.toml").unwrap(), text)
}

fn express() -> Package {
    Package {
        name: Some("shop".to_owned()),
        version: Some("1.2.0".to_owned()),
        lock: Some(LockFile::Npm),
        dependencies: true,
        build: Some("webpack".to_owned()),
        files: BuildFiles {
            inputs: vec!["package.json".to_owned(), "package-lock.json".to_owned()],
            installed: vec!["node_modules".to_owned()],
            built: vec!["dist".to_owned()],
            ..BuildFiles::default()
        },
        start: Some(Start {
            command: vec!["node".to_owned(), "server.js".to_owned()],
            env: BTreeMap::new(),
        }),
        ..Package::default()
    }
}

fn none_built() -> BuildFiles {
    BuildFiles { built: Vec::new(), ..express().files }
}

fn found(name: &str) -> Pm2App {
    Pm2App {
        name: name.to_owned(),
        namespace: None,
        cwd: "/opt/shop".into(),
        port: Some(3000),
        user: None,
    }
}

fn health() -> Health {
    Health {
        url: "http://127.0.0.1:3000/api/health".to_owned(),
        version: Some("/version".to_owned()),
        commit: None,
        status: Some(("/status".to_owned(), "healthy".to_owned())),
        catch_all: false,
    }
}

#[test]
fn an_npm_app_under_pm2_is_complete() {
    let stack = Stack {
        package: Some(express()),
        pm2: vec![found("app")],
        port: Some(Port { number: 3000, source: "pm2" }),
        health: Some(health()),
        env_file: true,
        migrations: vec!["migrations".to_owned()],
        ..Stack::default()
    };
    let (config, text) = read(&stack);
    let said: Vec<&str> = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    [app]
    name = "shop"
    [deploy]
    ref = "origin/main"
    [stable]
    pattern = "*-stable"
    min_served = "30m"
    [[build]]
    name = "deps"
    run = [["npm", "ci"]]
    inputs = ["package.json", "package-lock.json"]
    outputs = ["node_modules"]
    [[build]]
    name = "app"
    run = [["npm", "run", "build"]]
    outputs = ["dist"]
    env = { NODE_ENV = "production" }
    [service.app]
    manager = "pm2"
    name = "app"
    [[check]]
    name = "health"
    http = "http://127.0.0.1:3000/api/health"
    expect = { status = 200, json = { "/status" = "healthy", "/version" = "{version}" } }
    passes = 3
    settle = "5s"
    timeout = "30s"
    [migrate]
    paths = ["migrations"]
    [flags]
    file = ".env"
    [rto]
    code = "15m"
    "#);
    assert_eq!(config.build.len(), 2);
    assert!(matches!(&config.services[0].manager, Manager::Pm2 { app, .. } if app == "app"));
    let CheckKind::Http(http) = &config.checks[0].kind else { panic!("another kind") };
    assert!(http.json["/version"].tells_version());
    assert_eq!(http.json["/status"].value, "healthy");
    assert!(config.flags.is_some() && !config.migrate.paths.is_empty());
}

#[test]
fn an_npm_app_that_nobody_runs_is_started_by_gitroll() {
    let stack = Stack {
        package: Some(express()),
        port: Some(Port { number: 4000, source: ".env" }),
        ..Stack::default()
    };
    let (config, text) = read(&stack);
    let Manager::Process { command, env, .. } = &config.services[0].manager else {
        panic!("{text}")
    };
    assert_eq!(command, &["node", "server.js"]);
    assert_eq!(env["PORT"], "4000");
    let CheckKind::Tcp(tcp) = &config.checks[0].kind else { panic!("{text}") };
    assert_eq!(tcp.port, 4000);
    assert!(text.contains("# http = \"http://127.0.0.1:4000/health\""));
}

#[test]
fn what_is_not_known_is_a_comment() {
    let (config, text) = read(&Stack::default());
    assert!(config.services.is_empty() && config.build.is_empty() && config.checks.is_empty());
    for line in ["# [service.web]", "# [[build]]", "# [[check]]", "# version = \"1.0.0\""] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    let stack = Stack {
        others: vec!["requirements.txt".to_owned()],
        procfile: vec![("web".to_owned(), "gunicorn app:app".to_owned())],
        ..Stack::default()
    };
    let (_, text) = read(&stack);
    assert!(text.contains("# Procfile, web: \"gunicorn app:app\"\n") && text.contains("venv"));
    let none = render(&"shop".parse().unwrap(), &stack, None, &[]).unwrap();
    assert!(none.contains("# ref = \"origin/main\""));
}

#[test]
fn what_an_npm_app_lacks_is_said() {
    let package = Package { lock: None, files: none_built(), start: None, ..express() };
    let (config, text) = read(&Stack { package: Some(package), ..Stack::default() });
    assert!(config.build.is_empty() && config.services.is_empty());
    assert!(text.contains("no lock file") && text.contains("no start script"));
    assert!(text.contains("Set its untracked output directory"));
    let package = Package { guessed: true, lock: Some(LockFile::Pnpm), ..express() };
    let (config, text) = read(&Stack { package: Some(package), ..Stack::default() });
    assert!(text.contains("is a guess"));
    assert_eq!(config.build[0].run, [["pnpm", "install", "--frozen-lockfile"]]);
    assert_eq!(config.build[1].run, [["pnpm", "run", "build"]]);
}

/// The lines of a starter that are TOML, comment marks taken away, by section. Of two alternatives for a
/// section or key the first is taken.
fn uncommented(text: &str) -> String {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    let mut skipping = false;
    for line in text.lines().map(|line| line.trim_start_matches("# ")) {
        if line.starts_with('[') {
            skipping = !line.starts_with("[[") && sections.iter().any(|(header, _)| header == line);
            if !skipping {
                sections.push((line.to_owned(), Vec::new()));
            }
        } else if let (Some((key, _)), Some((_, lines))) =
            (line.split_once(" = "), sections.last_mut())
        {
            let key_of = |line: &String| line.split(" = ").next().map(str::to_owned);
            let doubled = lines.iter().any(|line| key_of(line).as_deref() == Some(key));
            if !skipping && !doubled && key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                lines.push(line.to_owned());
            }
        }
    }
    sections
        .into_iter()
        .map(|(header, lines)| format!("{header}\n{}\n", lines.join("\n")))
        .collect()
}

#[test]
fn the_commented_parts_are_right_when_uncommented() {
    let stack = Stack {
        package: Some(Package { lock: None, files: none_built(), start: None, ..express() }),
        ..Stack::default()
    };
    for stack in [stack, Stack::default()] {
        let text = uncommented(&read(&stack).1);
        let config = config::parse(&text, "x")
            .unwrap_or_else(|error| panic!("{:#?}\n{text}", error.problems));
        assert!(
            !config.build.is_empty() && !config.checks.is_empty() && !config.services.is_empty()
        );
    }
}

#[test]
fn any_name_that_pm2_knows_an_app_by_is_a_service() {
    let stack = Stack { pm2: vec![found("all"), found("0"), found("a.b")], ..Stack::default() };
    let (config, text) = read(&stack);
    assert_eq!(config.services.len(), 3);
    for name in ["\"all\"", "\"0\"", "\"a.b\""] {
        assert!(text.contains(&format!("name = {name}")), "{text}");
    }
}

#[test]
fn hostile_names_cannot_leave_their_quotes() {
    let evil = "x\"\n[notify]\nrun = [\"touch\", \"/tmp/x\"]\n# {{ name }} {% raw %} \u{202e}\r\\";
    let start = Start {
        command: vec!["node".to_owned(), evil.to_owned()],
        env: BTreeMap::from([("A".to_owned(), evil.to_owned())]),
    };
    let package = Package {
        name: Some(evil.to_owned()),
        version: Some(evil.to_owned()),
        build: Some(evil.to_owned()),
        files: BuildFiles {
            carry: vec![".env".to_owned()],
            unknown: vec![evil.to_owned()],
            ..express().files
        },
        start: Some(start),
        ..express()
    };
    let stack = Stack {
        package: Some(package.clone()),
        health: Some(Health {
            url: "http://127.0.0.1:1/".to_owned(),
            version: Some(format!("/{evil}").replace('~', "~0")),
            commit: None,
            status: Some((format!("/{evil}2"), "ok".to_owned())),
            catch_all: true,
        }),
        procfile: vec![("web".to_owned(), evil.to_owned())],
        ..Stack::default()
    };
    let (config, text) = read(&stack);
    assert!(config.notify.is_empty() && !text.contains('\u{202e}'));
    let Manager::Process { command, env, .. } = &config.services[0].manager else {
        panic!("{text}")
    };
    assert_eq!((command[1].as_str(), env["A"].as_str()), (evil, evil));
    let plain = Stack { package: None, ..stack.clone() };
    assert!(read(&plain).0.notify.is_empty());
    let unknown = Package { files: none_built(), ..package };
    assert!(read(&Stack { package: Some(unknown), ..stack }).0.notify.is_empty());
}

proptest! {
    #[test]
    fn any_text_found_gives_a_valid_file(
        script: String, argument: String, status: String, line: String, tracked in any::<bool>(),
    ) {
        let package = Package {
            build: Some(script),
            files: if tracked { none_built() } else { express().files },
            start: Some(Start { command: vec!["node".to_owned(), argument.replace('\0', "")], env: BTreeMap::new() }),
            ..express()
        };
        let stack = Stack {
            package: Some(package),
            health: Some(Health { status: Some(("/s".to_owned(), status.replace('\0', ""))), ..health() }),
            procfile: vec![("web".to_owned(), line)],
            ..Stack::default()
        };
        let name = "shop".parse().unwrap();
        let other = Stack { package: None, ..stack.clone() };
        for stack in [stack, other] {
            let rendered = render(&name, &stack, None, &[]).map_err(|error| error.to_string());
            prop_assert_eq!(rendered.err(), None);
        }
    }
}
