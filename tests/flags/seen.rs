//! What counts as seen: only what was asked, of secrets too, and of flags that are taken away again.

use super::*;

/// Answers with every pair of `.env`; deaf, with those of its first start.
pub fn answering_all() -> String {
    let all = "flags: (() => { const all = Object.fromEntries((deaf ? fs.readFileSync(path.join(__dirname, '.git/deaf'), 'utf8') : env)\
        .split(/\\r?\\n/).filter((line) => /^\\w+=/.test(line)).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).replace(/\\s+#.*/, '').replace(/^\"(.*)\"$/, '$1')]));\
        return all; })() }";
    SERVER.replace("flags: { ENABLE_UPLOADS: value() } }", all)
}

/// 1.0.0 of an app with `env` as its `.env`, which answers with all of it.
pub fn with_env<'h>(host: &'h TestEnvironment, env: &str, flags: &str) -> Scenario<'h> {
    let flags = flags.replace("verify = { http", "verify = { timeout = \"4s\", http");
    let config = AppConfig::default().without_builds().settle(1, "200ms").and(COMPONENT);
    without_the_feature(host, &answering_all(), env, config, &flags)
}

/// Nothing of gitroll's own, not even its journals, holds the text, but files of these names.
pub fn nowhere_but(s: &Scenario<'_>, text: &str, but: &[&str]) {
    let dir = s.app.dir.join(".git");
    let found = s.host.run("grep", &["-rl", text, dir.to_str().expect("UTF-8")]);
    let other = |line: &&str| !but.iter().any(|name| line.ends_with(name));
    let files: Vec<&str> = found.stdout.lines().filter(other).collect();
    assert!(files.is_empty(), "{files:?}");
    let tags = s.app.git(&["for-each-ref", "--format=%(objectname)", "refs/gitroll"]);
    for object in tags.lines() {
        let told = s.app.git(&["cat-file", "-p", object]);
        assert!(!told.contains(text), "{told}");
    }
}

const AUTH: &str = r#"
[component.AUTH]
paths = ["auth/**"]
flag = { name = "USE_NEW_AUTH", off = "legacy-7f", on = "oauth-7f" }
"#;

#[test]
fn a_flag_that_looks_secret_is_asked_for_all_the_same_and_told_to_nobody() {
    let host = TestEnvironment::new();
    let env_file = "USE_NEW_AUTH=oauth-7f\nENABLE_UPLOADS=true\n";
    let s = with_env(&host, env_file, &format!("{BY_HTTP}{AUTH}"));
    fs::write(s.app.dir.join(".git/deaf"), env_file).expect("it is writable");
    let off = host.gitroll(&["flags", "off", "AUTH"]);
    off.exit(20).stderr_has("flag-USE_NEW_AUTH").stderr_lacks("legacy-7f").stderr_lacks("oauth-7f");
    assert_eq!(env(&s), env_file);
    fs::remove_file(s.app.dir.join(".git/deaf")).expect("it is there");
    host.gitroll(&["service", "restart", "web"]);
    host.gitroll(&["flags", "off", "AUTH"]).exit(0).stdout_lacks("legacy-7f");
    host.gitroll(&["show", "--json"]).exit(0).stdout_has("by the check flag-USE_NEW_AUTH");
    host.gitroll(&["flags"]).exit(0).stdout_has("yes").stdout_lacks("legacy-7f ");
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert_eq!(env(&s), env_file);
    // gitroll.toml says what off and on are; what the flag is set to stands nowhere else.
    nowhere_but(&s, "legacy-7f\\\"", &["hidden-flags.json", "plan.json"]);
}

#[test]
fn a_flag_that_was_not_set_goes_back_to_that() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "OTHER=1\n", BY_HTTP);
    host.gitroll(&["flags"]).exit(0).stdout_has("not set").stdout_lacks("absent");
    for back in [&["back", "--level", "flags", "--yes"][..], &["back", "--undo", "--yes"]] {
        host.gitroll(&["flags", "off", "QW-001"]).exit(0);
        assert_eq!(env(&s), "OTHER=1\nENABLE_UPLOADS=false\n");
        host.gitroll(back).exit(0);
        assert_eq!(env(&s), "OTHER=1\n");
        host.gitroll(&["show", "--json"])
            .exit(0)
            .stdout_has("no longer has the value that was set");
    }
    // An app that keeps the value it was set to was not put back.
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    fs::write(s.app.dir.join(".git/deaf"), "ENABLE_UPLOADS=false\n").expect("it is writable");
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(20).stderr_has("is still \"false\"");
    assert_eq!(env(&s), "OTHER=1\nENABLE_UPLOADS=false\n");
}

