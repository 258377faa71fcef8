//! From any tree to any other and back, exactly, with junk around, twice, and killed anywhere.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::layout::testing::{App, Node, Tree, files, path};
use crate::layout::{Commits, LayoutError, RunPlaces, converge_back, converge_forward, stage};
use crate::model::{Activation, Oid};
use crate::system::files::fault;

fn node() -> impl Strategy<Value = Node> {
    let bytes = prop::collection::vec(prop::sample::select(b"ab\n\r\0\xff".to_vec()), 0..4);
    prop_oneof![
        5 => bytes.clone().prop_map(Node::File),
        2 => bytes.prop_map(Node::Program),
        1 => prop::sample::select(vec!["a", "../x", "/nowhere", "b/c"])
            .prop_map(|t| Node::Link(t.to_owned())),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "d.ign"]);
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

/// A tree git can hold: nothing below a file.
fn tree() -> impl Strategy<Value = Tree> {
    prop::collection::vec((name(), node()), 0..9).prop_map(|nodes| {
        let mut tree = Tree::new();
        for (name, node) in nodes {
            let clash = tree.keys().any(|other: &String| {
                other.starts_with(&format!("{name}/")) || name.starts_with(&format!("{other}/"))
            });
            if !clash {
                tree.insert(name, node);
            }
        }
        tree
    })
}

/// What people and programs do to a work tree.
fn junk() -> impl Strategy<Value = Vec<(String, Option<Node>)>> {
    let node = prop_oneof![
        4 => node(),
        2 => Just(Node::Directory),
        1 => Just(Node::Fifo),
    ];
    prop::collection::vec((name(), prop::option::weighted(0.8, node)), 0..6)
}

fn mess_up(app: &App, junk: &[(String, Option<Node>)]) {
    for (name, node) in junk {
        match node {
            Some(node) => app.put(name, node),
            None => app.remove(name),
        }
    }
}

/// What must lie there afterwards: what was there, less the tracked, less what was saved, and the
/// target.
fn expected(app: &App, before: &Tree, activation: &Activation, to: &Oid) -> BTreeMap<String, Node> {
    let mut wanted: Tree = before.clone();
    wanted.retain(|name, node| {
        let here = path(name);
        *node != Node::Directory
            && !activation.changes.iter().any(|c| c.path == here)
            && !activation.saves.iter().any(|s| here.starts_with(&s.path))
    });
    wanted.extend(app.tree(to));
    wanted
}

fn without_directories(tree: &Tree) -> Tree {
    tree.iter()
        .filter(|(_, n)| **n != Node::Directory)
        .map(|(p, n)| (p.clone(), n.clone()))
        .collect()
}

