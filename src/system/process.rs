//! Running other programs: exact environment, own process group, time limit, captured output.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::files;
use super::procs::{self, ProcessId};
use super::signals::Until;
use super::text::escape;
use pre_exec::{end_with_us, seal, wait_to_be_noted};
use program::located;

pub use lines::{is_error, telling_lines};
pub use program::{find_program, own_program};

mod lines;
mod pre_exec;
mod program;

/// Between TERM and KILL.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// How long output is waited for after the program itself ended, when something it started holds the
/// pipe open.
const PIPE_GRACE: Duration = Duration::from_secs(1);

/// How long a signal may wait to be seen.
const ATTENTION: Duration = Duration::from_millis(50);

/// How long the end is waited for after KILL: only the kernel can be slow then.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Bytes a stream that are kept where nothing else is said.
const KEPT: usize = 16 * 1024 * 1024;

/// How much of what a program wrote to a log is read back.
const LOG_READ: u64 = 1024 * 1024;

/// One program to run. The environment is exactly `env`: nothing is inherited.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Absolute path, or a name looked up in `env`'s `PATH`.
    pub program: PathBuf,
    /// Without the program itself.
    pub args: Vec<OsString>,
    /// Where it works.
    pub dir: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// Bytes for its standard input; nothing (end of file at once) where `None`.
    pub input: Option<Vec<u8>>,
    /// After this time its process group gets TERM, 2 s later KILL.
    pub limit: Duration,
    /// What else ends it early, in the same way.
    pub until: Until,
    /// Ends it early too, once it is set: nobody wants to know any more.
    pub unwanted: Option<Arc<AtomicBool>>,
    /// Bytes a stream that are kept when it is run to its end; what is beyond is dropped from the middle.
    pub most_output: usize,
    /// A file that names its process for as long as it is waited for: should this program be killed meanwhile,
    /// the next one knows what continues.
    pub pid_file: Option<PathBuf>,
}

/// Gets a piece of what a program writes, and whether it is of its standard error.
pub type Told<'t> = dyn FnMut(bool, &[u8]) + 't;

/// How a program that is run to its end is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    /// Bytes a stream that are kept; what is beyond is dropped from the middle.
    pub most_output: usize,
    /// It gets TERM when this thread ends before it, however it ends.
    pub ends_with_us: bool,
    /// What it leaves in its process group continues when it ended by itself.
    pub leaves_group: bool,
}

impl Hold {
    const STRICT: Self = Self { most_output: KEPT, ends_with_us: false, leaves_group: false };
}

/// What came of it. Output beyond 16 MiB a stream is dropped from the middle.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` when ended by a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The limit was reached.
    pub timed_out: bool,
    /// A person wanted it to end.
    pub interrupted: bool,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Whether nobody ended it: neither a limit, nor a person, nor a signal.
    pub fn by_itself(&self) -> bool {
        self.code.is_some() && !self.timed_out && !self.interrupted
    }

    /// Why it failed, in a few words; `None` where it did not. `limit` is the time it had.
    pub fn problem(&self, limit: Duration) -> Option<String> {
        Some(match (self.timed_out, self.interrupted, self.code, self.signal) {
            (false, false, Some(0), _) => return None,
            (true, ..) => format!("did not end within {} s", limit.as_secs()),
            (_, true, ..) => "was ended on request".to_owned(),
            (.., Some(code), _) => format!("exit {code}"),
            (.., Some(signal)) => format!("ended by signal {signal}"),
            _ => "failed".to_owned(),
        })
    }

    /// Whether it exited with 0 in time.
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.timed_out && !self.interrupted
    }
}

