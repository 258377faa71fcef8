//! Deploying what was pushed to a server's bare repository: a process of its own does it, and the pusher watches.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::guard;
use crate::model::Oid;
use crate::site::hooks::{Receive, Server};
use crate::system::process::{Invocation, own_program};
use crate::system::procs::ProcessId;
use crate::system::{files, random};

/// How the process that deploys is called: `gitroll hook received COMMIT`.
pub const RECEIVED: &str = "received";

/// A deploy that takes longer than this is ended; what it had begun is restored.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// How long another command in the checkout is waited for.
const WAIT: &str = "30m";

/// What a process sees of the pusher's environment.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "GITROLL_HOME",
    "PM2_HOME",
    "SSH_AUTH_SOCK",
];

/// What became of a push to the branch that is deployed.
#[derive(Debug)]
pub enum Begun {
    /// A process deploys it.
    UnderWay(UnderWay),
    /// It waits for the account that the checkout belongs to: the last line for the pusher.
    Queued(String),
}

/// A deploy under way.
#[derive(Debug)]
pub struct UnderWay {
    process: ProcessId,
    log: PathBuf,
}

/// Begins to deploy what a push brought, where it brought something to the branch that is deployed. `lines` are those
/// that git gives `post-receive`.
///
/// # Errors
/// Why nothing was begun.
pub fn begin(git_dir: &Path, lines: &str) -> Result<Option<Begun>, String> {
    let Some(server) = Server::at(git_dir) else { return Ok(None) };
    let Some(receive) = server.receive()? else { return Ok(None) };
    let branch = format!("refs/heads/{}", receive.branch);
    let commit = lines.lines().find_map(|line| {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let [_, new, name] = words[..] else { return None };
        new.parse::<Oid>().ok().filter(|_| name == branch && new.bytes().any(|b| b != b'0'))
    });
    let Some(commit) = commit else { return Ok(None) };
    if let Some(owner) = receive.other_owner() {
        return queue(&server, &commit, &owner).map(Some);
    }
    let log = server.dir.join(format!("receive-{}-{}.log", commit.short(), random::suffix()));
    let args = ["-C".into(), server.git_dir().into(), "hook".into(), RECEIVED.into()];
    let args = args.into_iter().chain([OsString::from(commit.as_str())]).collect();
    let invocation =
        Invocation { args, env: environment(), ..Invocation::new(own_program(), Path::new("/")) };
    let process = invocation.spawn_detached(&log).map_err(|error| error.to_string())?;
    Ok(Some(Begun::UnderWay(UnderWay { process, log })))
}

/// Leaves word for the account that the checkout belongs to. The newest push wins.
fn queue(server: &Server, commit: &Oid, owner: &str) -> Result<Begun, String> {
    let path = server.queue_file();
    files::write_durably(&path, format!("{commit}\n").as_bytes(), 0o644)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Begun::Queued(format!(
        "NOT DEPLOYED YET: {} waits for user {owner}, whose unit deploys it; git push exits 0 anyway",
        commit.short()
    )))
}

impl UnderWay {
    /// Says each line as it comes, until the end.
    pub fn follow(&self, say: &mut dyn FnMut(&str)) {
        let (mut at, mut rest) = (0, String::new());
        loop {
            let alive = self.process.alive();
            let mut text = String::new();
            if let Ok(mut file) = File::open(&self.log)
                && file.seek(SeekFrom::Start(at)).is_ok()
            {
                let mut bytes = Vec::new();
                at += file.read_to_end(&mut bytes).unwrap_or_default() as u64;
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            rest += &text;
            while let Some((line, more)) = rest.split_once('\n') {
                say(line);
                rest = more.to_owned();
            }
            if !alive {
                if !rest.is_empty() {
                    say(&rest);
                }
                // Read to its end; what became of it is a record.
                let _ = fs::remove_file(&self.log);
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Deploys what was pushed, once those before it are done and unless a later push came: the process that
/// [`begin`] started. Its last line says what came of it.
pub fn deploy(git_dir: &Path, commit: &str, say: &mut dyn FnMut(&str)) {
    let short: String = commit.chars().take(7).collect();
    let Some(server) = Server::at(git_dir) else { return };
    let receive = match server.receive() {
        Ok(Some(receive)) => receive,
        Ok(None) => return,
        Err(why) => return say(&format!("NOT DEPLOYED: {why}")),
    };
    let turn = OpenOptions::new().create(true).append(true).open(server.dir.join("receive.lock"));
    let turn = turn.and_then(|file| file.lock().map(|()| file));
    if let Err(error) = &turn {
        say(&format!("not waiting for the previous push: {error}"));
    }
    if let Some(newer) = newest(&server, &receive).filter(|newest| newest != commit) {
        let newer: String = newer.chars().take(7).collect();
        return say(&format!(
            "NOT DEPLOYED: {newer} was pushed after {short}, and its push deploys it"
        ));
    }
    let Receive { checkout, remote, branch } = &receive;
    let mut args: Vec<OsString> = vec!["-C".into(), checkout.into(), "deploy".into()];
    args.push(format!("{remote}/{branch}").into());
    args.extend(["--yes", "--wait", WAIT].map(OsString::from));
    let invocation = Invocation {
        args,
        env: environment(),
        limit: LONGEST,
        ..Invocation::new(own_program(), Path::new("/"))
    };
    let log = server.dir.join(format!("deploy-{short}.log"));
    let _ = fs::remove_file(&log);
    let done = std::thread::scope(|scope| {
        let running = scope.spawn(|| invocation.run_and_leave(&log));
        let mut told = 0;
        loop {
            let ended = running.is_finished();
            let text = fs::read_to_string(&log).unwrap_or_default();
            let new = text.get(told..).unwrap_or_default();
            let whole = new.rfind('\n').map_or(0, |at| at + 1);
            new[..whole].lines().for_each(&mut *say);
            told += whole;
            if ended {
                break running.join();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let _ = fs::remove_file(&log);
    match done {
        Ok(Ok(finished)) if finished.code == Some(0) => say(&format!("DEPLOYED {short} [0]")),
        Ok(Ok(finished)) => match finished.code {
            Some(code) => say(&format!("NOT DEPLOYED [{code}]; git push exits 0 anyway")),
            None => say(
                "NOT DEPLOYED: the deploy was ended by a signal; gitroll status shows the state",
            ),
        },
        Ok(Err(error)) => say(&format!("NOT DEPLOYED: {error}")),
        Err(_) => say("NOT DEPLOYED: the process ended early; gitroll status shows the state"),
    }
}

/// Where the branch is in the bare repository by now, loose or packed.
fn newest(server: &Server, receive: &Receive) -> Option<String> {
    let name = format!("refs/heads/{}", receive.branch);
    let view = tempfile::tempdir().ok()?;
    let git = guard::view_of(server, view.path()).ok()?;
    let found = guard::refs_of_server(&git, &name).ok()?;
    found.into_iter().find(|(found, _)| *found == name).map(|(_, id)| id.to_string())
}

fn environment() -> BTreeMap<OsString, OsString> {
    PASSED_ON.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect()
}
