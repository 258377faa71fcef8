//! The schemas in `docs/schema`: made from the types, and what every command really answers fits them.
//!
//! After a change of an answer's type: `GITROLL_WRITE_SCHEMAS=1 cargo test --test suite schemas::`, and read the
//! difference: within a version fields may be added, none may go or change.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::support::schema::misfits;
use crate::support::*;
use serde_json::{Value, json};

fn schema_dir() -> PathBuf {
    project().join("docs/schema")
}

fn schema(name: &str) -> Value {
    let path = schema_dir().join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let write = std::env::var_os("GITROLL_WRITE_SCHEMAS").is_some();
    let mut known = BTreeSet::new();
    for (name, schema) in gitroll::cli::schema::all() {
        let path = schema_dir().join(format!("{name}.json"));
        let wanted = format!("{:#}\n", schema.as_value());
        if write {
            fs::create_dir_all(schema_dir()).unwrap();
            fs::write(&path, &wanted).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == wanted,
            "docs/schema/{name}.json is not the schema of its type; \
             GITROLL_WRITE_SCHEMAS=1 cargo test --test suite schemas:: writes it again"
        );
        known.insert(format!("{name}.json"));
    }
    let files = fs::read_dir(schema_dir()).unwrap();
    let there = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(known, there, "the types (left) and the files in docs/schema (right)");
}

/// The answer fits its schema, and the envelope around it fits its own.
#[track_caller]
fn fits(answer: &Answer, command: &str, name: &str) -> Value {
    let document = answer.json();
    let part = if name == "error" { "error" } else { "result" };
    let mut wrong = misfits(&schema("envelope"), &document);
    wrong.extend(misfits(&schema(name), &document[part]));
    assert!(wrong.is_empty(), "{}\n{}\n{document:#}", answer.command, wrong.join("\n"));
    assert_eq!(document["gitroll"], json!(1), "{}", answer.command);
    assert_eq!(document["command"], json!(command), "{}", answer.command);
    assert_eq!(document["exit"], json!(answer.code.unwrap()), "{}", answer.command);
    document[part].clone()
}

/// Quick, without builds, failing fast.
fn config() -> AppConfig {
    let component = "[component.QW-001]\npaths = [\"behaviour.json\", \"package.json\"]\n";
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s").and(component)
}

#[test]
fn what_the_good_days_answer_fits() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&config());
    app.commit_version("1.0.0", Behaviour::Good);
    let ask = |args: &[&str]| host.gitroll(&[args, &["--json"]].concat());

    let init = ask(&["init", "--yes", "--environment", "production", "--name", "web-1"]);
    let answer = fits(init.exit(0), "init", "init");
    assert_eq!(answer["adopted"], json!(false));
    let plan = fits(ask(&["deploy", "--plan"]).exit(0), "deploy", "change");
    assert_eq!(plan["outcome"], json!("planned"));
    assert!(misfits(&schema("plan"), &plan["plan"]).is_empty());
    let answer = fits(ask(&["deploy"]).exit(0), "deploy", "change");
    assert_eq!(answer["outcome"], json!("serving"));
    let answer = fits(ask(&["deploy"]).exit(0), "deploy", "change");
    assert_eq!(answer["outcome"], json!("already-serving"));
    fits(ask(&["promote", "--yes"]).exit(0), "promote", "promote");
    let answer = fits(ask(&["promote", "--yes"]).exit(0), "promote", "promote");
    assert_eq!(answer["record"], Value::Null, "promoted already");
    fits(ask(&["status"]).exit(0), "status", "status");
    fits(ask(&["check"]).exit(0), "check", "check");
    fits(ask(&["service", "status"]).exit(0), "service", "service");
    let answer = fits(ask(&["annotate", "--reason", "the first"]).exit(0), "annotate", "stated");
    assert!(answer["sentence"].is_string());
    let answer = fits(ask(&["show"]).exit(0), "show", "show");
    assert!(misfits(&schema("evidence"), &answer["evidence"]).is_empty());
    fits(ask(&["log"]).exit(0), "log", "log");
    let answer = fits(ask(&["doctor"]).exit(1), "doctor", "doctor");
    assert_eq!(answer["ready"], json!(false), "there is no version to roll back to yet");
    fits(ask(&["service", "stop"]).exit(0), "service", "service");
    let sick = fits(ask(&["check"]).exit(1), "check", "check");
    assert_eq!(sick["healthy"], json!(false));
    fits(ask(&["status"]).exit(0), "status", "status");
    let plan = fits(ask(&["eject", "--plan"]).exit(0), "eject", "eject");
    assert_eq!(plan["outcome"], json!("planned"));
    fits(ask(&["eject"]).exit(2), "eject", "error");
    fits(ask(&["eject", "--yes"]).exit(0), "eject", "eject");
    let answer = fits(ask(&["eject"]).exit(0), "eject", "eject");
    assert_eq!(answer["outcome"], json!("nothing"));
    fits(ask(&["doctor"]).exit(1), "doctor", "doctor");
}

