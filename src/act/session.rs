//! Opening a checkout for an act: as the right user, bound, locked, with no run open.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use super::caller::{Caller, Notice};
use super::dispute;
use super::failure::{Failure, SAME_COMMAND, at};
use super::moved;
use super::outcome::{Place, Status};
use crate::config::{Binding, BindingError};
use crate::engine::{self, Course, Held, KEEPING, Lock, LockError, Note};
use crate::ledger::{Dispute, LedgerError};
use crate::model::ApprovalOptions;
use crate::plan::facts::Facts;
use crate::site::{Site, exposed, hooks};
use crate::system::git::Git;
use crate::system::procs::ProcessId;
use crate::system::signals::{self, Asked};
use crate::system::text::{plural, span};
use crate::system::{clock, exec, files, umask, user};
use crate::tell::Outbox;

/// A bound checkout, opened for one act.
pub struct Session {
    pub site: Site,
    pub caller: Caller,
    at_work: RefCell<Option<AtWork>>,
    /// What it was at work for before it let others in.
    left: RefCell<Option<String>>,
    /// What this host has seen of its own records is enough where they cannot be verified now.
    as_seen: bool,
    /// That this is so was told.
    told_as_seen: Cell<bool>,
    /// What was said about approvals as the command was begun: it holds for all that the command does.
    approval: ApprovalOptions,
}

/// What keeps others out while an act is at work.
struct AtWork {
    command: String,
    // Before the lock, so that it is gone when the next command may look.
    _note: Option<Note>,
    _lock: Lock,
}

/// Who takes the lock, and for what.
#[derive(Debug, Clone, Copy)]
pub struct LockRequest<'a> {
    pub command: &'a str,
    /// The binding was found, and is not only going to be written.
    pub bound: bool,
    /// It is the watchdog.
    pub watchdog: bool,
}

impl Session {
    /// Opens to look only.
    ///
    /// # Errors
    /// When the repository is refused or not bound.
    pub fn look(caller: &Caller) -> Result<Self, Failure> {
        let (git, binding) = open(caller)?;
        let site = Site::new(git, binding?, user::actor());
        note_waiting_messages(&site);
        Ok(Self {
            site,
            caller: caller.clone(),
            at_work: RefCell::default(),
            left: RefCell::default(),
            as_seen: true,
            told_as_seen: Cell::default(),
            approval: ApprovalOptions::default(),
        })
    }

    /// As [`Session::look`], for what nothing is decided by: what the records came to when they were folded before is
    /// enough.
    ///
    /// # Errors
    /// As that.
    pub fn glance(caller: &Caller) -> Result<Self, Failure> {
        let session = Self::look(caller)?;
        Ok(Self { site: session.site.only_looked_at(), ..session })
    }

    /// Opens to change: takes the lock, signs what is queued, refuses while a run is open.
    ///
    /// # Errors
    /// As [`Session::look`]; busy; a run is open.
    pub fn change(caller: &Caller, command: &str) -> Result<Self, Failure> {
        let session = Self::change_beside_run(caller, command, false)?;
        session.refuse_beside_run()?;
        engine::tidy(&session.site);
        if let Err(error) = hooks::put_back(&session.site) {
            session.caller.warn(format!("the git hooks: {error}; gitroll hooks status shows them"));
        }
        if let Err(error) = moved::catch_up(&session.site) {
            let what = format!("what was moved by hand is not recorded: {}", error.message);
            session.caller.warn(what);
        }
        Ok(session)
    }

    /// Opens to change although a run may be open: `resume` and `abort`, for a person or for the watchdog.
    ///
    /// # Errors
    /// As [`Session::look`]; busy.
    pub fn change_beside_run(
        caller: &Caller,
        command: &str,
        watchdog: bool,
    ) -> Result<Self, Failure> {
        let (git, binding) = open(caller)?;
        let request = LockRequest { command, bound: true, watchdog };
        let session = Self::lock(caller, git, binding?, request)?;
        session.sign_queued();
        Ok(session)
    }

