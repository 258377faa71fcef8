use super::super::parse;
use super::super::tests::{accepts, messages};
use super::*;

const AROUND: &str = "[service.web]\nmanager = \"process\"\ncommand = [\"x\"]\n\
    [flags]\nfile = \".env\"\n\
    [component.QW-001]\npaths = [\"a\"]\nflag = { name = \"UPLOADS\", off = \"false\" }\n\
    [component.docs]\npaths = [\"docs\"]\n";

fn rule(rest: &str) -> String {
    format!("{AROUND}[[rule]]\n{rest}")
}

fn with(probe: &str) -> String {
    rule(&format!(
        "symptom = \"uploads fail\"\nprobe = {probe}\nseverity = \"P0\"\naction = \"code\"\n"
    ))
}

fn parsed(text: &str) -> Rule {
    match parse(&format!("[app]\nname = \"shop\"\n{text}"), "gitroll.toml") {
        Ok(mut config) => config.rules.remove(0),
        Err(error) => panic!("{:#?}", error.problems),
    }
}

#[track_caller]
fn wrong(text: &str, wanted: &str) {
    let found = messages(text);
    assert!(found.iter().any(|m| m.contains(wanted)), "{text}\nwanted {wanted}\nfound {found:#?}");
}

#[test]
fn a_rule_is_read() {
    let text = rule(
        "symptom = \"latency above 500 ms\"\nprobe = { metric = { http = \"http://h/\", pointer = \"/p95\" }, \
         expect = { above = 500 }, samples = 3 }\nseverity = \"P1\"\naction = \"flags:QW-001\"\n\
         timeline = \"30m\"\nwhy = \"users feel it\"\n",
    );
    let read = parsed(&text);
    assert_eq!(read.symptom, "latency above 500 ms");
    assert_eq!((read.severity, read.action.to_string().as_str()), (Severity::P1, "flags:QW-001"));
    assert_eq!(read.timeline.unwrap().within, Some(Duration::from_secs(1800)));
    assert_eq!(read.why.as_deref(), Some("users feel it"));
    assert!(matches!(read.probe.kind, CheckKind::Metric(_)) && read.probe.samples == 3);
    assert_eq!(read.probe.when, When::Holds);

    let text = with("{ log = { service = \"web\" }, expect = { must = \"207\" }, since = \"5m\" }");
    let read = parsed(&format!("{text}timeline = \"immediately\"\n"));
    assert_eq!((read.probe.since.as_secs(), read.timeline.clone().unwrap().within), (300, None));
    assert_eq!(read.timeline.unwrap().text, "immediately");
    let usual = parsed(&with("{ log = { file = \"/x\" }, expect = { must = \"207\" } }"));
    assert_eq!((usual.probe.since.as_secs(), usual.timeline), (900, None));
    for action in ["code", "full", "fix-forward"] {
        let text = with("{ command = [\"x\"] }").replace("\"code\"", &format!("{action:?}"));
        assert_eq!(parsed(&text).action.to_string(), action);
    }
}

#[test]
fn an_app_that_is_well_is_no_symptom() {
    for probe in ["http = \"http://h/\"", "tcp = \"h:1\""] {
        wrong(&with(&format!("{{ {probe} }}")), "an app that is well would be the symptom");
        accepts(&with(&format!("{{ {probe}, when = \"fails\" }}")));
    }
    accepts(&with("{ http = \"http://h/\", expect = { status = 207 } }"));
    accepts(&with("{ file = \"core\" }"));
    accepts(&with("{ command = [\"./corrupt.sh\"], expect = { exit = 3 } }"));
}

#[test]
fn what_is_wrong_with_a_rule_is_said() {
    for key in ["symptom", "probe", "severity", "action"] {
        wrong(&rule("x = 1\n"), &format!("[[rule]] needs {key:?}"));
    }
    let action =
        |action: &str| with("{ command = [\"x\"] }").replace("\"code\"", &format!("{action:?}"));
    wrong(&action("flags:QW-01"), "there is no [component.QW-01] (did you mean \"QW-001\"?)");
    wrong(&action("flags:QW-001,QW-01"), "there is no [component.QW-01]");
    wrong(&action("flags:QW-001,"), "is no component id");
    wrong(&action("flags:docs"), "[component.docs] has no flag to switch off");
    wrong(&action("flags"), "such as \"flags:QW-001\"");
    wrong(&action("flags:"), "is no component id");
    wrong(&action("cod"), "did you mean \"code\"?");
    wrong(&with("{ command = [\"x\"] }").replace("P0", "P4"), "\"P4\" is not known");
    wrong(&with("{ comand = [\"x\"] }"), "probe needs one of");
    wrong(&with("{ tcp = \"h:1\", file = \"x\" }"), "probe has \"tcp\" and \"file\"");
    wrong(&with("{ command = [\"x\"], passes = 3 }"), "unknown key \"passes\" in probe");
    wrong(&with("{ command = [\"x\"], when = \"fail\" }"), "did you mean \"fails\"?");
    wrong(&with("{ command = [\"x\"], since = \"5m\" }"), "only a log has lines of before");
    wrong(&with("{ command = [\"x\"], samples = 3 }"), "only a metric has samples");
    wrong(
        &with("{ log = { service = \"wb\" }, expect = { must = \"x\" } }"),
        "did you mean \"web\"?",
    );
    let metric = "metric = { http = \"http://h/\", pointer = \"/p\" }, expect = { above = 1 }";
    wrong(
        &with(&format!("{{ {metric}, samples = 20, every = \"1m\" }}")),
        "20 samples take longer than 10m",
    );
    wrong(&with(&format!("{{ {metric}, since = \"5m\" }}")), "only a log");
    wrong(&format!("{}why = \"a\\nb\"\n", with("{ command = [\"x\"] }")), "why: must be one line");
    wrong(&format!("{AROUND}[rule]\nsymptom = \"x\"\n"), "write [[rule]] with doubled brackets");
}
