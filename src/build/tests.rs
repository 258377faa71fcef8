//! Keys, and real builds with npm in a stage of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Around, BuildError, BuildPlan, Depth, LiveArtifact, Toolchain, build, plan};
use crate::config::{Binding, Build, Signing, SigningFormat, Tools};
use crate::layout::stage;
use crate::layout::testing::{App, Node, Tree, files, memory, path, patterns};
use crate::model::{BuildKey, Oid};
use crate::system::environment;
use crate::system::user::Account;

fn binding(app: &App) -> Binding {
    Binding {
        dir: app.top.join(".git"),
        app: "shop".parse().unwrap(),
        path: app.top.clone(),
        environment: "production".parse().unwrap(),
        writer: "web-1.k3f9".parse().unwrap(),
        chain: "0".repeat(32).parse().unwrap(),
        run_as: Account::current().name,
        umask: None,
        work_dir: app.top.with_file_name("work"),
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

fn group(name: &str, run: &[&[&str]], inputs: &[&str], outputs: &[&str]) -> Build {
    Build {
        name: name.parse().unwrap(),
        run: run.iter().map(|argv| argv.iter().map(|a| (*a).to_owned()).collect()).collect(),
        inputs: patterns(inputs),
        outputs: outputs.iter().map(|o| path(o)).collect(),
        optional: Vec::new(),
        output_globs: Vec::new(),
        scratch: patterns(&[]),
        carry: Vec::new(),
        env: BTreeMap::new(),
        timeout: Duration::from_secs(120),
    }
}

fn planned(app: &App, groups: &[Build], commit: &Oid, live: &[LiveArtifact]) -> BuildPlan {
    try_plan(app, &binding(app), groups, commit, live).unwrap()
}

fn try_plan(
    app: &App,
    binding: &Binding,
    groups: &[Build],
    commit: &Oid,
    live: &[LiveArtifact],
) -> Result<BuildPlan, BuildError> {
    let toolchain = Toolchain::of(binding, app.git.top());
    let around = Around { live, besides: &[], leaving: &[], depth: Depth::Deep };
    plan(&app.git, &toolchain, &app.store, groups, commit, around)
}

fn keys(app: &App, groups: &[Build], commit: &Oid) -> Vec<BuildKey> {
    planned(app, groups, commit, &[]).artifacts.into_iter().map(|a| a.key).collect()
}

/// Stages the commit afresh and builds every step of the plan in it.
fn build_all(app: &App, plan: &BuildPlan, commit: &Oid) -> Result<Vec<String>, BuildError> {
    let place = app.top.with_file_name("stage");
    let _ = fs::remove_dir_all(&place);
    stage(&app.git, commit, &place).unwrap();
    let extra = BTreeMap::from([("GITROLL_VERSION".to_owned(), "1.2.3".to_owned())]);
    let mut told = Vec::new();
    for step in &plan.steps {
        let tracked = app.git.entries(commit).unwrap();
        let stage = (place.as_path(), tracked.as_slice());
        told.extend(
            build(&binding(app), &app.store, step, stage, &app.git, &extra, &mut |_| {})?.lines,
        );
    }
    Ok(told)
}

/// Everything in the store, what is noted of it left out.
fn stored(app: &App) -> BTreeSet<String> {
    let names = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).map_or(Vec::new(), |dir| dir.map(|e| e.unwrap().path()).collect())
    };
    let noted = |p: &PathBuf| p.extension().is_some_and(|e| e == "json");
    let kept = names(&app.store.dir).into_iter().filter(|p| !noted(p));
    kept.map(|p| p.display().to_string()).collect()
}

fn shell(text: &str) -> Build {
    group("g", &[&["sh", "-c", text]], &["**"], &["dist"])
}

