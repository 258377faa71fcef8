//! From specifiers to files.

use super::super::resolve::Resolver;
use super::super::tree::Tree;
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
    for (specifier, path) in
        [("..", None), (".", None), ("../../a", Some("a.js")), ("../../c/", Some("c/index.tsx"))]
    {
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
        assert_eq!(resolve(tree, importer, specifier).as_deref(), path, "{importer}: {specifier}");
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
