//! Running processes, read from /proc.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

/// The kernel lets nobody hand over more by default.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProcessId {
    /// The number.
    pub pid: u32,
    /// Its start, in clock ticks since boot.
    pub start_ticks: u64,
    /// The boot it belongs to.
    pub boot_id: String,
}

impl ProcessId {
    /// The process with this number, if it runs (a zombie does not).
    pub fn of(pid: u32) -> Option<Self> {
        let entry = Entry::of(pid).filter(Entry::runs)?;
        Some(Self { pid, start_ticks: entry.start_ticks, boot_id: boot_id() })
    }

    /// The process with this number although it may have ended already: for a child not yet waited for.
    pub(super) fn of_child(pid: u32) -> Option<Self> {
        let entry = Entry::of(pid)?;
        Some(Self { pid, start_ticks: entry.start_ticks, boot_id: boot_id() })
    }

    /// Whether this very process still runs (a zombie does not).
    pub fn alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends TERM to this very process. Says whether it was there to receive it; a later process with
    /// the same number is never touched.
    pub fn terminate(&self) -> bool {
        self.signal(Signal::TERM)
    }

    /// Sends KILL to this very process, as [`ProcessId::terminate`] sends TERM.
    pub fn kill(&self) -> bool {
        self.signal(Signal::KILL)
    }

    /// Sends HUP to this very process.
    pub fn hang_up(&self) -> bool {
        self.signal(Signal::HUP)
    }

    /// Sends USR1 to this very process.
    pub fn user_1(&self) -> bool {
        self.signal(Signal::USR1)
    }

    /// Sends USR2 to this very process.
    pub fn user_2(&self) -> bool {
        self.signal(Signal::USR2)
    }

    /// Waits until this very process has ended, however long that takes. It need not be a child.
    pub fn wait(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let handle = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // Taken before it is looked at, as for a signal; it becomes readable when the process ends.
        while self.alive() {
            let waited =
                handle.as_ref().map(|handle| poll(&mut [PollFd::new(handle, PollFlags::IN)], None));
            if waited.is_none_or(|waited| waited.is_err()) {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return false;
        };
        // The handle is taken first: if the process is ours after that, the handle is ours too.
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => {
                self.alive() && rustix::process::pidfd_send_signal(handle, signal).is_ok()
            }
            Err(rustix::io::Errno::SRCH) => false,
            // Old kernels and strict containers have no such handles.
            Err(_) => self.alive() && rustix::process::kill_process(pid, signal).is_ok(),
        }
    }
}

/// A moment on the clock that process start times use.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Ticks(pub u64);

impl Ticks {
    /// Now, in clock ticks since boot. A process started afterwards has at least this start time.
    pub fn now() -> Self {
        let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime = text.split_whitespace().next().unwrap_or_default();
        let (seconds, hundredths) = uptime.split_once('.').unwrap_or((uptime, "0"));
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let hundredths = number(seconds) * 100 + number(hundredths);
        Self(hundredths * procfs::ticks_per_second() / 100)
    }

    /// The time since boot, to the hundredth of a second.
    pub fn up(self) -> Duration {
        Duration::from_millis(self.0.saturating_mul(1000) / procfs::ticks_per_second())
    }

    /// Whole seconds since boot.
    pub fn since_boot(self) -> u64 {
        self.0 / procfs::ticks_per_second()
    }

    /// The moment by the clock, as far as nobody set the clock since.
    pub fn moment(self) -> jiff::Timestamp {
        let ticks = Self::now().0.saturating_sub(self.0);
        let ago = Duration::from_millis(ticks.saturating_mul(1000) / procfs::ticks_per_second());
        jiff::Timestamp::now() - ago
    }

    /// The time from this moment to a later one.
    pub fn until(self, later: Self) -> Duration {
        let ticks = later.0.saturating_sub(self.0);
        Duration::from_millis(ticks.saturating_mul(1000) / procfs::ticks_per_second())
    }

    /// How long ago that was, rounded down to seconds.
    pub fn ago(self) -> Duration {
        Duration::from_secs(Self::now().0.saturating_sub(self.0) / procfs::ticks_per_second())
    }
}

/// The running processes of this machine with their numbers, as far as this user may see.
pub fn running() -> Vec<u32> {
    entries().into_keys().collect()
}

