//! What a build writes or reads and nobody declared, and what kept artifacts were made for.

use crate::support::*;

/// One build group with these outputs and `more` keys.
fn config(outputs: &str, more: &str) -> AppConfig {
    AppConfig::default().settle(2, "300ms").min_served("0s").without_builds().and(&format!(
        "[[build]]\nname = \"app\"\nrun = [[\"node\", \"build.js\"]]\noutputs = [{outputs}]\n{more}"
    ))
}

/// The app's build, and these lines after it; `v` is the version.
fn build_also(s: &App<'_>, lines: &str) {
    let build = std::fs::read_to_string(project().join("fixtures/plain-app/build.js"));
    s.write("build.js", &format!("{}\nconst v = version;\n{lines}", build.expect("it is there")));
}

#[test]
fn what_a_build_makes_beside_its_outputs_is_declared_or_refused_and_comes_back_with_its_version() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&config("\"dist\"", ""));
    app.write(
        ".gitignore",
        "dist\nnode_modules\ngenerated\n.cache\nlib/dist\n*.tsbuildinfo\nstats.json\n",
    );
    app.write("lib/package.json", "{}");
    app.write(
        "features/gen/index.js",
        "module.exports = require('../../generated/client.js') + ' ' + require('../../lib/dist/i.js');",
    );
    build_also(
        &app,
        "const put = (file, text) => { fs.mkdirSync(path.dirname(file), { recursive: true }); \
         fs.writeFileSync(file, text); };\n\
         for (const file of ['generated/client.js', 'lib/dist/i.js']) \
           put(file, `module.exports = '${v}'`);\n\
         for (const file of ['.cache/x', 'tsconfig.tsbuildinfo', 'lib/node_modules/.cache/y', 'stats.json']) \
           put(file, v + process.hrtime());\n",
    );
    app.commit_version("1.0.0", Behaviour::Good);
    host.run("node", &["build.js"]).exit(0);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("stats.json");
    s.app.configure(&config("\"dist\"", "scratch = [\"stats.json\"]\n"));
    s.app.commit("No version reads it");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let generated = || http_get(&s.app.url("/features/gen")).expect("it answers").body;
    assert_eq!(generated().trim(), "1.0.0 1.0.0");

    // What was kept was made together with files that somebody replaced: it is not used with others.
    s.app.write("lib/dist/i.js", "module.exports = 'by hand'");
    s.app.git(&["commit", "-q", "--allow-empty", "-m", "The same files"]);
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("add \"lib/dist\" to");
    s.app.write("lib/dist/i.js", "module.exports = '1.0.0'");
    host.gitroll(&["deploy", "--yes"]).exit(0);

    // Refused again where it was built before: what failed is not kept.
    s.app.git(&["checkout", "-q", "-B", "main"]);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    for _ in 0..2 {
        host.gitroll(&["deploy", &next, "--yes"])
            .exit(1)
            .stderr_has("add \"generated\", \"lib/dist\" to")
            .stderr_has("nothing was changed")
            .never_says("tsbuildinfo")
            .never_says(".cache");
    }
    assert_eq!(s.app.read("generated/client.js"), "module.exports = '1.0.0'");

    s.app.configure(&config(
        "\"dist\", \"generated\", \"*/dist\"",
        "optional = [\"*/node_modules\"]\nscratch = [\"stats.json\"]\n",
    ));
    s.app.commit("Declare what is built");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    assert_eq!(generated().trim(), "1.1.0 1.1.0");
    // Nobody had declared it for 1.0.0: it comes back as it lay there.
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(generated().trim(), "1.0.0 1.0.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(generated().trim(), "1.1.0 1.1.0");

    // What is built goes with its declaration: an output that is forgotten would be missing.
    s.app.git(&["checkout", "-q", "main"]);
    s.app.configure(&config("\"dist\", \"generated\"", "scratch = [\"stats.json\"]\n"));
    s.app.commit("Forget one");
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("add \"lib/dist\" to");
    assert_eq!(generated().trim(), "1.1.0 1.1.0");
}

#[test]
fn what_a_build_writes_into_tracked_files_or_outside_the_repository_is_refused() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&config("\"dist\"", ""));
    app.write("version.js", "module.exports = 'DEV'");
    app.write("types.d.ts", "");
    let stamp = "fs.writeFileSync('version.js', `module.exports = '${v}'`);\n\
                 fs.writeFileSync('types.d.ts', v);\n\
                 fs.writeFileSync('server.js', fs.readFileSync('server.js'));\n";
    let outside = "fs.mkdirSync('../public', { recursive: true });\n\
                   fs.writeFileSync('../public/app.js', v);\n";
    build_also(&app, &format!("{stamp}{outside}"));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    let public = host.path(".app.gitroll/public");
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("wrote ../public, outside");
    assert!(!public.exists());
    // As earlier versions left it.
    std::fs::create_dir(&public).expect("the place is free");
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("wrote ../public, outside");
    assert!(!public.exists());

    build_also(&s.app, stamp);
    s.app.commit("Write nothing outside");
    host.gitroll(&["deploy", "--yes"])
        .exit(1)
        .stderr_has("wrote version.js, which git tracks")
        .stderr_has("add \"version.js\" to `scratch`")
        .stderr_has("nothing was changed");
    s.app.configure(&config("\"dist\"", "scratch = [\"version.js\"]\n"));
    s.app.commit("No version reads it");
    host.gitroll(&["deploy", "--yes"]).exit(0).never_says("version.js");
    s.serves("1.0.0");
}

