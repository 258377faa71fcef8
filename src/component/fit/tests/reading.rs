//! Imports found in text.

use proptest::prelude::*;

use super::super::imports::Imports;
use super::super::lexer::tokens;

fn found(text: &str) -> Vec<String> {
    let imports = Imports::of(text.as_bytes(), false);
    assert!(imports.complete, "not understood: {text}");
    imports.found.into_iter().map(|import| import.specifier).collect()
}

#[test]
fn every_way_to_import_is_seen() {
    for text in [
        "import './a'",
        "import\"./a\"",
        "import a from './a'",
        "import a,{b as c,default as d}from'./a'",
        "import * as a from './a'",
        "import a, * as b from './a'",
        "import { 'a-b' as c } from './a'",
        "import type from './a'",
        "import type { T } from './a'",
        "import { type T } from './a' with { type: 'json' }",
        "import from from './a'",
        "import a = require('./a')",
        "export * from './a'",
        "export * as a from './a'",
        "export { a,\n  b } from './a'",
        "export type { T } from './a'",
        "const a = await import('./a')",
        "type T = import('./a').T",
        "import('./a', { with: {} })",
        "import(/* webpackChunkName: 'x' */ './a')",
        "require('./a')",
        "f({ ...require('./a') })",
        "module.require('./a')",
        "require.resolve('./a')",
        "import.meta.resolve('./a')",
        "new URL('./a', import.meta.url)",
        "`${require('./a')}`",
        "`a${`b${'}'}`}`; require(`./a`)",
        "x = a / b; y = c / require('./a')",
        "if (x) /['\"`]/.test(y); require('./a')",
        "return /[/'`]/.test(require('./a'))",
        "x.replace(/>/g, '').replace(/'/g, require('./a'))",
        "const p = <p>Don't do it's</p>; require('./a')",
        "const p = <a b={1} />; const q = <b>{c}</b>; require('./a')",
        "const p = <a href=\"x\">see https://x.org {require('./a')}</a>",
        "const a = <T,>(x: T) => x // it's\n/* ' */ require('./a')",
        "#!/usr/bin/env node it's\nrequire('./a')",
        "'a\\\nb'; require('./a')",
        "}\n/'/.test(x); require('./a')",
    ] {
        assert_eq!(found(text), ["./a"], "{text}");
    }
}

#[test]
fn what_only_looks_like_an_import_is_none() {
    for text in [
        "// import './a'",
        "/* require('./a') */",
        "'require(\"./a\")'",
        "`require('./a')`",
        "/require('.\\/a')/",
        "x.require('./a')",
        "x.import('./a')",
        "x?.require('./a')",
        "require(a)",
        "require('./a' + b)",
        "import(`./${a}`)",
        "requires('./a')",
        "export { a }; from('./a')",
        "export const from = './a'",
        "import x\nconst from = './a'",
        "import.meta.url; './a'",
        "new URL('./a', base)",
        "require('./a\\u0041')",
        "require('')",
    ] {
        assert!(found(text).is_empty(), "{text}: {:?}", found(text));
    }
}

#[test]
fn lines_are_counted_from_one() {
    let imports = Imports::of(b"import 'a'\n`\n\n`\nimport {\n x } from 'b'", false).found;
    assert_eq!(imports.iter().map(|i| i.line).collect::<Vec<_>>(), [1, 6]);
}

#[test]
fn only_the_scripts_of_markup_are_read() {
    let text = b"<p>import './no'</p><script>import './a'</script>\n<SCRIPT lang=ts>import './b'</SCRIPT>\n\
                 <style>@import './no'</style><script src='x'>";
    let imports = Imports::of(text, true).found;
    let found: Vec<_> = imports.iter().map(|i| (i.specifier.as_str(), i.line)).collect();
    assert_eq!(found, [("./a", 1), ("./b", 2)]);
}

#[test]
fn what_ends_in_the_middle_is_not_understood() {
    for text in ["`a", "`a${b", "/* a", "a\0b"] {
        assert!(!Imports::of(text.as_bytes(), false).complete, "{text}");
    }
    assert!(!Imports::of("import 'a';".repeat(20_000).as_bytes(), false).complete);
}

/// Each would take minutes, or overflow the stack, of a scan that tries again at every byte, or recurses.
#[test]
fn texts_made_to_exhaust_are_read_all_the_same() {
    for part in
        ["[", "(", "{", "`${", "'\\", "/[", "\"'", "import ", "export {", "<script", "!", "/*/"]
    {
        let text = part.repeat((1 << 20) / part.len());
        let _ = Imports::of(text.as_bytes(), false);
        let _ = Imports::of(text.as_bytes(), true);
        let _ = Imports::by_text(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = Imports::of(&bytes, false);
        let _ = Imports::of(&bytes, true);
        let _ = Imports::by_text(&bytes);
    }

    #[test]
    fn no_mixture_of_javascript_makes_it_panic(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "'", "\"", "`", "${", "}", "{", "/", "/*", "*/", "//", "\n", "\\", "(", ")", "[", "]", ".",
            "import", "export", "from", "require", " ", "a", "<", ">", "type", "*", "é", "\u{0}",
            "<script", "</script>", "if", "new URL", "meta",
        ]), 0..60),
    ) {
        let text = parts.concat();
        let (tokens, _) = tokens(text.as_bytes());
        prop_assert!(tokens.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let _ = Imports::of(text.as_bytes(), false);
        let _ = Imports::of(text.as_bytes(), true);
        let _ = Imports::by_text(text.as_bytes());
    }

    #[test]
    fn an_import_is_found_behind_any_closed_text(
        text in "[a-z0-9 \n]{0,40}", quote in proptest::sample::select(vec!["'", "\"", "`"])
    ) {
        let line = text.replace('\n', " ");
        let inner = if quote == "`" { &text } else { &line };
        let source = format!("f({quote}{inner}{quote}) // {line}\n/* {text} */ require('./a')");
        prop_assert_eq!(found(&source), ["./a"]);
    }
}
