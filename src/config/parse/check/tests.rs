use std::path::Path;

use super::super::parse;
use super::super::tests::{accepts, messages};
use super::*;
use crate::config::{FilePlace, LogSource, MetricSource, Selection};

const SERVICE: &str = "[service.web]\nmanager = \"process\"\ncommand = [\"x\"]\n";

fn check(rest: &str) -> String {
    format!("{SERVICE}[[check]]\nname = \"a\"\n{rest}")
}

fn parsed(rest: &str) -> Check {
    let text = format!("[app]\nname = \"shop\"\n{}", check(rest));
    match parse(&text, "gitroll.toml") {
        Ok(mut config) => config.checks.remove(0),
        Err(error) => panic!("{:#?}", error.problems),
    }
}

#[track_caller]
fn wrong(rest: &str, wanted: &str) {
    let found = messages(&check(rest));
    assert!(found.iter().any(|m| m.contains(wanted)), "{rest}\nwanted {wanted}\nfound {found:#?}");
}

#[test]
fn a_check_asks_exactly_one_thing_and_names_its_expectations_under_expect() {
    wrong(
        "",
        "[[check]] needs one of \"http\", \"tcp\", \"command\", \"log\", \"file\", \"metric\"",
    );
    wrong("tcp = \"h:1\"\nfile = \"x\"", "has both \"tcp\" and \"file\": a check tests one thing");
    wrong("metric = { http = \"http://h/\", pointer = \"/p\" }\nbelow = 1", "belongs in expect");
    wrong("log = { file = \"x\" }\nmust = \"y\"", "must: belongs in expect: expect = { must = … }");
    wrong("tcp = \"h:1\"\nexpct = {}", "did you mean \"expect\"?");
    wrong("tcp = \"h:1\"\ncritical = 1", "critical: must be true or false");
    wrong("tcp = \"h:1\"\ngroup = \"quik\"", "did you mean \"quick\"?");
}

#[test]
fn critical_and_quick_is_what_is_not_said() {
    let usual = parsed("tcp = \"h:1\"");
    assert!(usual.critical && usual.group == CheckGroup::Quick);
    let other = parsed("tcp = \"h:1\"\ncritical = false\ngroup = \"full\"");
    assert!(!other.critical && other.group == CheckGroup::Full);
    let left_out = |only: Selection| only.leaves_out(&other);
    assert_eq!(left_out(Selection::All), None);
    assert_eq!(left_out(Selection::Critical).as_deref(), Some("not critical"));
    assert_eq!(left_out(Selection::Group(CheckGroup::Quick)).as_deref(), Some("group full"));
    assert_eq!(left_out(Selection::Group(CheckGroup::Full)), None);
    assert_eq!(Selection::Critical.of(&[usual, other.clone()]).len(), 1);
}

#[test]
fn an_address_has_a_host_and_a_port() {
    for (text, host, port) in [
        ("127.0.0.1:5432", "127.0.0.1", 5432),
        ("[::1]:80", "::1", 80),
        ("db.local:1", "db.local", 1),
    ] {
        let CheckKind::Tcp(tcp) = parsed(&format!("tcp = {text:?}")).kind else { panic!("{text}") };
        assert_eq!((tcp.host.as_str(), tcp.port, tcp.banner), (host, port, None));
    }
    for text in
        ["5432", "h", "h:0", "h:65536", "::1:80", "[h]:80", "h:+1", ":80", "http://h:1", "h:"]
    {
        wrong(&format!("tcp = {text:?}"), "is not a host with a port");
    }
    let own = |more: &str| match parsed(&format!("tcp = \"h:1\"\n{more}")).kind {
        CheckKind::Tcp(tcp) => tcp.own,
        _ => panic!(),
    };
    assert!(own("") && !own("own = false"));
    wrong("tcp = \"h:1\"\nown = 1", "own: must be true or false");
    accepts(&check("tcp = \"h:22\"\nexpect = { banner = \"SSH-2.0 {version}\" }"));
    wrong("tcp = \"h:22\"\nexpect = { baner = \"x\" }", "did you mean \"banner\"?");
    wrong("tcp = \"h:22\"\nrun_timeout = \"1s\"", "unknown key \"run_timeout\"");
}