#[test]
fn a_key_changes_when_a_declared_input_does_and_only_then() {
    let app = App::new();
    let tree = files(&[("package.json", "1"), ("src/a.js", "1"), ("README.md", "1")]);
    let change = |name: &str, node: Node| -> Oid {
        let mut tree: Tree = tree.clone();
        tree.insert(name.to_owned(), node);
        app.commit(&tree)
    };
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    let base = app.commit(&tree);
    let first = || group("deps", &[&["npm", "ci"]], &["package.json"], &["node_modules"]);
    let second = || group("app", &[&["npm", "run", "build"]], &["src/**"], &["dist", "public"]);
    let groups = [first(), second()];
    let before = keys(&app, &groups, &base);
    assert_eq!(before.len(), 3);
    assert_eq!(before[1], before[2], "a group has one key for all its outputs");
    assert_ne!(before[0], before[1]);
    assert_eq!(keys(&app, &groups, &base), before);

    let readme = change("README.md", file("2"));
    assert_eq!(keys(&app, &groups, &readme), before, "no input");
    let source = change("src/a.js", file("2"));
    let after = keys(&app, &groups, &source);
    assert!(after[0] == before[0] && after[1] != before[1], "only the second group's input");
    let mode = change("src/a.js", Node::Program(b"1".to_vec()));
    assert_ne!(keys(&app, &groups, &mode)[1], before[1], "the executable bit");
    let added = change("src/b.js", file(""));
    assert_ne!(keys(&app, &groups, &added)[1], before[1], "one more input");
    let package = change("package.json", file("2"));
    let after = keys(&app, &groups, &package);
    assert!(after[0] != before[0] && after[1] != before[1], "keys chain on earlier groups");

    let vary = |change: &dyn Fn(&mut Build)| {
        let mut groups = [first(), second()];
        change(&mut groups[1]);
        keys(&app, &groups, &base)
    };
    assert_eq!(vary(&|g| g.timeout = Duration::from_secs(1)), before);
    assert_eq!(vary(&|g| g.name = "other".parse().unwrap()), before);
    assert_ne!(vary(&|g| g.run[0].push("--x".to_owned()))[1], before[1]);
    assert_ne!(vary(&|g| g.run = vec![vec!["npm run build".to_owned()]])[1], before[1]);
    assert_ne!(vary(&|g| drop(g.env.insert("A".to_owned(), "1".to_owned())))[1], before[1]);
    assert_ne!(vary(&|g| drop(g.outputs.pop()))[1], before[1]);

    // Another checkout of the same tree, elsewhere and later.
    let other = App::new();
    let same = other.commit(&tree);
    assert_eq!(keys(&other, &groups, &same), before);
}

#[test]
fn a_carried_file_and_the_node_version_are_part_of_the_key() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    app.put(".env", &Node::File(b"A=1".to_vec()));
    let mut with = shell("true");
    with.carry = vec![path(".env")];
    let groups = [with];
    let before = keys(&app, &groups, &commit);
    app.put(".env", &Node::File(b"A=2".to_vec()));
    assert_ne!(keys(&app, &groups, &commit), before);
    app.put(".env", &Node::File(b"A=1".to_vec()));
    assert_eq!(keys(&app, &groups, &commit), before);

    let node = app.top.with_file_name("node");
    crate::layout::testing::put_at(
        node.parent().unwrap(),
        "node",
        &Node::Program(b"#!/bin/sh\necho v99.0.0\n".to_vec()),
    );
    let mut other = binding(&app);
    other.tools.node = Some(node);
    let after = try_plan(&app, &other, &groups, &commit, &[]).unwrap();
    assert_ne!(after.artifacts[0].key, before[0]);
}

#[test]
fn a_carried_file_that_is_missing_or_a_link_is_refused_and_never_followed() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    let mut with = shell("true");
    with.carry = vec![path("conf/.env")];
    let groups = [with];
    let secret = app.top.with_file_name("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join(".env"), "theirs").unwrap();
    let refuse = |what: &str| {
        let error = try_plan(&app, &binding(&app), &groups, &commit, &[]).unwrap_err();
        assert!(
            matches!(&error, BuildError::Io { path, .. } if path.ends_with("conf/.env")),
            "{what}"
        );
    };
    refuse("missing");
    app.put("conf/.env", &Node::Link(secret.join(".env").to_str().unwrap().to_owned()));
    refuse("a link");
    app.put("conf", &Node::Link(secret.to_str().unwrap().to_owned()));
    refuse("below a link");
    app.put("conf/.env", &Node::Fifo);
    refuse("a fifo");
}

