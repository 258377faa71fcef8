//! What gitroll costs over plain git, on a repository of 10,000 files: `cargo bench --bench verbs`.
//!
//! Numbers are ratios of medians measured in one run, taken in turns, so that a busy machine slows both
//! sides alike. What is compared:
//!
//! - start-up: `gitroll --version` with `git --version`.
//! - `gitroll status` with `git status`: the same look at the work tree, plus ledger, checks, services.
//! - `gitroll deploy` of what serves already with `git status`: what a needless deploy costs.
//! - `gitroll back` with what a runbook says: `git checkout <tag>`. The verb also observes, plans, keeps a
//!   journal, reloads, proves and signs a record; the runbook's line does none of that. Its *own share* is
//!   what is left without the steps in which it waits for the app: reload and prove, which the runbook's
//!   reader does by hand. The proof's settle time is set to its least.
//! - `gitroll targets` with 1,000 and 10,000 stable tags, each on a commit of its own, with
//!   `git for-each-ref`, which reads the same tags and judges none.
//!
//! A verb that fails is reported as such and never timed. docs/performance.md has figures.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

mod support;

const FILES: usize = 10_000;
/// Files that differ between the two versions: what a release typically touches.
const CHANGED: usize = 50;
const ROUNDS: usize = 7;

fn main() -> ExitCode {
    // `cargo test --benches` calls this too, to see that it runs; `--list` asks for test names.
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|a| a == "--bench") {
        return ExitCode::SUCCESS;
    }
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let gitroll = Repository::create(place.path(), "gitroll");
    let plain = Repository::create(place.path(), "plain");
    println!("{FILES} files, {CHANGED} differ, median of {ROUNDS}");
    let outcome = measure(&gitroll, &plain);
    gitroll.gitroll(&["service", "stop"]);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(gitroll: &Repository, plain: &Repository) -> Result<(), String> {
    expect(gitroll.gitroll(&["init", "--yes", "--environment", "production", "--name", "bench"]))?;
    for version in ["v1", "v2"] {
        expect(gitroll.gitroll(&["deploy", version, "--yes"]))?;
        gitroll.is_at(version)?;
    }

    compare("start-up", &["--version"], &["--version"], gitroll, plain)?;
    compare("status", &["status"], &["status", "--porcelain"], gitroll, plain)?;
    compare("deploy again", &["deploy", "v2"], &["status", "--porcelain"], gitroll, plain)?;

    let (mut verb, mut own, mut git) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        expect(plain.git(&["checkout", "-q", "--detach", "v2"]))?;
        git.push(timed(|| plain.git(&["checkout", "-q", "--detach", "v1"]))?);
        let took = timed(|| gitroll.gitroll(&["back", "--yes", "--no-verdict"]))?;
        verb.push(took);
        own.push(took.saturating_sub(gitroll.waited_for_the_app()?));
        gitroll.is_at("v1")?;
        expect(gitroll.gitroll(&["deploy", "v2", "--yes"]))?;
    }
    report("back", verb, "checkout", git.clone());
    report("  its own share", own, "checkout", git);

    for count in [1_000, 10_000] {
        for repository in [gitroll, plain] {
            repository.tag_commits(count)?;
        }
        let listing = ["for-each-ref", "--format=%(refname) %(*objectname)", "refs/tags"];
        compare(&format!("targets, {count}"), &["targets"], &listing, gitroll, plain)?;
        compare(&format!("status, {count}"), &["status"], &listing, gitroll, plain)?;
    }
    Ok(())
}

/// Times a verb and a git command in turns.
fn compare(
    name: &str,
    verb: &[&str],
    command: &[&str],
    gitroll: &Repository,
    plain: &Repository,
) -> Result<(), String> {
    let (mut verbs, mut gits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        gits.push(timed(|| plain.git(command))?);
        verbs.push(timed(|| gitroll.gitroll(verb))?);
    }
    report(name, verbs, command[0], gits);
    Ok(())
}

fn report(name: &str, verbs: Vec<Duration>, command: &str, gits: Vec<Duration>) {
    let (verbs, gits) = (median(verbs), median(gits));
    let ratio = verbs.as_secs_f64() / gits.as_secs_f64();
    let (verbs, gits) = (millis(verbs), millis(gits));
    println!("{name:<16} {verbs:>8} ms   git {command:<12} {gits:>7} ms   ratio {ratio:>6.1}");
}

fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed(run: impl FnOnce() -> Output) -> Result<Duration, String> {
    let begun = Instant::now();
    let output = run();
    let took = begun.elapsed();
    expect(output).map(|()| took)
}

fn expect(output: Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}, not measured: {}", output.status, String::from_utf8_lossy(&said)))
}

