//! Artifacts change places whole, once, and find their way from every state in between.

use std::fs;

use super::in_place::{LayoutError, RunPlaces, converge_back, converge_forward, tracked_outputs};
use super::testing::{App, Node, files, key, path};
use crate::build::Depth;
use crate::model::{Activation, ArtifactMove};
use crate::system::files::fault;

const OUTPUT: &str = "packages/web/node_modules";

/// What lies at the live place and in the store under `a` (what serves first) and `b` (what comes).
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
    let forward = |places: &RunPlaces| converge_forward(&app.git, &app.store, places, &activation);
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

/// A copy that stays in the store beside the live one (made over two file systems) is no difference.
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

/// Each state a kill can leave, made by hand with plain renames after the intent was written.
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
    let before = app.snapshot();
    let leaves = ArtifactMove { output: output.clone(), incoming: None, outgoing: Some(key('a')) };
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
    let seen =
        app.store.live(&app.top, std::slice::from_ref(&output), Depth::Deep).unwrap().remove(0).key;
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