#[test]
fn a_command_has_a_code_an_output_and_limits() {
    let smoke = "command = [\"./smoke.sh\"]\n";
    let CheckKind::Command(command) = parsed(smoke).kind else { panic!() };
    assert_eq!((command.exit, command.stdout, command.max_bytes), (0, None, 1 << 20));
    assert_eq!(command.run_timeout.as_secs(), 10);
    let more =
        "expect = { exit = 3, stdout = \"{version}\" }\nenv = { A = \"b\" }\nrun_timeout = \"2s\"";
    let CheckKind::Command(command) = parsed(&format!("{smoke}{more}")).kind else { panic!() };
    assert_eq!((command.exit, command.run_timeout.as_secs()), (3, 2));
    assert!(command.stdout.unwrap().tells_version() && command.env["A"] == "b");
    wrong("command = \"./smoke.sh\"", "an array of arguments");
    wrong("command = []", "is empty");
    wrong(&format!("{smoke}expect = {{ exit = 256 }}"), "exit: must be from 0 to 255");
    wrong(&format!("{smoke}env = {{ GITROLL_X = \"1\" }}"), "are set by gitroll");
    wrong(&format!("{smoke}run_timeout = \"1m\""), "longer than the timeout of the whole check");
    wrong(&format!("{smoke}expect = {{ stdout = \"{{verison}}\" }}"), "did you mean \"version\"?");
}

#[test]
fn a_log_is_a_file_or_a_service_with_lines_that_are_wanted_or_not() {
    let expect = "expect = { must = \"listens {version}\", must_not = '(?i)error \\d{3}' }";
    let with = |log: &str| parsed(&format!("log = {log}\n{expect}")).kind;
    let CheckKind::Log(log) = with("{ file = \"logs/app.log\" }") else { panic!() };
    assert!(matches!(log.source, LogSource::File(FilePlace::Tree(_))) && !log.optional);
    let CheckKind::Log(log) = with("{ file = \"/var/log/app.log\", optional = true }") else {
        panic!()
    };
    let host = FilePlace::Host(Path::new("/var/log/app.log").to_owned());
    assert!(log.source == LogSource::File(host) && log.optional);
    let CheckKind::Log(log) = with("{ service = \"web\" }") else { panic!() };
    assert!(matches!(log.source, LogSource::Service(name) if name.as_str() == "web"));
    let with = |log: &str, wanted: &str| wrong(&format!("log = {log}\n{expect}"), wanted);
    with("{ service = \"wev\" }", "there is no [service.wev] (did you mean \"web\"?)");
    with("{}", "log needs either \"file\" or \"service\"");
    with("{ file = \"a\", service = \"web\" }", "log needs either");
    with("{ file = \"../a\" }", "a path must be");
    with("{ file = \"/var/../a\" }", "the full path of a file on the host, without `.`, `..`");
    with("{ fil = \"a\" }", "did you mean \"file\"?");
    let expecting = |expect: &str, wanted: &str| {
        wrong(&format!("log = {{ file = \"a\" }}\n{expect}"), wanted);
    };
    expecting("", "[[check]] needs \"expect\"");
    expecting("expect = {}", "expect needs \"must\" or \"must_not\"");
    expecting("expect = { must = \"\" }", "is empty");
    expecting("expect = { must = \"a(\" }", "must: is not a regular expression: unclosed group");
    expecting("expect = { must = \"{verison}\" }", "is not a regular expression");
    expecting("expect = { must_not = \"{version}\" }", "{version} is only allowed in `must`");
    expecting("expect = { must = '\\w{500}{50}' }", "is too large for a regular expression");
    expecting("expect = { musnt = \"a\" }", "unknown key \"musnt\"");
}

