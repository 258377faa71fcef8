//! Calling systemctl: as this user, or by sudo where that is allowed without a password.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::system::process::{Finished, Invocation, find_program, telling_lines};
use crate::system::procs;
use crate::system::user::Account;

use super::super::log::UnitJournal;
use super::super::state::{Host, ServiceError};
use super::unit::{Definition, PROPERTIES, Unit};

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(10);

/// How many names like an unknown one are told.
const SIMILAR: usize = 5;

/// One manager, the system's or the user's.
pub(super) struct Client {
    systemctl: PathBuf,
    /// If there is none, journals are not read.
    journalctl: Option<PathBuf>,
    /// `sudo`, where this user may need it.
    sudo: Option<PathBuf>,
    pub(super) user: bool,
    account: Account,
    dir: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Client {
    /// systemd as the binding has it.
    pub(super) fn new(host: &Host<'_>, user: bool) -> Result<Self, ServiceError> {
        let account = Account::current();
        let mut env = host.environment();
        if user {
            let runtime = runtime_directory(&account);
            if !["systemd/private", "bus"].iter().any(|socket| runtime.join(socket).exists()) {
                return Err(ServiceError::Unusable {
                    problem: format!(
                        "no systemd runs for user {}: nothing answers in {}",
                        account.name,
                        runtime.display()
                    ),
                    hint: format!(
                        "sudo loginctl enable-linger {} starts it, also at boot",
                        account.name
                    ),
                    command: Some(format!("sudo loginctl enable-linger {}", account.name)),
                });
            }
            let bus = runtime.join("bus");
            env.insert(
                "DBUS_SESSION_BUS_ADDRESS".into(),
                format!("unix:path={}", bus.display()).into(),
            );
            env.insert("XDG_RUNTIME_DIR".into(), runtime.into());
        } else if !Path::new("/run/systemd/system").is_dir() {
            // As sd_booted(3) does. systemctl itself may wait long for an answer.
            return Err(ServiceError::Unusable {
                problem: "systemd does not run on this host: there is no /run/systemd/system"
                    .into(),
                hint: "set manager = \"process\", \"pm2\" or \"command\" in gitroll.toml".into(),
                command: None,
            });
        }
        let path = &host.binding.path_variable;
        let find = |pinned: &Option<PathBuf>, name: &str| {
            // A binding that an earlier version wrote has no such line.
            let usual = || ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name));
            let found = || find_program(Path::new(name), path);
            let usual = || usual().into_iter().find(|program| program.is_file());
            pinned.clone().or_else(found).or_else(usual)
        };
        let tools = &host.binding.tools;
        let systemctl = find(&tools.systemctl, "systemctl")
            .ok_or_else(|| ServiceError::NoTool("systemctl".into()))?;
        let unprivileged = !user && account.uid != 0;
        let sudo = unprivileged.then(|| find_program(Path::new("sudo"), path)).flatten();
        let journalctl = find(&tools.journalctl, "journalctl");
        Ok(Self { systemctl, journalctl, sudo, user, account, dir: host.top.clone(), env })
    }

    /// systemd before there is a binding; `None` if this one does not run.
    pub(super) fn outside(systemctl: &Path, user: bool) -> Option<Self> {
        let account = Account::current();
        let mut env: BTreeMap<OsString, OsString> = ["PATH", "HOME", "USER"]
            .into_iter()
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
            .collect();
        if user {
            let runtime = runtime_directory(&account);
            ["systemd/private", "bus"].iter().find(|socket| runtime.join(socket).exists())?;
            let bus = format!("unix:path={}", runtime.join("bus").display());
            env.insert("DBUS_SESSION_BUS_ADDRESS".into(), bus.into());
            env.insert("XDG_RUNTIME_DIR".into(), runtime.into());
        } else if !Path::new("/run/systemd/system").is_dir() {
            return None;
        }
        let systemctl = systemctl.to_owned();
        Some(Self { systemctl, journalctl: None, sudo: None, user, account, dir: "/".into(), env })
    }

    /// The service units that there are, loaded or not. Templates by themselves are left out.
    pub(super) fn all(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for list in ["list-unit-files", "list-units"] {
            let args = [list, "--type=service", "--all", "--plain", "--no-legend"];
            let Ok(finished) = self.ask(&args, QUESTION) else { continue };
            let text = String::from_utf8_lossy(&finished.stdout).into_owned();
            names.extend(
                text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned),
            );
        }
        names.retain(|name| name.ends_with(".service") && !name.ends_with("@.service"));
        names.sort();
        names.dedup();
        names
    }

    /// The units of these names, each of which systemd could start.
    pub(super) fn known(&self, names: &[String]) -> Result<Vec<Unit>, ServiceError> {
        let units = self.show(names)?;
        for unit in &units {
            let id = &unit.id;
            match unit.load.as_str() {
                "loaded" => {}
                "not-found" => {
                    return Err(ServiceError::Unknown {
                        manager: self.manager_name().to_owned(),
                        name: id.clone(),
                        known: self.similar(id),
                    });
                }
                "masked" => {
                    return Err(ServiceError::Unusable {
                        problem: format!("{id} is masked: systemd does not start it"),
                        hint: format!("systemctl{} unmask {id}", self.option()),
                        command: Some(self.as_root(&format!("unmask {id}"))),
                    });
                }
                _ => {
                    let problem = match unit.load_error.as_str() {
                        "" => format!("systemd cannot read {id}"),
                        why => format!("systemd cannot read {id}: {why}"),
                    };
                    let hint = format!("systemd-analyze{} verify {id}", self.option());
                    let command = Some(hint.clone());
                    return Err(ServiceError::Unusable { problem, hint, command });
                }
            }
        }
        Ok(units)
    }

    /// One unit, however it is.
    pub(super) fn one(&self, name: &str) -> Result<Unit, ServiceError> {
        let mut units = self.show(&[name.to_owned()])?;
        units.pop().ok_or_else(|| self.silent("gave no answer that could be read"))
    }

    /// Units, however they are.
    pub(super) fn show(&self, names: &[String]) -> Result<Vec<Unit>, ServiceError> {
        let property = format!("--property={PROPERTIES}");
        let mut args = vec!["show", &property, "--"];
        args.extend(names.iter().map(String::as_str));
        let finished = self.ask(&args, QUESTION)?;
        let units = Unit::parse_all(&String::from_utf8_lossy(&finished.stdout));
        if finished.timed_out {
            return Err(self.silent(&format!("gave no answer within {} s", QUESTION.as_secs())));
        }
        if !finished.success() || units.len() != names.len() {
            return Err(self.silent(&told(&finished)));
        }
        Ok(units)
    }

    /// The units that are stopped with one of these.
    pub(super) fn dependents(&self, names: &[String]) -> Result<Vec<String>, ServiceError> {
        let mut args = vec!["show", "--property=RequiredBy,BoundBy,ConsistsOf", "--"];
        args.extend(names.iter().map(String::as_str));
        let finished = self.ask(&args, QUESTION)?;
        if !finished.success() {
            return Err(self.silent(&told(&finished)));
        }
        let text = String::from_utf8_lossy(&finished.stdout);
        let lists = text.lines().filter_map(|line| line.split_once('='));
        let mut units: Vec<String> =
            lists.flat_map(|(_, list)| list.split_whitespace()).map(str::to_owned).collect();
        units.sort();
        units.dedup();
        Ok(units)
    }

    /// What the files of a unit say; `None` if they cannot be read.
    pub(super) fn definition(&self, name: &str) -> Option<Definition> {
        let finished = self.ask(&["cat", "--", name], QUESTION).ok()?;
        let text = String::from_utf8_lossy(&finished.stdout);
        finished.success().then(|| Definition::parse(&text))
    }

    /// Has systemd change a unit and waits for it. What it says if that fails; an error where it was not
    /// even tried.
    pub(super) fn change(&self, verb: &str, unit: &Unit) -> Result<Option<String>, ServiceError> {
        let command = format!("systemctl{} {verb} {}", self.option(), unit.id);
        let finished = self.order(&[verb, &unit.id], unit.limit())?;
        if finished.timed_out {
            return Ok(Some(format!("did not end within {} s", unit.limit().as_secs())));
        }
        if finished.success() || finished.interrupted {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&finished.stderr).into_owned();
        if is_about_a_job(&said) {
            return Ok(Some(told(&finished)));
        }
        if is_denied(&said) {
            return Err(self.denied(verb, &unit.id));
        }
        Err(ServiceError::Failed { command, problem: told(&finished) })
    }

    /// Lets systemd forget how often and how badly a unit was started. Where this user may not, a start that
    /// is refused for it says so.
    pub(super) fn forgive(&self, name: &str) {
        if let Err(error) = self.order(&["reset-failed", name], QUESTION) {
            tracing::debug!("systemctl reset-failed {name}: {error}");
        }
    }

    /// Has systemd read the files of its units again.
    pub(super) fn daemon_reload(&self) -> Result<(), ServiceError> {
        let finished = self.order(&["daemon-reload"], Duration::from_secs(90))?;
        if finished.success() {
            return Ok(());
        }
        let command = format!("systemctl{} daemon-reload", self.option());
        Err(ServiceError::Failed { command, problem: told(&finished) })
    }

    /// The processes of the manager itself that may hold the socket of a unit.
    pub(super) fn manager(&self, units: &[Unit]) -> Vec<u32> {
        if !self.user {
            return vec![1];
        }
        let parents = units.iter().filter_map(|unit| procs::parent(unit.main?));
        parents.take(1).collect()
    }

    /// What units wrote to the journal since a moment, in seconds since 1970: the last lines. `None` if it
    /// cannot be read.
    pub(super) fn journal(
        &self,
        names: &[&str],
        since: Option<u64>,
        lines: usize,
    ) -> Option<Vec<u8>> {
        let mut args: Vec<OsString> = Vec::new();
        if self.user {
            args.push("--user".into());
        }
        args.extend(["--no-pager", "--quiet", "--output=cat"].map(Into::into));
        args.push(format!("--lines={lines}").into());
        args.extend(names.iter().map(|name| format!("--unit={name}").into()));
        args.extend(since.map(|since| format!("--since=@{since}").into()));
        let program = self.journalctl.as_ref()?;
        let limit = Duration::from_secs(3);
        let env = self.env.clone();
        let finished =
            Invocation { args, env, limit, ..Invocation::new(program, &self.dir) }.run().ok()?;
        finished.success().then_some(finished.stdout)
    }

    /// Whether systemd says in the journal that it ran a unit to its end since a moment, in microseconds since
    /// 1970; no also where it is not said.
    pub(super) fn ran_since(&self, name: &str, since: i64) -> bool {
        /// Its commands begin; its start is over, whether or not there was anything to start; a condition of its
        /// commands did not hold.
        const BEGINS: &str = "7d4958e842da4a758f6c1cdc7b36dcc5";
        const OVER: &str = "39f53479d3a045ac8e11786248231fbf";
        const SKIPPED: &str = "0e4284a0caca4bfc81c0bb6786972673";
        let Some(program) = &self.journalctl else { return false };
        let mut args: Vec<OsString> = Vec::new();
        args.extend(self.user.then(|| "--user".into()));
        args.extend(["--no-pager", "--quiet", "--output=cat"].map(Into::into));
        args.push("--output-fields=MESSAGE_ID".into());
        args.push(format!("--unit={name}").into());
        args.push(format!("--since=@{}.{:06}", since / 1_000_000, since % 1_000_000).into());
        let said =
            self.run(program, args, QUESTION).map(|finished| finished.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        [BEGINS, OVER].iter().all(|id| said.contains(id)) && !said.contains(SKIPPED)
    }

    /// The journal of a unit, to be read again and again. `None` if there is no journalctl.
    pub(super) fn journal_of(&self, unit: &str) -> Option<UnitJournal> {
        Some(UnitJournal {
            journalctl: self.journalctl.clone()?,
            user: self.user,
            unit: unit.to_owned(),
            dir: self.dir.clone(),
            env: self.env.clone(),
        })
    }

    /// What a person types who may read the journal of a unit.
    pub(super) fn journal_command(&self, name: &str) -> String {
        if self.user {
            format!("journalctl --user -u {name}")
        } else {
            format!("sudo journalctl -u {name}")
        }
    }

    /// Names of units like this one.
    fn similar(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for list in ["list-unit-files", "list-units"] {
            let args = [list, "--type=service", "--all", "--plain", "--no-legend"];
            let Ok(finished) = self.ask(&args, QUESTION) else { continue };
            let text = String::from_utf8_lossy(&finished.stdout).into_owned();
            names.extend(
                text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned),
            );
        }
        names.sort();
        names.dedup();
        let stem = |name: &str| name.trim_end_matches(".service").to_owned();
        let likeness = |other: &String| strsim::jaro_winkler(&stem(name), &stem(other));
        let slip = |other: &str| strsim::damerau_levenshtein(&stem(name), &stem(other)) == 1;
        names.retain(|other| other != name && (likeness(other) > 0.8 || slip(other)));
        names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        names.truncate(SIMILAR);
        names
    }

    fn order(&self, words: &[&str], limit: Duration) -> Result<Finished, ServiceError> {
        match &self.sudo {
            Some(sudo) if self.sudo_allows(words) => {
                // Exactly the words that a line of sudoers names.
                let mut args: Vec<OsString> = vec!["-n".into(), self.systemctl.clone().into()];
                args.extend(words.iter().map(Into::into));
                self.run(sudo, args, limit)
            }
            _ => self.ask(words, limit),
        }
    }

    fn ask(&self, words: &[&str], limit: Duration) -> Result<Finished, ServiceError> {
        let mut args: Vec<OsString> = Vec::new();
        if self.user {
            args.push("--user".into());
        }
        args.extend(["--no-pager", "--no-ask-password"].map(Into::into));
        args.extend(words.iter().map(Into::into));
        self.run(&self.systemctl, args, limit)
    }

    fn run(
        &self,
        program: &Path,
        args: Vec<OsString>,
        limit: Duration,
    ) -> Result<Finished, ServiceError> {
        let env = self.env.clone();
        let invocation = Invocation { args, env, limit, ..Invocation::new(program, &self.dir) };
        invocation.run().map_err(|error| ServiceError::not_run("systemctl", error))
    }

    fn silent(&self, problem: &str) -> ServiceError {
        ServiceError::Unusable {
            problem: format!("systemctl{} show: {problem}", self.option()),
            hint: format!("systemctl{} status must work first", self.option()),
            command: Some(format!("systemctl{} status", self.option())),
        }
    }

    fn denied(&self, verb: &str, name: &str) -> ServiceError {
        ServiceError::Unusable {
            problem: format!("{} may not {verb} {name}", self.account.name),
            hint: "allow it with sudo or polkit (docs/guides/systemd.md), or set scope = \"user\""
                .into(),
            command: Some("sudo visudo -f /etc/sudoers.d/gitroll".to_owned()),
        }
    }

    /// What a person types who may do it.
    pub(super) fn as_root(&self, words: &str) -> String {
        let sudo = if self.user || self.account.uid == 0 { "" } else { "sudo " };
        format!("{sudo}systemctl{} {words}", self.option())
    }

    /// ` --user`, for messages.
    fn option(&self) -> &'static str {
        if self.user { " --user" } else { "" }
    }

    fn manager_name(&self) -> &'static str {
        if self.user { "systemd --user" } else { "systemd" }
    }
}