    /// Opens to make or renew the binding: as [`Session::change`], but nothing of the binding is relied on yet,
    /// and nothing is signed. [`Session::rebind`] comes next.
    ///
    /// # Errors
    /// Busy, or bound or given back meanwhile. A run being open is for [`Session::refuse_beside_run`] to say.
    pub fn lock(
        caller: &Caller,
        git: Git,
        binding: Binding,
        request: LockRequest<'_>,
    ) -> Result<Self, Failure> {
        let LockRequest { command, bound, watchdog } = request;
        let mut site = Site::new(git, binding, user::actor());
        must_be_owner(&site)?;
        let held = Held { watchdog, ..held(command, &site.actor) };
        let lock = take_lock(&site, &held, caller)?;
        // Whoever held the lock until now may have been `init` or `eject`.
        match (Binding::find(site.top()), bound) {
            (Ok(binding), true) => site.binding = binding,
            (Err(BindingError::Unbound { .. }), false) => {}
            (Err(BindingError::Unbound { .. }), true) => {
                drop(lock.remove());
                return Err(LockError::Gone.into());
            }
            (Ok(_), false) => {
                let what = "another command has just bound this checkout";
                return Err(
                    Failure::new(Status::Busy, what).next(SAME_COMMAND, "continues from there")
                );
            }
            (Err(error), _) => return Err(error.into()),
        }
        note_waiting_messages(&site);
        let note = at_work(&site, caller, command)?;
        let at_work = AtWork { command: command.to_owned(), _note: note, _lock: lock };
        let at_work = RefCell::new(Some(at_work));
        let session = Self {
            site,
            caller: caller.clone(),
            at_work,
            left: RefCell::default(),
            as_seen: false,
            told_as_seen: Cell::default(),
            approval: ApprovalOptions::default(),
        };
        at("lock taken")?;
        Ok(session)
    }

    /// Does what concerns the remote alone, which may take its time: meanwhile others may act here.
    pub(super) fn letting_others_in<T>(&self, remote: impl FnOnce() -> T) -> T {
        if let Some(at_work) = self.at_work.take() {
            self.left.replace(Some(at_work.command));
        }
        let done = remote();
        // Where another command came in, this one is only at work again once it has something to do.
        let _ = self.be_at_work();
        done
    }

    /// Keeps others out again where they were let in.
    ///
    /// # Errors
    /// Busy.
    pub(super) fn be_at_work(&self) -> Result<(), Failure> {
        let Some(command) = self.left.borrow().clone() else { return Ok(()) };
        let lock = take_lock(&self.site, &held(&command, &self.site.actor), &self.caller)?;
        let note = at_work(&self.site, &self.caller, &command)?;
        self.at_work.replace(Some(AtWork { command, _note: note, _lock: lock }));
        self.left.replace(None);
        Ok(())
    }

    /// Goes on with the binding as it was written meanwhile, under the same lock.
    ///
    /// # Errors
    /// As [`Session::look`].
    pub fn rebind(&mut self, caller: &Caller) -> Result<(), Failure> {
        let (git, binding) = open(caller)?;
        self.site = Site::new(git, binding?, self.site.actor.clone());
        self.sign_queued();
        Ok(())
    }

    /// Refuses who is not the user that the app runs as.
    ///
    /// # Errors
    /// With the command that becomes that user.
    pub(super) fn must_be_owner(&self) -> Result<(), Failure> {
        must_be_owner(&self.site)
    }

    /// What it is at work for.
    pub(super) fn command(&self) -> Option<String> {
        self.at_work.borrow().as_ref().map(|at_work| at_work.command.clone())
    }

    /// Refuses while a run is open.
    ///
    /// # Errors
    /// That one is, or may be.
    pub fn refuse_beside_run(&self) -> Result<(), Failure> {
        match engine::open_runs(&self.site)?.last() {
            None => Ok(()),
            Some(run) => Err(Failure::run_open(run)),
        }
    }

    /// For the way back, and for what only looks: where this host's own records cannot be verified now, what it
    /// verified of them before is enough.
    pub fn going_by_what_was_seen(mut self) -> Self {
        self.as_seen = true;
        self
    }

    /// With what was said about approvals.
    pub fn with_approval(mut self, said: &ApprovalOptions) -> Self {
        self.approval = said.clone();
        self
    }

    /// What was said about approvals.
    pub(super) fn approval(&self) -> &ApprovalOptions {
        &self.approval
    }