/// Why a program could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("{program} was not found")]
    NotFound {
        /// The program.
        program: String,
    },
    /// It could not be started.
    #[error("{program} could not be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Invocation {
    /// A program with arguments, in `dir`, with an empty environment and a limit of 60 s.
    pub fn new(program: impl Into<PathBuf>, dir: &Path) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: dir.to_owned(),
            env: BTreeMap::new(),
            input: None,
            limit: Duration::from_secs(60),
            until: Until::Left,
            unwanted: None,
            most_output: KEPT,
            pid_file: None,
        }
    }

    /// Runs it to its end, in a process group of its own, and leaves no process of that group behind.
    ///
    /// # Errors
    /// When it cannot be started. A failing exit is not an error here.
    pub fn run(&self) -> Result<Finished, ProcessError> {
        self.run_held(Hold { most_output: self.most_output, ..Hold::STRICT }, || {})
    }

    /// As [`Invocation::run`], and hands over what it writes while it runs: pieces of its output, which may end anywhere,
    /// and whether they are of its standard error.
    ///
    /// # Errors
    /// As [`Invocation::run`].
    pub fn run_told(&self, told: &mut Told<'_>) -> Result<Finished, ProcessError> {
        self.run_watched(Hold::STRICT, Some(told), || {})
    }

    /// As [`Invocation::run`], held in another way; `tick` is called at least every 50 ms while it runs.
    pub(super) fn run_held(
        &self,
        hold: Hold,
        tick: impl FnMut(),
    ) -> Result<Finished, ProcessError> {
        self.run_watched(hold, None, tick)
    }

    fn run_watched(
        &self,
        hold: Hold,
        mut told: Option<&mut Told<'_>>,
        mut tick: impl FnMut(),
    ) -> Result<Finished, ProcessError> {
        let mut command = self.command()?;
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        seal(&mut command, false);
        if hold.ends_with_us {
            end_with_us(&mut command);
        }
        let started = Instant::now();
        let mut child = self.spawn(&mut command).map_err(|source| self.not_started(source))?;
        let mut watched = match Watched::start(&mut child, self.input.clone(), hold.most_output) {
            Ok(watched) => watched,
            Err(source) => {
                signal_group(&child, Signal::KILL);
                let _ = child.wait();
                return Err(self.not_started(source));
            }
        };
        let waited = self.wait(&watched.end, || {
            if let Some(told) = &mut told {
                watched.hand_over(*told);
            }
            tick();
        });
        if waited != Waited::Ended {
            end_group(&child, &watched.end);
        } else if !watched.output_ended_within(PIPE_GRACE) && !hold.leaves_group {
            signal_group(&child, Signal::TERM);
            watched.output_ended_within(TERM_GRACE);
        }
        if waited != Waited::Ended || !hold.leaves_group {
            // The leader is not waited for yet, so the group's number cannot belong to anyone else.
            signal_group(&child, Signal::KILL);
            watched.output_ended_within(PIPE_GRACE);
        }
        if let Some(told) = told {
            watched.hand_over(told);
        }
        let status = reap(child);
        self.remove_pid_file();
        let finished = Finished {
            stdout: watched.stdout.map(Capture::take).unwrap_or_default(),
            stderr: watched.stderr.map(Capture::take).unwrap_or_default(),
            ..Finished::of(status, waited, started.elapsed())
        };
        self.log_end(&finished);
        Ok(finished)
    }

    /// Waits for its end as long as it may take.
    fn wait(&self, end: &Receiver<()>, mut tick: impl FnMut()) -> Waited {
        let begun = Instant::now();
        loop {
            let left = self.limit.saturating_sub(begun.elapsed());
            if ended_within(end, left.min(ATTENTION)) {
                return Waited::Ended;
            }
            let unwanted = self.unwanted.as_ref().is_some_and(|set| set.load(Ordering::SeqCst));
            if unwanted || self.until.reached() {
                return Waited::Interrupted;
            }
            if left <= ATTENTION {
                return Waited::TimedOut;
            }
            tick();
        }
    }

    /// Runs it to its end in a session of its own, output appended to `log`, input from nowhere. What it
    /// started (a server) continues when it ends; at the limit its process group is ended.
    ///
    /// `stdout` of the result is what was appended meanwhile, at most its last 1 MiB; `stderr` is empty.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn run_and_leave(&self, log: &Path) -> Result<Finished, ProcessError> {
        let started = Instant::now();
        let Spawned { child, log, begin } = self.spawn_in_session(log)?;
        let end = match watch(&child) {
            Ok(end) => end,
            Err(source) => {
                signal_group(&child, Signal::KILL);
                reap(child);
                return Err(self.not_started(source));
            }
        };
        let waited = self.wait(&end, || {});
        if waited != Waited::Ended {
            end_group(&child, &end);
            signal_group(&child, Signal::KILL);
        }
        let status = reap(child);
        self.remove_pid_file();
        let length = log.metadata().map_or(begin, |metadata| metadata.len());
        let from = begin.max(length.saturating_sub(LOG_READ));
        let mut written = vec![0; usize::try_from(length.saturating_sub(from)).unwrap_or(0)];
        // Read by position: a server that was left running shares the file's offset and moves it. What
        // cannot be read back is missing in a message, no more.
        let read = log.read_at(&mut written, from).unwrap_or(0);
        written.truncate(read);
        if from > begin {
            // The line that is cut may hold a part of a secret.
            written.drain(..written.iter().position(|b| *b == b'\n').unwrap_or(read));
        }
        let finished =
            Finished { stdout: written, ..Finished::of(status, waited, started.elapsed()) };
        self.log_end(&finished);
        Ok(finished)
    }

    /// Starts it in a session of its own, input from nowhere, output appended to `log` (mode 0640, not
    /// through a symbolic link), and does not wait. It outlives this process and inherits none of its
    /// descriptors.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn_detached(&self, log: &Path) -> Result<ProcessId, ProcessError> {
        let Spawned { mut child, .. } = self.spawn_in_session(log)?;
        let Some(id) = ProcessId::of_child(child.id()) else {
            signal_group(&child, Signal::KILL);
            let _ = child.wait();
            return Err(self.not_started(io::Error::other("/proc does not show it")));
        };
        tracing::debug!("{}: started as process {}", self.command_line(), id.pid);
        // As long as this process lives it is the parent: without a wait the child would stay a zombie.
        // Where no thread can be had it stays one until this process ends, which harms nobody.
        let _ = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait());
        Ok(id)
    }

    fn spawn_in_session(&self, log: &Path) -> Result<Spawned, ProcessError> {
        let mut command = self.command()?;
        let streams = open_log(log).and_then(|log| Ok((log.try_clone()?, log.try_clone()?, log)));
        let (stdout, stderr, log) = streams.map_err(|source| {
            let what = format!("its log {}: {source}", log.display());
            self.not_started(io::Error::new(source.kind(), what))
        })?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        seal(&mut command, true);
        let begin = log.metadata().map_or(0, |metadata| metadata.len());
        let child = self.spawn(&mut command).map_err(|source| self.not_started(source))?;
        Ok(Spawned { child, log, begin })
    }

    fn command(&self) -> Result<Command, ProcessError> {
        let path_variable = self.env.get(OsStr::new("PATH")).map(OsString::as_os_str);
        let program = located(&self.program, &self.dir, path_variable).ok_or_else(|| {
            ProcessError::NotFound { program: self.program.display().to_string() }
        })?;
        if !self.dir.is_dir() {
            let what = format!("{} is not a directory", self.dir.display());
            return Err(self.not_started(io::Error::new(io::ErrorKind::NotADirectory, what)));
        }
        let mut command = Command::new(program);
        command.args(&self.args).current_dir(&self.dir).env_clear().envs(&self.env);
        Ok(command)
    }

    /// Starts the command. Where its process is to be noted the program begins only when it is: were this program
    /// killed between the two, nobody would know of it.
    fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let Some(path) = &self.pid_file else { return spawn(command) };
        let (mut started, tells) = io::pipe()?;
        let (waits, mut go) = io::pipe()?;
        wait_to_be_noted(command, &tells, &waits, &go);
        std::thread::scope(|scope| {
            // The start returns only when the program has begun, so it is noted beside it. Each try tells again.
            scope.spawn(move || {
                let mut pid = [0; 4];
                while started.read_exact(&mut pid).is_ok() {
                    // What cannot be written is only not known later.
                    let id = ProcessId::of_child(u32::from_ne_bytes(pid));
                    if let Some(text) = id.and_then(|id| serde_json::to_vec(&id).ok()) {
                        let _ = fs::write(path, text);
                    }
                    // Fails only where the process is gone, which its exit tells.
                    let _ = go.write_all(b"\n");
                }
            });
            let child = spawn(command);
            drop(tells);
            child
        })
    }

    fn remove_pid_file(&self) {
        if let Some(path) = &self.pid_file {
            let _ = fs::remove_file(path);
        }
    }

    /// The arguments as they are logged: never the environment or the input.
    fn command_line(&self) -> String {
        let words = self.args.iter().map(|word| word.to_string_lossy());
        let all: Vec<_> = [self.program.to_string_lossy()].into_iter().chain(words).collect();
        escape(&all.join(" "))
    }

    fn log_end(&self, finished: &Finished) {
        let end = || match (finished.code, finished.signal) {
            _ if finished.timed_out => "ended at its limit".to_owned(),
            _ if finished.interrupted => "ended on request".to_owned(),
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
        };
        tracing::debug!("{}: {} in {:.1?}", self.command_line(), end(), finished.took);
    }

    fn not_started(&self, source: io::Error) -> ProcessError {
        tracing::debug!("{}: not started: {source}", self.command_line());
        ProcessError::Start { program: self.program.display().to_string(), source }
    }
}

