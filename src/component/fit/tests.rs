//! What is found, in a real repository with two versions and the tree between them.

use std::collections::BTreeMap;

use super::*;
use crate::config::{self, Config};
use crate::layout::testing::{App, files};
use crate::model::{Oid, Served, TreeEntry};

/// A component of the files below `app/` among others.
const CONFIG: &str = r#"
[app]
name = "shop"

[[build]]
name = "app"
run = [["npm", "run", "build"]]
outputs = ["dist"]

[migrate]
paths = ["migrations/**", "app/migrations/**"]

[[check]]
name = "api"
http = "http://127.0.0.1:3000/"

[component.QW-001]
paths = ["app/**"]

[component.QW-002]
paths = ["app/shared/**", "lib/**"]
"#;

type Files<'a> = &'a [(&'a str, &'a str)];

/// Two versions in a repository.
struct World {
    app: App,
    live: Served,
    target: Served,
    config: Config,
    after: BTreeMap<RepoPath, TreeEntry>,
    changes: Vec<TreeChange>,
}

impl World {
    /// The component's files of `target` on top of `live`.
    fn new(live: Files<'_>, target: Files<'_>) -> Self {
        let app = App::new();
        let target = app.commit(&files(target));
        let live = app.commit(&files(live));
        let config = config::parse(CONFIG, "gitroll.toml").unwrap();
        let mine = |path: &RepoPath| config.components[0].paths.matches(path);
        let before: BTreeMap<_, _> = app.git.entries(&live).unwrap().into_iter().collect();
        let source: BTreeMap<_, _> = app.git.entries(&target).unwrap().into_iter().collect();
        let mut after = before.clone();
        after.retain(|path, _| !mine(path));
        after.extend(source.into_iter().filter(|(path, _)| mine(path)));
        let changed = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
        let changes = changed
            .into_iter()
            .map(|path| TreeChange {
                path: path.clone(),
                before: before.get(path).cloned(),
                after: after.get(path).cloned(),
            })
            .filter(|change| change.before != change.after)
            .collect();
        let served =
            |commit: Oid, name: &str| Served { commit, name: name.to_owned(), version: None };
        let (live, target) = (served(live, "v1.2.0"), served(target, "v1.1.0"));
        Self { app, live, target, config, after, changes }
    }

    fn examine(&self) -> Fit {
        examine(&ComponentChange {
            git: &self.app.git,
            live: &self.live,
            target: &self.target,
            after: &self.after,
            changes: &self.changes,
            component: &self.config.components[0],
            config: &self.config,
        })
        .unwrap()
    }
}

/// The lines a person would read: what cannot be resolved, then the warnings.
fn told(live: Files<'_>, target: Files<'_>) -> (Vec<String>, Vec<String>) {
    let fit = World::new(live, target).examine();
    let lines = |list: &[&dyn ToString]| list.iter().map(|line| line.to_string()).collect();
    let unresolvable: Vec<&dyn ToString> = fit.unresolvable.iter().map(|d| d as _).collect();
    let warnings: Vec<&dyn ToString> = fit.warnings.iter().map(|w| w as _).collect();
    (lines(&unresolvable), lines(&warnings))
}

const NOTHING: [&str; 0] = [];

#[test]
fn files_that_fit_are_not_spoken_of() {
    let fits: Files<'_> = &[
        ("app/a.js", "import b from './b.js'; require('fs'); import 'node:path'"),
        ("app/b.js", "export * from '../lib/c'"),
        ("lib/c.ts", "import('../app/a.js')"),
        ("server.js", "require('./app/a')"),
    ];
    let mut older = fits.to_vec();
    older[1].1 = "export * from '../lib/c' // older";
    assert_eq!(told(fits, &older), (vec![], vec![]));
}