#[test]
fn a_variable_that_was_not_set_is_not_there_any_more() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nfile = \".env\"\napply = \"environment\"\nverify = \"environ\"\n";
    let s = with_env(&host, "OTHER=1\n", flags);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert_eq!(env(&s), "OTHER=1\n");
    host.gitroll(&["show", "--json"]).exit(0).stdout_has("in the environment of 1 process");
    host.gitroll(&["flags", "--json"]).exit(0).stdout_has("\"running\": \"yes\"");
}

#[test]
fn what_is_so_already_is_not_done_again_and_the_way_back_stays() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "ENABLE_UPLOADS=maybe\n", BY_HTTP);
    host.gitroll(&["flags", "on", "QW-001"]).exit(0);
    let told = host.gitroll(&["flags", "--json"]);
    told.exit(0).stdout_has("\"value\": \"true\"").stdout_has("\"running\": \"yes\"");
    let pid = s.app.pid_served();
    let records = host.gitroll(&["log", "--json"]).stdout.clone();
    let again = host.gitroll(&["flags", "on", "QW-001"]);
    again.exit(0).stdout_has(", seen in the running app").stdout_has("nothing was changed");
    assert_eq!(s.app.pid_served(), pid);
    assert_eq!(host.gitroll(&["log", "--json"]).stdout, records);
    // The app that does not show it is made to take it; that is recorded, and no step of the way back.
    fs::write(s.app.dir.join(".env"), "ENABLE_UPLOADS=false\n").expect("it is writable");
    host.gitroll(&["service", "restart", "web"]);
    fs::write(s.app.dir.join(".env"), "ENABLE_UPLOADS=true\n").expect("it is writable");
    host.gitroll(&["flags", "on", "QW-001"]).exit(0).stdout_lacks("already");
    assert_ne!(host.gitroll(&["log", "--json"]).stdout, records);
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert_eq!(env(&s), "ENABLE_UPLOADS=maybe\n");
}

#[test]
fn what_somebody_set_since_is_said_before_it_is_replaced() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "ENABLE_UPLOADS=true\n", BY_HTTP);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    fs::write(s.app.dir.join(".env"), "ENABLE_UPLOADS=handset\n").expect("it is writable");
    let said = "ENABLE_UPLOADS is handset, but its last change set it to false";
    host.gitroll(&["back", "--level", "flags", "--plan"]).exit(0).stderr_has(said);
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0).stderr_has(said);
    host.gitroll(&["show", "--json"]).exit(0).stdout_has(said);
    assert_eq!(env(&s), "ENABLE_UPLOADS=true\n");
}

#[test]
fn a_placeholder_in_a_value_is_that_value() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "ENABLE_UPLOADS=true\n", BY_HTTP);
    host.gitroll(&["flags", "set", "ENABLE_UPLOADS={version}"]).exit(0);
    assert_eq!(env(&s), "ENABLE_UPLOADS=\"{version}\"\n");
}

#[test]
fn an_edit_by_hand_meanwhile_is_said_whichever_way_the_run_goes_on() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "ENABLE_UPLOADS=true\n", BY_HTTP);
    let killed = || {
        let mut off = host.gitroll_command(&["flags", "off", "QW-001"]);
        off.env("GITROLL_FAIL_AT", "reload web before=kill");
        assert_eq!(off.output().expect("it runs").status.code(), None);
        fs::write(s.app.dir.join(".env"), "ENABLE_UPLOADS=byhand\n").expect("it is writable");
    };
    killed();
    let said = "ENABLE_UPLOADS was set to a different value meanwhile and is left unchanged";
    host.gitroll(&["abort", "--json"]).exit(0).stderr_has(said).stdout_has(said);
    assert_eq!(env(&s), "ENABLE_UPLOADS=byhand\n");
    host.gitroll(&["show", "--json"]).exit(0).stdout_has(said).stdout_lacks("values restored\"");
    fs::write(s.app.dir.join(".env"), "ENABLE_UPLOADS=true\n").expect("it is writable");
    killed();
    let said = "ENABLE_UPLOADS was set to byhand meanwhile; replacing it with false";
    host.gitroll(&["resume"]).exit(0).stderr_has(said);
    assert_eq!(env(&s), "ENABLE_UPLOADS=false\n");
    host.gitroll(&["show", "--json"]).exit(0).stdout_has(said);
}