impl Finished {
    fn of(status: Option<ExitStatus>, waited: Waited, took: Duration) -> Self {
        Self {
            code: status.and_then(|status| status.code()),
            signal: status.map_or(Some(Signal::KILL.as_raw()), |status| status.signal()),
            timed_out: waited == Waited::TimedOut,
            interrupted: waited == Waited::Interrupted,
            stdout: Vec::new(),
            stderr: Vec::new(),
            took,
        }
    }
}

/// The process that a file names, if that very process still runs.
pub fn still_running(pid_file: &Path) -> Option<ProcessId> {
    let id: ProcessId = serde_json::from_slice(&files::read_state(pid_file).ok()?).ok()?;
    id.alive().then_some(id)
}

/// A program that was started with this `pid_file` and goes on although nobody waits for it, and its words.
pub fn outlived(pid_file: &Path) -> Option<(ProcessId, String)> {
    let process = still_running(pid_file)?;
    let line = procs::command_line(process.pid)?;
    let words: Vec<String> = line.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Some((process, words.join(" ")))
}

/// Waits for such a program as long as `limit`; then it is ended with all it started, as it would have been by who
/// started it.
///
/// # Errors
/// Where it does not end: its words, and that.
pub fn wait_for_outlived(pid_file: &Path, limit: Duration) -> Result<(), (String, String)> {
    let Some((process, command)) = outlived(pid_file) else { return Ok(()) };
    tracing::info!("waiting for `{command}` (process {}), which started earlier", process.pid);
    if procs::wait_until_gone(std::slice::from_ref(&process), limit) {
        return Ok(());
    }
    // Only a session that it leads is its own; what it started is, in any case.
    let session = procs::session(process.pid).into_iter().chain(procs::family(process.pid));
    let group: Vec<ProcessId> =
        session.filter_map(ProcessId::of).chain([process.clone()]).collect();
    procs::end(&group);
    if procs::wait_until_gone(std::slice::from_ref(&process), KILL_GRACE) {
        return Ok(());
    }
    Err((command, format!("process {} of an earlier run does not end", process.pid)))
}

