//! The system calls that change something, counted and hit one by one with `strace`, in gitroll itself and in
//! the git it starts.
//!
//! `strace` counts `when=N` for each thread and each call by itself. So gitroll is traced without its children
//! (its threads only fill pipes), and a `git` of the test's own, which the binding names, puts `strace` before the
//! one call of git that is meant. What gitroll starts as a service is never traced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::{Act, LIMIT, World};
use crate::support::*;

/// What is traced and hit.
const CALLS: &str = "write,pwrite64,writev,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlink,unlinkat,mkdir,\
    mkdirat,rmdir,link,linkat,symlink,symlinkat,open,openat,openat2,creat,truncate,ftruncate,fchmod,fchmodat,chmod,\
    utimensat,copy_file_range,sendfile,\
    kill,tkill,tgkill,pidfd_send_signal";

/// Whose call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// gitroll's own.
    Gitroll,
    /// The `n`-th git that it starts.
    Git(usize),
}

/// One system call of one program in a run.
#[derive(Clone)]
pub struct Call {
    pub program: Program,
    pub name: String,
    /// Which of its name, from 1, and which those before it were that change something.
    n: usize,
    earlier: Vec<usize>,
    /// Which of those of its name that change something, from 1.
    nth: usize,
    /// How it was traced.
    line: String,
    /// The next one that no other process changes the number of.
    next: Option<Box<Call>>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} #{} {}", self.program, self.n, self.line)
    }
}

/// Puts a `git` before the real one that can be told to trace or hit one of its calls. Before [`World::prepare`].
pub fn watch_git(host: &TestEnvironment) {
    let (git, strace) = (find_tool("git"), find_tool("strace"));
    let git = git.expect("git is on this machine");
    let strace = strace.expect("strace is on this machine");
    let orders = host.path("orders");
    let script = format!(
        "#!/bin/sh\n\
         cd_={orders} git={git} strace={strace}\n\
         [ -e \"$cd_/count\" ] || exec \"$git\" \"$@\"\n\
         read -r n < \"$cd_/count\"; n=$((n + 1)); echo $n > \"$cd_/count\"\n\
         [ ! -e \"$cd_/trace\" ] || exec \"$strace\" -qq -y -o \"$cd_/git.$n\" -e trace={CALLS} \"$git\" \"$@\"\n\
         read -r at inject end < \"$cd_/hit\"\n\
         [ \"$n\" = \"$at\" ] || exec \"$git\" \"$@\"\n\
         [ \"$end\" = both ] || exec \"$strace\" -qq -y -o \"$cd_/hit.log\" -e trace={CALLS} -e inject=\"$inject\" \"$git\" \"$@\"\n\
         \"$strace\" -qq -y -o \"$cd_/hit.log\" -e trace={CALLS} -e inject=\"$inject\" \"$git\" \"$@\"\n\
         code=$?\n\
         kill -KILL $PPID\n\
         exit $code\n",
        orders = orders.display(),
        git = git.display(),
        strace = strace.display(),
    );
    host.fake_tool("git", &script);
}

/// Every call of `act` that changes something, from gitroll's first to the last.
pub fn calls(world: &World<'_>, act: Act) -> Vec<Call> {
    world.reset(act);
    let orders = fresh_orders(world);
    fs::write(orders.join("trace"), "").expect("the host's directory is writable");
    let log = orders.join("gitroll");
    let answer = Answer::of(traced(world, world.act(act), &log, &[]), LIMIT);
    fs::remove_file(orders.join("count")).expect("it was written");
    answer.exit(0);
    let mut found = read(&log, Program::Gitroll, world.host.root());
    let mut n = 1;
    while orders.join(format!("git.{n}")).exists() {
        found.extend(read(&orders.join(format!("git.{n}")), Program::Git(n), world.host.root()));
        n += 1;
    }
    found
}

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed before the call is done.
    Kill,
    /// As is gitroll, where it was git that was killed.
    KillBoth,
    /// The call fails: no space left.
    Full,
    /// The call fails: an I/O error.
    Broken,
}

impl Fault {
    fn order(self, call: &Call) -> String {
        let what = match self {
            Fault::Kill | Fault::KillBoth => "signal=KILL",
            Fault::Full => "error=ENOSPC",
            Fault::Broken => "error=EIO",
        };
        format!("{}:{what}:when={}", call.name, call.n)
    }
}

/// What came of a run with a fault.
pub struct Hit {
    /// Its exit code; `None` where it was killed.
    pub code: Option<i32>,
    /// The fault was there.
    pub fired: bool,
    /// At another call than was meant.
    pub beside: bool,
    /// What it said.
    pub said: String,
}

