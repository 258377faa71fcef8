#![allow(clippy::unwrap_used)]

use super::*;

fn lock3(packages: &str) -> Lock {
    let text = format!(r#"{{ "lockfileVersion": 3, "packages": {{ {packages} }} }}"#);
    parse(text.as_bytes(), None).unwrap()
}

fn told(before: &Lock, after: &Lock) -> Vec<String> {
    let line = |c: PackageChange| {
        let version = |v: &Option<String>| v.clone().unwrap_or_else(|| "-".to_owned());
        let way = if c.relation == Relation::Direct { "direct" } else { "transitive" };
        let down = if c.downgrade { " down" } else { "" };
        let dev = if c.dev { " dev" } else { "" };
        let (from, to) = (version(&c.from), version(&c.to));
        format!("{} {from} {to} {way} {}{down}{dev}", c.package, c.class.as_str())
    };
    changes(before, after).into_iter().map(line).collect()
}

const ROOT: &str =
    r#""": { "dependencies": { "express": "^4" }, "devDependencies": { "jest": "*" } }"#;

#[test]
fn direct_and_transitive_changes_are_told_apart_with_their_class() {
    let before = lock3(&format!(
        r#"{ROOT}, "node_modules/express": {{ "version": "4.18.2" }},
        "node_modules/jest": {{ "version": "29.0.0", "dev": true }},
        "node_modules/ms": {{ "version": "2.0.0" }}, "node_modules/gone": {{ "version": "1.0.0" }},
        "node_modules/qs": {{ "version": "6.11.0" }}, "node_modules/pre": {{ "version": "1.0.0-rc.1" }}"#
    ));
    let after = lock3(&format!(
        r#"{ROOT}, "node_modules/express": {{ "version": "5.0.1" }},
        "node_modules/jest": {{ "version": "29.1.0", "dev": true }},
        "node_modules/ms": {{ "version": "2.0.1" }}, "node_modules/@a/new": {{ "version": "0.1.0" }},
        "node_modules/qs": {{ "version": "6.10.0" }}, "node_modules/pre": {{ "version": "1.0.0" }}"#
    ));
    assert_eq!(
        told(&before, &after),
        [
            "@a/new - 0.1.0 transitive added",
            "express 4.18.2 5.0.1 direct major",
            "gone 1.0.0 - transitive removed",
            "jest 29.0.0 29.1.0 direct minor dev",
            "ms 2.0.0 2.0.1 transitive patch",
            "pre 1.0.0-rc.1 1.0.0 transitive prerelease",
            "qs 6.11.0 6.10.0 transitive minor down",
        ]
    );
}

#[test]
fn all_three_versions_of_the_format_say_the_same() {
    let package = br#"{ "dependencies": { "a": "1" } }"#;
    let one = br#"{ "lockfileVersion": 1, "requires": true, "dependencies": {
        "a": { "version": "1.0.0", "requires": { "b": "2" },
               "dependencies": { "b": { "version": "2.0.0" } } },
        "b": { "version": "1.0.0" } } }"#;
    let packages = r#""packages": { "": { "dependencies": { "a": "1" } },
        "node_modules/a": { "version": "1.0.0" }, "node_modules/a/node_modules/b": { "version": "2.0.0" },
        "node_modules/b": { "version": "1.0.0" } }"#;
    let one = parse(one, Some(package)).unwrap();
    let two = format!(r#"{{ "lockfileVersion": 2, {packages}, "dependencies": {{ "a": {{}} }} }}"#);
    let three = format!(r#"{{ "lockfileVersion": 3, {packages} }}"#);
    for same in [two, three] {
        let other = parse(same.as_bytes(), None).unwrap();
        assert_eq!(told(&one, &other), Vec::<String>::new());
        assert_eq!(one.direct, other.direct);
    }
    let changed = br#"{ "lockfileVersion": 1, "dependencies": { "a": { "version": "2.0.0" } } }"#;
    let changed = parse(changed, Some(package)).unwrap();
    assert_eq!(told(&one, &changed)[0], "a 1.0.0 2.0.0 direct major");
}

#[test]
fn a_package_that_only_lies_elsewhere_did_not_change() {
    let a = r#""node_modules/a": { "version": "1.0.0" }, "node_modules/b": { "version": "1.0.0" }"#;
    let before =
        lock3(&format!(r#"{a}, "node_modules/a/node_modules/b": {{ "version": "2.0.0" }}"#));
    let same = lock3(&format!(
        r#"{a}, "node_modules/x": {{ "version": "1.0.0" }},
        "node_modules/x/node_modules/b": {{ "version": "2.0.0" }}"#
    ));
    assert_eq!(told(&before, &same), ["x - 1.0.0 transitive added"]);
    // But what the app itself finds is another one now.
    let turned = lock3(
        r#""node_modules/a": { "version": "1.0.0" }, "node_modules/b": { "version": "2.0.0" },
        "node_modules/a/node_modules/b": { "version": "1.0.0" }"#,
    );
    assert_eq!(told(&before, &turned), ["b 1.0.0 2.0.0 transitive major"]);
}

#[test]
fn a_version_with_another_content_is_a_change() {
    let with = |hash: &str| {
        lock3(&format!(r#""node_modules/a": {{ "version": "1.0.0", "integrity": "{hash}" }}"#))
    };
    let told = told(&with("sha512-x"), &with("sha512-y"));
    assert_eq!(told, ["a 1.0.0 1.0.0 transitive same version, different content"]);
}

#[test]
fn what_does_not_come_from_a_registry_is_told_without_its_password() {
    let at = |commit: &str| {
        lock3(&format!(
            r#""node_modules/a": {{ "version": "1.0.0",
            "resolved": "git+https://bob:secret@git.example/a.git#{commit}" }}"#
        ))
    };
    let told = told(&at("1111"), &at("2222"));
    assert!(told[0].contains("git+https://git.example/a.git#2222"), "{told:?}");
    assert!(!told[0].contains("secret"), "{told:?}");
}

#[test]
fn links_and_workspaces_are_code_of_the_tree() {
    let lock = lock3(
        r#""": {}, "packages/ui": { "version": "1.0.0", "dependencies": { "react": "18" } },
        "node_modules/ui": { "resolved": "packages/ui", "link": true },
        "node_modules/react": { "version": "18.0.0" }"#,
    );
    assert_eq!(told(&Lock::default(), &lock), ["react - 18.0.0 direct added"]);
}

#[test]
fn below_one_the_second_number_breaks() {
    let of = |version: &str| lock3(&format!(r#""node_modules/a": {{ "version": "{version}" }}"#));
    let breaks = |from: &str, to: &str| changes(&of(from), &of(to))[0].breaking();
    assert!(breaks("0.3.0", "0.4.0"));
    assert!(!breaks("0.3.0", "0.3.1"));
    assert!(!breaks("1.3.0", "1.4.0"));
    assert!(breaks("1.3.1", "1.3.0"), "a downgrade");
}

#[test]
fn what_is_no_lock_file_is_refused_with_the_reason() {
    let broken: [&[u8]; 6] = [
        b"",
        b"<<<<<<< HEAD\n{}",
        b"[]",
        b"{}",
        br#"{ "lockfileVersion": 3, "packages": { "node_modules/a": { "version": 1 } } }"#,
        br#"{ "lockfileVersion": 3, "packages": [] }"#,
    ];
    for text in broken {
        assert!(matches!(parse(text, None), Err(LockError::Broken(_))), "{text:?}");
    }
    let unknown = parse(br#"{ "lockfileVersion": 9, "packages": {} }"#, None);
    assert_eq!(unknown, Err(LockError::Unknown(9)));
    let deep = r#"{"dependencies":{"a":"#.repeat(200);
    assert!(parse(deep.as_bytes(), None).is_err());
    let empty = parse(br#"{ "lockfileVersion": 3 }"#, None).unwrap();
    assert_eq!(empty.version, 3);
}