/// How waiting for a child came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Ended,
    TimedOut,
    Interrupted,
}

/// A child in a session of its own, with its log and how long that was before.
struct Spawned {
    child: Child,
    log: File,
    begin: u64,
}

/// A child with the threads that attend to it.
struct Watched {
    end: Receiver<()>,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
}

impl Watched {
    fn start(child: &mut Child, input: Option<Vec<u8>>, most: usize) -> io::Result<Self> {
        let stdout = child.stdout.take().map(|out| Capture::start(out, most)).transpose()?;
        let stderr = child.stderr.take().map(|err| Capture::start(err, most)).transpose()?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // On a thread: a child that writes before it has read everything must not block us both.
            std::thread::Builder::new().name("input".to_owned()).spawn(move || {
                // A child may well end without having read its input.
                let _ = stdin.write_all(&input);
            })?;
        }
        Ok(Self { end: watch(child)?, stdout, stderr })
    }

    /// Hands over what came since the last time.
    fn hand_over(&self, told: &mut Told<'_>) {
        for (error, stream) in [(false, &self.stdout), (true, &self.stderr)] {
            let fresh = stream.as_ref().map(Capture::fresh).unwrap_or_default();
            if !fresh.is_empty() {
                told(error, &fresh);
            }
        }
    }

    fn output_ended_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        [&mut self.stdout, &mut self.stderr]
            .into_iter()
            .flatten()
            .all(|stream| stream.ended_within(end.saturating_duration_since(Instant::now())))
    }
}

/// Lets every other process of this machine go first, for as long as this one lives.
pub fn give_way() {
    // Who may not is only quicker than it would be.
    let _ = rustix::process::nice(19);
}

