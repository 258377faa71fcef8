//! What is found, in a real repository with two versions and the tree between them.

mod reading;
mod resolving;
mod scale;

use std::collections::BTreeMap;

use super::*;
use crate::config::{self, Config};
use crate::layout::testing::{App, files};
use crate::model::{Oid, Served};

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
            "d.ts:1 imports (when it gets there) './app/deep': app/deep/index.ts would be gone",
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
        ["app/a.ts:3 imports './generated', a file in neither version: does a build make it?"]
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
            "package.json changed between v1.1.0 and v1.2.0: the component's files may need other \
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
            "package-lock.json changed between v1.1.0 and v1.2.0: the component's files may need other \
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
            "1 migration is one of the component's own files, the schema stays: \
             app/migrations/0001.sql",
            "1 migration between v1.1.0 and v1.2.0, schema and files stay: \
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
            "ecosystem.config.js:1 mentions app/job.js, which would not be there",
            "package.json:2 mentions app/job.js, which would not be there",
            "page.html:1 mentions app/job.js, which would not be there",
            "run.sh:1 mentions app/job.js, which would not be there",
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
            "broken.js is not understood as JavaScript: searched as text only",
            "broken.js:2 mentions app/x.js, which would not be there",
            "1 file larger than 1 MiB not looked into: large.js",
        ]
    );
}

#[test]
fn long_lists_are_counted() {
    let gone: Vec<RepoPath> = (0..5).map(|n| RepoPath::new(format!("a{n}")).unwrap()).collect();
    assert_eq!(
        FitWarning::TooLarge { paths: gone }.to_string(),
        "5 files larger than 1 MiB not looked into: a0, a1, a2 and 2 more"
    );
}
