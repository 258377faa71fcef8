//! A build sees in the stage what it would see in the live tree.

use std::fs;

use crate::support::*;

/// What is asked, quick, and these build groups.
fn built_by(groups: &str) -> AppConfig {
    AppConfig::default().settle(1, "300ms").without_builds().and(groups)
}

/// A group `app` that makes `dist` by `build.sh`.
const BY_SCRIPT: &str =
    "[[build]]\nname = \"app\"\nrun = [[\"sh\", \"build.sh\"]]\noutputs = [\"dist\"]\n";

/// The names in the directory for builds.
fn staged(host: &TestEnvironment) -> Vec<String> {
    let entries = fs::read_dir(host.path(".app.gitroll")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Nothing is left there; what takes longer than a second is removed by a process of its own.
fn nothing_is_staged(host: &TestEnvironment) {
    wait_until("stages are removed", || staged(host).is_empty());
}

#[test]
fn a_build_asks_git_and_the_environment_and_leaves_nothing_there() {
    let host = TestEnvironment::new();
    // Dotfiles further up: a repository that must never answer.
    host.run("git", &["init", "-q", host.root().to_str().unwrap()]).exit(0);
    let app = host.app(Fixture::Plain);
    // The first group writes to its repository, as hooks' installers do; the second finds nothing of that.
    let groups =
        "[[build]]\nname = \"hooks\"\nrun = [[\"sh\", \"hooks.sh\"]]\noutputs = [\"made\"]\n";
    app.configure(&built_by(&format!("{groups}{BY_SCRIPT}")));
    app.write(
        "hooks.sh",
        "set -e\nmkdir made\ngit config core.hooksPath .husky\ngit tag made-here\ngit add -f made\n\
         echo changed >> build.js\ngit describe --tags --always --dirty > made/dirty\n\
         git checkout -q build.js\ngit -c user.name=b -c user.email=b commit -q --allow-empty -m made\n",
    );
    app.write(
        "build.sh",
        "set -e\nmkdir dist\ngit rev-parse HEAD > dist/commit\ngit describe --tags --dirty > dist/described\n\
         git status --porcelain > dist/status\ngit config core.hooksPath > dist/hooks || true\n\
         git remote get-url origin > dist/remote\n(cd features && git rev-parse --show-toplevel) > dist/top\n\
         git tag > dist/tags\nenv > dist/env\necho \"token $NPM_TOKEN\"\n: $VITE_API_URL\n",
    );
    app.write("features/readme", "");
    app.write(".gitignore", "dist\nmade\n.env\n");
    app.commit_version("1.0.0", Behaviour::Good);
    app.tag("v1.0.0");
    app.git(&["remote", "add", "origin", "https://ana:hunter22@127.0.0.1:1/app.git"]);
    for (name, value) in [
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("NODE_EXTRA_CA_CERTS", "/dev/null"),
        ("npm_config_cafile", "/dev/null"),
        ("npm_config_local_prefix", "/elsewhere"),
        ("NPM_TOKEN", "canary-5e1f0b7c"),
        ("ACME_TOKEN", "passed-by-the-host"),
        ("GIT_INDEX_FILE", "/nowhere/index"),
        ("VITE_API_URL", "https://api.example.org"),
        ("AAA_ELSEWHERE", "1"),
    ] {
        host.set(name, value);
    }
    let s = Scenario { host: &host, app };
    s.bind()
        .stdout_has("builds do not see")
        .stdout_has("ACME_TOKEN")
        .stdout_has("VITE_API_URL used in");
    let binding = fs::read_to_string(host.path("gitroll/host.toml")).unwrap();
    let passed = binding.replace("# pass = [\"ACME_TOKEN\"]", "pass = [\"ACME_TOKEN\"]");
    fs::write(host.path("gitroll/host.toml"), passed).unwrap();
    let answer = host.gitroll(&["deploy", "--yes"]);
    answer.exit(0).never_says("canary-5e1f0b7c");
    host.unset("GIT_INDEX_FILE");
    host.gitroll(&["promote", "--as", "v1.0.0-stable", "--yes"]).exit(0);
    let read = |name: &str| s.app.read(&format!("dist/{name}")).trim().to_owned();
    let tagged = |tag: &str| s.app.git(&["rev-parse", &format!("{tag}^{{commit}}")]);
    let live = s.app.dir.to_str().unwrap();

    assert_eq!(read("commit"), s.app.head());
    assert_eq!(read("described"), "v1.0.0");
    assert!(s.app.read("made/dirty").trim().ends_with("-dirty"), "{}", s.app.read("made/dirty"));
    assert_eq!((read("status"), read("hooks")), (String::new(), String::new()));
    assert_eq!(read("remote"), "https://127.0.0.1:1/app.git");
    assert_eq!(read("tags"), "v1.0.0");
    let environment = read("env");
    let has = |line: &str| environment.lines().any(|found| found == line);
    for line in [
        "HTTPS_PROXY=http://127.0.0.1:1",
        "NODE_EXTRA_CA_CERTS=/dev/null",
        "npm_config_cafile=/dev/null",
        "NPM_TOKEN=canary-5e1f0b7c",
        "ACME_TOKEN=passed-by-the-host",
        &format!("PWD={}", read("top")),
    ] {
        assert!(has(line), "{line}\n{environment}");
    }
    for name in ["GIT_INDEX_FILE", "VITE_API_URL", "AAA_ELSEWHERE", "npm_config_local_prefix", live]
    {
        assert!(!environment.contains(name), "{name}\n{environment}");
    }
    // Nothing of it is left: not here, not in what was built, not beside it.
    assert_eq!(s.app.try_git(&["config", "core.hooksPath"]).text(), "");
    assert_eq!(s.app.try_git(&["tag", "--list", "made-here"]).text(), "");
    assert!(!s.app.has("dist/.git") && !s.app.has("made/.git"));
    nothing_is_staged(&host);

    // Record tags answer `git describe` here by now, and never a build.
    s.release("1.1.0", Behaviour::Good).exit(0);
    assert_eq!(tagged("v1.0.0"), tagged("v1.0.0-stable"));
    assert!(!s.app.git(&["tag", "--list", "gitroll/*"]).is_empty());
    assert!(read("described").starts_with("v1.0.0"), "{}", read("described"));
    assert_eq!(read("tags"), "v1.0.0\nv1.0.0-stable");
}

#[test]
fn a_submodule_that_stays_is_there_and_one_that_is_another_is_refused() {
    let host = TestEnvironment::new();
    host.configure_git("protocol.file.allow", "always");
    let theme = host.path("theme");
    fs::create_dir(&theme).unwrap();
    let in_theme = |args: &[&str]| {
        let args = [&["-C", theme.to_str().unwrap()], args].concat();
        host.run("git", &args).exit(0).text().to_owned()
    };
    in_theme(&["init", "-q"]);
    fs::write(theme.join("style.css"), "themed\n").unwrap();
    in_theme(&["add", "-A"]);
    in_theme(&["commit", "-q", "-m", "theme"]);
    let pinned = in_theme(&["rev-parse", "HEAD"]);
    let app = host.app(Fixture::Plain);
    app.git(&["submodule", "--quiet", "add", theme.to_str().unwrap(), "theme"]);
    app.configure(&built_by(BY_SCRIPT));
    app.write(
        "build.sh",
        "set -e\nmkdir dist\ncat theme/*.css > dist/style.css || true\ngit -C theme rev-parse HEAD > dist/theme\n\
         git status --porcelain > dist/status\n",
    );
    app.write(".gitignore", "dist\n.env\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.release("1.1.0", Behaviour::Good).exit(0);
    assert_eq!(s.app.read("dist/style.css"), "themed\n");
    assert_eq!(s.app.read("dist/theme").trim(), pinned);
    assert_eq!(s.app.read("dist/status"), "");
    assert!(s.app.has("theme/.git"));
    nothing_is_staged(&host);

    let serving = s.app.head();
    s.app.write("theme/style.css", "mine\n");
    host.gitroll(&["service", "restart", "web"]).exit(0);
    host.gitroll(&["check"]).exit(1).stderr_has("it may run another version");
    host.gitroll(&["status"]).stdout_has("not proven").stdout_has("theme/style.css edited");
    let command = "git submodule update --init --force -- theme";
    host.gitroll(&["deploy", &serving, "--yes"])
        .exit(1)
        .stderr_has("submodule theme: theme/style.css was edited here")
        .stderr_has(command);
    let in_app = format!("cd '{}' && {command}", s.app.dir.display());
    host.run("sh", &["-c", &in_app]).exit(0);
    host.gitroll(&["deploy", &serving, "--yes"]).exit(0).stdout_lacks("already serves");
    host.gitroll(&["check"]).exit(0);

    let next = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let submodule = s.app.dir.join("theme");
    let submodule = submodule.to_str().unwrap();
    s.app.git(&["-C", submodule, "commit", "-q", "--allow-empty", "-m", "another"]);
    host.gitroll(&["service", "restart", "web"]).exit(0);
    host.gitroll(&["check"]).exit(1);
    host.gitroll(&["deploy", &serving, "--yes"])
        .exit(1)
        .stderr_has("submodule theme: another commit of it is checked out here");
    host.gitroll(&["deploy", &next, "--yes"])
        .exit(1)
        .stderr_has("submodule theme: it is checked out at")
        .stderr_has("git submodule update --init --checkout -- theme");
    s.app.git(&["submodule", "--quiet", "deinit", "-f", "theme"]);
    let told = "submodule theme is not checked out here";
    host.gitroll(&["deploy", &next, "--yes"]).exit(0).stderr_has(told);
}

/// A check that a command answers, which notes what lies in the directory for builds meanwhile.
fn watching(host: &TestEnvironment) -> String {
    let (dir, log) = (host.path(".app.gitroll"), host.path("during-proof"));
    let script = format!("ls {} >> {}", dir.display(), log.display());
    format!(
        "[[check]]\nname = \"watch\"\ncommand = [\"sh\", \"-c\", {script:?}]\npasses = 1\nsettle = \"0s\"\n"
    )
}

#[test]
fn the_stage_is_gone_when_the_proof_looks_and_what_names_it_is_told() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let asked = format!(
        "[[check]]\nname = \"page\"\nhttp = \"{}\"\nexpect = {{ status = 200, body = \"page one\" }}\n\
         passes = 1\nsettle = \"300ms\"\ntimeout = \"4s\"\n",
        app.url("/features/page")
    );
    let script = "set -e\nmkdir dist\nln -s \"$PWD/views/page.html\" dist/link\n\
                  echo \"module.exports = '$PWD/views'\" > dist/paths.js\ncp dist/paths.js dist/paths.js.map\n";
    let page = |where_from: &str| {
        format!(
            "exports.toString = () => {{ try {{ return require('fs').readFileSync({where_from}, 'utf8').trim() }} \
             catch (e) {{ return e.code }} }};\n"
        )
    };
    app.configure(&built_by(&format!("{BY_SCRIPT}{}", watching(&host))));
    app.write("build.sh", script);
    app.write("views/page.html", "page one\n");
    app.write(".gitignore", "dist\n.env\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    // What nothing reads is told, and told again by its record; a link leads to the live tree.
    let answer = host.gitroll(&["deploy", "--yes"]);
    let told =
        "contains the path of its build directory, which does not exist at run time: dist/paths.js";
    answer.exit(0).stderr_has(told).stderr_lacks("paths.js.map");
    host.gitroll(&["show", "--json"]).exit(0).stdout_has(told);
    assert_eq!(s.app.read("dist/link"), "page one\n");
    assert_eq!(
        fs::read_link(s.app.dir.join("dist/link")).unwrap(),
        s.app.dir.join("views/page.html")
    );

    // What the app reads by that path is seen to fail, and what served is put back.
    s.app.configure(&built_by(&format!("{BY_SCRIPT}{asked}{}", watching(&host))));
    s.app.write("features/page/index.js", &page("require('../../dist/paths.js') + '/page.html'"));
    s.release_kept("1.1.0").exit(20).stderr_has("restored, observed serving");
    s.serves("1.0.0");
    s.app.write("features/page/index.js", &page("'dist/link'"));
    s.release_kept("1.2.0").exit(0);
    s.serves("1.2.0");

    // The proofs, that of the way back too, came before anything large was removed.
    let seen = fs::read_to_string(host.path("during-proof")).unwrap();
    let names: Vec<&str> = seen.lines().collect();
    assert!(names.iter().any(|name| name.contains(".gone-")), "{names:?}");
    assert!(names.iter().all(|name| name.contains(".gone-")), "{names:?}");
    nothing_is_staged(&host);
}

#[test]
fn a_python_environment_is_built_beside_the_live_one_and_runs_in_its_place() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let wheel = "import zipfile\n\
        z = zipfile.ZipFile('tiny-1.0-py3-none-any.whl', 'w')\nd = 'tiny-1.0.dist-info/'\n\
        z.writestr('tiny.py', 'import sys\\ndef main(): print(sys.prefix)\\n')\n\
        z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n\
        z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr(d + 'entry_points.txt', '[console_scripts]\\ntiny = tiny:main\\n')\n\
        z.writestr(d + 'RECORD', '')\nz.close()\n";
    host.run("python3", &["-c", wheel]).exit(0);
    // The first group as the starter file has it; the second one uses what it made.
    let template = fs::read_to_string(project().join("templates/build-plain.toml.jinja")).unwrap();
    let run = template.lines().find_map(|line| line.strip_prefix("# run = [[\"python3\""));
    let groups = format!(
        "[[build]]\nname = \"app\"\nrun = [[\"python3\"{}\ninputs = [\"requirements.txt\"]\noutputs = [\"venv\"]\n\
         [[build]]\nname = \"assets\"\nrun = [[\"sh\", \"build.sh\"]]\noutputs = [\"dist\"]\n",
        run.expect("the starter file has a group for Python")
    );
    app.configure(&built_by(&groups));
    app.write("requirements.txt", "./tiny-1.0-py3-none-any.whl\n");
    app.write(
        "build.sh",
        "set -e\nmkdir dist\nvenv/bin/tiny > dist/prefix\nvenv/bin/pip list > dist/list\n",
    );
    app.write(".gitignore", "venv\ndist\n.env\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0).stderr_lacks(": venv/").stderr_has(": dist/prefix");
    let (live, built_in) = (s.app.dir.join("venv"), s.app.read("dist/prefix"));
    assert!(built_in.contains("/stage-") && built_in.trim().ends_with("/venv"), "{built_in}");
    let prefix =
        || host.run(live.join("bin/tiny").to_str().unwrap(), &[]).exit(0).text().to_owned();
    assert_eq!(prefix(), live.to_str().unwrap());
    host.run(live.join("bin/pip").to_str().unwrap(), &["--version"])
        .exit(0)
        .stdout_has(live.to_str().unwrap());
    for file in ["bin/tiny", "bin/activate", "pyvenv.cfg"] {
        assert!(!s.app.read(&format!("venv/{file}")).contains("stage-"), "{file}");
    }

    // An install that fails touches nothing.
    s.app.write("requirements.txt", "./no-such-1.0-py3-none-any.whl\n");
    s.release_kept("1.1.0").exit(1).stderr_has("nothing was changed");
    assert_eq!(prefix(), live.to_str().unwrap());
    nothing_is_staged(&host);
}

#[test]
fn a_kill_in_a_build_leaves_a_stage_that_is_made_anew() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&built_by(BY_SCRIPT));
    // Once it waits, beside what it has written to its repository.
    app.write(
        "build.sh",
        "set -e\n[ ! -e ../../waits ] || { git tag left-here; touch ../../waiting; sleep 60; }\n\
         mkdir dist\ngit tag > dist/tags\ngit status --porcelain >> dist/tags\n",
    );
    app.write(".gitignore", "dist\n.env\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    fs::write(host.path("waits"), "").unwrap();
    let mut deploy = host.gitroll_command(&["deploy", "--yes"]);
    let mut deploy = deploy.spawn().expect("it starts");
    wait_until("the build waits", || host.path("waiting").exists());
    deploy.kill().unwrap();
    deploy.wait().unwrap();
    fs::remove_file(host.path("waits")).unwrap();
    assert!(staged(&host).iter().any(|name| name.ends_with(".git")), "{:?}", staged(&host));
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(s.app.read("dist/tags"), "");
    nothing_is_staged(&host);
}