/// The caller's, where it is this user's own: after `sudo` it is another's.
fn runtime_directory(account: &Account) -> PathBuf {
    let own = |dir: &PathBuf| dir.metadata().is_ok_and(|found| found.uid() == account.uid);
    let said = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    said.filter(|dir| dir.is_absolute() && own(dir))
        .unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", account.uid)))
}

/// Whether systemctl says that this user may not: it has no exit code of its own for that.
fn is_denied(said: &str) -> bool {
    ["nteractive authentication required", "Access denied", "Permission denied", "not permitted"]
        .iter()
        .any(|words| said.contains(words))
}

/// Whether systemctl speaks of a job that was begun, and failed: of all else it was refused. Its exit code is the same.
fn is_about_a_job(said: &str) -> bool {
    said.lines().any(|line| line.starts_with("Job for ") || line.starts_with("A dependency job"))
}

fn told(finished: &Finished) -> String {
    let lines = telling_lines(&[&finished.stderr[..], &finished.stdout[..]].concat(), 2);
    if lines.is_empty() {
        "gave no answer that could be read".to_owned()
    } else {
        lines.join(" · ")
    }
}

/// What this user may have systemd do, found out without having it done.
impl Client {
    /// Whether this user may do all this with the unit, found out without doing it.
    pub(super) fn may_change(&self, name: &str, verbs: &[&str]) -> Result<(), ServiceError> {
        if self.user || self.account.uid == 0 {
            return Ok(());
        }
        let Some(verb) = verbs.iter().find(|verb| !self.sudo_allows(&[verb, name])) else {
            return Ok(());
        };
        // It wants the same right as a restart, and touches nothing that runs.
        let finished = self.ask(&["reset-failed", name], QUESTION)?;
        let said = String::from_utf8_lossy(&finished.stderr);
        if is_denied(&said) { Err(self.denied(verb, name)) } else { Ok(()) }
    }

