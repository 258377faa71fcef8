//! What comes with the program: completions, pages and man pages, its version, progress as JSON lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::schema::misfits;
use crate::support::*;

/// The program under test, as a shell script finds it.
const GITROLL: &str = env!("CARGO_BIN_EXE_gitroll");

/// Quick, with a component that has a flag.
fn config() -> AppConfig {
    let component = "[component.QW-001]\ntitle = \"Uploads\"\npaths = [\"behaviour.json\"]\n\
                     flag = { name = \"ENABLE_UPLOADS\", off = \"false\" }\n[flags]\nfile = \".env\"\n";
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s").and(component)
}

/// What bash offers for a line whose last word is being typed; `function` is what bash calls.
fn offered(host: &TestEnvironment, words: &[&str]) -> BTreeSet<String> {
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let last = words.len() - 1;
    let script = format!(
        "source <(gitroll completions bash)\nCOMP_WORDS=({line}) COMP_CWORD={last} COMP_TYPE=9\n\
         _clap_complete_gitroll gitroll '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words[last]
    );
    let answer = host.run("bash", &["-c", &script]);
    answer.exit(0).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_what_is_in_the_checkout() {
    let host = TestEnvironment::new();
    host.fake_tool("gitroll", &format!("#!/bin/sh\nexec '{GITROLL}' \"$@\"\n"));
    let s = Scenario::serving(&host, Fixture::Plain, &config());
    s.app.lightweight_tag("v0.9.0");
    let offers = |words: &[&str], wanted: &[&str]| {
        let found = offered(&host, words);
        let lacks: Vec<&&str> = wanted.iter().filter(|word| !found.contains(**word)).collect();
        assert!(lacks.is_empty(), "{words:?} offers {found:?}, not {lacks:?}");
        found
    };
    let found = offers(&["gitroll", "back", ""], &["last-stable", "v1.0.0-stable", "v0.9.0"]);
    assert!(!found.iter().any(|word| word.starts_with("gitroll/")), "{found:?}");
    let found = offers(&["gitroll", "back", "v1"], &["v1.0.0-stable"]);
    assert!(!found.contains("v0.9.0"), "{found:?}");
    offers(&["gitroll", "back", "--to", "@"], &["@1", "@2", "@3"]);
    offers(&["gitroll", "show", ""], &["3", "main"]);
    offers(&["gitroll", "component", ""], &["QW-001"]);
    offers(&["gitroll", "flags", "off", ""], &["QW-001", "ENABLE_UPLOADS"]);
    offers(&["gitroll", "flags", "set", "EN"], &["ENABLE_UPLOADS="]);
    offers(&["gitroll", "service", "restart", ""], &["web"]);
    offers(&["gitroll", "log", "--event", ""], &["back", "deploy"]);
    offers(&["gitroll", "help", ""], &["back", "exit-codes"]);
    offers(&["gitroll", "--app", ""], &["plain-app"]);
    let found = offers(&["gitroll", "b"], &["back"]);
    assert!(!found.contains("hook"), "{found:?}");

    // From elsewhere the checkout is the one that is named; where there is none, nothing is offered.
    let there = s.app.dir.display().to_string();
    let away = host.path("tmp");
    let asked = |args: &[&str]| {
        let mut command = host.gitroll_command(args);
        command.current_dir(&away).env("GITROLL_COMPLETE", "fish");
        let answer = command.output().expect("it runs");
        assert!(answer.status.success() && answer.stderr.is_empty(), "{answer:?}");
        String::from_utf8(answer.stdout).expect("text")
    };
    let named = asked(&["--", "gitroll", "-C", &there, "component", ""]);
    assert!(named.contains("QW-001\tUploads\n"), "{named}");
    assert!(
        asked(&["--", "gitroll", "--app", "plain-app", "show", "2"])
            .contains("2\tproduction web-1")
    );
    assert!(!asked(&["--", "gitroll", "component", ""]).contains("QW-001"));

    // `git roll` by git's own completion, which calls this function with these variables.
    let script = "source <(gitroll completions bash)\nwords=(git roll component '') cword=3 cur=''\n\
                  _git_roll\nprintf '%s\\n' \"${COMPREPLY[@]}\"";
    host.run("bash", &["-c", script]).exit(0).stdout_has("QW-001\n");

    // A file that is no configuration offers nothing, and says nothing into the line that is typed.
    s.app.write("gitroll.toml", "[app\n");
    assert!(!offered(&host, &["gitroll", "component", ""]).contains("QW-001"));
}

#[test]
fn a_completion_costs_little_more_than_a_start() {
    let host = TestEnvironment::new();
    Scenario::serving(&host, Fixture::Plain, &config());
    // The fastest of several: what else runs here makes some slower and none faster.
    let fastest = |command: &mut dyn FnMut() -> Command| {
        let time = |_| {
            let begun = Instant::now();
            assert!(command().output().expect("it runs").status.success());
            begun.elapsed()
        };
        (0..15).map(time).min().unwrap_or_default()
    };
    let start = fastest(&mut || host.gitroll_command(&["--version"]));
    let completion = fastest(&mut || {
        let mut command = host.gitroll_command(&["--", "gitroll", "back", "--to", "v"]);
        command.env("GITROLL_COMPLETE", "fish");
        command
    });
    let git = fastest(&mut || {
        let mut command = host.command("git");
        command.args(["for-each-ref", "refs/tags"]);
        command
    });
    // Measured: see docs/performance.md. A debug build is slow at its own part of it.
    assert!(
        completion < (start + git) * 8 + Duration::from_millis(20),
        "{completion:?} against {start:?} for a start, {git:?} for git"
    );
}

#[test]
fn every_shell_has_a_script_that_it_can_read() {
    let host = TestEnvironment::new();
    host.fake_tool("gitroll", &format!("#!/bin/sh\nexec '{GITROLL}' \"$@\"\n"));
    for (shell, check) in [
        ("bash", "bash -n script"),
        ("zsh", "zsh -n script && grep -qx '#compdef gitroll git-roll' script"),
        (
            "fish",
            "fish --no-execute script && fish -c 'source script; complete -C \"gitroll ba\"; complete -C \"git-roll ba\"' | \
             grep -c '^back' | grep -qx 2",
        ),
        ("nushell", "true"),
    ] {
        let answer = host.gitroll(&["completions", shell]);
        fs::write(host.path("script"), &answer.exit(0).stdout).expect("it is writable");
        assert!(answer.stdout.contains("GITROLL_COMPLETE"), "{shell}: {}", answer.stdout);
        // The same bytes are the answer for programs.
        let json = host.gitroll(&["completions", shell, "--json"]).exit(0).json();
        assert_eq!(json["result"]["script"], answer.stdout.as_str());
        if find_tool(shell).is_some() {
            host.run("sh", &["-c", check]).exit(0);
        }
    }
    host.gitroll(&["completions", "tcsh"]).exit(2).stderr_has("possible values: bash, zsh");
    let mut command = host.gitroll_command(&["--", "gitroll", ""]);
    let answer = command.env("GITROLL_COMPLETE", "tcsh").output().expect("it runs");
    assert_eq!(answer.status.code(), Some(2), "{answer:?}");
}

#[test]
fn the_pages_are_in_the_program() {
    let host = TestEnvironment::new();
    let page = fs::read_to_string(project().join("docs/exit-codes.md")).expect("it is there");
    assert_eq!(
        host.gitroll(&["help", "exit-codes"]).exit(0).stdout,
        page,
        "a pipe gets the page as it is"
    );
    for verb in [&["back"][..], &["flags", "ramp"]] {
        let by_option = host.gitroll(&[verb, &["--help"]].concat()).exit(0).stdout.clone();
        assert_eq!(host.gitroll(&[&["help"], verb].concat()).exit(0).stdout, by_option);
    }
    let all = host.gitroll(&["help"]);
    all.exit(0).stdout_has("Roll back:").stdout_has("\nTopics").stdout_has("  first-hour ");
    let wrong = host.gitroll(&["help", "exit-code"]);
    wrong.exit(2).stderr_has("gitroll help exit-codes").stderr_has("troubleshooting");
    host.gitroll(&["help", "hook"]).exit(2);
    let json = host.gitroll(&["help", "proof", "--json"]).exit(0).json();
    assert!(json["result"]["text"].as_str().is_some_and(|text| text.starts_with("# What ")));

    // Every page for people who use gitroll is a topic, and no topic has the name of a command.
    let contributors = [
        "architecture",
        "decisions",
        "dependencies",
        "field-cases",
        "performance",
        "testing",
        "README",
        "SUMMARY",
    ];
    let pages = ["docs", "docs/guides"].into_iter().flat_map(|dir| {
        let files = fs::read_dir(project().join(dir)).expect("it can be listed").flatten();
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "md"))
    });
    let mut pages: BTreeSet<String> =
        pages.map(|page| fs::read_to_string(page).expect("text")).collect();
    for page in contributors {
        pages.remove(
            &fs::read_to_string(project().join(format!("docs/{page}.md"))).unwrap_or_default(),
        );
    }
    let topics = host.gitroll(&["help", "--json"]).exit(0).json()["result"]["topics"].clone();
    for topic in topics.as_array().expect("a list") {
        let name = topic["name"].as_str().expect("text");
        let shown = host.gitroll(&["help", name]).exit(0).stdout.clone();
        assert!(
            pages.remove(&shown),
            "{name} is a command, a page for contributors, or twice there"
        );
    }
    let left: Vec<&str> = pages.iter().filter_map(|page| page.lines().next()).collect();
    assert!(left.is_empty(), "no topic shows {left:?}");
}