/// How often a call is aimed at that is missed.
const AIMS: usize = 6;

/// Makes ready and acts, with this fault at this call.
///
/// How many files gitroll opens depends on how many processes the machine runs, for it looks through `/proc`. So
/// what was hit is read from the trace, and the aim corrected. Where that does not help it is the next call that
/// can be counted.
pub fn hit(
    world: &World<'_>,
    call: &Call,
    fault: Fault,
    begin: impl Fn(&World<'_>) -> Command,
) -> Hit {
    let mut aimed = call.clone();
    for _ in 0..AIMS {
        let hit = once(world, begin(world), &aimed, fault);
        let log = world.host.path("orders/hit.log");
        let seen = read(&log, call.program, world.host.root());
        let seen: Vec<&Call> = seen.iter().filter(|seen| seen.name == call.name).collect();
        if hit.fired && seen.iter().any(|seen| (seen.n, seen.nth) == (aimed.n, call.nth)) {
            return hit;
        }
        // As far off as the last of its kind before it was.
        let before = seen.iter().rev().find(|seen| seen.nth < call.nth);
        let (was, planned) = before.map_or((0, 0), |seen| {
            (seen.n, call.earlier.get(seen.nth - 1).copied().unwrap_or(seen.n))
        });
        let n = (call.n + was).saturating_sub(planned).max(was + 1);
        if n == aimed.n {
            break;
        }
        aimed.n = n;
    }
    let next = call.next.as_deref().unwrap_or(call);
    Hit { beside: true, ..once(world, begin(world), next, fault) }
}

fn once(world: &World<'_>, command: Command, call: &Call, fault: Fault) -> Hit {
    let orders = fresh_orders(world);
    let log = orders.join("hit.log");
    let inject = format!("inject={}", fault.order(call));
    let write = |name: &str, text: &str| {
        fs::write(orders.join(name), text).expect("the host's directory is writable");
    };
    let answer = match call.program {
        Program::Gitroll => {
            write("hit", "0 none one\n");
            Answer::of(traced(world, command, &log, &["-e", &inject]), LIMIT)
        }
        Program::Git(n) => {
            let both = if fault == Fault::KillBoth { "both" } else { "one" };
            write("hit", &format!("{n} {} {both}\n", fault.order(call)));
            Answer::of(command, LIMIT)
        }
    };
    fs::remove_file(orders.join("count")).expect("it was written");
    let text = fs::read_to_string(&log).unwrap_or_default();
    let fired = text.contains("+++ killed by SIGKILL +++") || text.contains("(INJECTED)");
    Hit { code: answer.code, fired, beside: false, said: answer.transcript() }
}

fn fresh_orders(world: &World<'_>) -> PathBuf {
    let orders = world.host.path("orders");
    fs::remove_dir_all(&orders).ok();
    fs::create_dir(&orders).expect("the host's directory is writable");
    fs::write(orders.join("count"), "0\n").expect("the host's directory is writable");
    orders
}

fn traced(world: &World<'_>, command: Command, log: &Path, more: &[&str]) -> Command {
    let mut strace = world.host.command("strace");
    strace.args(["-qq", "-y", "-o"]).arg(log).args(["-e", &format!("trace={CALLS}")]).args(more);
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

/// The calls of a trace that change something below `root`, or a process.
fn read(log: &Path, program: Program, root: &Path) -> Vec<Call> {
    let text = fs::read_to_string(log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
    let below = format!("{}/", root.display());
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        let n = counted.entry(name.to_owned()).or_default();
        *n += 1;
        let changes = match name {
            "open" | "openat" | "openat2" => rest.contains("O_CREAT") && rest.contains(&below),
            "kill" | "tkill" | "tgkill" | "pidfd_send_signal" => !rest.contains(", 0"),
            "sendfile" | "copy_file_range" => true,
            // How often a running git is noted goes by the clock.
            "utimensat" if rest.contains("/in-flight-") => false,
            _ => rest.contains(&below),
        };
        if changes {
            let before = found.iter().filter(|call: &&Call| call.name == name).map(|call| call.n);
            let earlier: Vec<usize> = before.collect();
            let (name, nth, line) = (name.to_owned(), earlier.len() + 1, line.to_owned());
            found.push(Call { program, name, n: *n, earlier, nth, line, next: None });
        }
    }
    let mut next = None;
    for call in found.iter_mut().rev() {
        if call.name.starts_with("open") {
            call.next.clone_from(&next);
        } else {
            next = Some(Box::new(call.clone()));
        }
    }
    found
}
