//! What breaks a seal and what does not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;
use crate::system::removal;

struct Kept {
    _dir: tempfile::TempDir,
    store: Store,
    top: PathBuf,
}

fn out() -> RepoPath {
    RepoPath::new("dist").unwrap()
}

fn key() -> BuildKey {
    "a".repeat(64).parse().unwrap()
}

/// Later than all before, also for a clock that ticks slowly.
fn later() {
    std::thread::sleep(Duration::from_millis(20));
}

impl Kept {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, top) = (Store { dir: dir.path().join("store") }, dir.path().join("top"));
        let kept = Self { store, top, _dir: dir };
        fs::create_dir(&kept.top).unwrap();
        kept.fill(&kept.place());
        kept.store.seal_kept(&key(), &out()).unwrap();
        later();
        kept
    }

    fn fill(&self, place: &Path) {
        fs::create_dir_all(place.join("deep/er")).unwrap();
        fs::create_dir_all(place.join(".cache/tool")).unwrap();
        fs::write(place.join(".cache/tool/x"), "1").unwrap();
        for number in 0..20 {
            fs::write(place.join(format!("deep/er/{number}")), "built").unwrap();
        }
        std::os::unix::fs::symlink("deep", place.join("link")).unwrap();
    }

    fn place(&self) -> PathBuf {
        self.store.place(&key(), &out())
    }

    fn file(&self) -> PathBuf {
        self.place().join("deep/er/1")
    }

    fn intact(&self) -> bool {
        self.store.keeps(&key(), &out(), Depth::Deep).unwrap()
    }
}

/// Whether the artifact counts as what was built after this was done to it.
fn intact_after(change: impl Fn(&Kept)) -> bool {
    let kept = Kept::new();
    assert!(kept.intact());
    change(&kept);
    kept.intact()
}

/// The file's bytes, put there so that size and time of the content are as before.
fn edit_unseen(file: &Path) {
    let before = file.metadata().unwrap().modified().unwrap();
    fs::write(file, "mined").unwrap();
    fs::File::options().write(true).open(file).unwrap().set_modified(before).unwrap();
}