    /// Whether this user may have systemd read the changed file of a unit again, found out without doing so.
    pub(super) fn may_daemon_reload(&self, name: &str) -> Result<(), ServiceError> {
        if self.user || self.account.uid == 0 || self.sudo_allows(&["daemon-reload"]) {
            return Ok(());
        }
        // If there is no polkit nobody else may.
        let process = std::process::id().to_string();
        let action = "org.freedesktop.systemd1.reload-daemon";
        let args = ["--action-id", action, "--process", &process].map(Into::into);
        let path = &self.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let asked = find_program(Path::new("pkcheck"), &path.to_string_lossy())
            .and_then(|pkcheck| self.run(&pkcheck, args.into(), QUESTION).ok());
        if asked.is_some_and(|asked| asked.success()) {
            return Ok(());
        }
        Err(ServiceError::Unusable {
            problem: format!(
                "the file of {name} was changed, and {} may not run daemon-reload",
                self.account.name
            ),
            hint:
                "run sudo systemctl daemon-reload once; to allow it permanently, use sudo or polkit \
                   (docs/guides/systemd.md)"
                    .into(),
            command: Some(self.as_root("daemon-reload")),
        })
    }

    /// Whether sudo runs systemctl with these words and asks for no password.
    fn sudo_allows(&self, words: &[&str]) -> bool {
        let Some(sudo) = &self.sudo else { return false };
        let mut args: Vec<OsString> = vec!["-n".into(), "-l".into(), self.systemctl.clone().into()];
        args.extend(words.iter().map(Into::into));
        let list = || self.run(sudo, vec!["-n".into(), "-l".into()], QUESTION).ok();
        // That succeeds for a command that wants a password as well, where another one wants none.
        self.run(sudo, args, QUESTION).is_ok_and(|finished| finished.success())
            && list().is_some_and(|finished| {
                let list = String::from_utf8_lossy(&finished.stdout);
                finished.success() && needs_no_password(&list, &self.systemctl, words)
            })
    }
}

