#![allow(clippy::unwrap_used)]

use super::*;

fn output(text: &str) -> RepoPath {
    RepoPath::new(text).unwrap()
}

fn key(digit: char) -> BuildKey {
    digit.to_string().repeat(64).parse().unwrap()
}

fn store_and_top() -> (tempfile::TempDir, Store, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    std::fs::create_dir_all(top.join("node_modules/a")).unwrap();
    let store = Store { dir: dir.path().join("state/store") };
    (dir, store, top)
}

#[test]
fn a_live_directory_is_known_until_an_entry_is_added_to_it_or_it_is_replaced() {
    let (_dir, store, top) = store_and_top();
    let out = output("node_modules");
    let live = || store.live(&top, std::slice::from_ref(&out), Depth::Shallow).unwrap().remove(0);
    let before = live();
    assert!(!before.known && before.key.as_str().starts_with("seen-"));
    assert_eq!(live(), before, "looking twice finds the same");

    store.note_live(&top, &out, Some(&key('a'))).unwrap();
    assert_eq!(
        live(),
        LiveArtifact { output: out.clone(), key: key('a'), known: true, changed: false }
    );
    std::fs::create_dir(top.join("node_modules/b")).unwrap();
    assert!(!live().known);
    assert_ne!(live().key, before.key);

    store.note_live(&top, &out, Some(&key('b'))).unwrap();
    assert!(live().known);
    std::fs::rename(top.join("node_modules"), top.join("old")).unwrap();
    std::fs::create_dir(top.join("node_modules")).unwrap();
    assert!(!live().known);
    store.note_live(&top, &out, None).unwrap();
    assert!(!live().known);
    std::fs::remove_dir(top.join("node_modules")).unwrap();
    assert_eq!(store.live(&top, std::slice::from_ref(&out), Depth::Shallow).unwrap(), []);
}

#[test]
fn a_damaged_note_means_that_nothing_is_known() {
    let (_dir, store, top) = store_and_top();
    let out = output("node_modules");
    store.note_live(&top, &out, Some(&key('a'))).unwrap();
    std::fs::write(store.live_file(), b"{\"node_modules\": 7").unwrap();
    assert!(!store.live(&top, &[out], Depth::Shallow).unwrap()[0].known);
}

#[test]
fn pruning_removes_the_least_recently_used_and_never_what_must_be_kept() {
    let (_dir, store, _) = store_and_top();
    for (age, digit) in ['a', 'b', 'c', 'd'].into_iter().enumerate() {
        store.spot(&key(digit), &output("dist")).unwrap().make_dir().unwrap();
        let old = SystemTime::now() - std::time::Duration::from_secs(100 - age as u64);
        std::fs::File::open(store.dir.join(key(digit).as_str()))
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    std::fs::create_dir(store.dir.join(format!("{}.tmp-1", key('e')))).unwrap();
    let keep = BTreeSet::from([key('a')]);
    assert_eq!(store.prune(&keep, 2).unwrap(), [key('b'), key('c')]);
    assert!(store.has(&key('a'), &output("dist")) && store.has(&key('d'), &output("dist")));
    let stays = |name: &std::ffi::OsStr| !removal::is_aside(&name.to_string_lossy());
    let names = std::fs::read_dir(&store.dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| stays(name)).count(), 2);
    assert_eq!(store.prune(&keep, 0).unwrap(), [key('d')]);
    assert!(store.has(&key('a'), &output("dist")));
}

#[test]
fn an_empty_key_is_tidied_away_and_a_full_one_is_not() {
    let (_dir, store, _) = store_and_top();
    let out = output("packages/a/dist");
    store.spot(&key('a'), &out).unwrap().make_dir().unwrap();
    store.tidy(&key('a'), &out).unwrap();
    assert!(store.has(&key('a'), &out));
    std::fs::remove_dir(store.place(&key('a'), &out)).unwrap();
    store.tidy(&key('a'), &out).unwrap();
    assert!(!store.dir.join(key('a').as_str()).exists());
    assert!(store.dir.exists());
}