#[test]
fn npm_builds_in_the_stage_and_a_second_plan_has_nothing_to_build() {
    let app = App::new();
    let lock = r#"{"name":"x","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{
        "":{"name":"x","version":"1.0.0","dependencies":{"dep":"file:dep"}},
        "dep":{"version":"1.0.0"},"node_modules/dep":{"resolved":"dep","link":true}}}"#;
    let script = "const fs = require('fs'); fs.mkdirSync('dist'); fs.writeFileSync('dist/out', \
        [require('dep'), process.env.GITROLL_VERSION, process.env.NODE_ENV, process.env.CANARY, \
        fs.readFileSync('.env')].join(' '))";
    let commit = app.commit(&files(&[
        (
            "package.json",
            r#"{"name":"x","version":"1.0.0","dependencies":{"dep":"file:dep"},
                "scripts":{"build":"node build.js"}}"#,
        ),
        ("package-lock.json", lock),
        ("dep/package.json", r#"{"name":"dep","version":"1.0.0"}"#),
        ("dep/index.js", "module.exports = 'dep works'"),
        ("build.js", script),
    ]));
    app.put(".env", &Node::File(b"LIVE=1".to_vec()));
    let home = app.top.with_file_name("home").display().to_string();
    let at_home = |mut group: Build| {
        group.env.insert("HOME".to_owned(), home.clone());
        group.env.insert("npm_config_offline".to_owned(), "true".to_owned());
        group
    };
    let deps = group("deps", &[&["npm", "ci"]], &["package*.json", "dep/**"], &["node_modules"]);
    let mut dist = group("app", &[&["npm", "run", "build"]], &["**"], &["dist"]);
    dist.carry = vec![path(".env")];
    dist.env.insert("NODE_ENV".to_owned(), "production".to_owned());
    let groups = [at_home(deps), at_home(dist)];
    let before = app.snapshot();
    let first = planned(&app, &groups, &commit, &[]);
    assert_eq!(first.steps.len(), 2);
    assert_eq!(first.steps[1].needs, [(path("node_modules"), first.steps[0].key.clone())]);
    build_all(&app, &first, &commit).unwrap();

    let made = app.store.place(&first.steps[1].key, &path("dist")).join("out");
    assert_eq!(fs::read_to_string(made).unwrap(), "dep works 1.2.3 production  LIVE=1");
    let modules = app.store.place(&first.steps[0].key, &path("node_modules"));
    assert!(
        modules.join(".package-lock.json").is_file(),
        "the store keeps what a later group needed"
    );
    assert_eq!(app.snapshot(), before, "the live tree is untouched");
    let second = planned(&app, &groups, &commit, &[]);
    assert_eq!(second.steps, []);
    assert_eq!(second.artifacts, first.artifacts);

    // The same artifact serves: nothing to build either, and a later group finds it there.
    fs::rename(&modules, app.top.join("node_modules")).unwrap();
    let key = &first.steps[0].key;
    app.store.note_live(&app.top, &path("node_modules"), Some(key)).unwrap();
    let live = app.store.live(&app.top, &[path("node_modules")], Depth::Deep).unwrap();
    assert_eq!(planned(&app, &groups, &commit, &live).steps, []);
    fs::remove_dir_all(app.store.dir.join(first.steps[1].key.as_str())).unwrap();
    let third = planned(&app, &groups, &commit, &live);
    assert_eq!(third.steps.len(), 1);
    build_all(&app, &third, &commit).unwrap();
    assert!(app.store.has(&third.steps[0].key, &path("dist")));
    assert!(app.top.join("node_modules").is_dir());
}

#[test]
fn a_failing_build_leaves_the_live_tree_and_the_store_untouched_and_tells_why() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    app.put(".env", &Node::File(b"API_TOKEN=canary-9f2c\n".to_vec()));
    app.put("dist/live", &Node::File(b"serves".to_vec()));
    let before = app.snapshot();
    let fail = |text: &str, timeout: u64| {
        let mut failing = shell(text);
        failing.carry = vec![path(".env")];
        failing.timeout = Duration::from_secs(timeout);
        let plan = planned(&app, &[failing], &commit, &[]);
        let error = build_all(&app, &plan, &commit).unwrap_err();
        assert_eq!(app.snapshot(), before);
        assert_eq!(stored(&app), BTreeSet::new(), "{error}");
        error
    };
    let error = fail("mkdir dist; cat .env; echo 'Error: broken with canary-9f2c' >&2; exit 3", 60);
    let BuildError::Command { command, how, lines } = &error else { panic!("{error}") };
    assert_eq!(how, "exited with 3");
    let told = format!("{command} {}", lines.join("\n"));
    assert!(told.contains("Error: broken with [redacted]"), "{told}");
    assert!(!told.contains("canary-9f2c"), "{told}");

    let error = fail("mkdir dist; sleep 60", 1);
    assert!(error.to_string().ends_with("did not end within 1 s"), "{error}");
    let error = fail("kill -9 $$", 60);
    assert!(error.to_string().ends_with("was ended by signal 9"), "{error}");
    assert!(matches!(fail("true", 60), BuildError::NoOutput(output) if output == "dist"));
    let error = fail("ln -s /etc dist", 60);
    assert!(error.to_string().contains("something other than a directory"), "{error}");

    let missing = group("g", &[&["no-such-tool-here", "x"]], &["**"], &["dist"]);
    let plan = planned(&app, &[missing], &commit, &[]);
    let error = build_all(&app, &plan, &commit).unwrap_err();
    assert_eq!(error.to_string(), "`no-such-tool-here x` was not found");
}