#[test]
fn whatever_imports_a_file_that_would_be_gone_is_named_with_its_line() {
    let live: Files<'_> = &[
        ("app/upload.js", "1"),
        ("app/kept.js", "import './upload'"),
        ("app/deep/index.ts", "1"),
        ("a.js", "// first\nimport { x } from './app/upload.js'"),
        ("b.mjs", "\n\nexport * from \"./app/upload.js\""),
        ("c.cjs", "const u = require(`./app/upload`)"),
        ("d.ts", "const u = await import('./app/deep')"),
        (
            "e.vue",
            "<template>it's</template>\n<script setup>\nimport u from './app/deep/index'\n</script>",
        ),
        ("f.tsx", "import type { U } from './app/upload'"),
        ("g.js", "new Worker(new URL('./app/upload.js', import.meta.url))"),
        ("node_modules/x/a.js", "require('../../app/upload')"),
        (
            "unrelated.js",
            "require('./missing/upload'); // import './app/upload.js\nconst text = \"import './app/upload'\"",
        ),
    ];
    let (unresolvable, warnings) = told(live, &[("app/kept.js", "import './upload'")]);
    assert_eq!(
        unresolvable,
        [
            "a.js:2 imports './app/upload.js': app/upload.js would be gone",
            "app/kept.js:1 imports './upload': app/upload.js would be gone",
            "b.mjs:3 re-exports './app/upload.js': app/upload.js would be gone",
            "c.cjs:1 requires './app/upload': app/upload.js would be gone",
            "d.ts:1 imports (at run time) './app/deep': app/deep/index.ts would be gone",
            "e.vue:3 imports './app/deep/index': app/deep/index.ts would be gone",
            "g.js:1 refers to './app/upload.js': app/upload.js would be gone",
        ]
    );
    assert_eq!(
        warnings,
        [
            "f.tsx:1 imports the types of './app/upload': app/upload.js would be gone (types only: a \
          build may fail)"
        ]
    );
}

#[test]
fn an_import_that_finds_another_file_instead_does_not_dangle() {
    let live: Files<'_> = &[("app/x.js", "1"), ("server.js", "require('./app/x')")];
    assert_eq!(told(live, &[("app/x/index.js", "1")]), (vec![], vec![]));
    // A file that becomes a directory without an index is gone.
    let (unresolvable, _) = told(live, &[("app/x/other.js", "1")]);
    assert_eq!(unresolvable, ["server.js:1 requires './app/x': app/x.js would be gone"]);
}

#[test]
fn what_comes_in_is_looked_up_among_what_serves() {
    let target: Files<'_> = &[
        ("app/a.ts", "import s3 from '../lib/s3.js'\nimport '../dist/out'\nimport './generated'"),
        ("lib/s3.ts", "1"),
    ];
    let (unresolvable, warnings) = told(&[("lib/other.ts", "1")], target);
    assert_eq!(
        unresolvable,
        ["app/a.ts:1 of v1.1.0 imports '../lib/s3.js': lib/s3.ts is not in what serves"]
    );
    assert_eq!(
        warnings,
        ["app/a.ts:3 imports './generated', a file in neither version: does a build create it?"]
    );
}

