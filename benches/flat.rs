//! What the past costs: `cargo bench --bench flat`.
//!
//! The same commands on hosts with a short past and with a long one, taken in turns: medians of the processor
//! time of gitroll and what it starts, so that a busy machine changes little. Every record is signed, and every
//! command verifies, folds and judges what it would on a real host.
//!
//! `GITROLL_BENCH_FLAT=10,1000` names the numbers of deployments, `GITROLL_BENCH_TAGS=100000` the number of tags of
//! one more host (0: none), of which every hundredth matches the stable pattern. `GITROLL_BENCH_OTHER=PATH` names
//! another gitroll that is measured on the same hosts, `GITROLL_BENCH_PLACE=DIR` a directory in which they stay and
//! are found again.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

#[path = "../tests/support/history.rs"]
mod history;

mod support;

use history::Past;

/// In this past all records follow one another at once.
const MORE: &str = "[stable]\nmin_served = \"0s\"\n\n";

const ROUNDS: usize = 9;
const VERBS: [&[&str]; 6] = [
    &["status"],
    &["targets"],
    &["back", "--plan", "--yes"],
    &["log", "-n", "20"],
    &["fsck"],
    &["hook", "moved"],
];

fn main() -> ExitCode {
    // `cargo test --benches` calls this too, to see that it runs; `--list` asks for test names.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let pasts = std::env::var("GITROLL_BENCH_FLAT").unwrap_or_else(|_| "10,1000,10000".to_owned());
    let pasts: Vec<usize> = pasts.split(',').filter_map(|n| n.parse().ok()).collect();
    let tags: usize =
        std::env::var("GITROLL_BENCH_TAGS").map_or(100_000, |n| n.parse().unwrap_or(0));
    let temporary = tempfile::tempdir().expect("a temporary directory can be made");
    let place = std::env::var_os("GITROLL_BENCH_PLACE").map(PathBuf::from);
    let place = place.unwrap_or_else(|| temporary.path().to_owned());
    let mut hosts: Vec<Host> = pasts.iter().map(|n| Host::create(&place, *n, 0)).collect();
    let tagged = pasts.first().filter(|_| tags > 0).map(|n| Host::create(&place, *n, tags));
    let measure_all = |hosts: &[Host]| {
        let (few, many) = hosts.split_at(pasts.len());
        measure(few)?;
        many.iter().try_for_each(measure_tags)
    };
    hosts.extend(tagged);
    let mut outcome = measure_all(&hosts);
    if let (Ok(()), Ok(other)) = (&outcome, std::env::var("GITROLL_BENCH_OTHER")) {
        println!("{other}:");
        hosts.iter_mut().for_each(|host| host.program.clone_from(&other));
        outcome = measure_all(&hosts);
    }
    hosts.iter().for_each(|host| drop(host.gitroll(&["service", "stop"])));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(hosts: &[Host]) -> Result<(), String> {
    for verb in VERBS {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); hosts.len()];
        for round in 0..=ROUNDS {
            for (host, times) in hosts.iter().zip(&mut times) {
                let took = processor_time(host, &host.program, verb)?;
                // The first one warms what is remembered.
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let medians: Vec<Duration> = times.into_iter().map(median).collect();
        for (host, time) in hosts.iter().zip(&medians) {
            println!(
                "{:<20} {:>6} deployments {:>9.1} ms   ratio {:>6.2}",
                verb.join(" "),
                host.deployments,
                time.as_secs_f64() * 1000.0,
                time.as_secs_f64() / medians[0].as_secs_f64()
            );
        }
    }
    Ok(())
}

/// What gitroll needs among many tags, beside what git needs to list those that match.
fn measure_tags(host: &Host) -> Result<(), String> {
    let list = ["for-each-ref", "--format=%(refname)", "refs/tags/*-stable"];
    let mut verbs: Vec<(&str, &[&str])> = vec![("git", &list)];
    verbs.extend(VERBS.iter().map(|verb| (host.program.as_str(), *verb)));
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); verbs.len()];
    for round in 0..=ROUNDS {
        for ((program, args), times) in verbs.iter().zip(&mut times) {
            let took = processor_time(host, program, args)?;
            if round > 0 {
                times.push(took);
            }
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    for ((_, args), time) in verbs.iter().zip(&medians) {
        println!(
            "{:<20.20} {:>6} tags        {:>9.1} ms   ratio {:>6.2} to git for-each-ref",
            args.join(" "),
            host.tags,
            time.as_secs_f64() * 1000.0,
            time.as_secs_f64() / medians[0].as_secs_f64()
        );
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What gitroll and what it starts use of the processors, user and system time together.
fn processor_time(host: &Host, program: &str, args: &[&str]) -> Result<Duration, String> {
    // The shell's own clock: it counts what is waited for, by the microsecond.
    let script = "TIMEFORMAT='%3U %3S'; { time \"$@\" >\"$OUT\" 2>&1; } 2>\"$TIME\"";
    let [out, time] = ["out", "time"].map(|name| host.home.join(name));
    let mut command = host.command("bash");
    command.args(["-c", script, "bash", program]).args(args);
    command.env("OUT", &out).env("TIME", &time);
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        let said = fs::read_to_string(&out).unwrap_or_default();
        return Err(format!("{program} {args:?}: {}, not measured: {said}", output.status));
    }
    let told = fs::read_to_string(&time).map_err(|e| e.to_string())?;
    let seconds: f64 = told.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).sum();
    Ok(Duration::from_secs_f64(seconds))
}

fn expect(output: Output) -> Result<Output, String> {
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}, not measured: {}", output.status, String::from_utf8_lossy(&said)))
}