/// Starts a command. Another thread that forks at this very moment can hold a program that was just
/// written open for writing; that passes within milliseconds.
fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
    command.spawn()
}

/// Tells when the child has ended, without waiting for it: until it is waited for its number, which is
/// its group's too, stays taken.
fn watch(child: &Child) -> io::Result<Receiver<()>> {
    let pid = pid_of(child);
    let (at_end, end) = channel();
    std::thread::Builder::new().name("end".to_owned()).spawn(move || {
        if let Some(pid) = pid {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitid(WaitId::Pid(pid), options)
            {}
        }
        // Nobody listens when the caller has stopped waiting.
        let _ = at_end.send(());
    })?;
    Ok(end)
}

fn ended_within(end: &Receiver<()>, limit: Duration) -> bool {
    !matches!(end.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
}

fn end_group(leader: &Child, end: &Receiver<()>) {
    signal_group(leader, Signal::TERM);
    if !ended_within(end, TERM_GRACE) {
        signal_group(leader, Signal::KILL);
        ended_within(end, KILL_GRACE);
    }
}

fn signal_group(leader: &Child, signal: Signal) {
    if let Some(pid) = pid_of(leader) {
        // Fails only when nothing of the group is left.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// The child's status; `None` for one that even KILL has not ended yet (it waits in the kernel).
fn reap(mut child: Child) -> Option<ExitStatus> {
    let status = child.try_wait().ok().flatten();
    if status.is_none() {
        let _ = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait());
    }
    status
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// One stream that is read to its end on a thread, within bounded memory.
struct Capture {
    kept: Arc<Mutex<Kept>>,
    end: Receiver<()>,
    ended: bool,
}

struct Kept {
    /// How many bytes are kept of the beginning, and as many of the end.
    half: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
    taken: bool,
    /// What nobody was told yet, as far as someone asks; at most [`UNTOLD`].
    fresh: Option<Vec<u8>>,
}

/// How much may wait to be told: who writes faster than that is not followed live.
const UNTOLD: usize = 4 * 1024 * 1024;

impl Capture {
    /// Begins to read `stream` on a thread of its own, and keeps at most `most` bytes of it.
    fn start(mut stream: impl Read + Send + 'static, most: usize) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::new(most / 2)));
        let (at_end, end) = channel();
        let shared = Arc::clone(&kept);
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            loop {
                match stream.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(read) => {
                        shared.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..read]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // Nobody listens when the caller has stopped waiting.
            let _ = at_end.send(());
        })?;
        Ok(Self { kept, end, ended: false })
    }

    /// Waits for the end of the stream, at most `limit`. Says whether it was reached.
    fn ended_within(&mut self, limit: Duration) -> bool {
        if !self.ended {
            self.ended = !matches!(self.end.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
        }
        self.ended
    }

    /// What was read since this was asked last.
    fn fresh(&self) -> Vec<u8> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.fresh.take() {
            Some(fresh) => {
                kept.fresh = Some(Vec::new());
                fresh
            }
            None => {
                let all = kept.head.iter().copied().chain(kept.tail.iter().copied()).collect();
                kept.fresh = Some(Vec::new());
                all
            }
        }
    }

    /// What was read so far. A stream that someone still holds open is read on and forgotten, so that
    /// a process that was left behind does not stop on a full pipe.
    fn take(self) -> Vec<u8> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.taken = true;
        let mut bytes = std::mem::take(&mut kept.head);
        if kept.dropped > 0 {
            bytes.extend(lines::gap(kept.dropped).bytes());
        }
        bytes.extend(std::mem::take(&mut kept.tail));
        bytes
    }
}

impl Kept {
    fn new(half: usize) -> Self {
        let (head, tail) = (Vec::new(), VecDeque::new());
        Self { half, head, tail, dropped: 0, taken: false, fresh: None }
    }

    fn push(&mut self, chunk: &[u8]) {
        if self.taken {
            return;
        }
        if let Some(fresh) = &mut self.fresh
            && fresh.len() < UNTOLD
        {
            fresh.extend_from_slice(chunk);
        }
        let (head, rest) = chunk.split_at(chunk.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }
}

/// Opens the file that takes what a program says when nobody listens: for appending, mode 0640 where it is made, and not through a symbolic link.
fn open_log(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NOCTTY
        | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?);
    if !file.metadata()?.is_file() && path != Path::new("/dev/null") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