/// A work tree with two tagged versions, and a home of its own.
struct Repository {
    dir: PathBuf,
    home: PathBuf,
}

impl Repository {
    fn create(place: &Path, name: &str) -> Self {
        let (dir, home) = (place.join(name), place.join(format!("{name}-home")));
        fs::create_dir_all(&home).expect("a temporary directory is writable");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plain-app");
        fs::create_dir_all(&dir).expect("a temporary directory is writable");
        for entry in fs::read_dir(fixture).expect("the fixture can be read").flatten() {
            fs::copy(entry.path(), dir.join(entry.file_name())).expect("the fixture can be copied");
        }
        fs::write(
            dir.join("gitroll.toml"),
            support::configuration("[stable]\nmin_served = \"0s\"\n\n"),
        )
        .expect("the tree is writable");
        for number in 0..FILES {
            let file = dir.join(format!("src/{:02}/{:02}.txt", number / 100, number % 100));
            fs::create_dir_all(file.parent().expect("it has one")).expect("the tree is writable");
            fs::write(file, format!("file {number}\n").repeat(20)).expect("the tree is writable");
        }
        let repository = Self { dir, home };
        repository.must(&["init", "-q", "-b", "main", "."]);
        repository.release("v1", "1.0.0");
        for number in 0..CHANGED {
            let file = repository.dir.join(format!("src/{number:02}/00.txt"));
            fs::write(file, "changed\n").expect("the tree is writable");
        }
        repository.release("v2", "1.1.0");
        repository
    }

    fn release(&self, tag: &str, version: &str) {
        let file = self.dir.join("package.json");
        let text = fs::read_to_string(&file).expect("the fixture has a package.json");
        let text = text.replace("\"1.0.0\"", &format!("\"{version}\""));
        fs::write(file, text).expect("the tree is writable");
        self.must(&["add", "-A"]);
        self.must(&["commit", "-q", "-m", tag]);
        self.must(&["tag", "-a", "-m", tag, tag]);
    }

    /// How long the newest record's steps waited for the app, and not for gitroll.
    fn waited_for_the_app(&self) -> Result<Duration, String> {
        let output = self.gitroll(&["show", "--json"]);
        let answer: serde_json::Value =
            serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
        let steps = answer["result"]["evidence"]["steps"].as_array().cloned().unwrap_or_default();
        let waits = |step: &&serde_json::Value| {
            let name = step["step"].as_str().unwrap_or_default();
            name == "prove" || name.starts_with("reload")
        };
        let millis: u64 = steps.iter().filter(waits).filter_map(|s| s["millis"].as_u64()).sum();
        Ok(Duration::from_millis(millis))
    }

    /// Makes commits that never served, each with a stable tag, `count` of them with those that are there.
    fn tag_commits(&self, count: usize) -> Result<(), String> {
        let tagger = "tagger Bench <bench@example.org> 1700000000 +0000";
        let mut stream = String::new();
        for number in 0..count {
            let package = format!("{{ \"name\": \"bench\", \"version\": \"0.{number}.0\" }}\n");
            let size = package.len();
            stream += &format!(
                "commit refs/heads/line\nmark :1\ncommitter {}\ndata 1\nc\n{}\
                 M 100644 inline package.json\ndata {size}\n{package}\n\
                 tag v0.{number}.0-stable\nfrom :1\n{tagger}\ndata 1\nt\n",
                tagger.trim_start_matches("tagger "),
                if number == 0 { "from refs/tags/v1^{commit}\n" } else { "" },
            );
        }
        let file = self.home.join("stream");
        fs::write(&file, stream).map_err(|e| e.to_string())?;
        let stream = fs::File::open(file).map_err(|e| e.to_string())?;
        let mut import = self.command("git", &["fast-import", "--quiet", "--force"]);
        expect(import.stdin(stream).output().map_err(|e| e.to_string())?)?;
        expect(self.git(&["pack-refs", "--all"]))
    }

    /// A verb that only says it did it is not worth a number.
    fn is_at(&self, tag: &str) -> Result<(), String> {
        let commit = |name: &str| self.git(&["rev-parse", &format!("{name}^{{commit}}")]).stdout;
        let there = commit("HEAD") == commit(tag);
        there.then_some(()).ok_or_else(|| format!("HEAD is not at {tag}, nothing is measured"))
    }

    fn must(&self, args: &[&str]) {
        expect(self.git(args)).expect("the repository can be made");
    }

    fn git(&self, args: &[&str]) -> Output {
        self.run("git", args)
    }

    fn gitroll(&self, args: &[&str]) -> Output {
        self.run(env!("CARGO_BIN_EXE_gitroll"), args)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        self.command(program, args).output().expect("the program can be started")
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = support::command(program, &self.dir, &self.home);
        command.args(args);
        command
    }
}
