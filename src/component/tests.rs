//! Synthesised trees, compared entry by entry with the trees they are made from.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::layout::testing::{App, Node, Tree, path};

const PATTERNS: [&[&str]; 6] = [
    &["up/**"],
    &["up"],
    &["up/*.js"],
    &["up/deep/**", "lib/"],
    &["**/*.js"],
    &["top.js", "up/deep/a"],
];

fn component(patterns: &[&str]) -> Component {
    let text = format!(
        "[app]\nname = \"shop\"\n[service.web]\nmanager = \"process\"\ncommand = [\"true\"]\n\
         [component.QW-001]\npaths = {patterns:?}\n"
    );
    config::parse(&text, "gitroll.toml").unwrap().components.remove(0)
}

fn entries(app: &App, commit: &Oid) -> BTreeMap<RepoPath, TreeEntry> {
    app.git.entries(commit).unwrap().into_iter().collect()
}

/// A tree from (place, kind, text): what would be file and directory at once is left out.
fn tree(parts: &[(usize, u8, u8)]) -> Tree {
    const PLACES: [&str; 12] = [
        "top.js",
        "up",
        "up.js",
        "up/a.js",
        "up/b.txt",
        "up/deep",
        "up/deep/a",
        "up/deep/a/c.js",
        "up/deep/b.js",
        "lib",
        "lib/one.js",
        "lib/deep/two",
    ];
    let mut tree = Tree::from([("kept".to_owned(), Node::File(b"kept".to_vec()))]);
    for (place, kind, text) in parts {
        let place = PLACES[place % PLACES.len()];
        let clashes = tree.keys().any(|other| {
            other.starts_with(&format!("{place}/")) || place.starts_with(&format!("{other}/"))
        });
        if !clashes {
            let bytes = vec![b'a' + text % 3];
            let node = match kind % 4 {
                0 => Node::Program(bytes),
                1 => Node::Link(format!("to-{}", text % 3)),
                _ => Node::File(bytes),
            };
            tree.insert(place.to_owned(), node);
        }
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the history: outside of the component the tree is the live one, inside the target's; and so
    /// it is when one is made from another.
    #[test]
    fn outside_it_is_what_serves_and_inside_what_was_wanted(
        history in prop::collection::vec(
            prop::collection::vec((0usize..12, 0u8..4, 0u8..3), 0..10), 2..5),
        components in prop::collection::vec(0usize..PATTERNS.len(), 1..4),
    ) {
        let app = App::new();
        let commits: Vec<Oid> = history.iter().map(|parts| app.commit(&tree(parts))).collect();
        let mut base = commits.last().unwrap().clone();
        for (index, patterns) in components.iter().enumerate() {
            let component = component(PATTERNS[*patterns]);
            let source = &commits[index % commits.len()];
            let covers = |path: &RepoPath| component.paths.covers(path);
            let (live, target) = (entries(&app, &base), entries(&app, source));
            let mut wanted = live.clone();
            wanted.retain(|path, _| !covers(path));
            wanted.extend(target.iter().filter(|(p, _)| covers(p)).map(|(p, e)| (p.clone(), e.clone())));
            let possible = !wanted.keys().any(|a| wanted.keys().any(|b| a != b && b.starts_with(a)));
            match synthesise(&app.git, &base, source, &component) {
                Ok(Some(commit)) => {
                    prop_assert!(possible);
                    prop_assert_eq!(&entries(&app, &commit), &wanted);
                    let made = app.git.commit(&commit).unwrap();
                    prop_assert_eq!(&made.parents, std::slice::from_ref(&base));
                    prop_assert_eq!(synthesised(&made).unwrap().base, base.clone());
                    let again = synthesise(&app.git, &base, source, &component).unwrap();
                    prop_assert_eq!(again, Some(commit.clone()), "the same every time");
                    let (there, taken) = (
                        Content::of(&app.git, &commit, &component).unwrap(),
                        Content::of(&app.git, source, &component).unwrap(),
                    );
                    prop_assert_eq!(there.digest(), taken.digest());
                    base = commit;
                }
                Ok(None) => prop_assert_eq!(live, wanted),
                Err(ComponentError::Nowhere { .. }) => {
                    prop_assert!(!live.keys().chain(target.keys()).any(covers));
                }
                Err(ComponentError::InTheWay { path, .. }) => {
                    prop_assert!(!possible, "{path} is in nobody's way");
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}

#[test]
fn a_digest_tells_contents_apart_by_path_mode_and_bytes() {
    let app = App::new();
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    let of = |nodes: &[(&str, Node)]| {
        let mut tree: Tree = nodes.iter().cloned().map(|(p, n)| (p.to_owned(), n)).collect();
        tree.insert("outside".to_owned(), file("outside"));
        Content::of(&app.git, &app.commit(&tree), &component(&["up/**"])).unwrap().digest()
    };
    let base = of(&[("up/a", file("1"))]);
    assert_eq!(base, of(&[("up/a", file("1")), ("elsewhere", file("2"))]));
    for other in [
        of(&[("up/a", file("2"))]),
        of(&[("up/b", file("1"))]),
        of(&[("up/a", Node::Program(b"1".to_vec()))]),
        of(&[("up/a", Node::Link("1".to_owned()))]),
        of(&[("up/a", file("1")), ("up/b", file("1"))]),
        of(&[]),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn a_link_that_took_the_components_directory_gives_way() {
    let app = App::new();
    let source = app.commit(&Tree::from([("up/a".to_owned(), Node::File(b"1".to_vec()))]));
    let base = app.commit(&Tree::from([("up".to_owned(), Node::Link("/etc".to_owned()))]));
    let commit = synthesise(&app.git, &base, &source, &component(&["up/**"])).unwrap().unwrap();
    let names: Vec<_> = entries(&app, &commit).into_keys().collect();
    assert_eq!(names, [path("up/a")]);
}

#[test]
fn a_message_that_claims_another_parent_is_not_believed() {
    let app = App::new();
    let base = app.commit(&Tree::new());
    let commit = app.git.commit(&app.commit(&Tree::new())).unwrap();
    let says = |base: &Oid| Commit {
        message: format!("x\n\nGitroll-Component: QW-001\nGitroll-Base: {base}\n"),
        ..commit.clone()
    };
    assert!(synthesised(&says(&base)).is_some());
    assert!(synthesised(&says(&commit.id)).is_none());
    assert!(synthesised(&commit).is_none());
}