#[test]
fn a_page_is_paged_on_a_terminal() {
    let host = TestEnvironment::new();
    host.fake_tool("mypager", "#!/bin/sh\necho PAGED\nhead -n 1\n");
    host.set("PAGER", "mypager");
    let mut terminal = host.gitroll_on_terminal(&["help", "exit-codes"]);
    terminal.expect("PAGED");
    terminal.expect("Exit codes");
    host.gitroll(&["help", "exit-codes"]).exit(0).stdout_lacks("PAGED");
}

#[test]
fn every_command_has_a_man_page() {
    let host = TestEnvironment::new();
    let dir = host.path("man");
    fs::create_dir(&dir).expect("it is new");
    host.gitroll(&["man", "man"]).exit(0);
    let names = fs::read_dir(&dir).expect("it is there").flatten();
    let names: BTreeSet<String> =
        names.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    for name in ["gitroll.1", "gitroll-back.1", "gitroll-flags-ramp.1", "gitroll-help.1"] {
        let page = fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    for hidden in ["gitroll-hook.1", "gitroll-watchdog.1", "gitroll-man.1"] {
        assert!(!names.contains(hidden), "{names:?}");
    }
    let back = fs::read_to_string(dir.join("gitroll-back.1")).expect("it is there");
    assert!(
        back.contains("gitroll back \\-\\-undo") || back.contains("gitroll back --undo"),
        "{back}"
    );
    host.gitroll(&["man", "nowhere/at/all"]).exit(1).stderr_has("nowhere/at/all");
}

#[test]
fn the_version_says_which_build_this_is() {
    let host = TestEnvironment::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(host.gitroll(&["-V"]).exit(0).stdout, format!("gitroll {version}\n"));
    let long = host.gitroll(&["--version"]).exit(0).stdout.clone();
    assert!(long.starts_with(&format!("gitroll {version}")) && long.lines().count() == 1, "{long}");

    // The script of the build, in a clone, in an archive, and where there is neither.
    let script = host.path("build-script");
    let output = script.display().to_string();
    let source = project().join("build.rs").display().to_string();
    host.set("RUSTUP_TOOLCHAIN", "").unset("RUSTUP_TOOLCHAIN");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let mut compile = Command::new(rustc);
    compile.args(["--edition", "2024", &source, "-o", &output]);
    assert!(compile.status().expect("rustc runs").success());
    let told = |dir: &Path, profile: &str, packager: Option<&str>| {
        let mut command = host.command(&script);
        command.current_dir(dir).env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", profile);
        command.envs(packager.map(|told| ("GITROLL_BUILD", told)));
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("cargo::rustc-env=GITROLL_LONG_VERSION="));
        line.expect("it tells the version").to_owned()
    };
    let app = host.app(Fixture::Plain);
    app.write("templates/packaging/commit", "$Format:%h %cs$\n");
    app.write(".gitattributes", "templates/packaging/commit export-subst\n");
    let commit = app.commit("all");
    let day = app.git(&["show", "--no-patch", "--format=%cs", "HEAD"]);
    let from_git = format!("1.2.3 ({} {})", &commit[..7], day.trim());
    assert_eq!(told(&app.dir, "release", None), from_git);
    assert_eq!(told(&app.dir, "debug", None), "1.2.3 (debug build)");
    assert_eq!(told(&app.dir, "release", Some("abc 2026-01-02")), "1.2.3 (abc 2026-01-02)");
    app.write("package.json", "{}\n");
    assert_eq!(told(&app.dir, "release", None), from_git.replace(')', ", edited)"));

    let archive = host.path("archive");
    fs::create_dir(&archive).expect("it is new");
    let unpack = format!("git archive HEAD | tar -x -C '{}'", archive.display());
    host.run("sh", &["-c", &unpack]).exit(0);
    let from_archive = told(&archive, "release", None);
    assert!(from_archive.starts_with(&format!("1.2.3 ({}", &commit[..7])), "{from_archive}");
    // In a directory of another repository the commit would be that one's.
    let inside = app.dir.join("vendor");
    fs::create_dir(&inside).expect("it is new");
    assert_eq!(told(&inside, "release", None), "1.2.3");
    host.set("PATH", "/nowhere");
    assert_eq!(told(&app.dir, "release", None), "1.2.3", "without git");
}

