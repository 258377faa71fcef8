//! `gitroll fsck`: finds what was done to records, tags and notes, and writes back what can be.

use std::fs;

use crate::support::*;
use serde_json::Value;

fn serving(host: &TestEnvironment) -> Scenario<'_> {
    let config = AppConfig::default().without_builds().settle(1, "200ms").timeout("4s");
    Scenario::serving(host, Fixture::Plain, &config)
}

fn findings(answer: &Answer) -> Vec<(String, bool)> {
    let list = answer.json()["result"]["findings"].as_array().cloned().unwrap_or_default();
    let word = |finding: &Value| finding["kind"].as_str().unwrap_or_default().to_owned();
    list.iter().map(|f| (word(f), f["repairable"] == true)).collect()
}

/// Removes the only copy of a loose object.
fn lose(s: &Scenario<'_>, id: &str) {
    let path = s.app.dir.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn what_was_done_to_tags_and_notes_is_found_and_written_back() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let whole = host.gitroll(&["fsck"]);
    whole.exit(0).stdout_has("nothing is wrong").stdout_has("web-1").stdout_has("records");

    let records: Vec<String> =
        s.app.git(&["tag", "--list", "gitroll/*"]).lines().map(str::to_owned).collect();
    let [first, second, ..] = records.as_slice() else { panic!("{records:?}") };
    let stable = s.app.git(&["rev-parse", "refs/tags/v1.0.0-stable"]);
    let before = s.app.git(&["for-each-ref", "refs/tags", "refs/notes"]);
    s.app.git(&["tag", "-d", first]);
    s.app.git(&["tag", "-f", second, "HEAD"]);
    s.app.git(&["tag", "-d", "v1.0.0-stable"]);
    lose(&s, &stable);
    let notes = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/notes"]);
    s.app.git(&["update-ref", "-d", notes.trim()]);
    s.app.git(&["tag", "gitroll/production/nobody/1-init", "HEAD"]);

    let found = host.gitroll(&["fsck"]);
    found.exit(10).stdout_has(&format!("the tag {first} is gone"));
    found.stdout_has(&format!("the tag {second} is not the record's"));
    found.stdout_has("the stable tag v1.0.0-stable is gone").stdout_has("the note of");
    found.stdout_has("no record creates the tag gitroll/production/nobody/1-init");
    found.stderr_has("gitroll fsck --repair");
    let planned = host.gitroll(&["fsck", "--repair", "--plan"]);
    planned.exit(10).stdout_has("gitroll fsck --repair restores it");
    s.app.git(&["tag", "-d", "gitroll/production/nobody/1-init"]);

    host.gitroll(&["fsck", "--repair"])
        .exit(0)
        .stdout_has(&format!("the tag {first} is gone, repaired"));
    let refs = |text: &str| -> Vec<String> {
        let tags = text.lines().filter(|line| line.contains("refs/tags/"));
        tags.map(str::to_owned).collect()
    };
    let after = s.app.git(&["for-each-ref", "refs/tags", "refs/notes"]);
    assert_eq!(refs(&after), refs(&before), "tags are the very same objects again");
    assert!(after.contains("refs/notes/"), "{after}");
    assert_eq!(s.app.git(&["cat-file", "-t", "v1.0.0-stable"]), "tag");
    host.gitroll(&["fsck", "--all"]).exit(0);

    // The object of a record's tag is lost: git itself cannot list tags any more.
    let id = s.app.git(&["rev-parse", &format!("refs/tags/{first}")]);
    lose(&s, &id);
    let broken = s.app.try_git(&["for-each-ref", "--format=%(objecttype)", "refs/tags"]);
    assert_ne!(broken.code, Some(0), "{broken:?}");
    let lost = host.gitroll(&["fsck", "--json"]);
    assert_eq!(findings(lost.exit(10)), [("record-tag".to_owned(), true)]);
    host.gitroll(&["fsck", "--repair"]).exit(0);
    s.app.git(&["for-each-ref", "--format=%(objecttype)", "refs/tags"]);
}