/// Whether the last rule of a list that is about this command asks for no password. That a rule allows it is not
/// asked here: `sudo -l COMMAND` succeeds for one that wants a password as well.
///
/// What cannot be told is taken for a rule that wants one.
fn needs_no_password(list: &str, program: &Path, words: &[&str]) -> bool {
    let mut free = false;
    let never = list
        .lines()
        .take_while(|line| !is_rule(line))
        .any(|line| line.split(',').any(|setting| setting.trim() == "!authenticate"));
    for line in list.lines().filter(|line| is_rule(line)) {
        let Some((users, commands)) = line.trim_start()[1..].split_once(')') else { continue };
        let mut users = users.split(':').next().unwrap_or_default().split(',').map(str::trim);
        let as_root = users.any(|user| matches!(user, "root" | "ALL" | "#0"));
        let mut asks = true;
        for command in split_commands(commands) {
            let command = without_tags(command.trim(), &mut asks);
            let matched = rule_matches(command, program, words);
            match matched {
                RuleMatch::Yes if as_root => free = !asks,
                RuleMatch::Perhaps if asks => free = false,
                RuleMatch::Yes | RuleMatch::Perhaps | RuleMatch::No => {}
            }
        }
    }
    free || (never && list.lines().any(is_rule))
}

/// A rule begins with the users as whom it allows a command.
fn is_rule(line: &str) -> bool {
    line.starts_with([' ', '\t']) && line.trim_start().starts_with('(')
}