/// The working directory of a process, where it may be read.
pub fn working_directory(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// What a process has open under a number; `None` if this user may not see it, or there is nothing.
pub fn open_file(pid: u32, number: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()
}

/// The number of the user a process runs as, where it may be seen.
pub fn owner(pid: u32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(format!("/proc/{pid}")).ok().map(|process| process.uid())
}

/// The users a process may act as: real, effective, saved and of the file system.
pub fn users(pid: u32) -> BTreeSet<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    numbers.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// The file of the program that a process runs, where it may be seen.
pub fn executable(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The name of the program that a process runs: its file's, else what it calls itself.
pub fn program(pid: u32) -> Option<String> {
    let file = executable(pid);
    let file = file.and_then(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    let called = || std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let name = file.or_else(called)?;
    Some(name.trim_end_matches(" (deleted)").trim().to_owned())
}

/// When a process was started, to the second.
pub fn started_at(pid: u32) -> Option<jiff::Timestamp> {
    let ago = Ticks(Entry::of(pid)?.start_ticks).ago();
    jiff::Timestamp::now().checked_sub(ago).ok()
}

/// The arguments a process was started with (or the title it gave itself), where they may be read.
pub fn command_line(pid: u32) -> Option<Vec<OsString>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(nul_separated(&bytes).map(|part| OsString::from_vec(part.to_vec())).collect())
}

/// The environment a process was started with, where it may be read.
pub fn environment(pid: u32) -> Option<BTreeMap<OsString, OsString>> {
    let bytes = read_environment(pid).ok()?;
    let variables = nul_separated(&bytes).filter_map(|entry| {
        let cut = entry.iter().position(|b| *b == b'=')?;
        let (name, value) =
            (OsStr::from_bytes(&entry[..cut]), OsStr::from_bytes(&entry[cut + 1..]));
        Some((name.to_owned(), value.to_owned()))
    });
    Some(variables.collect())
}

/// A variable in the environment of a process.
#[derive(Clone, PartialEq, Eq)]
pub enum Variable {
    /// Its value; bytes that are no text as `U+FFFD`.
    Set(String),
    /// The process was started without it.
    Unset,
    /// There is no such process any more, or it belongs to someone else: why.
    Unreadable(String),
}

/// Never shows the value: whether it is a secret tells only its name.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(_) => f.write_str("Set(…)"),
            Self::Unset => f.write_str("Unset"),
            Self::Unreadable(why) => write!(f, "Unreadable({why:?})"),
        }
    }
}

/// The variable `name` as process `pid` was started with it: the first of that name, as the C library has it.
pub fn variable_of(pid: u32, name: &str) -> Variable {
    match read_environment(pid) {
        Ok(bytes) => bytes
            .split(|b| *b == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map_or(Variable::Unset, |value| {
                Variable::Set(String::from_utf8_lossy(value).into_owned())
            }),
        Err(error) => Variable::Unreadable(error.to_string()),
    }
}

/// Whether process `pid` was started with the variable `name` at this value, as far as this user may see.
pub fn has_variable(pid: u32, name: &str, value: &OsStr) -> bool {
    let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
    read_environment(pid).is_ok_and(|bytes| bytes.split(|b| *b == 0).any(|entry| entry == wanted))
}

/// Whether a program of this name, or one that begins with it and a dash, works in one of `dirs` or was told
/// to: by its working directory, its environment or its arguments, as far as this user may see.
pub fn works_in(program: &str, dirs: &[&Path]) -> bool {
    let named = |pid: u32| {
        let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let rest = name.trim_ascii().strip_prefix(program.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'-')
    };
    let inside = |text: &OsStr| {
        let path = text.as_bytes().split(|b| *b == b'=').next_back().unwrap_or_default();
        dirs.iter().any(|dir| Path::new(OsStr::from_bytes(path)).starts_with(dir))
    };
    running().into_iter().filter(|pid| named(*pid)).any(|pid| {
        let there = working_directory(pid).is_some_and(|dir| inside(dir.as_os_str()));
        there
            || command_line(pid).unwrap_or_default().iter().any(|word| inside(word))
            || environment(pid)
                .and_then(|all| all.get(OsStr::new("GIT_DIR")).cloned())
                .is_some_and(|dir| inside(&dir))
    })
}

/// All running processes whose ancestor is `pid`, with it.
pub fn family(pid: u32) -> Vec<u32> {
    let (mut open, mut family) = (vec![pid], BTreeSet::new());
    while let Some(next) = open.pop() {
        if Entry::of(next).is_some_and(|entry| entry.runs()) && family.insert(next) {
            open.extend(children(next));
        }
    }
    family.into_iter().collect()
}

/// The processes that `pid` started itself.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let told =
        |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let told: Option<Vec<String>> = threads.flatten().map(told).collect();
    match told {
        Some(told) => told
            .iter()
            .flat_map(|text| text.split_whitespace())
            .filter_map(|n| n.parse().ok())
            .collect(),
        // Not every kernel tells.
        None => entries()
            .into_iter()
            .filter(|(_, entry)| entry.parent == pid)
            .map(|(pid, _)| pid)
            .collect(),
    }
}

