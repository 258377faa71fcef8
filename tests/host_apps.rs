//! `gitroll` from anywhere, and what works without a binding.

use std::fs;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "200ms").timeout("6s")
}

#[test]
fn from_anywhere_the_apps_of_this_host_are_listed_and_one_is_chosen_by_name() {
    let host = TestEnvironment::new();
    // As on a host: bindings lie in the user's configuration directory.
    host.unset("GITROLL_HOME");
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let away = host.path("tmp");
    let list = host.gitroll_in(&away, &[]);
    list.exit(0).stdout_has("plain-app  production   v1.0.0-stable (").stdout_has("✓ healthy");
    list.stdout_has("next     gitroll --app plain-app status");
    // What is named there is typed there: in a directory that is no app, and with the name of one.
    let nowhere = host.gitroll_in(&away, &["status"]);
    nowhere.exit(1).stderr_has("next     gitroll --app plain-app status");
    fs::write(host.path("sour-1.0.0"), "").unwrap();
    let ill = host.gitroll_in(&away, &["--app", "plain-app", "status"]);
    ill.exit(0).stdout_has("  next      gitroll --app plain-app ");
    fs::remove_file(host.path("sour-1.0.0")).unwrap();
    // In the checkout, and beneath a link to it, it is the status of the one app.
    fs::create_dir_all(s.app.dir.join("docs")).unwrap();
    std::os::unix::fs::symlink(s.app.dir.join("docs"), host.path("link")).unwrap();
    host.gitroll_in(&host.path("link"), &[]).exit(0).stdout_has("  observed  api ✓");
    host.gitroll_in(&away, &["--app", "plain-app", "status"])
        .exit(0)
        .stdout_has("serving   v1.0.0");
    host.gitroll_in(&away, &["--app", "plain-app/production", "log"]).exit(0).stdout_has("deploy");
    let near = host.gitroll_in(&away, &["--app", "plain-ap", "status"]);
    near.exit(1).stderr_has("no app \"plain-ap\" is bound").stderr_has("gitroll --app plain-app");
    host.gitroll_in(&away, &["-C", "nope/deep", "status"])
        .exit(1)
        .stderr_has("nope/deep does not exist");

    // A second checkout of the app is another environment; then the name alone says too little.
    let clone = host.path("staging");
    let from = s.app.dir.to_str().unwrap();
    host.run("git", &["clone", "-q", from, clone.to_str().unwrap()]).exit(0);
    let init = ["init", "--yes", "--environment", "staging", "--name", "web-1"];
    host.gitroll_in(&clone, &init).exit(0);
    host.gitroll_in(&clone, &["init", "--yes", "--environment", "production"])
        .exit(1)
        .stderr_has("is bound to staging, not to production")
        .stderr_has("gitroll eject");
    let two = host.gitroll_in(&away, &["--json"]).exit(0).json();
    assert_eq!(two["result"]["apps"].as_array().map(Vec::len), Some(2), "{two:#}");
    host.gitroll_in(&away, &["--app", "plain-app", "status"])
        .exit(2)
        .stderr_has("gitroll --app plain-app/production status")
        .stderr_has("gitroll --app plain-app/staging status");

    // One that was moved is told with what to do, and hides no other.
    fs::rename(&clone, host.path("moved")).unwrap();
    let list = host.gitroll_in(&away, &[]);
    list.exit(0)
        .stdout_has("✗ the checkout is gone")
        .stdout_has("✓ healthy")
        .stdout_has("gitroll init");
    host.gitroll_in(&away, &["--app", "plain-app", "status"]).exit(0).stdout_has("production");
}

#[test]
fn a_configuration_is_checked_in_any_clone_and_has_a_schema() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    host.gitroll(&["config", "check"])
        .exit(0)
        .stdout_has("plain-app, 0 build groups, 1 service, 1 check");
    let schema = host.gitroll(&["config", "schema"]).exit(0).json();
    assert_eq!(schema["properties"]["app"]["required"][0], "name");

    let bad = host.path("tmp/bad.toml");
    fs::write(
        &bad,
        "[app]\nname = \"shop\"\n\n[notify.chat]\nkind = \"slack\"\nurl = \"http://x/s3cret\"\n",
    )
    .unwrap();
    let check = |path: &std::path::Path| {
        host.gitroll_in(&host.path("tmp"), &["config", "check", path.to_str().unwrap()])
    };
    check(&bad).exit(1).stderr_has("bad.toml:6:7: url: must name where").stderr_lacks("s3cret");
    let utf_16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("[app]\nname = 'shop'\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    fs::write(&bad, utf_16).unwrap();
    check(&bad).exit(1).stderr_has("1:1: is UTF-16: save it as UTF-8");
    fs::write(&bad, "[app]\nname = \"shop\"\nnaem = 1\n").unwrap();
    check(&bad).exit(1).stderr_has("bad.toml:3:1");
    check(&host.path("tmp/none.toml")).exit(1).stderr_has("none.toml: does not exist");
}