    /// Gathers the facts.
    ///
    /// # Errors
    /// When the repository or the own chain cannot be read, or cannot be verified now and that is not enough.
    pub fn facts(&self) -> Result<Facts, Failure> {
        let mut facts = Facts::gather(&self.site)?;
        // Nobody else has a ledger that is disputed: it is read anew each time.
        let dispute = Rc::get_mut(&mut facts.ledger).and_then(|ledger| ledger.dispute.take());
        match dispute {
            Some(dispute) if !self.as_seen => {
                return Err(dispute::refused(&self.site.binding, dispute));
            }
            Some(dispute) => {
                if !self.told_as_seen.replace(true) {
                    self.tell_dispute(&dispute);
                }
                if let Some(ledger) = Rc::get_mut(&mut facts.ledger) {
                    ledger.dispute = Some(dispute);
                }
            }
            None => {}
        }
        for (chain, why) in &facts.ledger.refused {
            self.caller.warn(format!("{chain} is rejected: {why}"));
        }
        Ok(facts)
    }

    /// Gathers the facts for an act that others go by: a chain of another host that is shorter or other than it was seen to
    /// be stops it, too.
    ///
    /// # Errors
    /// As [`Session::facts`]; that a chain was rewritten.
    pub fn undisputed_facts(&self) -> Result<Facts, Failure> {
        let facts = self.facts()?;
        let rewritten = |why: &LedgerError| matches!(why, LedgerError::Rewritten { .. });
        match facts.ledger.refused.iter().find(|(_, why)| rewritten(why)) {
            None => Ok(facts),
            Some((_, why)) => {
                let mending = dispute::mending(&self.site.binding, why);
                Err(Failure::refused(why.to_string()).and_nothing_changed().next_first(mending))
            }
        }
    }

    fn tell_dispute(&self, dispute: &Dispute) {
        for line in dispute::told(dispute) {
            self.caller.warn(line);
        }
        let mending = dispute::mending(&self.site.binding, &dispute.why);
        for (at, (command, what)) in mending.into_iter().enumerate() {
            match at {
                0 => self.caller.tell(Notice::Next(&command, &what)),
                _ => self.caller.tell(Notice::MoreNext(command, what)),
            }
        }
    }

    /// From here INT and TERM stop the run and undo it, a second one leaves it, and a closed connection does
    /// nothing.
    pub fn heed_signals(&self) {
        let caller = self.caller.clone();
        let (top, binding) = (self.site.top().to_owned(), self.site.binding.clone());
        let heeded = signals::listen(move |asked| {
            caller.info(match asked {
                Asked::Stop if signals::goes_to_its_end() => {
                    "not stopping: the previous state is being restored. A second signal within 2 \
                     s leaves the run open"
                }
                Asked::Stop => match caller.told_when_stopped() {
                    Some(text) => text,
                    None => stopping(course(&top, &binding)),
                },
                Asked::StopAgain => "already stopping; two signals within 2 s leave the run open",
                Asked::Leave => "leaving everything as it is",
            });
        });
        if let Err(error) = heeded {
            self.caller.warn(format!("signals cannot be handled: {error}"));
        }
    }

    /// Whether a signal came since they are heeded.
    pub fn was_stopped(&self) -> bool {
        signals::stop_asked().is_some() || signals::leave_asked()
    }

    /// Says so where another `gitroll.toml` is in the tree than the accepted one, which is used. After a rollback
    /// the older one of what serves is as it should be.
    pub fn warn_of_other_config(&self, facts: &Facts) {
        if facts.config_was_changed(&self.site) {
            let seq = facts.accepted.seq;
            self.caller.warn(format!(
                "gitroll.toml differs from the one of record #{seq}; using the recorded one"
            ));
            self.caller.tell(Notice::Next("gitroll init", "accepts the one in the tree"));
        }
    }

    pub fn place(&self) -> Place {
        let binding = &self.site.binding;
        Place {
            app: binding.app.clone(),
            environment: binding.environment.clone(),
            host: engine::host_name(binding.writer.as_str()).to_owned(),
        }
    }

    /// Says so where the tags or notes of records could not be made: plain git shows less than the records say.
    pub(super) fn tell_unprojected(&self) {
        let missing = engine::unprojected(&self.site);
        if missing.is_empty() {
            return;
        }
        for line in missing {
            self.caller.warn(line);
        }
        let command = "gitroll fsck".to_owned();
        self.caller.tell(Notice::MoreNext(command, "shows what fixes it".to_owned()));
    }

