#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::config::Config;
use crate::model::Digest;
use crate::report::diff::npm_lock;

fn file(path: &str, change: Change, added: u64) -> FileChange {
    let path = RepoPath::new(path).unwrap();
    let (added, deleted) = (Some(added), Some(0));
    FileChange { path, change, was: None, similarity: None, added, deleted }
}

fn config() -> Config {
    let text = "[app]\nname = \"shop\"\n[migrate]\npaths = [\"db/**\"]\n\
                [component.QW-001]\npaths = [\"up/**\"]\n[component.QW-002]\npaths = [\"down/**\"]\n";
    crate::config::parse(text, "gitroll.toml").unwrap()
}

fn hold(hold: Hold) -> Held {
    Held {
        subject: "a".repeat(40).parse().unwrap(),
        hold,
        digest: Digest::of(b"x"),
        writer: "web-1.k3f9".parse().unwrap(),
        seq: "7".parse().unwrap(),
        by: "ana".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
        reason: None,
    }
}

fn told(files: &[FileChange], manifests: &[Manifest], held: &[Held]) -> Vec<(String, String)> {
    let config = config();
    let evidence = Evidence {
        files,
        locks: &[],
        manifests,
        environment: None,
        components: &config.components,
        held,
        kinds: &Kinds::of(Some(&config)),
    };
    rank(&evidence).into_iter().map(|s| (s.what, s.why)).collect()
}

#[test]
fn files_of_a_component_under_hold_come_first() {
    let files = [
        file("db/1.sql", Change::Added, 5),
        file("up/a.js", Change::Modified, 9),
        file("down/a.js", Change::Modified, 1),
    ];
    let component =
        |id: &str| Hold::Component { id: id.parse().unwrap(), content: Digest::of(b"") };
    let held = [hold(component("QW-001")), hold(component("QW-009")), hold(Hold::Commit)];
    let told = told(&files, &[], &held);
    assert_eq!(told[0].0, "QW-001");
    assert_eq!(told[0].1, "1 file of it changed, and #7 holds it");
    let names: Vec<&str> = told.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(names, ["QW-001", "db/1.sql", "down/a.js", "up/a.js"]);
}

#[test]
fn a_manifest_is_suspect_by_its_sections_and_where_no_lock_followed() {
    let before = json!({ "version": "1.0.0", "scripts": { "start": "a" }, "dependencies": {} });
    let only_version =
        json!({ "version": "2.0.0", "scripts": { "start": "a" }, "dependencies": {} });
    assert_eq!(sections(&before, &only_version), Vec::<String>::new());
    let more = json!({ "scripts": { "start": "b" }, "dependencies": { "x": "1" } });
    assert_eq!(sections(&before, &more), ["dependencies", "scripts"]);

    let path = RepoPath::new("package.json").unwrap();
    let manifest = [Manifest { path: path.clone(), sections: Some(sections(&before, &more)) }];
    let package = file("package.json", Change::Modified, 2);
    let alone = told(std::slice::from_ref(&package), &manifest, &[]);
    assert_eq!(alone[0].1, "dependencies, scripts changed and no lock file did");
    let with_lock = [package, file("yarn.lock", Change::Modified, 2)];
    let told = told(&with_lock, &manifest, &[]);
    assert!(told.contains(&("package.json".to_owned(), "scripts changed".to_owned())), "{told:?}");
}

#[test]
fn hundreds_of_transitive_packages_are_one_suspect_that_names_the_worst() {
    let lock = |version: &str, extra: &str| {
        let packages: Vec<String> = (0..300)
            .map(|n| format!("\"node_modules/p{n:03}\": {{ \"version\": \"{version}\" }}"))
            .collect();
        let text = format!(
            "{{ \"lockfileVersion\": 3, \"packages\": {{ {}, \"node_modules/z\": \
             {{ \"version\": \"{extra}\" }} }} }}",
            packages.join(", ")
        );
        npm_lock::parse(text.as_bytes(), None).unwrap()
    };
    let mut packages = npm_lock::changes(&lock("1.0.0", "1.0.0"), &lock("1.0.1", "2.0.0"));
    packages.sort_by_key(|change| !change.breaking());
    let path = RepoPath::new("package-lock.json").unwrap();
    let total = packages.len();
    let change = LockChange { path, summary: None, broken: false, total, packages };
    let suspects = dependencies(&change);
    assert_eq!(suspects.len(), 1);
    assert_eq!(suspects[0].what, "301 transitive packages");
    assert_eq!(suspects[0].why, "1 may break: z, p000, p001, …");
}