/// The workers that a process and what it started have made of themselves: children that run the same program with the
/// same script. One that was begun just now is none yet: what is about to become another program looks like it.
pub fn workers(pid: u32) -> Vec<ProcessId> {
    let (mut open, mut found) = (vec![pid], Vec::new());
    let mut seen = BTreeSet::from([pid]);
    while let Some(parent) = open.pop() {
        for child in children(parent).into_iter().filter(|child| seen.insert(*child)) {
            open.push(child);
            let Some(process) = ProcessId::of(child) else { continue };
            let age = Ticks::now().0.saturating_sub(process.start_ticks);
            if age >= NEWBORN && is_copy(child, parent) {
                found.push(process);
            }
        }
    }
    found
}

/// Between a fork and the start of another program, in ticks.
const NEWBORN: u64 = 2;

fn is_copy(child: u32, parent: u32) -> bool {
    // Each forks itself for parts of its lines.
    const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"];
    let script = |pid: u32| {
        let words = command_line(pid).unwrap_or_default();
        let own = words.into_iter().skip(1).find(|word| !word.as_bytes().starts_with(b"-"));
        own.and_then(|word| Path::new(&word).file_name().map(OsStr::to_owned))
    };
    let program = executable(parent);
    let name = program.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
    name.is_some_and(|name| !SHELLS.contains(&name))
        && executable(child) == program
        && script(child) == script(parent)
}

/// The process that started `pid`, or took it over.
pub fn parent(pid: u32) -> Option<u32> {
    Entry::of(pid).map(|entry| entry.parent).filter(|parent| *parent > 0)
}

/// When the program of a process was started, in clock ticks since boot: a process that was forked and has started no
/// program since carries the code of the one that it was forked from, however young it is. `None` if it does not run.
pub fn program_started(pid: u32) -> Option<u64> {
    /// No line of forks is as long.
    const MOST: usize = 64;
    let own = Entry::of(pid).filter(Entry::runs)?.start_ticks;
    let mut started = own;
    let (mut pid, mut image) = (pid, Image::of(pid));
    for _ in 0..MOST {
        let Some(above) = parent(pid) else { break };
        let theirs = Image::of(above);
        let Some(entry) = Entry::of(above).filter(|_| theirs.is_some() && theirs == image) else {
            break;
        };
        started = started.min(entry.start_ticks);
        (pid, image) = (above, theirs);
    }
    Some(started)
}

/// Where the kernel put a program when it was started: at random, so that two that are alike come from one start.
#[derive(PartialEq, Eq)]
struct Image {
    program: PathBuf,
    code: u64,
    stack: u64,
}

impl Image {
    /// `None` if this user may not see it, or if this machine puts every program in the same place.
    fn of(pid: u32) -> Option<Self> {
        /// `ADDR_NO_RANDOMIZE`
        const FIXED: u64 = 0x004_0000;
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{file}")).ok();
        let random = read("sys/kernel/randomize_va_space")?;
        let personality = read(&format!("{pid}/personality"))?;
        let personality = u64::from_str_radix(personality.trim(), 16).ok()?;
        if random.trim() == "0" || personality & FIXED != 0 {
            return None;
        }
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let after_name = stat.iter().rposition(|b| *b == b')')? + 1;
        let text = std::str::from_utf8(&stat[after_name..]).ok()?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let (code, stack) = (field(23)?, field(25)?);
        // Whoever may not see them is told 0 or 1.
        (stack > 1).then_some(Self { program: executable(pid)?, code, stack })
    }
}