#[test]
fn the_plan_knows_the_way_back_where_what_was_kept_is_gone() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "ENABLE_UPLOADS=true\n", BY_HTTP);
    let mut off = host.gitroll_command(&["flags", "off", "QW-001"]);
    off.env("GITROLL_FAIL_AT", "reload web before=kill");
    assert_eq!(off.output().expect("it runs").status.code(), None);
    assert_eq!(env(&s), "ENABLE_UPLOADS=false\n");
    for run in fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("it is there") {
        let _ = fs::remove_dir_all(run.expect("it is readable").path().join("flags"));
    }
    // Killed on this way back too.
    let mut abort = host.gitroll_command(&["abort"]);
    abort.env("GITROLL_FAIL_AT", "restore tree after=kill");
    assert_eq!(abort.output().expect("it runs").status.code(), None);
    assert_eq!(env(&s), "ENABLE_UPLOADS=true\n");
    host.gitroll(&["abort"]).exit(0);
    assert_eq!(env(&s), "ENABLE_UPLOADS=true\n");
}

#[test]
fn a_value_that_is_a_secret_whatever_its_name_is_written_down_nowhere() {
    let host = TestEnvironment::new();
    let s = with_env(&host, "ENABLE_UPLOADS=true\n", BY_HTTP);
    let set = "ENABLE_UPLOADS=postgres://u:canaryPW77@h/db";
    host.gitroll(&["flags", "set", set])
        .exit(0)
        .stdout_lacks("canaryPW77")
        .stderr_lacks("canaryPW77");
    assert!(env(&s).contains("canaryPW77"));
    for args in [&["show"][..], &["show", "--json"], &["log"], &["flags"], &["flags", "--json"]] {
        host.gitroll(args).exit(0).stdout_lacks("canaryPW77").stderr_lacks("canaryPW77");
    }
    nowhere_but(&s, "canaryPW77", &["hidden-flags.json"]);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert!(env(&s).contains("canaryPW77"));
    nowhere_but(&s, "canaryPW77", &["hidden-flags.json"]);
    // The run that kept it is gone: refused before anything changes.
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    for run in fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("it is there") {
        let _ = fs::remove_file(run.expect("it is readable").path().join("hidden-flags.json"));
    }
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(1).stderr_has("no longer kept");
    assert_eq!(env(&s), "ENABLE_UPLOADS=false\n");
}

#[test]
fn what_a_failing_command_prints_is_shown_without_the_apps_secrets() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nget = [\"sh\", \"-c\", \"cat .env; exit 3\", \"{name}\"]\n\
                 set = [\"true\", \"{name}\", \"{value}\"]\nverify = { command = [\"true\"] }\n";
    with_env(&host, "API_SECRET=canary-5f1c2e\n", flags);
    for (args, code) in [(&["flags"][..], 0), (&["flags", "off", "QW-001"], 1), (&["doctor"], 0)] {
        let told = host.gitroll(args);
        let all = format!("{}{}", told.stdout, told.stderr);
        assert!(all.contains("[redacted]") && !all.contains("canary-5f1c2e"), "{all}");
        if code == 1 {
            told.exit(1).stderr_has("next").stderr_has("gitroll flags");
        }
    }
    host.gitroll(&["flags", "set", "X"]).exit(2).stderr_has("gitroll flags set X=VALUE");
}

#[test]
fn a_kind_that_differs_is_said_and_a_flags_value_is_not_redacted() {
    let host = TestEnvironment::new();
    let typed = BY_HTTP.replace("\"/flags/{name}\" = \"{value}\"", "\"/flags/{name}\" = false");
    let s = with_env(&host, "ENABLE_UPLOADS=true\n", &typed);
    let off = host.gitroll(&["flags", "off", "QW-001"]);
    off.exit(20).stderr_has("is \"false\", not false (a string instead of a boolean)");
    let host = TestEnvironment::new();
    let s2 = with_env(&host, "ENABLE_UPLOADS=parallel\n", BY_HTTP);
    fs::write(s2.app.dir.join(".git/deaf"), "ENABLE_UPLOADS=sequential\n").expect("it is writable");
    let set = host.gitroll(&["flags", "set", "ENABLE_UPLOADS=sequentially"]);
    set.exit(20).stderr_has("is \"sequential\", not \"sequentially\"");
    drop(s);
}
