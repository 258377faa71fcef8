//! `gitroll init` on a server that people ran by hand so far: artifacts, tags and edited files.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;
use serde_json::json;

const INIT: [&str; 7] =
    ["init", "--yes", "--environment", "production", "--name", "web-1", "--json"];

/// The app that pm2 runs, started by a person.
fn under_pm2<'h>(host: &'h TestEnvironment, fixture: Fixture, version: &str) -> Scenario<'h> {
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
    let app = host.app(fixture);
    let config = AppConfig::default().served_by(ServedBy::Pm2("web".to_owned())).timeout("20s");
    app.configure(&config.min_served("30m"));
    app.write("config/host.json", "{ \"host\": \"any\" }\n");
    app.commit_version(version, Behaviour::Good);
    app.build_by_hand();
    let mut start = host.command("pm2");
    start.args(["start", "server.js", "--name", "web"]);
    Answer::of(start, Duration::from_secs(60)).exit(0);
    wait_for_version(&app.health(), version);
    Scenario { host, app }
}

#[test]
fn what_served_before_needs_no_tag_and_no_build_although_somebody_removed_its_modules() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, Fixture::Express, "1.0.0");
    let init = host.gitroll(&INIT);
    let answer = init.exit(0).stderr_has("keep node_modules").json()["result"].clone();
    assert_eq!(answer["adopted"], json!(true));
    assert_eq!(answer["kept"], json!(["node_modules", "dist"]));
    assert_eq!(answer["missing"], json!([]));
    s.serves("1.0.0");

    // The habit that lost a way back: an install by hand.
    std::fs::remove_dir_all(s.app.dir.join("node_modules")).expect("it can be removed");
    std::fs::remove_dir_all(s.app.dir.join("dist")).expect("it can be removed");
    s.app.build_by_hand();
    std::fs::remove_dir_all(s.app.dir.join("node_modules")).expect("it can be removed");
    s.release_kept("1.1.0").exit(0);
    s.serves("1.1.0");

    host.registry_away();
    host.fake_tool("npm", "#!/bin/sh\nexit 1\n");
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("none (kept)");
    s.serves("1.0.0");
    assert!(s.app.has("node_modules/express/package.json") && s.app.has("dist"));
}

#[test]
fn what_was_kept_and_not_touched_since_is_swapped_like_any_other() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, Fixture::Plain, "1.0.0");
    host.gitroll(&INIT).exit(0);
    s.release_kept("1.1.0").exit(0);
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("none (kept)");
    s.serves("1.0.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn where_there_is_no_room_for_a_copy_init_says_so_and_goes_on_until_there_is() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, Fixture::Plain, "1.0.0");
    let huge = s.app.dir.join("dist/huge");
    // Sparse: it takes no room itself.
    std::fs::File::create(&huge).and_then(|f| f.set_len(8 << 40)).expect("sparse files");
    let init = host.gitroll(&INIT);
    let answer = init.exit(0).stderr_has("dist was not copied").json()["result"].clone();
    assert_eq!((&answer["adopted"], &answer["kept"]), (&json!(true), &json!([])));
    assert!(answer["missing"][0].as_str().is_some_and(|text| text.contains("free some space")));

    std::fs::File::create(&huge).expect("it can be emptied");
    // dist itself is the same directory as then: its record names it.
    let again = host.gitroll(&INIT).exit(0).json()["result"].clone();
    assert_eq!((&again["records"], &again["kept"]), (&json!([]), &json!(["dist"])));
}