/// A host whose app has a past.
struct Host {
    dir: PathBuf,
    home: PathBuf,
    deployments: usize,
    tags: usize,
    program: String,
}

impl Host {
    fn create(place: &Path, deployments: usize, tags: usize) -> Self {
        let place = place.join(format!("{deployments}-{tags}"));
        let [dir, home, ready] = ["app", "home", "ready"].map(|name| place.join(name));
        let program = env!("CARGO_BIN_EXE_gitroll").to_owned();
        let host = Self { dir, home, deployments, tags, program };
        if ready.exists() {
            drop(host.gitroll(&["service", "start"]));
        } else {
            host.fill();
            fs::write(ready, "").expect("the place is writable");
        }
        host
    }

    fn fill(&self) {
        let Self { dir, home, deployments, .. } = self;
        let (deployments, host) = (*deployments, self);
        fs::create_dir_all(home).expect("a temporary directory is writable");
        fs::create_dir_all(dir).expect("a temporary directory is writable");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plain-app");
        for entry in fs::read_dir(fixture).expect("the fixture can be read").flatten() {
            fs::copy(entry.path(), dir.join(entry.file_name())).expect("the fixture can be copied");
        }
        fs::write(dir.join("gitroll.toml"), support::configuration(MORE))
            .expect("the tree is writable");
        host.must(&["init", "-q", "-b", "main", "."]);
        host.must(&["add", "-A"]);
        host.must(&["commit", "-q", "-m", "v1"]);
        let ok = |output: Output| expect(output).unwrap_or_else(|problem| panic!("{problem}"));
        ok(host.gitroll(&["init", "--yes", "--environment", "production", "--name", "bench"]));
        ok(host.gitroll(&["deploy", "main", "--yes"]));
        let past = Past { deployments, commits: 20, held: Some(deployments / 2), marks: 0 };
        let begun = Instant::now();
        let commits = history::write(&|program| host.command(program), home, past);
        host.must(&["checkout", "-q", "--detach", commits.last().expect("at least one")]);
        let made = begun.elapsed();
        ok(host.gitroll(&["log", "-n", "1"]));
        let verified = begun.elapsed() - made;
        ok(host.gitroll(&["deploy", "--yes"]));
        host.tag(self.tags);
        host.must(&["pack-refs", "--all"]);
        host.must(&["gc", "-q"]);
        println!(
            "{deployments} deployments: made in {made:.1?}, verified in {verified:.1?}, ready in {:.1?}",
            begun.elapsed()
        );
    }

    /// Makes annotated tags on what serves; every hundredth matches the stable pattern.
    fn tag(&self, tags: usize) {
        let mut stream = String::new();
        for number in 0..tags {
            let name = match number % 100 {
                0 => format!("v0.{number}.0-stable"),
                _ => format!("build-{number}"),
            };
            let _ = write!(
                stream,
                "tag {name}\nfrom refs/heads/main\ntagger web <web@example.org> 1600000000 +0000\ndata 0\n\n"
            );
        }
        if tags > 0 {
            let path = self.home.join("tags");
            fs::write(&path, stream).expect("the place is writable");
            let mut import = self.command("git");
            import.args(["fast-import", "--quiet"]);
            import.stdin(fs::File::open(&path).expect("it was written"));
            expect(import.output().expect("git can be started")).expect("git takes the tags");
        }
    }

    fn must(&self, args: &[&str]) {
        let output = self.command("git").args(args).output().expect("git can be started");
        expect(output).unwrap_or_else(|problem| panic!("git {args:?}: {problem}"));
    }

    fn gitroll(&self, args: &[&str]) -> Output {
        self.command(&self.program).args(args).output().expect("gitroll can be started")
    }

    fn command(&self, program: &str) -> Command {
        support::command(program, &self.dir, &self.home)
    }
}