#[test]
fn packages_that_are_not_asked_for_are_named() {
    let package =
        |sharp: &str| format!(r#"{{"version": "1", "dependencies": {{{sharp}"express": "4"}}}}"#);
    let (with, without) = (package(r#""sharp": "^0.33", "#), package(""));
    let code = "import sharp from 'sharp/lib'\nimport e from 'express'\nrequire('fs/promises')\n\
                import type { T } from 'typed'\nimport('@aws-sdk/client-s3/x')";
    let target: Files<'_> = &[("package.json", &with), ("app/a.ts", code)];
    let (unresolvable, warnings) = told(&[("package.json", &without)], target);
    assert_eq!(unresolvable, NOTHING);
    assert_eq!(
        warnings,
        [
            "package.json changed between v1.1.0 and v1.2.0: the component's files may need different \
             packages (they import sharp)",
            "app/a.ts:1 imports sharp, not in package.json of v1.2.0",
            "app/a.ts:5 imports @aws-sdk/client-s3, not in package.json of v1.2.0",
        ]
    );
    // The live version of the file imports them as well, and runs.
    let live: Files<'_> =
        &[("package.json", &with), ("app/a.ts", "require('@aws-sdk/client-s3/x')")];
    assert_eq!(told(live, target).1, NOTHING);
}

#[test]
fn a_release_that_only_counts_its_version_up_changes_no_packages() {
    let package = |v: &str| format!(r#"{{"name": "shop", "version": "{v}", "scripts": {{}}}}"#);
    let lock = |v: &str, express: &str| {
        format!(
            r#"{{"name": "shop", "version": "{v}", "packages": {{"": {{"version": "{v}"}},
               "node_modules/express": {{"version": "{express}"}}}}}}"#
        )
    };
    let version = |v: &str, express: &str, code: &str| {
        [
            ("package.json", package(v)),
            ("package-lock.json", lock(v, express)),
            ("yarn.lock", "same".to_owned()),
            ("tools/package.json", format!(r#"{{"dependencies": {{"x": "{v}"}}}}"#)),
            ("app/a.js", code.to_owned()),
        ]
    };
    let warnings = |live: &[(&str, String)], target: &[(&str, String)]| {
        let live: Vec<(&str, &str)> = live.iter().map(|(p, t)| (*p, t.as_str())).collect();
        let target: Vec<(&str, &str)> = target.iter().map(|(p, t)| (*p, t.as_str())).collect();
        told(&live, &target).1
    };
    assert_eq!(warnings(&version("2", "4.1", "2"), &version("1", "4.1", "1")), NOTHING);
    assert_eq!(
        warnings(&version("2", "4.2", "2"), &version("1", "4.1", "1")),
        [
            "package-lock.json changed between v1.1.0 and v1.2.0: the component's files may need different \
          packages"
        ]
    );
}

#[test]
fn components_and_migrations_that_are_touched_are_named() {
    let live: Files<'_> = &[
        ("app/shared/x.css", "2"),
        ("app/y.css", "2"),
        ("migrations/0042_orders.sql", "1"),
        ("app/migrations/0001.sql", "1"),
    ];
    let (_, warnings) = told(live, &[("app/shared/x.css", "1"), ("app/y.css", "1")]);
    assert_eq!(
        warnings,
        [
            "QW-002 has the same files: app/shared/x.css",
            "1 migration is one of the component's own files, the schema is not rolled back: \
             app/migrations/0001.sql",
            "1 migration between v1.1.0 and v1.2.0, schema and files are not rolled back: \
             migrations/0042_orders.sql",
        ]
    );
}

#[test]
fn texts_that_name_a_file_that_would_be_gone_are_warned_of() {
    let live: Files<'_> = &[
        ("app/job.js", "1"),
        ("package.json", "{\"scripts\": {\n\"job\": \"node app/job.js\"}}"),
        ("run.sh", "exec node ./app/job.js"),
        ("ecosystem.config.js", "module.exports = { script: './app/job.js' } // app/job.js"),
        ("page.html", "<script src=\"/app/job.js\"></script>"),
        ("other.yaml", "a: lib/app/job.js\nb: app/job.js.map\nc: myapp/job.js\nd: app/job.json"),
        ("notes.js", "// see app/job.js"),
        ("gitroll.toml", "paths = [\"app/job.js\"]"),
    ];
    let (unresolvable, warnings) = told(live, &[]);
    assert_eq!(unresolvable, NOTHING);
    assert_eq!(
        warnings,
        [
            "ecosystem.config.js:1 mentions app/job.js, which would be missing",
            "package.json:2 mentions app/job.js, which would be missing",
            "page.html:1 mentions app/job.js, which would be missing",
            "run.sh:1 mentions app/job.js, which would be missing",
        ]
    );
}