/// A checkout with years behind it: a lightweight and an unsigned tag that were checked out here, one that
/// was not, one that was moved since.
fn with_a_past<'h>(host: &'h TestEnvironment) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds().settle(1, "100ms"));
    app.commit_version("1.0.0", Behaviour::Good);
    app.lightweight_tag("v1.0.0-stable");
    app.commit_version("1.1.0", Behaviour::Good);
    app.tag("v1.1.0-stable");
    app.commit_version("1.2.0", Behaviour::Good);
    let elsewhere = app.git(&["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "elsewhere"]);
    app.git(&["tag", "--no-sign", "v1.9.0-stable", &elsewhere]);
    app.lightweight_tag("v0.9.0-stable");
    app.git(&["checkout", "-q", "v0.9.0-stable"]);
    app.git(&["checkout", "-q", "main"]);
    app.git(&["tag", "--no-sign", "-f", "v0.9.0-stable", &elsewhere]);
    Scenario { host, app }
}

fn tags_of_people(app: &App<'_>) -> String {
    app.git(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/tags/v*"])
}

#[test]
fn tags_that_were_checked_out_here_are_adopted_by_one_record_and_stay_as_they_are() {
    let host = TestEnvironment::new();
    let s = with_a_past(&host);
    let before = tags_of_people(&s.app);
    let answer = host.gitroll(&INIT).exit(0).json()["result"].clone();
    assert_eq!(answer["adopted_tags"], json!(["v1.1.0-stable", "v1.0.0-stable"]));
    let left = answer["left_tags"].as_array().expect("a list").clone();
    let why = |name: &str| {
        let tag = left.iter().find(|tag| tag["name"] == name).expect("it is listed");
        tag["why"].as_str().expect("a sentence").to_owned()
    };
    assert_eq!(why("v1.9.0-stable"), "HEAD's reflog does not show that it was checked out here");
    assert!(why("v0.9.0-stable").ends_with("when it was checked out here"));
    assert_eq!(tags_of_people(&s.app), before);
    assert_eq!(answer["records"].as_array().map(Vec::len), Some(2));
    let record =
        s.app.git(&["for-each-ref", "--format=%(contents)", "refs/tags/gitroll/**/2-adopt"]);
    assert_eq!(record.matches("Gitroll-Adopts: refs/tags/v1.").count(), 2, "{record}");
    assert!(record.contains("-----BEGIN SSH SIGNATURE-----"), "{record}");

    let again = host.gitroll(&INIT).exit(0).json()["result"].clone();
    assert_eq!((&again["adopted_tags"], &again["records"]), (&json!([]), &json!([])));
}

#[test]
fn an_adopted_tag_is_gone_back_to_by_its_version_until_somebody_moves_it() {
    let host = TestEnvironment::new();
    let s = with_a_past(&host);
    let answer = host.gitroll(&INIT).exit(0).json();
    let last = &answer["result"]["back_to"]["name"];
    assert_eq!(last, "v1.1.0-stable", "the last to serve, in the first night");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.2.0");
    host.gitroll(&["targets"])
        .exit(0)
        .stdout_has("(reflog)  adopted")
        .stdout_has("skip: lightweight tag");
    host.gitroll(&["log"]).exit(0).stdout_has("(2 stable tags)");
    host.gitroll(&["back", "--to", "last-stable", "--yes"])
        .exit(0)
        .stderr_has("v1.1.0-stable")
        .stderr_has("adopted, served");
    s.serves("1.1.0");

    s.app.git(&["tag", "--no-sign", "-f", "v1.0.0-stable", "main"]);
    host.gitroll(&["targets"]).exit(0).stdout_has("skip: moved since #2 adopted it");
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes"])
        .exit(10)
        .stderr_has("moved since #2 adopted it");
    s.serves("1.1.0");
}

#[test]
fn without_a_reflog_no_tag_is_adopted_and_init_says_so() {
    let host = TestEnvironment::new();
    let s = with_a_past(&host);
    std::fs::remove_file(s.app.dir.join(".git/logs/HEAD")).expect("there is a reflog");
    let answer = host.gitroll(&INIT).exit(0).json()["result"].clone();
    assert_eq!(answer["adopted_tags"], json!([]));
    let missing = answer["missing"].to_string();
    assert!(missing.contains("HEAD has no reflog here"), "{missing}");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["back", "--to", "last-stable", "--yes"]).exit(1).stderr_has("no stable tag");
}

#[test]
fn what_head_came_to_since_the_records_began_is_not_offered_for_adoption() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &AppConfig::default().without_builds());
    std::thread::sleep(Duration::from_millis(1100));
    // Now, not in the past that the tests' own commits have.
    let mut commit = host.command("git");
    commit.args(["commit", "-q", "--allow-empty", "-m", "by hand"]).current_dir(&s.app.dir);
    Answer::of(commit, Duration::from_secs(60)).exit(0);
    s.app.lightweight_tag("v2.0.0-stable");
    let answer = host.gitroll(&INIT).exit(0).json()["result"].clone();
    assert_eq!(answer["adopted_tags"], json!([]));
}