    fn sign_queued(&self) {
        match engine::sign_queued(&self.site) {
            Ok(0) => {}
            Ok(count) => {
                self.caller.info(format!("signed {} from the queue", plural(count, "record")))
            }
            Err(error) => {
                let waiting = plural(engine::queued(&self.site).len(), "record");
                self.caller.warn(format!("{waiting} cannot be signed: {error}"));
            }
        }
    }
}

/// The checkout of this command whose messages are sent when it ends.
static MESSAGES: Mutex<Option<(PathBuf, Binding, String)>> = Mutex::new(None);

/// Messages wait in the outbox of this checkout: they are sent when the answer of the command is told.
pub(super) fn messages_wait(site: &Site) {
    if let Ok(mut waiting) = MESSAGES.lock() {
        *waiting = Some((site.top().to_owned(), site.binding.clone(), site.actor.clone()));
    }
}

/// As [`messages_wait`], for what an earlier command left. Only the owner of the tree sends.
fn note_waiting_messages(site: &Site) {
    if !Outbox::of(&site.state()).is_empty() && must_be_owner(site).is_ok() {
        messages_wait(site);
    }
}

/// The checkout whose messages wait, once.
pub(super) fn take_waiting_messages() -> Option<(Git, Binding, String)> {
    let (top, binding, actor) = MESSAGES.lock().ok()?.take()?;
    let git = Git::open(&top, binding.tools.git.as_deref()).ok()?;
    Some((git, binding, actor))
}

/// Which way the run of this command is on at this moment, as its journal says.
fn course(top: &Path, binding: &Binding) -> Option<Course> {
    let git = Git::open(top, binding.tools.git.as_deref()).ok()?;
    let site = Site::new(git, binding.clone(), String::new());
    Some(engine::open_runs(&site).ok()?.last()?.course())
}

/// What becomes of a run that is asked to stop.
fn stopping(course: Option<Course>) -> &'static str {
    match course {
        None | Some(Course::Preparing) => {
            "stopping; nothing in the live tree was changed yet. A second signal within 2 s leaves the run open"
        }
        // Between the signal and this look the way back may have begun.
        Some(Course::Forward | Course::Stuck(_) | Course::Back) => {
            "stopping; restoring what served before. A second signal within 2 s leaves the run open"
        }
        Some(Course::Proven) => {
            "not stopping: the version was observed serving and is being recorded"
        }
    }
}

/// Who takes the lock: this process.
pub fn held(command: &str, actor: &str) -> Held {
    Held {
        process: ProcessId::of(std::process::id()),
        actor: actor.to_owned(),
        command: command.to_owned(),
        since: clock::now(),
        watchdog: false,
    }
}

/// How long the lock of whoever keeps a second copy of what serves is waited for.
const MOMENT: Duration = Duration::from_secs(10);

/// Takes the lock at once, or waits for it and says for whom.
fn take_lock(site: &Site, held: &Held, caller: &Caller) -> Result<Lock, Failure> {
    let wait = caller.wait.unwrap_or_default();
    let state = site.state();
    let busy = match Lock::take(&state, held, Duration::ZERO) {
        Err(LockError::Busy(holder)) => holder,
        taken => return Ok(taken?),
    };
    // Whoever gives a copy its place holds the lock for a moment, and perhaps has not written yet that it does.
    let now = Lock::holder(&state);
    if now.as_ref().is_none_or(|holder| holder.command == KEEPING)
        && let Ok(lock) = Lock::take(&state, held, wait.max(MOMENT))
    {
        return Ok(lock);
    }
    let holder = now.or(busy.map(|holder| *holder));
    if !wait.is_zero() {
        let who = holder.as_ref().map_or("another command".to_owned(), |holder| {
            format!("gitroll {} by {}", holder.command, holder.who())
        });
        caller.info(format!("waiting up to {} for {who}", span(wait)));
    }
    match Lock::take(&state, held, wait) {
        Err(error @ LockError::Busy(_)) => {
            let mut failure = Failure::from(error);
            if std::env::var_os("GITROLL_HOOK").is_some() {
                failure = failure.detail("a hook of a run can look at it, and change nothing");
            }
            let runs = engine::open_runs(site).unwrap_or_default();
            Err(match runs.last() {
                Some(run) => {
                    failure.detail(format!("run {}: {} to {}", run.id, run.plan.event, run.plan.to))
                }
                None => failure,
            })
        }
        taken => Ok(taken?),
    }
}