/// The session of process `pid`; 0 where that began outside of this process namespace, as in a
/// container that was entered from its host.
pub fn session_of(pid: u32) -> Option<u32> {
    Entry::of(pid).map(|entry| entry.session)
}

/// The processes of session `sid` that run.
pub fn session(sid: u32) -> Vec<u32> {
    entries().into_iter().filter(|(_, entry)| entry.session == sid).map(|(pid, _)| pid).collect()
}

/// Waits until none of `processes` runs, at most `limit`. Says whether they all ended.
pub fn wait_until_gone(processes: &[ProcessId], limit: Duration) -> bool {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if !processes.iter().any(ProcessId::alive) {
            return true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends processes: TERM, and KILL to those that still run 2 s later. Says whether they all ended.
pub fn end(processes: &[ProcessId]) -> bool {
    for process in processes {
        process.terminate();
    }
    if wait_until_gone(processes, GRACE) {
        return true;
    }
    for process in processes {
        process.kill();
    }
    wait_until_gone(processes, GRACE)
}

/// What `/proc/PID/stat` says, as far as it matters here.
struct Entry {
    state: u8,
    parent: u32,
    session: u32,
    /// A thread of the kernel, which runs no program.
    kernel: bool,
    start_ticks: u64,
}

/// Longer than the kernel makes it: a name of 64 bytes and fifty numbers.
const MOST_OF_STAT: usize = 2048;

impl Entry {
    fn of(pid: u32) -> Option<Self> {
        /// `PF_KTHREAD`
        const KERNEL_THREAD: u32 = 0x0020_0000;
        // Asked of every process of the machine several times in a run, so in one read.
        let mut stat = [0; MOST_OF_STAT];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
        // The name, in parentheses, may hold anything, parentheses and spaces too.
        let after_name = stat[..length].iter().rposition(|b| *b == b')')? + 1;
        let text = std::str::from_utf8(&stat[after_name..length]).ok()?;
        let mut fields = text.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            parent: fields.next()?.parse().ok()?,
            session: fields.nth(1)?.parse().ok()?,
            kernel: fields.nth(2)?.parse::<u32>().ok()? & KERNEL_THREAD != 0,
            start_ticks: fields.nth(12)?.parse().ok()?,
        })
    }

    /// A zombie answers to `kill -0` although nothing of it runs.
    fn runs(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Every process that runs a program.
fn entries() -> BTreeMap<u32, Entry> {
    let Ok(directory) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    directory
        .filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Entry::of(pid).filter(|e| e.runs() && !e.kernel)?)))
        .collect()
}

/// What tells this boot of the machine from all others.
pub fn boot_id() -> String {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    BOOT.get_or_init(|| read().trim().to_owned()).clone()
}

fn nul_separated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == 0).filter(|part| !part.is_empty())
}