#[test]
fn the_packages_install_without_a_network() {
    let host = TestEnvironment::new();
    // Packing the real binary takes long and shows nothing more.
    let binary = host.path("binary");
    fs::write(&binary, format!("#!/bin/sh\nexec '{GITROLL}' \"$@\"\n")).expect("it is writable");
    set_mode(&binary, 0o755);
    let (out, packages) = (host.path("packages"), project().join("templates/packaging/dist"));
    host.set("GITROLL_BINARY", &binary)
        .set("GITROLL_DIST", &out)
        .set("GITROLL_DEB_COMPRESSION", "none");
    host.registry_away();
    host.run(&packages.display().to_string(), &[]).exit(0);
    let version = env!("CARGO_PKG_VERSION");
    host.run("sh", &["-c", "cd packages && sha256sum --check --strict SHA256SUMS"]).exit(0);
    let sums = fs::read_to_string(out.join("SHA256SUMS")).expect("it is there");
    assert_eq!(sums.lines().count(), 3, "{sums}");

    let tarball = format!("packages/{}", sums.split_whitespace().nth(1).expect("a name"));
    host.run("tar", &["-xzf", &tarball]).exit(0);
    let unpacked = host.path(tarball.trim_start_matches("packages/").trim_end_matches(".tar.gz"));
    for file in ["gitroll", "git-roll", "completions/_gitroll", "man/gitroll-back.1", "LICENSE-MIT"]
    {
        assert!(unpacked.join(file).exists(), "{file}");
    }

    let deb = sums.split_whitespace().find(|name| name.ends_with(".deb")).expect("there is one");
    host.run("dpkg-deb", &["-x", &format!("packages/{deb}"), "deb"]).exit(0);
    for file in [
        "bin/gitroll",
        "bin/git-roll",
        "share/man/man1/gitroll-back.1.gz",
        "share/man/man1/git-roll.1.gz",
        "share/bash-completion/completions/gitroll",
        "share/bash-completion/completions/git-roll",
        "share/zsh/vendor-completions/_gitroll",
        "share/zsh/vendor-completions/_git-roll",
        "share/fish/vendor_completions.d/gitroll.fish",
        "share/fish/vendor_completions.d/git-roll.fish",
        "share/nushell/vendor/autoload/gitroll.nu",
        "share/gitroll/gitroll.schema.json",
        "share/doc/gitroll/copyright",
    ] {
        assert!(host.path("deb/usr").join(file).exists(), "{file}");
    }
    let control = host.run("dpkg-deb", &["-f", &format!("packages/{deb}")]).exit(0).stdout.clone();
    assert!(control.contains(&format!("Version: {version}\n")), "{control}");

    let package = format!("./packages/gitroll-{version}.tgz");
    let prefix = host.path("prefix").display().to_string();
    host.run("npm", &["install", "--global", "--offline", "--prefix", &prefix, &package]).exit(0);
    let path = std::env::var("PATH").expect("tests run with a PATH");
    host.set("PATH", format!("{prefix}/bin:{path}"));
    for (program, args) in [("gitroll", &["-V"][..]), ("git", &["roll", "-V"])] {
        assert_eq!(host.run(program, args).exit(0).stdout, format!("gitroll {version}\n"));
    }
}