#[test]
fn a_build_sees_exactly_the_declared_environment() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    let mut group = shell("mkdir dist; env > dist/env");
    group.env.insert("DECLARED".to_owned(), "yes".to_owned());
    let plan = planned(&app, &[group], &commit, &[]);
    build_all(&app, &plan, &commit).unwrap();
    let text = fs::read_to_string(app.store.place(&plan.steps[0].key, &path("dist")).join("env"));
    let text = text.unwrap();
    let names: BTreeSet<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
    let shell_made = ["PWD", "OLDPWD", "SHLVL", "_"];
    // Proxies and certificates of this machine.
    let passed = environment::for_builds(&[]);
    let of_machine = |name: &str| passed.contains_key(std::ffi::OsStr::new(name));
    let names: Vec<&str> =
        names.into_iter().filter(|n| !shell_made.contains(n) && !of_machine(n)).collect();
    assert_eq!(
        names,
        [
            "CI",
            "DECLARED",
            // Finds what a killed command leaves running.
            "GITROLL_CALL",
            "GITROLL_VERSION",
            // No repository further up answers.
            "GIT_CEILING_DIRECTORIES",
            "HOME",
            "LANG",
            "PATH",
            "TERM",
            "USER",
            "npm_config_audit",
            "npm_config_fund",
            "npm_config_update_notifier",
        ]
    );
}

#[test]
fn a_key_that_is_there_already_wins_and_missing_outputs_are_added() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    let text = "mkdir -p one two/deep; echo new > one/x; echo new > two/deep/x";
    let group = group("g", &[&["sh", "-c", text]], &["**"], &["one", "two/deep"]);
    let plan = planned(&app, &[group], &commit, &[]);
    let key = plan.steps[0].key.clone();
    let place = |output: &str| app.store.place(&key, &path(output)).join("x");
    fs::create_dir_all(place("one").parent().unwrap()).unwrap();
    fs::write(place("one"), "old\n").unwrap();
    build_all(&app, &plan, &commit).unwrap();
    assert_eq!(fs::read(place("one")).unwrap(), b"old\n");
    assert_eq!(fs::read(place("two/deep")).unwrap(), b"new\n");
    assert_eq!(stored(&app).len(), 1, "nothing unfinished is left");
}

#[test]
fn a_group_without_outputs_runs_once_and_is_not_run_again_after_it_succeeded() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    let groups = [group("test", &[&["test", "-e", "a"]], &["**"], &[])];
    let plan = planned(&app, &groups, &commit, &[]);
    assert_eq!((plan.steps.len(), plan.artifacts.len()), (1, 0));
    build_all(&app, &plan, &commit).unwrap();
    assert_eq!(planned(&app, &groups, &commit, &[]).steps, []);
}

#[test]
fn what_serves_but_was_changed_by_hand_does_not_stand_for_its_key() {
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    let groups = [shell("mkdir dist")];
    let key = keys(&app, &groups, &commit).remove(0);
    app.put("dist/x", &Node::File(Vec::new()));
    app.store.note_live(&app.top, &path("dist"), Some(&key)).unwrap();
    let live = || app.store.live(&app.top, &[path("dist")], Depth::Deep).unwrap();
    assert_eq!(planned(&app, &groups, &commit, &live()).steps, []);
    app.put("dist/by-hand", &Node::File(Vec::new()));
    assert_eq!(planned(&app, &groups, &commit, &live()).steps.len(), 1);
}

#[test]
fn outputs_come_from_a_stage_on_another_file_system_too() {
    let Some(elsewhere) = crate::layout::testing::elsewhere() else {
        return;
    };
    assert_ne!(elsewhere, memory());
    let app = App::new();
    let commit = app.commit(&files(&[("a", "1")]));
    let plan =
        planned(&app, &[shell("mkdir dist; ln -s x dist/link; echo 1 > dist/x")], &commit, &[]);
    let dir = tempfile::tempdir_in(elsewhere).unwrap();
    let place = dir.path().join("stage");
    stage(&app.git, &commit, &place).unwrap();
    let (binding, extra) = (binding(&app), BTreeMap::new());
    build(
        &binding,
        &app.store,
        &plan.steps[0],
        (&place, &app.git.entries(&commit).unwrap()),
        &app.git,
        &extra,
        &mut |_| {},
    )
    .unwrap();
    let made = app.store.place(&plan.steps[0].key, &path("dist"));
    assert_eq!(fs::read_link(made.join("link")).unwrap(), Path::new("x"));
    assert_eq!(fs::read(made.join("x")).unwrap(), b"1\n");
}
