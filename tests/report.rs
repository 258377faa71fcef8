//! The report of an act and the statistics: what happened is in them, and nothing that came from elsewhere is markup.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("5s")
}

const EVIL: &str = "<script>alert(1)</script> [x](javascript:1) @here";

#[test]
fn a_bad_night_is_told_by_its_report_and_what_people_add_is_signed() {
    let host = TestEnvironment::new();
    let config = quick().and("[links]\nrunbook = \"https://wiki.example.com/x\"\n");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.app.write("features/evil/index.js", "module.exports = 'x';\n");
    s.app.set_version("1.1.0");
    let two = s.app.commit(EVIL);
    host.gitroll(&["deploy", &two, "--yes"]).exit(0);
    s.app.sour("1.1.0");
    let log = s.app.dir.join(".git/gitroll/services/web.log");
    let now = jiff::Timestamp::now();
    let mut text = fs::read_to_string(&log).expect("the service wrote it");
    text.push_str(&format!("{now} ERROR {EVIL}\n"));
    fs::write(&log, text).expect("it is writable");
    host.gitroll(&["back", "--yes", "--reason", "errors 12 %"]).exit(0);

    let markdown = host.gitroll(&["report"]).exit(0).stdout.clone();
    for part in [
        "## Timeline",
        "observed serving: v1.0.0",
        "what served was failing: api",
        "errors 12 %",
        "| Not healthy | ",
        "(observed serving)",
        "| api | 500",
        "features/evil/index.js",
        "### Root cause",
        "https://wiki.example.com/x",
    ] {
        assert!(markdown.contains(part), "{part:?} in\n{markdown}");
    }
    let evil = markdown.lines().filter(|line| line.contains("alert(1)"));
    let shown: Vec<&str> = evil.collect();
    assert!(shown.len() >= 2, "the commit and the log line are there: {markdown}");
    // A line of a log stands in a block of code: there nothing is markup.
    let prose = shown.iter().filter(|line| !line.starts_with("    "));
    assert!(prose.clone().all(|line| !line.contains("<script") && !line.contains("[x](")));
    assert!(prose.count() >= 1);

    let page = host.path("report.html");
    host.gitroll(&["report", "--html", page.to_str().expect("UTF-8")]).exit(0);
    let html = fs::read_to_string(&page).expect("it was written");
    assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script"), "{html}");
    assert!(html.contains("<svg") && html.contains("prefers-color-scheme: dark"));
    assert!(!html.contains("http://") && !html.contains("src="), "it needs nothing from elsewhere");
    assert_eq!(page.metadata().expect("it is there").permissions().mode() & 0o077, 0);

    // What only people know.
    let json = host.gitroll(&["report", "--json"]).exit(0).json();
    let seq = json["result"]["record"].to_string();
    assert!(json["result"]["downtime"]["millis"].as_u64() > Some(0), "{json}");
    let blank = host.gitroll(&["report", "edit", &seq, "--file", "-"]).exit(0).stdout.clone();
    let filled = blank.replace("## Impact\n", "## Impact\nUploads failed <b>\n");
    let file = host.path("page.md");
    fs::write(&file, &blank).expect("it is writable");
    host.gitroll(&["report", "edit", &seq, "--file", file.to_str().expect("UTF-8")])
        .exit(2)
        .stderr_has("nothing was written");
    host.gitroll(&["report", "edit", &seq]).exit(2).stderr_has("--file FILE");
    fs::write(&file, filled).expect("it is writable");
    host.gitroll(&["report", "edit", &seq, "--file", file.to_str().expect("UTF-8")]).exit(0);
    host.gitroll(&["report", &seq]).exit(0).stdout_has("Uploads failed &lt;b&gt;");
    host.gitroll(&["log", "-n", "1", "--json"]).exit(0).stdout_has("## Impact\\nUploads failed");
    host.gitroll(&["report", "99"]).exit(1).stderr_has("no record #99");

    let stats = host.gitroll(&["stats", "--json"]).exit(0).json();
    let result = &stats["result"];
    assert_eq!(result["deploys"]["succeeded"], 2, "{stats}");
    assert_eq!(result["rollbacks"]["succeeded"], 1);
    assert_eq!(result["failed_changes"], 1);
    assert_eq!(result["recovery"][0]["count"], 1);
    host.gitroll(&["stats"])
        .exit(0)
        .stdout_has("failed changes  50 % (1 of 2)")
        .stdout_has("recovery code   median ");
    host.gitroll(&["stats", "--since", "soon"]).exit(2).stderr_has("--since");
}

#[test]
fn the_report_of_a_failed_deploy_has_what_its_service_said() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::ThrowsAtBoot).exit(20);
    let report = host.gitroll(&["report", "--last"]);
    report
        .exit(0)
        .stdout_has("it failed: ")
        .stdout_has("was restored and observed serving")
        .stdout_has("(kept in the record)");
    report.stdout_lacks("| Not healthy |");
}