fn read_environment(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        // One that has ended and is not yet waited for shows none, and no program either.
        std::fs::read_link(format!("/proc/{pid}/exe"))?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let id = ProcessId::of(child.id()).expect("it runs");
        assert!(id.alive());
        assert!(id.kill());
        // Not reaped: it stays as a zombie, which `kill -0` takes for alive.
        assert!(wait_until_gone(std::slice::from_ref(&id), Duration::from_secs(5)));
        assert!(Path::new(&format!("/proc/{}", id.pid)).exists(), "the zombie is still listed");
        assert_eq!(ProcessId::of(id.pid), None);
        assert!(!running().contains(&id.pid));
        child.wait().unwrap();
    }

    #[test]
    fn a_later_process_with_the_same_number_is_not_signalled() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let id = ProcessId::of(child.id()).expect("it runs");
        let earlier = ProcessId { start_ticks: id.start_ticks - 1, ..id.clone() };
        let other_boot = ProcessId { boot_id: "another".to_owned(), ..id.clone() };
        for stranger in [&earlier, &other_boot] {
            assert!(!stranger.alive());
            assert!(!stranger.kill());
        }
        assert!(id.alive(), "it was killed in place of another");
        assert!(id.kill());
        child.wait().unwrap();
    }

    #[test]
    fn the_end_of_a_process_is_waited_for() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let id = ProcessId::of(child.id()).expect("it runs");
        let (tell, told) = std::sync::mpsc::channel();
        let waited = id.clone();
        let waiting = std::thread::spawn(move || {
            waited.wait();
            tell.send(()).unwrap();
        });
        assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "it still runs");
        assert!(id.kill());
        told.recv_timeout(Duration::from_secs(5)).expect("its end is noticed");
        waiting.join().unwrap();
        child.wait().unwrap();
        // It is gone for good, or was another's from the beginning.
        id.wait();
    }

    #[test]
    fn a_fork_is_as_old_as_the_program_that_it_carries_and_a_started_program_as_itself() {
        let own = |pid: u32| ProcessId::of(pid).map_or(0, |process| process.start_ticks);
        // The parentheses are a fork of the shell, which then starts a program.
        let words = ["bash", "-c", "sleep 0.3; (sleep 20; :) & wait"];
        let mut command = Command::new(words[0]);
        let command = command.args(&words[1..]).stdin(Stdio::null()).process_group(0);
        let mut shell = command.spawn().unwrap();
        let is = |pid: &u32| command_line(*pid).is_some_and(|line| line == ["sleep", "20"]);
        let end = Instant::now() + Duration::from_secs(10);
        let program = loop {
            match family(shell.id()).into_iter().find(is) {
                Some(found) => break found,
                None => assert!(Instant::now() < end, "the program was not started"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let fork = parent(program).unwrap();
        assert!(own(fork) > own(shell.id()));
        assert_eq!(program_started(fork), Some(own(shell.id())), "a fork");
        assert_eq!(program_started(program), Some(own(program)), "a program");
        let group = Pid::from_child(&shell);
        rustix::process::kill_process_group(group, Signal::KILL).unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn a_process_started_after_a_moment_has_at_least_its_ticks() {
        let before = Ticks::now();
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let id = ProcessId::of(child.id()).expect("it runs");
        assert!(Ticks(id.start_ticks) >= before);
        assert!(id.start_ticks < before.0 + 30 * procfs::ticks_per_second());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_family_holds_grandchildren_and_not_strangers() {
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'sleep 60 & wait' & wait"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while family(child.id()).len() < 3 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let found = family(child.id());
        assert_eq!(found.len(), 3, "shell, shell, sleep");
        assert!(!found.contains(&std::process::id()));
        for pid in found {
            ProcessId::of(pid).expect("it runs").kill();
        }
        child.wait().unwrap();
    }

    #[test]
    fn environment_and_arguments_are_read_as_bytes() {
        let mut child = Command::new("sleep")
            .arg("60")
            .env_clear()
            .env("A", OsStr::from_bytes(b"x=\xff"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        assert_eq!(command_line(pid).unwrap(), ["sleep", "60"]);
        let environment = environment(pid).unwrap();
        assert_eq!(environment.len(), 1);
        assert_eq!(environment[OsStr::new("A")], OsStr::from_bytes(b"x=\xff"));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_asked_for_what_it_was_started_with() {
        let mut child = Command::new("sleep")
            .arg("30")
            .env_clear()
            .env("FLAG", "a=b\nc")
            .env("FLAG_TWO", "")
            .spawn()
            .unwrap();
        let pid = child.id();
        let of = |name| variable_of(pid, name);
        // Until exec the child shows our own environment.
        while of("FLAG_TWO") == Variable::Unset {}
        assert_eq!(of("FLAG"), Variable::Set("a=b\nc".to_owned()));
        assert_eq!(of("FLAG_TWO"), Variable::Set(String::new()));
        assert_eq!(of("FLA"), Variable::Unset);
        assert_eq!(of("PATH"), Variable::Unset);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(of("FLAG"), Variable::Unreadable(_)));
    }

    #[test]
    fn who_works_in_a_directory_is_known_by_where_it_is_and_by_what_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        assert!(!works_in("sleep", &[&top]));
        let mut inside = sleeping(|command| {
            command.current_dir(&top);
        });
        assert!(works_in("sleep", &[&top]));
        assert!(!works_in("slee", &[&top]) && !works_in("git", &[&top]));
        inside.kill().unwrap();
        inside.wait().unwrap();
        let mut told = sleeping(|command| {
            command.env("GIT_DIR", top.join(".git")).arg0("sleep");
        });
        assert!(works_in("sleep", &[&top]));
        told.kill().unwrap();
        told.wait().unwrap();
    }

    fn sleeping(change: impl FnOnce(&mut Command)) -> Child {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null());
        change(&mut command);
        command.spawn().unwrap()
    }
}
