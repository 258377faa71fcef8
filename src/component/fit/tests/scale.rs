//! A tree of many files.

use super::*;

/// How much is read does not show in a small tree: only programs and texts, each once.
#[test]
fn one_file_in_a_tree_of_many_is_found() {
    let mut live: Vec<(String, String)> = (0..2_000)
        .flat_map(|n| {
            let code = format!("import x from './file{}.js'\nexport default {n}", n + 1);
            [(format!("src/{}/file{n}.js", n % 50), code), (format!("img/{n}.png"), "\0".repeat(9))]
        })
        .collect();
    live.push(("app/gone.js".into(), String::new()));
    live.push(("src/7/last.js".into(), "require('../../app/gone')".into()));
    let live: Vec<(&str, &str)> = live.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let (unresolvable, warnings) = told(&live, &[]);
    assert_eq!(
        unresolvable,
        ["src/7/last.js:1 requires '../../app/gone': app/gone.js would be gone"]
    );
    assert_eq!(warnings, NOTHING);
}