#[test]
fn a_file_is_there_or_not_and_holds_what_it_must() {
    let CheckKind::File(file) = parsed("file = \"dist/build.json\"").kind else { panic!() };
    assert!(file.exists && file.sha256.is_none() && file.json.is_none());
    let sum = "AB".repeat(32);
    let more = format!("expect = {{ sha256 = \"{sum}\", json = {{}} }}");
    let CheckKind::File(file) = parsed(&format!("file = \"/etc/x\"\n{more}")).kind else {
        panic!()
    };
    assert_eq!((file.sha256, file.json.unwrap().len()), (Some(sum.to_lowercase()), 0));
    wrong("file = \"x\"\nexpect = { sha256 = \"ab\" }", "must be 64 hexadecimal digits");
    wrong("file = \"x\"\nexpect = { exists = false, json = {} }", "json does not apply to a file");
    wrong("file = \"x\"\nexpect = { json = { a = 1 } }", "is not a JSON pointer");
    wrong("file = \"x\"\nexpect = { exits = true }", "did you mean \"exists\"?");
    wrong("file = \".git/config\"", "a path must be");
    wrong("file = \"/etc/\"", "without `.`, `..` or empty parts");
}

#[test]
fn a_metric_has_a_source_bounds_and_samples() {
    let page = "metric = { prometheus = \"http://h/metrics\", name = \"errors\", labels = { code = \"500\" }, rate = true }\n";
    let check = parsed(&format!("{page}expect = {{ below = 1.5 }}"));
    assert_eq!((check.passes, check.settle.as_secs(), check.timeout.as_secs()), (5, 4, 30));
    let CheckKind::Metric(metric) = check.kind else { panic!() };
    assert!(metric.rate && metric.bounds.below == Some(1.5) && metric.every.as_secs() == 1);
    assert!(matches!(metric.source, MetricSource::Prometheus { sum: false, .. }));
    let json = "metric = { http = \"http://h/\", pointer = \"/p95\" }\n";
    let slow =
        format!("{json}expect = {{ at_most = 100, above = 0 }}\nsamples = 10\nevery = \"6s\"");
    let check = parsed(&slow);
    assert_eq!((check.passes, check.settle.as_secs(), check.timeout.as_secs()), (10, 54, 70));
    let with = |rest: &str, wanted: &str| wrong(&format!("{json}{rest}"), wanted);
    with("", "[[check]] needs \"expect\"");
    with("expect = {}", "needs \"above\", \"below\", \"at_least\" or \"at_most\"");
    with("expect = { above = 5, below = 1 }", "no number can be above 5 and below 1");
    with("expect = { below = \"1\" }", "must be a number");
    with("expect = { below = nan }", "must be a finite number");
    with("expect = { below = 1 }\npasses = 3", "a metric uses samples instead");
    with("expect = { below = 1 }\nsettle = \"1s\"", "a metric uses every instead");
    with("expect = { below = 1 }\ntimeout = \"2s\"", "is shorter than 5 samples every 1s take");
    with("expect = { below = 1 }\nsamples = 0", "samples: must be from 1 to 1000");
    let expect = "\nexpect = { below = 1 }";
    wrong(
        &format!("metric = {{ name = \"x\" }}{expect}"),
        "needs either \"prometheus\" or \"http\"",
    );
    wrong(&format!("metric = {{ http = \"http://h/\" }}{expect}"), "metric needs \"pointer\"");
    let named =
        |name: &str| format!("metric = {{ prometheus = \"http://h/\", name = {name:?} }}{expect}");
    wrong(&named("a-b"), "is not a metric name");
    wrong("metric = { http = \"http://u:p@h/\", pointer = \"/p\" }", "must not carry a user");
}

#[test]
fn bounds_hold_a_number_and_nothing_that_is_none() {
    let CheckKind::Metric(metric) = parsed(
        "metric = { http = \"http://h/\", pointer = \"/p\" }\nexpect = { above = 0, at_most = 2 }",
    )
    .kind
    else {
        panic!()
    };
    let held = [0.0, 0.1, 2.0, 2.1, f64::NAN, f64::INFINITY].map(|n| metric.bounds.hold(n));
    assert_eq!(held, [false, true, true, false, false, false]);
    assert_eq!(metric.bounds.to_string(), "above 0 and at most 2");
}
