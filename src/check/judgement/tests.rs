use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::Comparison;
use crate::model::Served;

const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";

fn subject() -> Subject {
    Subject {
        version: Some("1.0.0".to_owned()),
        commit: Some(COMMIT.parse().unwrap()),
        deployment: Some("42".to_owned()),
        before: Some(Served {
            commit: "7c1e0a4".repeat(6)[..40].parse().unwrap(),
            name: "v1.1.0".to_owned(),
            version: Some("1.1.0".to_owned()),
        }),
    }
}

fn check() -> HttpCheck {
    HttpCheck {
        url: "http://127.0.0.1:1/".to_owned(),
        status: 200,
        headers: BTreeMap::new(),
        body: None,
        json: BTreeMap::new(),
        redirects: 0,
        request_timeout: Duration::from_secs(1),
        max_bytes: 1 << 20,
    }
}

fn value(value: Value) -> Expected {
    Expected { value, comparison: Comparison::Filled }
}

fn with_json(pairs: &[(&str, Value)]) -> HttpCheck {
    let json = pairs.iter().map(|(p, v)| ((*p).to_owned(), value(v.clone()))).collect();
    HttpCheck { json, ..check() }
}

fn answer(body: &str) -> HttpAnswer {
    HttpAnswer { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

#[test]
fn what_came_from_elsewhere_is_no_template_and_may_be_unwanted() {
    let taken = |taken, body: &str| {
        let mut check = check();
        let value = json!("{version}");
        check.json =
            BTreeMap::from([("/status".to_owned(), Expected { value, comparison: taken })]);
        judge(&check, &answer(body), &subject())
    };
    assert!(taken(Comparison::Literal, r#"{"status":"{version}"}"#).ok);
    assert!(!taken(Comparison::Literal, r#"{"status":"{version}"}"#).told);
    assert!(!taken(Comparison::Literal, r#"{"status":"1.0.0"}"#).ok);
    for body in ["{}", r#"{"status":null}"#, r#"{"status":"1.0.0"}"#] {
        assert!(taken(Comparison::NotLiteral, body).ok, "{body}");
    }
    let still = taken(Comparison::NotLiteral, r#"{"status":"{version}"}"#);
    assert_eq!((still.ok, still.answer.as_str()), (false, "/status is \"{version}\" still"));
    assert!(!taken(Comparison::NotLiteral, "<html>").ok);
}

#[test]
fn json_answers_are_put_into_words() {
    let healthy = with_json(&[("/status", json!("ok"))]);
    let judgement = judge(&healthy, &answer(r#"{"status":"ok"}"#), &subject());
    assert_eq!((judgement.ok, judgement.told, judgement.answer.as_str()), (true, false, "200"));
    assert!(judge(&check(), &answer("\u{1b}[2J"), &subject()).ok, "nothing is expected of it");
    let cases = [
        (json!("healthy"), r#"{"status":"degraded"}"#, "/status is \"degraded\", not \"healthy\""),
        (json!("healthy"), r#"{"status":null}"#, "/status is null, not \"healthy\""),
        (json!("healthy"), r"{}", "/status is missing"),
        (json!("healthy"), r"<html>", "not JSON"),
        (json!("healthy"), "", "not JSON"),
        (
            json!(true),
            r#"{"status":"true"}"#,
            "/status is \"true\", not true (a text where a boolean is wanted)",
        ),
        (
            json!("1"),
            r#"{"status":1}"#,
            "/status is 1, not \"1\" (a number where a text is wanted)",
        ),
        (json!(1), r#"{"status":2}"#, "/status is 2, not 1"),
        (json!("a"), "{\"status\":\"\\u001b[31m\"}", "/status is \"\\u001b[31m\", not \"a\""),
    ];
    for (wanted, body, words) in cases {
        let judgement = judge(&with_json(&[("/status", wanted)]), &answer(body), &subject());
        assert!(!judgement.ok && !judgement.wrong_version, "{body}");
        assert_eq!(judgement.answer, words);
    }
    let body = format!(r#"{{"status":"{}"}}"#, "x".repeat(100));
    let judgement = judge(&with_json(&[("/status", json!("a"))]), &answer(&body), &subject());
    assert_eq!(judgement.answer, format!("/status is \"{}…, not \"a\"", "x".repeat(59)));
}

#[test]
fn a_version_is_told_missing_or_wrong() {
    // body, ok, told, wrong version, words
    let table = [
        (r#"{"version":"1.0.0"}"#, true, true, false, "200"),
        (r"{}", true, false, false, "200"),
        (r#"{"version":null}"#, true, false, false, "200"),
        (r#"{"version":""}"#, false, false, true, "version is , not 1.0.0"),
        (
            r#"{"version":"1.1.0"}"#,
            false,
            false,
            true,
            "version is 1.1.0, not 1.0.0 (what served before)",
        ),
        (r#"{"version":"0.9.0"}"#, false, false, true, "version is 0.9.0, not 1.0.0"),
        (r#"{"version":1}"#, false, false, true, "version is 1, not 1.0.0"),
        (r#"{"version":{"a":1}}"#, false, false, true, "version is {\"a\":1}, not 1.0.0"),
    ];
    let check = with_json(&[("/version", json!("{version}"))]);
    for (body, ok, told, wrong, words) in table {
        let judgement = judge(&check, &answer(body), &subject());
        assert_eq!(
            (judgement.ok, judgement.told, judgement.wrong_version),
            (ok, told, wrong),
            "{body}"
        );
        assert_eq!(judgement.answer, words);
    }
}

#[test]
fn an_unknown_version_can_be_neither_told_nor_wrong() {
    let nobody = Subject { version: None, ..subject() };
    let check = with_json(&[("/version", json!("{version}")), ("/status", json!("ok"))]);
    let judgement = judge(&check, &answer(r#"{"version":"9","status":"ok"}"#), &nobody);
    assert!(judgement.ok && !judgement.told);
    assert!(!judge(&check, &answer(r#"{"version":"9","status":"no"}"#), &nobody).ok);
}

#[test]
fn commits_deployments_and_mixed_texts_are_compared() {
    let table = [
        ("{commit}", json!(COMMIT), true, "200"),
        ("{commit}", json!("4be21d9"), true, "200"),
        ("{commit}", json!("4be21"), false, "commit is 4be21, not 4be21d9"),
        (
            "{commit}",
            json!("7c1e0a47c1e0a47c1e0a47c1e0a47c1e0a47c1e0"),
            false,
            "commit is 7c1e0a4, not 4be21d9 (what served before)",
        ),
        ("{deployment}", json!(42), true, "200"),
        ("{deployment}", json!("41"), false, "deployment is 41, not 42"),
        ("v{version}-{commit}", json!("v1.0.0-4be21d9aa"), true, "200"),
        ("v{version}", json!("v1.1.0"), false, "/build is \"v1.1.0\", not \"v1.0.0\""),
    ];
    for (wanted, found, ok, words) in table {
        let check = with_json(&[("/build", json!(wanted))]);
        let judgement = judge(&check, &answer(&json!({ "build": found }).to_string()), &subject());
        assert_eq!((judgement.ok, judgement.told), (ok, ok), "{wanted} {found}");
        assert_eq!(judgement.wrong_version, !ok);
        assert_eq!(judgement.answer, words);
    }
}

#[test]
fn a_wrong_version_is_said_before_anything_else_that_is_wrong() {
    let check = with_json(&[("/a", json!(1)), ("/version", json!("{version}"))]);
    let judgement = judge(&check, &answer(r#"{"a":2,"version":"3"}"#), &subject());
    assert_eq!(judgement.answer, "version is 3, not 1.0.0");
}

#[test]
fn headers_are_found_in_any_case() {
    let mut check = check();
    check.headers.insert("X-Version".to_owned(), value(json!("{version}")));
    let mut found = answer("");
    assert_eq!(judge(&check, &found, &subject()), Judgement::fine("200"));
    found.headers.push(("x-version".to_owned(), b"1.0.0".to_vec()));
    assert!(judge(&check, &found, &subject()).told);
    found.headers[0].1 = b"2\x1b\xff".to_vec();
    let judgement = judge(&check, &found, &subject());
    assert_eq!(judgement.answer, "version is 2\\u{1b}\u{fffd}, not 1.0.0");
    check.headers = [("X-Kind".to_owned(), value(json!("a")))].into();
    assert_eq!(judge(&check, &found, &subject()).answer, "X-Kind is missing");
    found.headers.push(("x-kind".to_owned(), b"b".to_vec()));
    assert_eq!(judge(&check, &found, &subject()).answer, "X-Kind is \"b\", not \"a\"");
}

#[test]
fn a_body_contains_what_is_wanted_or_the_check_fails() {
    let body = |wanted: &str| HttpCheck { body: Some(value(json!(wanted))), ..check() };
    assert!(judge(&body("ok"), &answer("it is ok"), &subject()).ok);
    let judgement = judge(&body("ok"), &answer("no"), &subject());
    assert_eq!(judgement.answer, "body does not contain \"ok\"");
    assert!(judge(&body("v{version}"), &answer("shop v1.0.0"), &subject()).told);
    let judgement = judge(&body("{version}"), &answer("shop 11.0.0"), &subject());
    assert_eq!(judgement.answer, "body does not contain \"1.0.0\"");
}

#[test]
fn another_status_is_the_whole_answer() {
    let found = HttpAnswer { status: 500, ..answer(r#"{"version":"1.0.0"}"#) };
    let check = with_json(&[("/version", json!("{version}"))]);
    assert_eq!(judge(&check, &found, &subject()), Judgement::failed("500"));
}

#[test]
fn numbers_are_equal_by_value_and_large_ones_are_not_rounded() {
    let table = [
        (json!(1), json!(1.0), true),
        (json!(1.5), json!(1.5), true),
        (json!(1), json!(2), false),
        (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64), false),
        (json!([1, { "a": 1.0 }]), json!([1.0, { "a": 1 }]), true),
        (json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), false),
        (json!(0), json!(false), false),
        (json!(null), json!(null), true),
    ];
    for (a, b, wanted) in table {
        assert_eq!(same(&a, &b), wanted, "{a} {b}");
        assert_eq!(same(&b, &a), wanted, "{b} {a}");
    }
}

proptest! {
    #[test]
    fn no_answer_is_quoted_at_length_or_raw(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        text in "\\PC{0,200}|[\u{0}-\u{1f}\u{7f}-\u{9f}\u{202a}-\u{202e}]{0,80}",
    ) {
        let check = HttpCheck {
            headers: [("x".to_owned(), value(json!("y")))].into(),
            ..with_json(&[("/a", json!("{version}")), ("/b", json!(true))])
        };
        let documents = [
            body,
            json!({ "a": text }).to_string().into_bytes(),
            json!({ "b": [text.clone()] }).to_string().into_bytes(),
        ];
        for body in documents {
            let headers = vec![("x".to_owned(), text.clone().into_bytes())];
            let judgement = judge(&check, &HttpAnswer { status: 200, headers, body }, &subject());
            prop_assert!(!judgement.answer.chars().any(char::is_control));
            prop_assert!(judgement.answer.chars().count() < 60 * 10 + 40);
        }
    }
}