#[test]
fn what_is_not_understood_or_too_large_is_said_and_never_an_error() {
    let large = format!("require('./app/x')\n{}", "//\n".repeat(1 << 19));
    let live: Files<'_> = &[
        ("app/x.js", "1"),
        ("broken.js", "`never closed\nrequire('./app/x')"),
        ("large.js", &large),
        ("large.json", &large),
    ];
    let (unresolvable, warnings) = told(live, &[]);
    assert_eq!(unresolvable, NOTHING);
    assert_eq!(
        warnings,
        [
            "broken.js cannot be parsed as JavaScript: searched as text only",
            "broken.js:2 mentions app/x.js, which would be missing",
            "1 file larger than 1 MiB not examined: large.js",
        ]
    );
}

#[test]
fn long_lists_are_counted() {
    let gone: Vec<RepoPath> = (0..5).map(|n| RepoPath::new(format!("a{n}")).unwrap()).collect();
    assert_eq!(
        FitWarning::TooLarge { paths: gone }.to_string(),
        "5 files larger than 1 MiB not examined: a0, a1, a2 and 2 more"
    );
}

/// Imports found in text.
mod reading {
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
}

/// From specifiers to files.
mod resolving {
    use super::super::resolve::Resolver;
    use super::super::resolve::Tree;
    use super::*;

    /// The file that `specifier` means in `importer`.
    fn resolve(tree: Files<'_>, importer: &str, specifier: &str) -> Option<String> {
        let app = App::new();
        let commit = app.commit(&files(tree));
        let entries = app.git.entries(&commit).unwrap().into_iter().collect();
        let tree = Tree::whole(&app.git, &entries);
        let importer = RepoPath::new(importer).unwrap();
        let found = Resolver::new(&tree).resolve(&importer, specifier, false).unwrap();
        found.map(|path| path.to_string())
    }