fn check_every_way(
    app: &App,
    from: &Tree,
    to: &Tree,
    junk: &[(String, Option<Node>)],
    kills: usize,
) {
    let to = app.commit(to);
    let from = app.commit(from);
    mess_up(app, junk);
    let before = app.snapshot();
    let edited = app.edited(&from);
    let declared = crate::layout::testing::patterns(&[]);
    let none = crate::layout::LocalFiles::of(&app.git, &declared);
    let observed = crate::layout::observe_activation(
        &app.git,
        Commits { from: &from, to: &to, head: &from },
        &edited,
        &none,
        &[],
        Vec::new(),
    );
    let activation = match observed {
        Ok(observed) => observed.activation,
        // A link where a directory is needed: refused, nothing touched.
        Err(LayoutError::Unsafe { .. }) => {
            assert_eq!(app.snapshot(), before);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let wanted = expected(app, &before, &activation, &to);
    let forward = |places: &RunPlaces| converge_forward(&app.git, &app.store, places, &activation);
    let back = |places: &RunPlaces| converge_back(&app.git, &app.store, places, &activation);

    for kill in 0..kills {
        let places = app.run();
        fault::arm(kill);
        let first = forward(&places);
        let met = fault::disarm();
        assert!(first.is_ok() || met, "failed by itself: {first:?}");
        // Killed, then killed again on the way back, then back.
        fault::arm(kill / 2);
        let _ = back(&places);
        fault::disarm();
        back(&places).unwrap();
        assert_eq!(app.snapshot(), before, "back after a kill at change {kill}");
        back(&places).unwrap();
        assert_eq!(app.snapshot(), before, "back twice");
        assert!(!places.saved.exists(), "nothing is left in the saved files");

        // Killed, then forward again, twice.
        let places = app.run();
        fault::arm(kill);
        let _ = forward(&places);
        fault::disarm();
        forward(&places).unwrap();
        let after = app.snapshot();
        assert_eq!(without_directories(&after), wanted, "forward after a kill at change {kill}");
        forward(&places).unwrap();
        assert_eq!(app.snapshot(), after, "forward twice");
        back(&places).unwrap();
        assert_eq!(app.snapshot(), before, "and back");
        assert!(!later(&places).exists(), "nothing was in the way of going back");
        if first.is_ok() {
            return;
        }
    }
}

fn later(places: &RunPlaces) -> std::path::PathBuf {
    places.saved.with_file_name(format!("{}-later", places.run))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_tree_becomes_any_other_and_goes_back_exactly_wherever_it_is_killed(
        from in tree(), to in tree(), junk in junk(),
    ) {
        check_every_way(&App::new(), &from, &to, &junk, 200);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_same_holds_where_gitrolls_state_is_on_another_file_system(
        from in tree(), to in tree(), junk in junk(),
    ) {
        if let Some(app) = App::over_two_file_systems() {
            check_every_way(&app, &from, &to, &junk, 40);
        }
    }
}

#[test]
fn a_local_edit_an_untracked_and_an_ignored_file_are_put_aside_and_come_back() {
    let app = App::new();
    let to =
        app.commit(&files(&[("a", "2"), ("new", "2"), ("x.ign", "2"), (".gitignore", "*.ign")]));
    let from = app.commit(&files(&[("a", "1"), (".gitignore", "*.ign")]));
    mess_up(
        &app,
        &[
            ("a".to_owned(), Some(Node::File(b"mine".to_vec()))),
            ("new".to_owned(), Some(Node::Directory)),
            ("new/inside".to_owned(), Some(Node::File(b"deep".to_vec()))),
            ("x.ign".to_owned(), Some(Node::Fifo)),
        ],
    );
    let before = app.snapshot();
    let observed = app.observe(&from, &to);
    let saves: Vec<(String, &str)> =
        observed.activation.saves.iter().map(|s| (s.path.to_string(), s.what.as_str())).collect();
    assert_eq!(
        saves,
        [
            ("a".to_owned(), "edited"),
            ("new".to_owned(), "untracked"),
            ("x.ign".to_owned(), "ignored")
        ]
    );
    let places = app.run();
    converge_forward(&app.git, &app.store, &places, &observed.activation).unwrap();
    assert_eq!(app.snapshot(), app.tree(&to));
    assert_eq!(std::fs::read(places.saved.join("a")).unwrap(), b"mine");
    assert_eq!(std::fs::read(places.saved.join("new/inside")).unwrap(), b"deep");
    converge_back(&app.git, &app.store, &places, &observed.activation).unwrap();
    assert_eq!(app.snapshot(), before);
}

#[test]
fn what_is_right_already_is_neither_saved_nor_written() {
    let app = App::new();
    let to = app.commit(&files(&[("a", "2"), ("new", "2")]));
    let from = app.commit(&files(&[("a", "1")]));
    app.put("a", &Node::File(b"2".to_vec()));
    app.put("new", &Node::File(b"2".to_vec()));
    let observed = app.observe(&from, &to);
    assert_eq!(observed.activation, Activation::default());
}

#[test]
fn a_file_declared_local_keeps_its_edits_and_an_environment_file_is_never_replaced_or_removed() {
    let app = App::new();
    let to =
        app.commit(&files(&[("conf.json", "2"), (".env", "OLD=1"), ("api/.env.local", "OLD=1")]));
    let from = app.commit(&files(&[("conf.json", "1"), ("carried", "1")]));
    app.put("conf.json", &Node::File(b"host".to_vec()));
    app.put(".env", &Node::File(b"LIVE=1".to_vec()));
    app.put("api/.env.local", &Node::File(b"LIVE=2".to_vec()));
    let before = app.snapshot();
    let observed = app.observe_with(&from, &to, &["conf.json"], &["carried"], Vec::new());
    assert_eq!(observed.activation.changes, []);
    assert_eq!(observed.activation.saves, []);
    assert_eq!(observed.activation.kept.len(), 4);
    assert_eq!(
        observed.warnings,
        [
            "the target tracks .env: the file on this host stays",
            "the target tracks api/.env.local: the file on this host stays",
            "the target no longer tracks carried: the file on this host stays",
        ]
    );
    let places = app.run();
    converge_forward(&app.git, &app.store, &places, &observed.activation).unwrap();
    assert_eq!(app.snapshot(), before);
}

#[test]
fn a_tracked_environment_file_that_nobody_edited_follows_the_tree() {
    let app = App::new();
    let to = app.commit(&files(&[(".env", "A=2"), (".env.example", "A=")]));
    let from = app.commit(&files(&[(".env", "A=1"), (".env.example", "A=\nB=")]));
    let observed = app.observe_with(&from, &to, &[], &[".env"], Vec::new());
    let places = app.run();
    converge_forward(&app.git, &app.store, &places, &observed.activation).unwrap();
    assert_eq!(app.snapshot(), app.tree(&to));
    assert_eq!(observed.warnings, [""; 0]);
}

#[test]
fn a_symbolic_link_in_place_of_a_directory_is_refused_and_what_it_points_to_untouched() {
    let app = App::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), "theirs").unwrap();
    let to = app.commit(&files(&[("d/f", "2"), ("d/g", "2")]));
    let from = app.commit(&files(&[("d/f", "1")]));
    // Planned while all was well, the link planted later.
    let activation = app.observe(&from, &to).activation;
    app.put("d", &Node::Link(outside.path().to_str().unwrap().to_owned()));
    let refused = converge_forward(&app.git, &app.store, &app.run(), &activation).unwrap_err();
    assert!(matches!(refused, LayoutError::Unsafe { .. }), "{refused}");

    let edited = app.edited(&from);
    let declared = crate::layout::testing::patterns(&[]);
    let none = crate::layout::LocalFiles::of(&app.git, &declared);
    let observed = crate::layout::observe_activation(
        &app.git,
        Commits { from: &from, to: &to, head: &from },
        &edited,
        &none,
        &[],
        Vec::new(),
    );
    let refused = observed.unwrap_err().to_string();
    assert!(refused.starts_with("d: is a symbolic link"), "{refused}");
    assert_eq!(std::fs::read(outside.path().join("f")).unwrap(), b"theirs");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_changes_between_plan_and_activation_ends_the_run_and_is_not_lost() {
    let app = App::new();
    let to = app.commit(&files(&[("a", "2"), ("b", "2")]));
    let from = app.commit(&files(&[("a", "1"), ("gone", "1")]));
    for (name, node) in [
        ("a", Node::File(b"late edit".to_vec())),
        ("b", Node::Fifo),
        ("gone", Node::Link("/etc/passwd".to_owned())),
    ] {
        app.commit(&app.tree(&from));
        let activation = app.observe(&from, &to).activation;
        app.put(name, &node);
        let before = app.snapshot();
        let places = app.run();
        let error = converge_forward(&app.git, &app.store, &places, &activation).unwrap_err();
        assert!(error.to_string().contains("changed since the plan was made"), "{error}");
        assert_eq!(app.snapshot().get(name), before.get(name));
        converge_back(&app.git, &app.store, &places, &activation).unwrap();
        let kept = app.snapshot().get(name) == before.get(name)
            || later(&places).join(name).exists()
            || later(&places).join(name).is_symlink();
        assert!(kept, "{name} was lost");
    }
}

#[test]
fn what_the_new_version_wrote_in_the_meantime_is_not_lost_on_the_way_back() {
    let app = App::new();
    let to = app.commit(&files(&[("data.json", "{}"), ("d/x", "2")]));
    let from = app.commit(&files(&[("data.json", "{old}"), ("d", "a file")]));
    let activation = app.observe(&from, &to).activation;
    let before = app.snapshot();
    let places = app.run();
    converge_forward(&app.git, &app.store, &places, &activation).unwrap();
    app.put("data.json", &Node::File(b"{orders: 3}".to_vec()));
    app.put("d/upload", &Node::File(b"cat".to_vec()));
    converge_back(&app.git, &app.store, &places, &activation).unwrap();
    assert_eq!(app.snapshot(), before);
    assert_eq!(std::fs::read(later(&places).join("data.json")).unwrap(), b"{orders: 3}");
    assert_eq!(std::fs::read(later(&places).join("d/upload")).unwrap(), b"cat");
}

#[test]
fn an_empty_directory_that_was_there_before_is_there_after_going_back() {
    let app = App::new();
    let to = app.commit(&files(&[("logs/.keep", ""), ("tmp/deep/.keep", "")]));
    let from = app.commit(&Tree::new());
    app.put("logs", &Node::Directory);
    let before = app.snapshot();
    let activation = app.observe(&from, &to).activation;
    let places = app.run();
    converge_forward(&app.git, &app.store, &places, &activation).unwrap();
    converge_back(&app.git, &app.store, &places, &activation).unwrap();
    assert_eq!(app.snapshot(), before);
}

#[test]
fn files_get_the_blobs_exact_bytes_whatever_attributes_and_filters_say() {
    let app = App::new();
    let attributes = "* text eol=crlf\n*.x filter=evil ident\n";
    let to = app.commit(&files(&[("a.x", "1\n$Id$\n")]));
    let from = app.commit(&files(&[(".keep", "")]));
    app.put(".gitattributes", &Node::File(attributes.as_bytes().to_vec()));
    crate::layout::testing::run_git(
        &app.top,
        &["config", "filter.evil.smudge", "touch /evil; cat"],
    );
    let activation = app.observe(&from, &to).activation;
    converge_forward(&app.git, &app.store, &app.run(), &activation).unwrap();
    assert_eq!(std::fs::read(app.top.join("a.x")).unwrap(), b"1\n$Id$\n");
}

#[test]
fn a_directory_that_may_not_be_written_gives_an_error_that_names_the_file() {
    let app = App::new();
    let to = app.commit(&files(&[("d/a", "2")]));
    let from = app.commit(&files(&[("d/a", "1")]));
    let activation = app.observe(&from, &to).activation;
    let missing = RunPlaces { temporary: "/proc/nowhere/tmp".into(), ..app.run() };
    let error = converge_forward(&app.git, &app.store, &missing, &activation).unwrap_err();
    assert!(matches!(&error, LayoutError::Io { path, .. } if path.starts_with("/proc/nowhere")));
    assert_eq!(app.snapshot(), {
        let mut tree = app.tree(&from);
        tree.insert("d".to_owned(), Node::Directory);
        tree
    });
}

/// Ten times the files, compared in one run: only a slip in order of growth is caught here.
#[test]
fn the_cost_of_a_swap_grows_with_the_files_and_no_faster() {
    let cost = |files: usize| {
        let app = App::new();
        let tree = |text: &str| -> Tree {
            (0..files)
                .map(|n| {
                    (format!("d{}/e/f{n}", n % 100), Node::File(format!("{text}{n}").into_bytes()))
                })
                .collect()
        };
        let to = app.commit(&tree("two"));
        let from = app.commit(&tree("one"));
        let dir = tempfile::tempdir_in(crate::layout::testing::memory()).unwrap();
        let begun = std::time::Instant::now();
        stage(&app.git, &to, &dir.path().join("stage")).unwrap();
        let activation = app.observe(&from, &to).activation;
        let places = app.run();
        converge_forward(&app.git, &app.store, &places, &activation).unwrap();
        assert_eq!(without_directories(&app.snapshot()), app.tree(&to));
        begun.elapsed().as_secs_f64()
    };
    let (few, many) = (cost(800), cost(8_000));
    assert!(many < few * 50.0, "800 files {few} s, 8,000 files {many} s");
}

#[test]
fn only_what_lay_there_when_the_run_began_is_ever_put_aside() {
    let app = App::new();
    let to = app.commit(&files(&[("new", "2")]));
    let from = app.commit(&files(&[("a", "1")]));
    app.put("new", &Node::File(b"mine".to_vec()));
    let activation = app.observe(&from, &to).activation;
    let places = app.run();
    converge_forward(&app.git, &app.store, &places, &activation).unwrap();
    // Someone fetched the saved file; the run is resumed, then aborted.
    std::fs::remove_file(places.saved.join("new")).unwrap();
    converge_forward(&app.git, &app.store, &places, &activation).unwrap();
    assert!(!places.saved.join("new").exists(), "the target's own file was taken for a saved one");
}

/// Artifacts change places whole, once, and find their way from every state in between.
mod artifacts {
    use std::fs;

    use crate::build::Depth;
    use crate::layout::testing::{App, Node, files, key, path};
    use crate::layout::{LayoutError, RunPlaces, converge_back, converge_forward, tracked_outputs};
    use crate::model::{Activation, ArtifactMove};
    use crate::system::files::fault;

    const OUTPUT: &str = "packages/web/node_modules";

    /// What is at the live place and in the store under `a` (what serves first) and `b` (what comes).
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Lying {
        live: Option<String>,
        a: Option<String>,
        b: Option<String>,
    }

    fn lying(app: &App) -> Lying {
        let marker = |dir: std::path::PathBuf| fs::read_to_string(dir.join("deep/marker")).ok();
        Lying {
            live: marker(app.top.join(OUTPUT)),
            a: marker(app.store.place(&key('a'), &path(OUTPUT))),
            b: marker(app.store.place(&key('b'), &path(OUTPUT))),
        }
    }

    fn state(live: Option<&str>, a: Option<&str>, b: Option<&str>) -> Lying {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Lying { live: owned(live), a: owned(a), b: owned(b) }
    }

    fn make(dir: &std::path::Path, marker: &str) {
        fs::create_dir_all(dir.join("deep")).unwrap();
        fs::write(dir.join("deep/marker"), marker).unwrap();
    }

    fn activation(incoming: bool, outgoing: bool) -> Activation {
        let artifact = ArtifactMove {
            output: path(OUTPUT),
            incoming: incoming.then(|| key('b')),
            outgoing: outgoing.then(|| key('a')),
        };
        Activation { artifacts: vec![artifact], ..Activation::default() }
    }

    /// An app where `old` serves as `a` and `new` is kept as `b`, as far as asked for.
    fn prepare(app: &App, incoming: bool, outgoing: bool) {
        app.commit(&files(&[("package.json", "{}")]));
        let _ = fs::remove_dir_all(&app.store.dir);
        if outgoing {
            make(&app.top.join(OUTPUT), "old");
            app.store.note_live(&app.top, &path(OUTPUT), Some(&key('a'))).unwrap();
        }
        if incoming {
            make(&app.store.place(&key('b'), &path(OUTPUT)), "new");
        }
    }

    fn no_leftovers(app: &App) {
        let stray: Vec<String> =
            app.snapshot().into_keys().filter(|name| name.contains(".gitroll")).collect();
        assert_eq!(stray, [""; 0]);
    }

    fn check_every_kill(app: &App, incoming: bool, outgoing: bool) {
        let activation = activation(incoming, outgoing);
        let forward =
            |places: &RunPlaces| converge_forward(&app.git, &app.store, places, &activation);
        let back = |places: &RunPlaces| converge_back(&app.git, &app.store, places, &activation);
        let before = state(outgoing.then_some("old"), None, incoming.then_some("new"));
        let after = state(incoming.then_some("new"), outgoing.then_some("old"), None);
        let live_key = || {
            let live = app.store.live(&app.top, &[path(OUTPUT)], Depth::Deep).unwrap();
            live.into_iter().find(|l| l.known).map(|l| l.key)
        };
        prepare(app, incoming, outgoing);
        for kill in 0..200 {
            let places = app.run();
            fault::arm(kill);
            let first = forward(&places);
            fault::disarm();
            fault::arm(kill / 2);
            let _ = back(&places);
            fault::disarm();
            for _ in 0..2 {
                back(&places).unwrap();
                assert_same(&lying(app), &before, "back", kill);
                assert_eq!(live_key(), outgoing.then(|| key('a')), "kill {kill}");
            }
            let places = app.run();
            fault::arm(kill);
            let _ = forward(&places);
            fault::disarm();
            for _ in 0..2 {
                forward(&places).unwrap();
                assert_same(&lying(app), &after, "forward", kill);
                assert_eq!(live_key(), incoming.then(|| key('b')), "kill {kill}");
            }
            no_leftovers(app);
            fault::arm(kill);
            let _ = back(&places);
            fault::disarm();
            // Changed one's mind half-way.
            forward(&places).unwrap();
            assert_same(&lying(app), &after, "forward after half a way back", kill);
            back(&places).unwrap();
            assert_same(&lying(app), &before, "back at last", kill);
            no_leftovers(app);
            if first.is_ok() {
                return;
            }
        }
        panic!("never got through");
    }

    /// A copy that stays in the store beside the live one (made over two file systems) is not a difference.
    fn assert_same(now: &Lying, wanted: &Lying, way: &str, kill: usize) {
        let spare = |kept: &Option<String>, live: &Option<String>, want: &Option<String>| {
            kept == want || (want.is_none() && kept == live)
        };
        assert_eq!(now.live, wanted.live, "{way} after a kill at change {kill}: {now:?}");
        let fine = spare(&now.a, &now.live, &wanted.a) && spare(&now.b, &now.live, &wanted.b);
        assert!(fine, "{way} after a kill at change {kill}: {now:?} instead of {wanted:?}");
    }

    #[test]
    fn a_swap_killed_anywhere_ends_right_forward_and_back_and_twice() {
        for (incoming, outgoing) in [(true, true), (true, false), (false, true), (false, false)] {
            check_every_kill(&App::new(), incoming, outgoing);
        }
    }

    #[test]
    fn the_same_holds_where_the_store_is_on_another_file_system() {
        for (incoming, outgoing) in [(true, true), (true, false), (false, true)] {
            if let Some(app) = App::over_two_file_systems() {
                check_every_kill(&app, incoming, outgoing);
            }
        }
    }

    /// Each state a kill can leave, made by hand with plain renames after the baseline was written.
    #[test]
    fn every_state_in_between_made_by_hand_is_recognised() {
        let app = App::new();
        let activation = activation(true, true);
        let output = path(OUTPUT);
        let live = app.top.join(OUTPUT);
        let (a, b) = (app.store.place(&key('a'), &output), app.store.place(&key('b'), &output));
        let nothing = || {};
        let exchanged = || crate::system::files::exchange(&b, &live).unwrap();
        let home = || {
            exchanged();
            fs::create_dir_all(a.parent().unwrap()).unwrap();
            fs::rename(&b, &a).unwrap();
        };
        let tidied = || {
            home();
            fs::remove_dir_all(app.store.dir.join(key('b').as_str())).unwrap();
        };
        let by_hand: [&dyn Fn(); 4] = [&nothing, &exchanged, &home, &tidied];
        for (number, made) in by_hand.into_iter().enumerate() {
            for forward_first in [true, false] {
                prepare(&app, true, true);
                let places = app.run();
                fault::arm(0);
                assert!(converge_forward(&app.git, &app.store, &places, &activation).is_err());
                fault::disarm();
                made();
                if forward_first {
                    converge_forward(&app.git, &app.store, &places, &activation).unwrap();
                    assert_eq!(lying(&app), state(Some("new"), Some("old"), None), "{number}");
                }
                converge_back(&app.git, &app.store, &places, &activation).unwrap();
                assert_eq!(lying(&app), state(Some("old"), None, Some("new")), "{number}");
            }
        }
    }

    #[test]
    fn an_artifact_that_is_no_longer_kept_ends_the_run_before_anything_changes() {
        let app = App::new();
        let to = app.commit(&files(&[("package.json", "2")]));
        let from = app.commit(&files(&[("package.json", "1")]));
        make(&app.top.join(OUTPUT), "old");
        let moves = activation(true, true).artifacts;
        let activation = app.observe_with(&from, &to, &[], &[], moves).activation;
        let before = app.snapshot();
        let error = converge_forward(&app.git, &app.store, &app.run(), &activation).unwrap_err();
        assert!(matches!(error, LayoutError::ArtifactGone(_)), "{error}");
        assert_eq!(app.snapshot(), before);
    }

    #[test]
    fn an_artifact_replaced_by_hand_since_the_plan_is_never_kept_under_the_planned_key() {
        let app = App::new();
        let activation = activation(true, true);
        prepare(&app, true, true);
        let places = app.run();
        fault::arm(0);
        assert!(converge_forward(&app.git, &app.store, &places, &activation).is_err());
        fault::disarm();
        fs::rename(app.top.join(OUTPUT), app.top.join("old_modules")).unwrap();
        make(&app.top.join(OUTPUT), "by hand");
        let error = converge_forward(&app.git, &app.store, &places, &activation).unwrap_err();
        assert!(matches!(error, LayoutError::Unsafe { .. }), "{error}");
        assert_eq!(lying(&app), state(Some("by hand"), None, Some("new")));
    }

    #[test]
    fn an_output_that_is_a_symbolic_link_or_lies_below_one_is_refused() {
        let app = App::new();
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().to_str().unwrap().to_owned();
        for link in [OUTPUT, "packages/web", "packages"] {
            prepare(&app, true, true);
            app.put(link, &Node::Link(target.clone()));
            let error = converge_forward(&app.git, &app.store, &app.run(), &activation(true, true));
            assert!(matches!(error, Err(LayoutError::Unsafe { .. })), "{link}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
            assert_eq!(lying(&app).b.as_deref(), Some("new"));
        }
    }

    #[test]
    fn a_tree_that_tracks_what_another_builds_swaps_cleanly_both_ways() {
        let app = App::new();
        let output = path("dist");
        let tracked = app.commit(&files(&[("dist/index.html", "committed"), ("a", "1")]));
        let built = app.commit(&files(&[("a", "2")]));
        make(&app.top.join("dist"), "built");
        app.put("dist/index.html", &Node::File(b"built".to_vec()));
        app.store.note_live(&app.top, &output, Some(&key('a'))).unwrap();
        let before = app.snapshot();
        let leaves =
            ArtifactMove { output: output.clone(), incoming: None, outgoing: Some(key('a')) };
        let activation = app.observe_with(&built, &tracked, &[], &[], vec![leaves]).activation;
        assert_eq!(activation.saves, [], "what lies in the artifact goes with it");
        let places = app.run();
        converge_forward(&app.git, &app.store, &places, &activation).unwrap();
        assert_eq!(fs::read(app.top.join("dist/index.html")).unwrap(), b"committed");
        assert!(!app.top.join("dist/deep").exists());
        converge_back(&app.git, &app.store, &places, &activation).unwrap();
        assert_eq!(app.snapshot(), before);

        // And from the tracked one to the built one.
        converge_forward(&app.git, &app.store, &places, &activation).unwrap();
        let before = app.snapshot();
        let seen = app
            .store
            .live(&app.top, std::slice::from_ref(&output), Depth::Deep)
            .unwrap()
            .remove(0)
            .key;
        let comes = ArtifactMove { output, incoming: Some(key('a')), outgoing: Some(seen) };
        let activation = app.observe_with(&tracked, &built, &[], &[], vec![comes]).activation;
        let places = app.run();
        converge_forward(&app.git, &app.store, &places, &activation).unwrap();
        assert_eq!(fs::read(app.top.join("dist/index.html")).unwrap(), b"built");
        converge_back(&app.git, &app.store, &places, &activation).unwrap();
        assert_eq!(app.snapshot(), before);
    }

    #[test]
    fn outputs_that_a_tree_tracks_are_named() {
        let app = App::new();
        let commit =
            app.commit(&files(&[("dist/index.html", ""), ("out", ""), ("node_modules2/x", "")]));
        let outputs = ["dist", "out/web", "node_modules", "build"].map(path);
        assert_eq!(
            tracked_outputs(&app.git, &commit, &outputs).unwrap(),
            ["dist", "out/web"].map(path)
        );
    }
}