/// At commas that no backslash keeps.
fn split_commands(commands: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut kept = false;
    for c in commands.chars() {
        match (kept, c, parts.last_mut()) {
            (false, ',', _) => parts.push(String::new()),
            (_, _, Some(part)) => {
                if c != '\\' || kept {
                    part.push(c);
                }
            }
            (_, _, None) => {}
        }
        kept = c == '\\' && !kept;
    }
    parts
}

/// A command without what is said of it; `asks` is whether one of these and those before it said so.
fn without_tags<'a>(mut command: &'a str, asks: &mut bool) -> &'a str {
    while let Some((tag, rest)) = command.split_once(':') {
        if tag.is_empty() || !tag.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            break;
        }
        match tag {
            "NOPASSWD" => *asks = false,
            "PASSWD" => *asks = true,
            _ => {}
        }
        command = rest.trim_start();
    }
    command
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleMatch {
    Yes,
    No,
    /// A rule that is not understood here.
    Perhaps,
}

fn rule_matches(command: &str, program: &Path, words: &[&str]) -> RuleMatch {
    let (path, wanted) = match command.split_once(' ') {
        None => (command, None),
        Some((path, wanted)) => (path, Some(wanted.trim())),
    };
    if command == "ALL" {
        return RuleMatch::Yes;
    }
    if !path.starts_with('/') || path.contains(['*', '?', '[']) || path.ends_with('/') {
        return RuleMatch::Perhaps;
    }
    // `/bin` may be `/usr/bin`.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if Path::new(path) != program && real(Path::new(path)) != real(program) {
        return RuleMatch::No;
    }
    match wanted {
        None => RuleMatch::Yes,
        Some(wanted) if wanted.contains(['*', '?', '[', '^']) => RuleMatch::Perhaps,
        Some(wanted) if wanted.split_whitespace().eq(words.iter().copied()) => RuleMatch::Yes,
        Some(_) => RuleMatch::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_about_a_command_says_whether_it_asks() {
        let head = "Matching Defaults entries for ada on box:\n    env_reset, secure_path=/usr/bin\n\n\
            User ada may run the following commands on box:\n";
        let restart = "/opt/systemctl restart web.service";
        let table = [
            (format!("    (root) NOPASSWD: {restart}, /opt/systemctl start web.service\n"), true),
            (format!("    (root) NOPASSWD: /usr/bin/true, {restart}\n"), true),
            (format!("    (root) SETENV: NOPASSWD: {restart}\n"), true),
            ("    (ALL : ALL) NOPASSWD: ALL\n".to_owned(), true),
            ("    (root) NOPASSWD: /opt/systemctl\n".to_owned(), true),
            (format!("    (ALL) ALL\n    (root) NOPASSWD: {restart}\n"), true),
            (
                "    (ALL) ALL\n    (root) NOPASSWD: /usr/bin/true, /opt/systemctl stop a\\:b.service, \
                 PASSWD: /bin/ls, SETENV: NOPASSWD: /opt/systemctl restart web.service\n"
                    .to_owned(),
                true,
            ),
            ("    (ALL) ALL\n    (root) NOPASSWD: /usr/bin/true\n".to_owned(), false),
            (format!("    (root) NOPASSWD: {restart}\n    (ALL) ALL\n"), false),
            (format!("    (root) NOPASSWD: /usr/bin/true, PASSWD: {restart}\n"), false),
            (
                format!("    (root) NOPASSWD: {restart}\n    (root) /opt/systemctl restart *\n"),
                false,
            ),
            (format!("    (deploy) NOPASSWD: {restart}\n"), false),
            ("    (root) NOPASSWD: /opt/systemctl restart queue.service\n".to_owned(), false),
            ("Sorry, user ada may not run sudo on box.\n".to_owned(), false),
        ];
        for (rules, wanted) in table {
            let list = format!("{head}{rules}");
            let words = ["restart", "web.service"];
            assert_eq!(
                needs_no_password(&list, Path::new("/opt/systemctl"), &words),
                wanted,
                "{rules}"
            );
        }
        let list = head.replace("env_reset", "!authenticate") + "    (ALL) ALL\n";
        assert!(needs_no_password(&list, Path::new("/opt/systemctl"), &["restart", "a"]));
    }

    /// As systemctl prints them in English, which `LANG=C.UTF-8` makes it do.
    #[test]
    fn what_systemctl_says_of_a_failure() {
        let table = [
            ("Failed to restart a.service: Interactive authentication required.\n", true, false),
            ("Failed to restart a.service: Access denied\n", true, false),
            ("Failed to reset failed state of unit a.service: Permission denied\n", true, false),
            ("Failed to connect to bus: Operation not permitted\n", true, false),
            (
                "Job for a.service failed because the control process exited with error code.\n",
                false,
                true,
            ),
            (
                "A dependency job for a.service failed. See 'journalctl -xe' for details.\n",
                false,
                true,
            ),
            ("Failed to restart a.service: Unit a.service not found.\n", false, false),
        ];
        for (said, denied, job) in table {
            assert_eq!((is_denied(said), is_about_a_job(said)), (denied, job), "{said}");
        }
    }
}