#[test]
fn what_the_bad_night_answers_fits() {
    let host = TestEnvironment::new();
    let scenario = Scenario::serving(&host, Fixture::Plain, &config());
    scenario.release("1.1.0", Behaviour::Good).exit(0);
    let ask = |args: &[&str]| host.gitroll(&[args, &["--json"]].concat());

    let answer = fits(ask(&["targets"]).exit(0), "targets", "targets");
    assert_eq!(answer["targets"].as_array().unwrap().len(), 2);
    let plan = fits(ask(&["back", "--plan"]).exit(0), "back", "change");
    assert_eq!(plan["plan"]["event"], json!("back"));
    let answer = fits(ask(&["back", "--yes", "--reason", "500s"]).exit(0), "back", "change");
    assert_eq!(answer["outcome"], json!("serving"));
    fits(ask(&["status"]).exit(0), "status", "status");
    fits(ask(&["targets"]).exit(0), "targets", "targets");
    let answer = fits(ask(&["diff"]).exit(0), "diff", "diff");
    assert_eq!(answer["to"]["name"], json!("v1.1.0"));
    assert_eq!(fits(ask(&["diff", "main", "main"]).exit(0), "diff", "diff")["same"], json!(true));
    fits(ask(&["diff", "nothing-of-that-name"]).exit(1), "diff", "error");
    let refused = fits(ask(&["deploy", "main"]).exit(10), "deploy", "error");
    assert!(!refused["next"].as_array().unwrap().is_empty());
    fits(ask(&["unhold", "--reason", "the disk"]).exit(0), "unhold", "stated");
    fits(ask(&["mark", "bad", "main", "--reason", "slow"]).exit(0), "mark", "stated");
    fits(ask(&["mark", "good", "main", "--reason", "it was not"]).exit(0), "mark", "stated");
    fits(ask(&["back", "--undo"]).exit(2), "back", "error");
    let answer = fits(ask(&["back", "--undo", "--yes"]).exit(0), "back", "change");
    assert_eq!(answer["to"]["version"], json!("1.1.0"));
    fits(ask(&["show"]).exit(0), "show", "show");
    fits(ask(&["show", "99"]).exit(1), "show", "error");
    let answer = fits(ask(&["log", "-n", "50"]).exit(0), "log", "log");
    assert_eq!(answer["verified"], json!(true));
    fits(ask(&["component"]).exit(0), "component", "components");
    let plan = fits(
        ask(&["component", "QW-001", "--to", "v1.0.0-stable", "--plan"]).exit(0),
        "component",
        "change",
    );
    assert_eq!(plan["plan"]["recorded"]["components"], json!(["QW-001"]));
    fits(ask(&["component", "QW-9"]).exit(1), "component", "error");
    fits(ask(&["resume"]).exit(1), "resume", "error");
    fits(ask(&["back", "--to", "nothing-of-that-name"]).exit(1), "back", "error");
}