/// A repository that was opened, bound or not.
pub type Opened = (Git, Result<Binding, BindingError>);

/// Opens the repository as the user who owns the tree: started as root it becomes that user.
///
/// # Errors
/// When the repository is refused.
pub fn open(caller: &Caller) -> Result<Opened, Failure> {
    let (git, binding) = open_as_it_stands(caller)?;
    if binding.is_ok() {
        check_state(&git.state_dir())?;
    }
    Ok((git, binding))
}

/// [`open`] for a command that only says what is wrong: also where others could have written to gitroll's
/// own directory.
///
/// # Errors
/// When the repository is refused.
pub fn open_as_it_stands(caller: &Caller) -> Result<Opened, Failure> {
    let dir = directory(caller)?;
    if let Some(top) = files::find_upwards(&dir, ".git") {
        become_owner(&top)?;
    }
    let git = Git::open(&dir, None)?;
    let binding = Binding::find(git.top());
    if let Ok(binding) = &binding {
        umask::set(binding.umask());
    }
    let git = match &binding {
        Ok(Binding { tools, .. }) if tools.git.is_some() => Git::open(&dir, tools.git.as_deref())?,
        _ => git,
    };
    Ok((git, binding))
}

fn check_state(state: &Path) -> Result<(), Failure> {
    let problem = exposed(state)
        .map_err(|(path, error)| Failure::unchanged(format!("{}: {error}", path.display())))?;
    let Some((path, problem)) = problem else { return Ok(()) };
    let shown = path.display();
    Err(Failure::refused(format!("{shown}: {problem}"))
        .detail("its contents may belong to someone else; nothing was changed")
        .next(format!("ls -la {shown}"), "shows who owns its contents")
        .next(format!("chmod go-w {shown}"), "makes it private, if it is yours"))
}

/// The directory the command is about.
///
/// # Errors
/// When it is not there.
fn directory(caller: &Caller) -> Result<PathBuf, Failure> {
    let dir = &caller.dir;
    dir.canonicalize().map_err(|e| Failure::unchanged(format!("{}: {e}", dir.display())))
}

fn become_owner(top: &Path) -> Result<(), Failure> {
    let current = user::Account::current();
    let Ok(owner) = user::Account::owner_of(&top.join(".git")) else { return Ok(()) };
    if current.uid != 0 || owner.uid == 0 {
        return Ok(());
    }
    let error = exec::gitroll_as(&owner, &user::actor());
    Err(Failure::unchanged(format!(
        "cannot switch to user {}, who owns the tree: {error}",
        owner.name
    ))
    .next(format!("sudo -u {} gitroll …", owner.name), "run as the tree's owner"))
}

/// Cleans up after a command that was killed, then notes that this one is at work. Where the disk is full and
/// an earlier run waits to be finished or undone, that continues without the note.
fn at_work(site: &Site, caller: &Caller, command: &str) -> Result<Option<Note>, Failure> {
    let cleaned = engine::clean(site);
    let mut doubted = Vec::new();
    if let Some(cleaned) = &cleaned {
        if let Some(told) = cleaned.told() {
            caller.info(told);
        }
        for path in &cleaned.in_doubt {
            let path = path.display();
            caller.warn(format!(
                "{path} may be a leftover of gitroll {}, which was killed, but a git command is running \
                 here; if the file is still there after that command ends: rm {path}",
                cleaned.after.command
            ));
        }
        doubted.clone_from(&cleaned.in_doubt);
    }
    match Note::write(site, command, &doubted) {
        Ok(note) => Ok(Some(note)),
        Err(_) if engine::open_runs(site).is_ok_and(|open| !open.is_empty()) => Ok(None),
        Err(error) => Err(Failure::unchanged(format!(
            "{} cannot be written: {error}",
            site.state().join("at-work.json").display()
        ))
        .nothing_changed()
        .next("gitroll doctor", "looks at this host")),
    }
}

fn must_be_owner(site: &Site) -> Result<(), Failure> {
    let current = user::Account::current();
    if current.name == site.binding.run_as {
        return Ok(());
    }
    let owner = &site.binding.run_as;
    Err(Failure::unchanged(format!(
        "user {owner} runs this app and you are {}: files that you own would break it",
        current.name
    ))
    .next(format!("sudo -u {owner} gitroll …"), "run as that user"))
}