    #[test]
    fn relative_specifiers_find_what_node_and_typescript_find() {
        let tree: Files<'_> = &[
            ("a.js", ""),
            ("b.ts", ""),
            ("c/index.tsx", ""),
            ("c.service.mjs", ""),
            ("d/package.json", "{\"main\": \"./lib/main\"}"),
            ("d/lib/main.cjs", ""),
            ("e/package.json", "{\"main\": \"out/\"}"),
            ("e/out/index.js", ""),
            ("f.json", ""),
            ("g.mts", ""),
            ("h/i/j.js", ""),
            ("k.js", ""),
            ("k.ts", ""),
            ("l.svg", ""),
            ("m/package.json", "broken"),
            ("m/index.js", ""),
        ];
        for (specifier, path) in [
            ("./a", Some("a.js")),
            ("./a.js", Some("a.js")),
            ("./b.js", Some("b.ts")),
            ("./b.jsx", None),
            ("./c", Some("c/index.tsx")),
            ("./c/", Some("c/index.tsx")),
            ("./a/", None),
            ("./c.service", Some("c.service.mjs")),
            ("./d", Some("d/lib/main.cjs")),
            ("./e", Some("e/out/index.js")),
            ("./f", Some("f.json")),
            ("./g.mjs", Some("g.mts")),
            ("./h/../a", Some("a.js")),
            ("./h//i/./j", Some("h/i/j.js")),
            ("./k", Some("k.ts")),
            ("./k.js", Some("k.js")),
            ("./l.svg?url", Some("l.svg")),
            ("./m", Some("m/index.js")),
            ("../a", None),
            ("../../etc/passwd", None),
            ("a", None),
            ("/a", None),
            ("./.git/config", None),
        ] {
            assert_eq!(resolve(tree, "main.js", specifier).as_deref(), path, "{specifier}");
        }
        for (specifier, path) in [
            ("..", None),
            (".", None),
            ("../../a", Some("a.js")),
            ("../../c/", Some("c/index.tsx")),
        ] {
            assert_eq!(resolve(tree, "h/i/x.js", specifier).as_deref(), path, "{specifier}");
        }
        assert_eq!(resolve(tree, "c/x.js", ".").as_deref(), Some("c/index.tsx"));
        assert_eq!(resolve(tree, "m/x.js", "./").as_deref(), Some("m/index.js"));
    }

    #[test]
    fn aliases_of_the_nearest_configuration_are_followed() {
        let tree: Files<'_> = &[
            ("tsconfig.json", "{ // ours\n \"extends\": \"./base\", \"compilerOptions\": {}, }"),
            ("base.json", r#"{"compilerOptions": {"paths": {"@/*": ["./src/*", "./old/*"]}}}"#),
            ("src/a.ts", ""),
            ("old/b.ts", ""),
            (
                "web/jsconfig.json",
                r#"{"compilerOptions": {"baseUrl": "lib", "paths": {"db": ["x/main.js"]}}}"#,
            ),
            ("web/lib/x/main.js", ""),
            ("web/lib/y.js", ""),
            ("loop/tsconfig.json", r#"{"extends": ["./tsconfig", "./tsconfig", "./tsconfig"]}"#),
        ];
        for (importer, specifier, path) in [
            ("src/deep/x.ts", "@/a", Some("src/a.ts")),
            ("src/x.ts", "@/b.js", Some("old/b.ts")),
            ("src/x.ts", "@/c", None),
            ("src/x.ts", "y", None),
            ("web/x.js", "db", Some("web/lib/x/main.js")),
            ("web/x.js", "y", Some("web/lib/y.js")),
            ("web/x.js", "@/a", None),
            ("loop/x.js", "y", None),
        ] {
            assert_eq!(
                resolve(tree, importer, specifier).as_deref(),
                path,
                "{importer}: {specifier}"
            );
        }
    }

    #[test]
    fn an_import_by_alias_dangles_like_any_other() {
        let paths = r##"{"compilerOptions": {"paths": {
        "@/*": ["./app/*"], "#db": ["./app/database.ts"], "@lib/*": ["./app/*/src/entry.ts"]}}}"##;
        let live: Files<'_> = &[
            ("tsconfig.json", paths),
            ("app/upload.ts", ""),
            ("app/database.ts", ""),
            ("app/one/src/entry.ts", ""),
            ("src/a.ts", "import '@/upload'"),
            ("src/b.ts", "import '#db'"),
            ("src/c.ts", "import '@lib/one'"),
        ];
        assert_eq!(
            told(live, &[]).0,
            [
                "src/a.ts:1 imports '@/upload': app/upload.ts would be gone",
                "src/b.ts:1 imports '#db': app/database.ts would be gone",
                "src/c.ts:1 imports '@lib/one': app/one/src/entry.ts would be gone",
            ]
        );
    }

    #[test]
    fn a_package_directory_is_imported_by_its_own_name_alone() {
        let live: Files<'_> = &[
            ("app/kit/package.json", "{\"main\": \"lib/entry.js\"}"),
            ("app/kit/lib/entry.js", ""),
            ("app/tool/index.js", ""),
            ("app/tool/x.js", ""),
            ("a.js", "require('./app/kit')"),
            ("b.js", "require('./app/tool/')"),
            ("app/tool/deep/c.js", "import '..'"),
        ];
        let target: Files<'_> = &[("app/tool/deep/c.js", "import '..'")];
        assert_eq!(
            told(live, target).0,
            [
                "a.js:1 requires './app/kit': app/kit/lib/entry.js would be gone",
                "app/tool/deep/c.js:1 imports '..': app/tool/index.js would be gone",
                "b.js:1 requires './app/tool/': app/tool/index.js would be gone",
            ]
        );
    }
}

/// A tree of many files.
mod scale {
    use super::*;

    /// How much is read does not show in a small tree: only programs and texts, each once.
    #[test]
    fn one_file_in_a_tree_of_many_is_found() {
        let mut live: Vec<(String, String)> = (0..2_000)
            .flat_map(|n| {
                let code = format!("import x from './file{}.js'\nexport default {n}", n + 1);
                [
                    (format!("src/{}/file{n}.js", n % 50), code),
                    (format!("img/{n}.png"), "\0".repeat(9)),
                ]
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
}