#[test]
fn edited_settings_become_local_and_edited_code_does_not_where_nobody_is_asked() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    std::fs::remove_file(app.dir.join("gitroll.toml")).expect("the fixture has one");
    app.write("config/host.json", "{}\n");
    app.write("config/a [1]*.yml", "a: 1\n");
    app.write("gone.json", "{}\n");
    app.commit_version("1.0.0", Behaviour::Good);
    app.write("config/host.json", "{ \"host\": \"web-1\" }\n");
    app.write("config/a [1]*.yml", "a: 2\n");
    app.write("build.js", "// patched here\n");
    std::fs::remove_file(app.dir.join("gone.json")).expect("it was committed");
    let init = host.gitroll(&INIT);
    init.exit(0)
        .stderr_has("config/host.json  local: every deploy keeps it")
        .stderr_has("build.js  save: ")
        .stderr_has("gone.json  deleted here");
    let becomes: Vec<_> = init.json()["result"]["edited"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| format!("{} {}", file["path"], file["becomes"]))
        .collect();
    assert_eq!(
        becomes,
        [
            "\"build.js\" \"save\"",
            "\"config/a [1]*.yml\" \"local\"",
            "\"config/host.json\" \"local\""
        ]
    );
    let text = app.read("gitroll.toml");
    assert!(text.contains("local = [\"config/a [[]1[]][*].yml\", \"config/host.json\"]"), "{text}");
    assert_eq!(app.read("build.js"), "// patched here\n");
    // Declared now, so there is nothing more to say of them.
    let again = host.gitroll(&INIT).exit(0).json()["result"]["edited"].clone();
    assert_eq!(again, json!([{ "path": "build.js", "becomes": "save" }]));
}

#[test]
fn settings_edited_here_are_declared_in_a_gitroll_toml_that_is_there_and_stay_through_a_deploy() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, Fixture::Plain, "1.0.0");
    s.app.write("config/host.json", "{ \"host\": \"web-1\" }\n");
    let config = s.app.read("gitroll.toml");
    host.gitroll(&INIT)
        .exit(0)
        .stderr_has("wrote \"config/host.json\" to `local` in gitroll.toml: commit it")
        .stdout_has("\"adopted\": true");
    let with_local = config.replacen("[app]\n", "[app]\nlocal = [\"config/host.json\"]\n", 1);
    assert_eq!(s.app.read("gitroll.toml"), with_local);
    host.gitroll(&["config", "check"]).exit(0);
    host.gitroll(&INIT).exit(0).stderr_lacks("host.json");

    s.app.git(&["stash", "-q"]);
    s.app.write("gitroll.toml", &with_local);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    s.app.git(&["stash", "pop", "-q"]);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.serves("1.1.0");
    assert_eq!(s.app.read("config/host.json"), "{ \"host\": \"web-1\" }\n");
}

#[test]
fn on_a_terminal_each_edited_file_is_asked_for_and_all_tags_at_once() {
    let host = TestEnvironment::new();
    let s = with_a_past(&host);
    s.app.git(&["rm", "-q", "gitroll.toml"]);
    s.app.write("config/host.json", "{}\n");
    s.app.commit("without gitroll.toml");
    s.app.write("config/host.json", "{ \"host\": \"web-1\" }\n");
    s.app.write("build.js", "// patched here\n");
    let mut terminal = host.gitroll_on_terminal(&["init"]);
    terminal.expect("Name of the app?").answer("");
    terminal.expect("Environment?").answer("");
    terminal.expect("Name of this host").answer("web-1");
    terminal.expect("build.js was edited here").expect("[save]").answer("perhaps");
    terminal.expect("Please answer local or save.").answer("local");
    terminal.expect("config/host.json was edited here").expect("[local]").answer("save");
    terminal.expect("Allow `gitroll back` to use them").answer("n");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("not adopted  v1.1.0-stable  not confirmed"), "{screen}");
    let text = s.app.read("gitroll.toml");
    assert!(text.contains("\nlocal = [\"build.js\"]\n"), "{text}");
    let log = host.gitroll(&["log", "--json"]).exit(0).json()["result"]["records"].clone();
    assert!(log.as_array().expect("a list").iter().all(|r| r["record"]["adopts"] == json!([])));
}