fn schema(name: &str) -> serde_json::Value {
    let path = project().join(format!("docs/schema/{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("a schema is JSON")
}

#[test]
fn progress_is_told_as_lines_of_json() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &config());
    let following = Going::start(&host, &["log", "-n", "1", "--follow", "--json-lines"]);
    following.answers("\"seq\":3");
    let told = |args: &[&str], code: i32| {
        let answer = host.gitroll(args);
        let lines = answer
            .exit(code)
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let mut lines: Vec<serde_json::Value> = lines.collect();
        let last = lines.pop().expect("there is an answer");
        for line in &lines {
            let wrong = misfits(&schema("progress"), line);
            assert!(wrong.is_empty(), "{line}: {wrong:?}");
        }
        assert!(
            misfits(&schema("envelope"), &last).is_empty() && last["event"].is_null(),
            "{last}"
        );
        let events: Vec<String> =
            lines.iter().map(|l| l["event"].as_str().unwrap_or_default().to_owned()).collect();
        (events, last)
    };
    let good = s.app.commit_version("1.1.0", Behaviour::Good);
    let (events, last) = told(&["deploy", &good, "--json-lines"], 0);
    for event in ["plan", "step-began", "step-done", "proven"] {
        assert!(events.iter().any(|told| told == event), "{event}: {events:?}");
    }
    assert_eq!((&last["exit"], &last["result"]["outcome"]), (&0.into(), &"serving".into()));
    let bad = s.app.commit_version("1.2.0", Behaviour::ThrowsAtBoot);
    let (events, last) = told(&["deploy", &bad, "--json-lines", "--quiet"], 20);
    for event in ["step-failed", "restoring"] {
        assert!(events.iter().any(|told| told == event), "{event}: {events:?}");
    }
    assert_eq!(last["result"]["outcome"], "restored");
    let (_, last) = told(&["deploy", "--nope", "--json-lines"], 2);
    assert!(last["error"]["message"].is_string());

    following.answers("\"seq\":5");
    following.interrupt();
    let lines = fs::read_to_string(host.path("going.out")).expect("it is there");
    let seqs = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let wrong = misfits(&schema("log-line"), &line);
        assert!(wrong.is_empty(), "{line}: {wrong:?}");
        line["record"]["seq"].as_u64().unwrap_or_default()
    });
    assert_eq!(seqs.collect::<Vec<_>>(), [3, 4, 5]);

    // The records that are asked for, and no others.
    let listed = |args: &[&str]| {
        let answer = host.gitroll(&[&["log", "--json"], args].concat());
        let records = answer.exit(0).json()["result"]["records"].clone();
        let seqs = records.as_array().expect("a list").iter();
        seqs.map(|line| line["record"]["seq"].as_u64().unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--event", "deploy"]), [5, 4, 2]);
    assert_eq!(listed(&["--event", "init", "--event", "promote"]), [3, 1]);
    assert_eq!(listed(&["--since", "1h"]), [5, 4, 3, 2, 1]);
    assert_eq!(listed(&["--since", "1h", "-n", "2"]), [5, 4]);
    assert_eq!(listed(&["--since", "2099-01-01"]), [] as [u64; 0]);
    assert_eq!(listed(&["--component", "QW-001"]), [] as [u64; 0]);
    host.gitroll(&["log", "--event", "bakc"]).exit(2).stderr_has("back");
    host.gitroll(&["log", "--since", "yesterday-ish"]).exit(2).stderr_has("2026-11-30");
    host.gitroll(&["log", "--follow", "--json"]).exit(2).stderr_has("--json-lines");
}
