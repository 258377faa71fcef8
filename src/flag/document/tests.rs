#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use DocumentFormat::{Json as JSON, Toml as TOML, Yaml as YAML};

fn set(format: DocumentFormat, pointer: &str, text: &str, value: Json) -> String {
    with(text, format, pointer, "A", Some(&value)).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

fn refused(format: DocumentFormat, pointer: &str, text: &str) -> String {
    match with(text, format, pointer, "A", Some(&json!(false))) {
        Ok(new) => panic!("{text:?} became {new:?}"),
        Err(why) => why,
    }
}

#[test]
fn in_json_nothing_but_the_value_is_touched() {
    let table = [
        ("", r#"{"A":true}"#, json!(false), r#"{"A":false}"#),
        (
            "/f",
            "{ \"f\": {\r\n\t\"A\" : \"on\" ,\r\n\t\"B\": [1, {\"A\": 2}] } }\r\n",
            json!("o\"ff"),
            "{ \"f\": {\r\n\t\"A\" : \"o\\\"ff\" ,\r\n\t\"B\": [1, {\"A\": 2}] } }\r\n",
        ),
        (
            "/f~1g/0",
            r#"{"f/g":[{"A":1.50,"B":1e3}]}"#,
            json!(0.01),
            r#"{"f/g":[{"A":0.01,"B":1e3}]}"#,
        ),
        ("", "\u{feff}{\"\\u0041\": null}", json!(true), "\u{feff}{\"\\u0041\": true}"),
        // Added as the entry before it.
        (
            "/f",
            "{\n  \"f\": {\n    \"B\": 1\n  }\n}\n",
            json!(false),
            "{\n  \"f\": {\n    \"B\": 1,\n    \"A\": false\n  }\n}\n",
        ),
        (
            "",
            "{\r\n\t\"B\":1,\r\n\r\n\t\"C\":2\r\n}",
            json!(false),
            "{\r\n\t\"B\":1,\r\n\r\n\t\"C\":2,\r\n\t\"A\":false\r\n}",
        ),
        ("", r#"{"B":1}"#, json!(false), r#"{"B":1,"A":false}"#),
        ("", r#"{ "B": 1 }"#, json!(false), r#"{ "B": 1, "A": false }"#),
        ("", r#"{"B": 1, "C": 2}"#, json!(false), r#"{"B": 1, "C": 2, "A": false}"#),
        ("", "{}", json!(false), "{\"A\": false}"),
    ];
    for (pointer, old, value, new) in table {
        assert_eq!(set(JSON, pointer, old, value), new, "{old:?}");
    }
    let text = r#"{"B": 1, "A": 2, "C": 3}"#;
    assert_eq!(with(text, JSON, "", "A", None).unwrap(), r#"{"B": 1, "C": 3}"#);
    assert_eq!(with(text, JSON, "", "B", None).unwrap(), r#"{"A": 2, "C": 3}"#);
    assert_eq!(with("{ \"A\": 1 }", JSON, "", "A", None).unwrap(), "{}");
}

#[test]
fn in_toml_nothing_but_the_value_is_touched() {
    let table = [
        ("", "A = true # why\nB = 1\n", json!(false), "A = false # why\nB = 1\n"),
        (
            "/f",
            "[f]\r\nA='on'\r\n\r\n[g]\r\nA = 1\r\n",
            json!("off"),
            "[f]\r\nA=\"off\"\r\n\r\n[g]\r\nA = 1\r\n",
        ),
        ("/f", "f = { A = 1, B = 2 }\n", json!(0.5), "f = { A = 0.5, B = 2 }\n"),
        ("/f", "f.A = true\nf.B = 0x10\n", json!(false), "f.A = false\nf.B = 0x10\n"),
        (
            "",
            "B = 1979-05-27\nA = 1.0\n",
            json!("a\\\"\u{7}"),
            "B = 1979-05-27\nA = \"a\\\\\\\"\\u0007\"\n",
        ),
        (
            "/f",
            "[f] # flags\n  B = 1 # one\n\n[g]\nx = 1\n",
            json!(false),
            "[f] # flags\n  B = 1 # one\n  A = false\n\n[g]\nx = 1\n",
        ),
        ("/f", "f.B=1", json!(false), "f.B=1\nf.A=false"),
        ("/f", "f = { B = 1 }\r\nx = 1\r\n", json!(false), "f = { B = 1, A = false }\r\nx = 1\r\n"),
    ];
    for (pointer, old, value, new) in table {
        assert_eq!(set(TOML, pointer, old, value), new, "{old:?}");
    }
    assert_eq!(with("[f]\nB = 1\nA = 2 # x\n", TOML, "/f", "A", None).unwrap(), "[f]\nB = 1\n");
    assert!(refused(TOML, "/f", "[f]\n").contains("by hand"));
    assert!(refused(TOML, "", "A = 1979-05-27\n").contains("a date"));
    assert!(with("A = 1\n", TOML, "", "A", Some(&json!(null))).is_err());
    assert!(with("B = 1\nf = { A = 1 }\n", TOML, "/f", "A", None).is_err());
}

#[test]
fn in_yaml_nothing_but_the_value_is_touched() {
    let table = [
        (
            "",
            "# flags\nA: true # why\nB: [1, two]\n",
            json!(false),
            "# flags\nA: false # why\nB: [1, two]\n",
        ),
        (
            "/f",
            "---\r\nf:\r\n  A: \"on\"\r\n  B: |\r\n    A: true\r\ng: 1\r\n",
            json!("off"),
            "---\r\nf:\r\n  A: \"off\"\r\n  B: |\r\n    A: true\r\ng: 1\r\n",
        ),
        ("/f", "f: { A: 'it''s', B: 2 }\n", json!("isn't"), "f: { A: 'isn''t', B: 2 }\n"),
        ("/f/1", "f:\n- x\n- A: 1\n  ü: 2\n", json!(0.01), "f:\n- x\n- A: 0.01\n  ü: 2\n"),
        // For some readers these are booleans: what is put there stays of one kind with what was.
        ("", "A: on\n", json!("off"), "A: off\n"),
        ("", "A: blue\n", json!("off"), "A: \"off\"\n"),
        ("", "A: blue\n", json!("green"), "A: green\n"),
        ("", "A: 1\n", json!("1"), "A: \"1\"\n"),
        ("", "A: ''\n", json!("x: # y"), "A: 'x: # y'\n"),
        (
            "/f",
            "f:\n    B: 1 # one\ng: 2\n",
            json!(false),
            "f:\n    B: 1 # one\n    A: false\ng: 2\n",
        ),
        ("", "B: 1", json!(false), "B: 1\nA: false"),
    ];
    for (pointer, old, value, new) in table {
        assert_eq!(set(YAML, pointer, old, value), new, "{old:?}");
    }
    assert_eq!(
        with("B: 1\r\nA: 2 # x\r\nC: 3\r\n", YAML, "", "A", None).unwrap(),
        "B: 1\r\nC: 3\r\n"
    );
    assert!(with("A: 1\n", YAML, "", "A", None).is_err());
}

#[test]
fn what_cannot_be_changed_safely_is_refused() {
    let table = [
        (JSON, "", r#"{"A":1,"A":2}"#, "twice"),
        (JSON, "/f", r#"{"f":{"A":1},"f":{}}"#, "twice"),
        (JSON, "", r#"{"\u0041":1,"A":2}"#, "twice"),
        (JSON, "/f", r#"{"g":{}}"#, "create it first"),
        (JSON, "/f", r#"{"f":1}"#, "a single value"),
        (JSON, "", "[]", "a list"),
        (JSON, "", r#"{"A":{}}"#, "an object"),
        (JSON, "", "{\"A\":1,}", "line 1"),
        (JSON, "", "// x\n{}", "not valid JSON"),
        (JSON, "", "", "not valid JSON"),
        (TOML, "", "A = 1\nA = 2\n", "not valid TOML"),
        (TOML, "", "A = \n", "line 1"),
        (YAML, "", "A: 1\nA: 2\n", ""),
        (YAML, "", "A: &x 1\nB: *x\n", "anchor"),
        (YAML, "", "B: &x 1\nA: *x\n", "an alias"),
        (YAML, "/f", "d: &d\n  A: 1\nf:\n  <<: *d\n", "a merge"),
        (YAML, "/d", "d: &d\n  A: 1\nf:\n  <<: *d\n", "anchor"),
        (YAML, "", "A: !!bool true\n", "a tag"),
        (YAML, "", "A: 1\n---\nA: 2\n", "more than one document"),
        (YAML, "", "A: |\n  x\n", "several lines"),
        (YAML, "/f", "f: { B: 1 }\n", "between braces"),
        (YAML, "/f", "f:\n", "a single value"),
        (YAML, "", "", "empty"),
        (YAML, "", "A: [\n", "not valid YAML"),
        (YAML, "", "? [x]\n: 1\nA: 1\n", "not plain text"),
    ];
    for (format, pointer, text, why) in table {
        let said = refused(format, pointer, text);
        assert!(said.contains(why), "{text:?}: {said}");
    }
    // What is elsewhere harms nobody.
    let text = "x: &x { A: 1 }\ny: *x\nf:\n  A: true\n";
    assert_eq!(set(YAML, "/f", text, json!(false)), text.replace("true", "false"));
    for text in ["[".repeat(100_000), "{\"a\":".repeat(100_000), "- ".repeat(100_000)] {
        for format in [JSON, TOML, YAML] {
            refused(format, "", &text);
        }
    }
}

#[test]
fn an_error_shows_nothing_of_what_is_there() {
    for (format, text) in [
        (JSON, "{\"A\": canary}"),
        (JSON, "{\"A\": \"canary\" \"canary\"}"),
        (TOML, "A = canary\n"),
        (TOML, "A = \"canary\" canary\n"),
        (YAML, "A: \"canary\" canary\n"),
        (YAML, "A: 'canary\n"),
    ] {
        let said = refused(format, "", text);
        assert!(!said.contains("canary"), "{said}");
    }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        any::<bool>().prop_map(Json::Bool),
        any::<i32>().prop_map(Json::from),
        (0..1000i32).prop_map(|n| Json::from(f64::from(n) / 100.0 + 0.001)),
        "[a-z #:'\"\\\\{}\\[\\],&*!|>%@`~-]{0,8}".prop_map(Json::String),
        prop::sample::select(vec![
            "on", "off", "yes", "null", "~", "1", "0x1", "1e3", ".inf", "-", "ü", "true"
        ])
        .prop_map(Json::from),
    ]
}

proptest! {
    #[test]
    fn every_scalar_reads_back_in_every_format_and_the_way_back_is_exact(
        old in scalar(), new in scalar(), other in scalar()
    ) {
        let json = serde_json::to_string_pretty(&json!({"x": {"A": old, "B": other}, "y": [other]})).unwrap();
        let toml = format!(
            "[x]\nA = {}\nB = {}\n", toml::written(&old).unwrap(), toml::written(&other).unwrap()
        );
        let yaml = format!("x:\n  A: {old} # why\n  B: {other}\ny:\n- {other}\n");
        for (format, text) in [(JSON, json), (TOML, toml), (YAML, yaml)] {
            prop_assert!(entries(&text, format, "/x").unwrap()[0].1.as_ref() == Some(&old), "{text}");
            let there = with(&text, format, "/x", "A", Some(&new)).map_err(TestCaseError::fail)?;
            let read = entries(&there, format, "/x").unwrap();
            prop_assert!(read.contains(&("A".to_owned(), Some(new.clone()))), "{there}");
            prop_assert!(read.contains(&("B".to_owned(), Some(other.clone()))), "{there}");
            let back = with(&there, format, "/x", "A", Some(&old)).map_err(TestCaseError::fail)?;
            prop_assert!(entries(&back, format, "/x").unwrap() == entries(&text, format, "/x").unwrap());
            let added = with(&text, format, "/x", "C", Some(&new)).map_err(TestCaseError::fail)?;
            prop_assert!(with(&added, format, "/x", "C", None).map_err(TestCaseError::fail)? == text, "{added}");
        }
    }
}