#[test]
fn an_app_without_any_dependency_is_deployed_and_left_again() {
    let host = TestEnvironment::new();
    let groups = "[[build]]\nname = \"deps\"\nrun = [[\"npm\", \"ci\"]]\n\
                  inputs = [\"package-lock.json\"]\noutputs = [\"node_modules\"]\n";
    let s = Scenario::serving(
        &host,
        Fixture::Plain,
        &AppConfig::default().without_builds().and(groups),
    );
    assert!(!s.app.has("node_modules"));
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    // A group that must make something still has to.
    s.app.git(&["checkout", "-q", "main"]);
    s.app.configure(&config("\"elsewhere\"", ""));
    s.app.commit("Expect too much");
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("the build did not produce elsewhere");
}

#[test]
fn kept_artifacts_of_another_node_are_built_anew_or_used_with_a_word() {
    let host = TestEnvironment::new();
    let (major, broken) = (host.path("major"), host.path("broken"));
    let node = host.run("sh", &["-c", "command -v node"]).exit(0).text().trim().to_owned();
    let is = |version: &str| std::fs::write(&major, version).expect("it can be written");
    is("18");
    let script = format!(
        "#!/bin/sh\ncase $1 in --version|-v) echo v$(cat '{}').0.0; exit;; esac\nexec '{node}' \"$@\"\n",
        major.display()
    );
    host.fake_tool("node", &script);
    let app = host.app(Fixture::Plain);
    app.configure(&config("\"dist\"", ""));
    build_also(
        &app,
        &format!(
            "if (fs.existsSync('{}')) process.exit(1);\n\
             fs.writeFileSync(path.join(dist, 'node'), fs.readFileSync('{}'));\n",
            broken.display(),
            major.display()
        ),
    );
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    is("20");
    s.release("1.1.0", Behaviour::Good).exit(0).says("what serves may not start again");
    host.gitroll(&["targets"])
        .exit(0)
        .stdout_has("dist was built for node 18.0.0, this host has 20.0.0");
    let back = |flags: &[&str], node: &str| {
        let answer = host.gitroll(&[&["back", "--yes"], flags].concat());
        answer.exit(0);
        s.serves(if flags.contains(&"--undo") { "1.1.0" } else { "1.0.0" });
        assert_eq!(s.app.read("dist/node"), node, "{}", answer.transcript());
        answer
    };
    back(&[], "20").says("built for node 18.0.0, this host has 20.0.0: rebuilding it");
    back(&["--undo"], "20").never_says("node");

    is("22");
    std::fs::write(&broken, "").expect("it can be written");
    back(&[], "20").says("using it anyway: it could not be rebuilt");
    std::fs::remove_file(&broken).expect("it was there");
    back(&["--undo"], "22");
    back(&["--emergency"], "20").says("using it anyway");
    back(&["--undo"], "22");

    // As an earlier version left its store.
    let store = s.app.dir.join(".git/gitroll/store");
    for entry in std::fs::read_dir(&store).expect("there is a store") {
        let path = entry.expect("it can be read").path();
        let name = path.file_stem().unwrap_or_default().len();
        if path.extension().is_some_and(|end| end == "json") && name == 64 {
            std::fs::remove_file(path).expect("it was there");
        }
    }
    back(&[], "20").says("the node version that dist was built for is not known");
}

#[test]
fn init_names_what_builds_read_and_make() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    std::fs::remove_file(app.dir.join("gitroll.toml")).expect("the fixture has one");
    app.write(
        "package.json",
        r#"{"name": "plain-app", "version": "1.0.0", "private": true, "workspaces": ["packages/*"],
            "scripts": {"build": "node build.js", "start": "node server.js", "postinstall": "node patch.js"}}"#,
    );
    app.write(".gitignore", "dist\nnode_modules\n.env\n.cache\nuploads\nsrc/generated\n");
    app.write("packages/a/package.json", r#"{"name": "a", "version": "1.0.0"}"#);
    app.write("src/index.js", "");
    let build = app.read("build.js");
    app.write("build.js", &format!("{build}\n// reads '.env'\n"));
    app.commit("An app of several packages");
    for ignored in
        ["dist/a", "packages/a/dist/i.js", "src/generated/c.js", "uploads/u", ".cache/c", ".env"]
    {
        app.write(ignored, "");
    }
    host.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    let text = app.read("gitroll.toml");
    for line in [
        "run = [[\"npm\", \"ci\"]]",
        "inputs = [\"**\"]",
        "outputs = [\"node_modules\"]",
        "optional = [\"packages/*/node_modules\"]",
        "outputs = [\"dist\", \"packages/*/dist\", \"src/generated\"]",
        "carry = [\".env\"]",
        "#   \"uploads/\"",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
    }
}