#[test]
fn a_name_that_is_taken_stops_one_tag_and_is_told() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let records = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll"]);
    let writer = records.trim().rsplit('/').next().expect("a writer").to_owned();
    let shown = host.gitroll(&["show", "--json"]).exit(0).json();
    let next = shown["result"]["record"]["seq"].as_u64().expect("a number") + 1;
    let name = format!("gitroll/production/{writer}/{next}-deploy");
    s.app.git(&["tag", &format!("{name}/x"), "HEAD"]);

    let told = s.release("1.1.0", Behaviour::Good);
    told.exit(0).stderr_has(&format!("the tag {name} cannot be created"));
    told.stderr_has(&format!("{name}/x is in the way"));
    host.gitroll(&["doctor"]).stdout_has("cannot be created");
    // The next record has its tag all the same.
    s.release("1.2.0", Behaviour::Good).exit(0);
    let tags = s.app.git(&["tag", "--list", "gitroll/*"]);
    assert!(tags.contains(&format!("{}-deploy", next + 1)), "{tags}");

    let found = host.gitroll(&["fsck"]);
    found.exit(10).stdout_has(&format!("git tag -d {name}/x"));
    s.app.git(&["tag", "-d", &format!("{name}/x")]);
    host.gitroll(&["fsck", "--repair"]).exit(0);
    s.app.git(&["cat-file", "tag", &name]);
    s.release("1.3.0", Behaviour::Good).exit(0).stderr_lacks("cannot be created");
}

#[test]
fn damaged_chains_and_lost_objects_are_named() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let chain = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll"]);
    let chain = chain.trim();
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["fsck"]).exit(0);

    // The evidence beside a record: only a look at everything finds what was right before.
    let evidence = s.app.git(&["rev-parse", &format!("{chain}~1:evidence")]);
    let path = s.app.dir.join(".git/objects").join(&evidence[..2]).join(&evidence[2..]);
    let kept = fs::read(&path).expect("a loose object");
    fs::remove_file(&path).unwrap();
    host.gitroll(&["fsck"]).exit(0);
    let lost = host.gitroll(&["fsck", "--all", "--json"]);
    assert_eq!(findings(lost.exit(10)), [("evidence".to_owned(), false)]);
    fs::write(&path, kept).unwrap();

    // A file of the version that `back` would put in place.
    let lost = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}:package.json"]);
    lose(&s, &lost);
    let target = host.gitroll(&["fsck"]);
    target.exit(10).stdout_has("gitroll back would deploy").stdout_has(&lost);
    target.stdout_has("git fetch");

    // A chain that was moved back is one that this host has seen to be longer.
    let head = s.app.git(&["rev-parse", chain]);
    s.app.git(&["update-ref", chain, &format!("{chain}~1")]);
    let shorter = host.gitroll(&["fsck", "--json"]);
    assert!(findings(shorter.exit(10)).contains(&("rewritten".to_owned(), true)), "{shorter:?}");
    s.app.git(&["update-ref", chain, &head]);

    // A key that is no longer trusted.
    let trust = host.binding_dir().join("trust");
    let keys = fs::read(&trust).unwrap();
    fs::write(&trust, "").unwrap();
    let untrusted = host.gitroll(&["fsck", "--json"]);
    assert!(findings(untrusted.exit(10)).contains(&("untrusted".to_owned(), false)));
    fs::write(&trust, keys).unwrap();
}

#[test]
fn what_was_kept_for_the_way_back_is_missed() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "200ms").timeout("4s");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["fsck"]).exit(0);
    let evidence = host.gitroll(&["show", "2", "--json"]).exit(0).json();
    let artifact = &evidence["result"]["evidence"]["artifacts"][0];
    let (key, output) = (artifact["key"].as_str().unwrap(), artifact["output"].as_str().unwrap());
    let place = s.app.dir.join(".git/gitroll/store").join(key);
    fs::rename(&place, host.path("aside")).unwrap();
    let lost = host.gitroll(&["fsck"]);
    lost.exit(10).stdout_has("which gitroll back would deploy").stdout_has(output);
    lost.stdout_has("is not kept any more: it would be built");
    fs::rename(host.path("aside"), &place).unwrap();
    host.gitroll(&["fsck"]).exit(0);
}