#[test]
fn an_edit_shows_however_it_was_made() {
    assert!(!intact_after(|k| fs::write(k.file(), "mine").unwrap()));
    assert!(!intact_after(|k| fs::write(k.file(), "mined").unwrap()), "the same size");
    assert!(!intact_after(|k| edit_unseen(&k.file())), "the same size and time");
    assert!(!intact_after(|k| {
        fs::write(k.place().join("new"), "mined").unwrap();
        fs::rename(k.place().join("new"), k.file()).unwrap();
    }));
    assert!(!intact_after(|k| {
        let now = std::time::SystemTime::now();
        fs::File::options().write(true).open(k.file()).unwrap().set_modified(now).unwrap();
    }));
    let mode = fs::Permissions::from_mode(0o755);
    assert!(!intact_after(|k| fs::set_permissions(k.file(), mode.clone()).unwrap()));
    assert!(!intact_after(|k| {
        fs::set_permissions(k.place().join("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    }));
    assert!(!intact_after(|k| fs::remove_file(k.file()).unwrap()));
    assert!(!intact_after(|k| fs::rename(k.file(), k.place().join("moved")).unwrap()));
    assert!(!intact_after(|k| {
        fs::rename(k.place().join("deep/er"), k.place().join("deep/other")).unwrap();
    }));
    assert!(!intact_after(|k| {
        fs::remove_file(k.place().join("link")).unwrap();
        std::os::unix::fs::symlink("elsewhere", k.place().join("link")).unwrap();
    }));
}

#[test]
fn what_is_added_below_a_cache_or_done_to_the_whole_breaks_nothing() {
    assert!(intact_after(|k| fs::write(k.place().join("deep/er/__pycache__"), "").unwrap()));
    assert!(intact_after(|k| fs::create_dir(k.place().join("more")).unwrap()));
    assert!(intact_after(|k| fs::write(k.place().join(".cache/tool/x"), "2").unwrap()));
    assert!(intact_after(|k| fs::remove_dir_all(k.place().join(".cache")).unwrap()));
    assert!(intact_after(|k| {
        // Swapped with what serves, and back.
        fs::create_dir(k.top.join("dist")).unwrap();
        files::exchange(&k.place(), &k.top.join("dist")).unwrap();
        files::exchange(&k.place(), &k.top.join("dist")).unwrap();
    }));
    assert!(intact_after(|k| {
        // As `chown -R` to the owner that it has.
        for number in 0..20 {
            let file = k.place().join(format!("deep/er/{number}"));
            fs::set_permissions(&file, file.metadata().unwrap().permissions()).unwrap();
        }
        let (place, uid) = (k.place().join("link"), rustix::process::geteuid().as_raw());
        std::os::unix::fs::lchown(place, Some(uid), None).unwrap();
    }));
}

#[test]
fn a_link_made_from_elsewhere_breaks_nothing_where_package_managers_link() {
    let kept = Kept::new();
    fs::hard_link(kept.file(), kept.top.join("of-another-package")).unwrap();
    fs::remove_file(kept.store.seals_file()).unwrap();
    kept.store.seal_kept(&key(), &out()).unwrap();
    later();
    fs::hard_link(kept.file(), kept.top.join("of-a-third")).unwrap();
    assert!(kept.intact());
    fs::write(kept.top.join("of-a-third"), "mined").unwrap();
    assert!(!kept.intact(), "an edit through another name is an edit");
}

#[test]
fn another_directory_in_its_place_is_not_what_was_built() {
    let kept = Kept::new();
    fs::rename(kept.place(), kept.top.join("aside")).unwrap();
    kept.fill(&kept.place());
    assert!(!kept.intact());
}

#[test]
fn without_seals_or_in_a_copy_of_the_whole_store_only_a_light_look_counts() {
    let kept = Kept::new();
    fs::write(kept.file(), "mine").unwrap();
    assert!(!kept.intact());
    let copy = Store { dir: kept.top.join("copy") };
    files::copy_tree(&kept.store.dir, &copy.dir).unwrap();
    assert!(copy.keeps(&key(), &out(), Depth::Deep).unwrap());
    fs::write(kept.store.seals_file(), "{\"keys\": 7").unwrap();
    assert!(kept.intact());
    fs::remove_file(kept.store.seals_file()).unwrap();
    assert!(kept.intact());
}

#[test]
fn a_copy_is_as_good_as_what_it_was_made_of() {
    let kept = Kept::new();
    let live = |name: &str| DirEntryAt::try_from(kept.top.join(name).as_path()).unwrap();
    let from = kept.store.spot_kept(&key(), &out()).unwrap().unwrap();
    let copied = |name: &str| {
        from.copy(&live(name)).unwrap();
        kept.store.seal_copy(&key(), &out(), &from, &live(name)).unwrap();
        kept.store.is_changed(&key(), &out(), &live(name)).unwrap()
    };
    assert!(!copied("one"));
    assert!(kept.intact(), "each copy has a seal of its own");
    edit_unseen(&kept.file());
    assert!(copied("two"));
}

#[test]
fn what_is_built_anew_takes_the_place_of_what_was_changed_and_of_nothing_else() {
    let kept = Kept::new();
    let build = |text: &str| {
        let incoming = kept.store.incoming(&key()).unwrap();
        fs::create_dir(incoming.join("dist")).unwrap();
        fs::write(incoming.join("dist/new"), text).unwrap();
        kept.store.accept(&key(), &incoming, [&out()]).unwrap();
    };
    build("unneeded");
    assert!(kept.file().exists() && kept.intact());
    fs::write(kept.file(), "mine").unwrap();
    build("anew");
    assert_eq!(fs::read_to_string(kept.place().join("new")).unwrap(), "anew");
    assert!(!kept.file().exists() && kept.intact());
    kept.store.sweep().unwrap();
    let names = fs::read_dir(&kept.store.dir).unwrap().map(|entry| entry.unwrap().file_name());
    let stay = names.filter(|name| !removal::is_aside(&name.to_string_lossy()));
    assert_eq!(stay.count(), 2, "the key and the seals");
}

#[test]
fn a_live_artifact_that_was_edited_in_depth_does_not_stand_for_its_key() {
    let kept = Kept::new();
    fs::rename(kept.place(), kept.top.join("dist")).unwrap();
    kept.store.note_live(&kept.top, &out(), Some(&key())).unwrap();
    let live = |look| kept.store.live(&kept.top, &[out()], look).unwrap().remove(0);
    assert!(live(Depth::Deep).known);
    let mut keys = Vec::new();
    for text in ["mine", "yours"] {
        later();
        fs::write(kept.top.join("dist/deep/er/1"), text).unwrap();
        let close = live(Depth::Deep);
        assert!(live(Depth::Shallow).known && !close.known && close.changed);
        keys.push(close.key);
    }
    assert_ne!(keys[0], keys[1]);
    let evidence = ArtifactEvidence { group: None, output: out(), key: key() };
    assert_eq!(kept.store.changed(&kept.top, &[evidence]).unwrap(), [out()]);
    // Forgotten with the artifact, not before.
    kept.store.prune(&Default::default(), 0).unwrap();
    assert!(live(Depth::Deep).changed);
    kept.store.note_live(&kept.top, &out(), None).unwrap();
    kept.store.prune(&Default::default(), 0).unwrap();
    assert_eq!(kept.store.seals().unwrap().keys.len(), 0);
}