#[test]
fn what_failing_answers_fits() {
    let host = TestEnvironment::new();
    let scenario = Scenario::serving(&host, Fixture::Plain, &config());
    let ask = |args: &[&str]| host.gitroll(&[args, &["--json"]].concat());
    let release = |version: &str| {
        let commit = scenario.app.commit_version(version, Behaviour::ThrowsAtBoot);
        ask(&["deploy", &commit])
    };

    let answer = fits(release("1.1.0").exit(20), "deploy", "change");
    assert_eq!(answer["outcome"], json!("restored"));
    assert!(answer["why"].is_string());
    fits(ask(&["show"]).exit(0), "show", "show");

    // What serves is down and there is nothing else: it is not gone back to, a person is needed.
    ask(&["service", "stop"]).exit(0);
    let answer = fits(release("1.2.0").exit(21), "deploy", "change");
    assert_eq!(answer["outcome"], json!("person-needed"));
}

#[test]
fn what_an_open_run_answers_fits() {
    let host = TestEnvironment::new();
    // What served is down and there is nothing else to go to: a person is needed, the run stays open.
    let scenario = Scenario::serving(&host, Fixture::Plain, &config());
    host.gitroll(&["service", "stop"]).exit(0);
    let bad = scenario.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    let ask = |args: &[&str]| host.gitroll(&[args, &["--json"]].concat());

    let answer = fits(ask(&["deploy", &bad]).exit(21), "deploy", "change");
    assert_eq!(answer["outcome"], json!("person-needed"));
    fits(ask(&["deploy"]).exit(22), "deploy", "error");
    let answer = fits(ask(&["status"]).exit(0), "status", "status");
    assert_eq!(answer["open_runs"].as_array().unwrap().len(), 1);
    let answer = fits(ask(&["resume"]).exit(21), "resume", "change");
    assert!(answer["open_run"].is_string());
    let answer = fits(ask(&["abort"]).exit(0), "abort", "change");
    assert_eq!(answer["outcome"], json!("restored"));
    assert_eq!(scenario.app.version_served().as_deref(), Some("1.0.0"));
}

#[test]
fn errors_outside_of_any_app_fit() {
    let host = TestEnvironment::new();
    let empty = host.path("tmp");
    let ask = |args: &[&str]| host.gitroll_in(&empty, &[args, &["--json"]].concat());
    for verb in [
        "init", "deploy", "back", "targets", "status", "log", "show", "diff", "check", "abort",
        "doctor", "eject",
    ] {
        fits(ask(&[verb]).exit(1), verb, "error");
    }
}

#[test]
fn the_validator_sees_what_is_wrong() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "count": { "type": ["integer", "null"], "minimum": 0 },
            "kind": { "$ref": "#/$defs/Kind" },
        },
        "required": ["name"],
        "$defs": { "Kind": { "oneOf": [
            { "type": "string", "enum": ["a", "b"] },
            { "type": "object", "properties": { "c": { "type": "string" } }, "required": ["c"] },
        ] } },
    });
    let good = [
        json!({ "name": "x" }),
        json!({ "name": "x", "count": null, "kind": "a" }),
        json!({ "name": "x", "count": 1, "kind": { "c": "y" } }),
    ];
    for value in good {
        assert_eq!(misfits(&schema, &value), Vec::<String>::new(), "{value}");
    }
    let bad = [
        json!([]),
        json!({}),
        json!({ "name": 1 }),
        json!({ "name": "x", "count": -1 }),
        json!({ "name": "x", "kind": "c" }),
        json!({ "name": "x", "kind": { "c": 1 } }),
        json!({ "name": "x", "unheard-of": 1 }),
    ];
    for value in bad {
        assert!(!misfits(&schema, &value).is_empty(), "{value}");
    }
    assert!(!misfits(&json!({ "pattern": "^x" }), &json!("x")).is_empty(), "an unknown word");
}
