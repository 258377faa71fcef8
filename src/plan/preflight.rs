//! Everything that would make a plan fail, found before anything is changed, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::compose::{self, Composed};
use super::facts::Facts;
use super::problem::Problem;
use super::{disk_space, hooks, open_files, started_by, swaps};
use crate::build::BuildPlan;
use crate::check::{self, NoLog};
use crate::config::{
    self, CheckKind, Config, FlagSourceKind, Layout, LogSource, Manager, Prove, Selection, Service,
    Verify,
};
use crate::layout::{self, SubmoduleFault};
use crate::ledger;
use crate::model::{
    CheckName, CheckedPlan, Event, FlagChange, FlagValue, HiddenFlags, Plan, RepoPath, Served, Step,
};
use crate::service::{self, Host, ServiceError};
use crate::site::{Observed, Site, held_files, listens, surroundings};
use crate::system::files;
use crate::system::git::{Conversion, ConvertedFile, RuleFile, Unfinished};
use crate::system::text::{nearest, plural};

/// Checks a composed plan against the host. `observed` is how services and checks stand now. A file that
/// leaves git while a service holds it open is taken out of the plan: it stays.
///
/// # Errors
/// All problems at once.
pub fn preflight(
    site: &Site,
    facts: &Facts,
    mut composed: Composed,
    config: &Config,
    observed: &Observed,
) -> Result<CheckedPlan, Vec<Problem>> {
    let mut problems = Vec::new();
    let activation = &mut composed.plan.activation;
    if !(activation.changes.is_empty()
        && activation.saves.is_empty()
        && activation.artifacts.is_empty())
    {
        problems.extend(open_files::settle(activation, &held_files(site, observed)));
    }
    tree(site, &composed, config, &mut problems);
    if composed.plan.event == Event::Back {
        // The way back is not barred: what is replaced there is what git was in the middle of.
        composed.plan.warnings.extend(composed.unfinished.iter().map(|found| {
            let kind = found.kind;
            format!(
                "git is in the middle of {kind}: gitroll does not change that; {} ends it afterwards",
                kind.quit()
            )
        }));
    }
    let unread = site.unread_environment(&facts.accepted.config).into_iter();
    composed.plan.warnings.extend(unread.map(|(path, error)| not_hidden(&path, &error)));
    submodules(site, &mut composed, &mut problems);
    let only = if composed.plan.critical_only { Selection::Critical } else { Selection::All };
    let asked = Config { checks: only.of(&config.checks), ..config.clone() };
    services(site, &mut composed.plan, &asked, observed, &mut problems);
    started_by::check(site, &asked, &mut composed.plan, observed, &mut problems);
    witness(&asked, &mut problems);
    tools(site, &composed.plan, &mut problems);
    hooks::check(site, facts, config, &mut composed.plan, &mut problems);
    problems.extend(unreadable_logs(
        site,
        &asked,
        &composed.plan.to,
        observed,
        Some(&facts.accepted.config),
    ));
    problems.extend(unreadable_logs_of_flags(site, &asked, &composed.plan));
    listeners(&asked, &mut composed.plan, observed, &mut problems);
    flags(config, &mut composed.plan, &composed.hidden, &mut problems);
    disk_space::check(site, composed.room, &mut problems);
    rights(site, &composed.plan, &mut problems);
    swaps::check(site, &mut composed.plan, &mut problems);
    locks(site, &mut problems);
    if let Err(error) = ledger::probe_signing(&site.git, &site.binding, Some(&composed.plan.event))
    {
        let message = error.to_string();
        let to = &composed.plan.to.commit;
        let back = composed.plan.event == Event::Back && facts.history.served_here(to);
        // The way back is not barred.
        if back || composed.way_back {
            composed.plan.warnings.push(format!(
                "the record cannot be signed now, and is queued: {message}; the rollback ends with 30"
            ));
        } else {
            problems.push(Problem {
                message,
                hint: match error {
                    ledger::LedgerError::Role { .. } => {
                        "gitroll trust list shows the roles of each key"
                    }
                    _ => "gitroll init --new-key creates a key for this host",
                }
                .into(),
                command: None,
                policy: matches!(
                    error,
                    ledger::LedgerError::Untrusted { .. } | ledger::LedgerError::Role { .. }
                ),
            });
        }
    }
    if problems.is_empty() {
        Ok(CheckedPlan::after_preflight(composed.plan, composed.hidden))
    } else {
        Err(problems)
    }
}

/// What of the tree and the target's content is in the way.
pub fn tree(site: &Site, composed: &Composed, config: &Config, problems: &mut Vec<Problem>) {
    if config.app.layout == Layout::Releases {
        problems.push(Problem::new(
            "layout = \"releases\" is not supported by this version",
            "use layout = \"in-place\" in gitroll.toml",
        ));
    }
    for path in &composed.submodules {
        problems.push(Problem::new(
            format!("submodule {path} changes between the two versions"),
            "gitroll does not deploy submodules; add its files to the repository",
        ));
    }
    problems.extend(converted(&composed.converted));
    if matches!(composed.plan.event, Event::Deploy | Event::Component) {
        problems.extend(composed.unfinished.iter().map(unfinished));
    }
    for path in &composed.tracked_outputs {
        problems.push(Problem::new(
            format!("{path} is a build output and tracked by git at the same time"),
            format!("git rm -r --cached {path}, or remove it from `outputs`"),
        ));
    }
    let plan = &composed.plan;
    let outputs: BTreeSet<_> =
        plan.artifacts.iter().chain(&plan.artifacts_before).map(|a| &a.output).collect();
    for output in outputs {
        if let Some((path, what)) = files::obstacle(site.top(), output.as_path()) {
            problems.push(Problem::new(
                format!(
                    "the build output {output} cannot be swapped: {} is {what}",
                    path.display()
                ),
                "replace it with a directory that belongs to the app, or remove it from `outputs`",
            ));
        }
    }
    for (what, path) in [("the app's tree", site.top()), ("the git directory", site.git.git_dir())]
    {
        if let Err(error) = files::probe_writable(path) {
            problems.push(Problem::new(
                format!("{what} cannot be written: {}: {error}", path.display()),
                "check the owner of the tree and that its file system is mounted read-write",
            ));
        }
    }
}

/// What is said of an environment file that was not read.
pub fn not_hidden(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!("{path} was not read: {error}; its secrets are not masked in output")
}

/// One problem for each way in which git would write files differently, with the first file of it.
fn converted(files: &[ConvertedFile]) -> Vec<Problem> {
    let mut by: BTreeMap<(&Conversion, &RuleFile), Vec<&ConvertedFile>> = BTreeMap::new();
    for file in files {
        by.entry((&file.by, &file.rule)).or_default().push(file);
    }
    let problem = |((by, rule), files): ((&Conversion, &RuleFile), Vec<&ConvertedFile>)| {
        let more = match files.len() - 1 {
            0 => String::new(),
            more => format!(" and {}", plural(more, "more file")),
        };
        let first = files.first().map(|file| file.path.to_string()).unwrap_or_default();
        Problem::new(
            format!(
                "{first}{more}: {by} in {rule}: git would write different bytes than it stores"
            ),
            match (by, rule) {
                (Conversion::Lfs, _) => {
                    "gitroll does not deploy Git LFS files; commit them as plain files".to_owned()
                }
                (_, RuleFile::Here(path)) => format!(
                    "remove the attribute from {}: that file is of this repository, no commit has it",
                    path.display()
                ),
                (Conversion::CrLf, _) => {
                    "store the file with CR LF and -text, or remove the attribute from the version \
                     to deploy"
                        .to_owned()
                }
                (Conversion::Filter(_) | Conversion::Encoding(_) | Conversion::Ident, _) => {
                    "remove the attribute from the version to deploy".to_owned()
                }
            },
        )
    };
    by.into_iter().map(problem).collect()
}

/// The next commit made here would belong to what git is in the middle of.
fn unfinished(found: &Unfinished) -> Problem {
    let (kind, mark) = (found.kind, found.mark.display());
    Problem {
        command: Some(kind.abort().to_owned()),
        ..Problem::new(
            format!("git is in the middle of {kind}: {mark}"),
            format!("{} ends it and restores the previous state; or finish it", kind.abort()),
        )
    }
}

/// What is not as committed of the submodules, which stay as they are, and what a build would not find of them: one that
/// is not checked out here is only told, for a build in the live tree would not find it either.
fn submodules(site: &Site, composed: &mut Composed, problems: &mut Vec<Problem>) {
    let plan = &mut composed.plan;
    let staged = plan.steps.iter().any(|step| matches!(step, Step::Stage { .. }));
    let mut edited: BTreeMap<&RepoPath, &RepoPath> = BTreeMap::new();
    for (module, path) in &composed.edited_submodules {
        // For a build that is said below.
        let said_below = composed.submodules.contains(module) || (staged && path == module);
        if !said_below {
            edited.entry(module).or_insert(path);
        }
    }
    for (module, path) in edited {
        let what = match path == module {
            true => format!("submodule {module}: another commit of it is checked out here"),
            false => format!("submodule {module}: {path} was edited here"),
        };
        let command = format!("git submodule update --init --force -- {module}");
        let hint = format!("{command} restores it; gitroll does not deploy submodules");
        problems.push(Problem { command: Some(command), ..Problem::new(what, hint) });
    }
    let faults = match layout::submodule_faults(&site.git, &plan.to.commit) {
        Ok(faults) if staged => faults,
        // Where nothing is built they stay as they are.
        _ => return,
    };
    for fault in faults {
        match fault {
            SubmoduleFault::Absent(path) => plan.warnings.push(format!(
                "submodule {path} is not checked out here: builds find an empty directory"
            )),
            SubmoduleFault::Other(path, why) => problems.push(Problem::new(
                format!("submodule {path}: {why}, and builds read it"),
                format!("git submodule update --init --checkout -- {path}"),
            )),
        }
    }
}

fn rights(site: &Site, plan: &Plan, problems: &mut Vec<Problem>) {
    let owner = &site.binding.run_as;
    let lost = layout::lost_groups(&site.git, &plan.activation).unwrap_or_default();
    if let Some((path, group)) = lost.first() {
        let others = match lost.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        problems.push(Problem::new(
            format!(
                "{path}{others} belongs to group {group}, which {owner} is not in: its replacement could \
                 not be used by that group"
            ),
            format!("sudo usermod -aG {group} {owner}, then log in again and try again"),
        ));
    }
    for (path, error) in unwritable(site, Some(plan)) {
        problems.push(Problem::new(
            format!("{} cannot be written: {error}", path.display()),
            format!("did root create files here? sudo chown -R {owner} {}", site.top().display()),
        ));
    }
}

/// What a run of this plan will write to and this user may not: parts of the tree that someone made as
/// another user, with `sudo git pull` or `sudo npm ci`. The first few, each with why.
pub fn unwritable(site: &Site, plan: Option<&Plan>) -> Vec<(PathBuf, io::Error)> {
    const SHOWN: usize = 3;
    let top = site.top();
    let mut places: BTreeSet<PathBuf> = site.git.written_places().into_iter().collect();
    let state = site.state();
    let own = std::fs::read_dir(&state).into_iter().flatten().flatten();
    let own = own.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    places.extend(own.map(|entry| entry.path()));
    let changes = plan.iter().flat_map(|plan| &plan.activation.changes);
    places.extend(changes.filter_map(|change| {
        let mut above = top.join(change.path.as_path());
        // The nearest directory that is there: what is missing below it will be made in it.
        while above.pop() && above.starts_with(top) {
            if above.is_dir() {
                return Some(above);
            }
        }
        None
    }));
    let moved = plan.iter().flat_map(|plan| &plan.activation.artifacts);
    let moved = moved.map(|artifact| top.join(artifact.output.as_path()));
    places.extend(moved.filter(|path| path.is_dir()));
    places
        .into_iter()
        .filter_map(|path| files::may_write(&path).err().map(|error| (path, error)))
        .filter(|(_, error)| error.kind() != io::ErrorKind::NotFound)
        .take(SHOWN)
        .collect()
}

fn services(
    site: &Site,
    plan: &mut Plan,
    config: &Config,
    observed: &Observed,
    problems: &mut Vec<Problem>,
) {
    let host = site.host(&plan.from, "preflight");
    problems.extend(config.services.iter().filter_map(|one| service(&host, config, one, observed)));
    if plan.event != Event::Deploy {
        return;
    }
    let changed = |file: &str| {
        let path = RepoPath::new(file).ok()?;
        // What was checked out by hand may not have been applied yet.
        let by_hand = plan.from.commit == plan.to.commit;
        let changes = plan.activation.changes.iter().any(|change| change.path == path);
        (by_hand || changes).then_some(())?;
        site.git.file(&plan.to.commit, &path).ok()?
    };
    let mut notes = BTreeSet::new();
    for one in &config.services {
        match service::foreseen(&host, one, &config.services, &changed) {
            Ok(told) => notes.extend(told),
            Err(error) => problems.extend(refused(one, &error)),
        }
    }
    plan.warnings.extend(notes);
}

/// Why a service could not even be asked to run the target, or could not show that it does.
pub fn service(
    host: &Host<'_>,
    config: &Config,
    service: &Service,
    observed: &Observed,
) -> Option<Problem> {
    let seen = observed.services.iter().find(|(name, _)| *name == service.name.as_str());
    // What was observed is of the configuration before, in which the name may have been another's; units are
    // asked again.
    let asked_again = matches!(service.manager, Manager::Systemd { .. });
    let seen = seen.filter(|_| !asked_again).and_then(|(_, state)| state.as_ref().err());
    let ready = || match service::ready(host, service) {
        Err(error) => refused(service, &error),
        Ok(why) => why.and_then(|why| shows_nothing(host, config, service, &why)),
    };
    seen.and_then(|error| refused(service, error)).or_else(ready)
}

/// Where no check tells the version either.
fn shows_nothing(
    host: &Host<'_>,
    config: &Config,
    service: &Service,
    why: &str,
) -> Option<Problem> {
    if config.app.prove == Prove::Weak || check::has_witness(&config.checks, &[]) {
        return None;
    }
    let told = "a check expect json = { \"/version\" = \"{version}\" }";
    Some(Problem::new(
        format!("service {}: {why}; it could not show which version runs", service.name),
        format!(
            "run the unit in {}, let {told}, or set prove = \"weak\" under [app]",
            host.top.display()
        ),
    ))
}

/// What an error of a manager means before a run; `None` if a reload may fix it.
fn refused(service: &Service, error: &ServiceError) -> Option<Problem> {
    let what = format!("service {}: {error}", service.name);
    let hint = match error {
        ServiceError::Unknown { name, known, .. } => match nearest(name, known) {
            Some(near) => format!("did you mean name = \"{near}\" in gitroll.toml?"),
            None => "start it once with its manager, then try again".into(),
        },
        ServiceError::Unusable { hint, .. } => hint.clone(),
        ServiceError::NoTool(_) | ServiceError::Unsupported(_) => {
            "run gitroll init to find the tools of this host again".into()
        }
        ServiceError::Failed { .. } | ServiceError::Down { .. } | ServiceError::Io { .. } => {
            return None;
        }
    };
    let command = match error {
        ServiceError::Unusable { command, .. } => command.clone(),
        _ => None,
    };
    Some(Problem { command, ..Problem::new(what, hint) })
}

/// Who has a port that a check asks and would have it after the reload, too: no version could be proven then, nor the
/// one that serves be proven to be back.
fn listeners(config: &Config, plan: &mut Plan, observed: &Observed, problems: &mut Vec<Problem>) {
    let reloads = plan.steps.iter().any(|step| matches!(step, Step::Reload { .. }));
    if !reloads || config.app.prove == Prove::Weak {
        return;
    }
    let listens = listens(config);
    for stranger in check::strangers(&config.checks, &observed.services, &listens) {
        let end = stranger.pid.map_or("end it".to_owned(), |pid| format!("kill {pid}"));
        let aside = match stranger.check {
            Some(_) => "set own = false in that [[check]]",
            None => "give one of them another port",
        };
        problems.push(Problem::new(
            stranger.to_string(),
            format!("{end} if it is an older copy of the app; {aside} if it is something else"),
        ));
    }
    let behind = check::behind_fronts(&config.checks, &observed.services, &listens);
    let direct = config
        .checks
        .iter()
        .any(|check| check::asks_the_app(check) && !behind.contains(&check.name));
    if direct || behind.is_empty() || config.checks.iter().any(check::names_version) {
        return;
    }
    let behind = behind.iter().map(CheckName::as_str).collect::<Vec<_>>().join(", ");
    let what = format!("check {behind} reaches a proxy, which answers for any server behind it");
    if plan.event == Event::Deploy {
        let hint = "add a [[check]] that queries the app's own port, or let one expect \
                    json = { \"/version\" = \"{version}\" }";
        problems.push(Problem::new(what, hint));
    } else {
        // The way back is not barred by it.
        plan.warnings.push(what);
    }
}

/// Whether nothing could tell the intended version from the one before, or nothing could be observed at all.
pub fn witness(config: &Config, problems: &mut Vec<Problem>) {
    if config.checks.is_empty() && config.services.is_empty() {
        problems.push(Problem::new(
            "gitroll.toml declares neither a check nor a service: nothing could be observed",
            "add a [[check]] that queries the app, for example http = \"http://127.0.0.1:8080/\"",
        ));
        return;
    }
    let tells = |manager: &Manager| match manager {
        // It names no processes; who listens shows how old it is.
        Manager::Command { .. } => check::shows_its_socket(&config.checks),
        // What is reloaded in place keeps its processes.
        Manager::Systemd { reload, .. } => !reload,
        Manager::Pm2 { .. } | Manager::Process { .. } => true,
    };
    let pids: Vec<bool> = config.services.iter().map(|s| tells(&s.manager)).collect();
    if config.app.prove == Prove::Weak || check::has_witness(&config.checks, &pids) {
        return;
    }
    problems.push(Problem::new(
        "nothing in gitroll.toml can distinguish the intended version from the previous one",
        "let a check expect json = { \"/version\" = \"{version}\" }, declare a service, or set \
         prove = \"weak\" under [app]",
    ));
}

/// Flags whose new value nothing could show in the running app. Where the previous values are restored that is only said.
fn flags(config: &Config, plan: &mut Plan, hidden: &HiddenFlags, problems: &mut Vec<Problem>) {
    for change in plan.flags() {
        if let FlagValue::Hidden(digest) = &change.after
            && hidden.value(digest).is_none()
        {
            let name = &change.name;
            problems.push(Problem::new(
                format!("the value of {name} was stored with a run that is no longer kept"),
                format!("gitroll flags set {name}=VALUE sets it to a value that you know"),
            ));
        }
    }
    let api = |change: &FlagChange| {
        let source = config.flags.as_ref().and_then(|flags| flags.source(Some(&change.source)));
        source.is_some_and(|source| matches!(source.kind, FlagSourceKind::Http(_)))
    };
    let shown = |change: &&FlagChange| config.flag_verify(change).is_some() || api(change);
    // What is taken away is hardly ever told by anything: that is not a reason to leave it there.
    let gone = |change: &&FlagChange| change.after == FlagValue::Absent;
    let unseen = plan.flags().filter(|change| !shown(change) && !gone(change)).map(|change| {
        let (name, value) = (&change.name, change.after.plain());
        format!("no check can show that {name} is {value} in the running app")
    });
    let unseen: Vec<String> = unseen.collect();
    if config.app.prove == Prove::Weak || !plan.recorded.lifts.is_empty() {
        plan.warnings.extend(unseen);
        return;
    }
    problems.extend(unseen.into_iter().map(|what| {
        Problem::new(
            what,
            "set verify = \"environ\", { http = … }, { log = … } or { command = … } in gitroll.toml, or \
             prove = \"weak\" under [app]; gitroll init accepts the edit",
        )
    }));
}

/// Tools and directories that the plan's builds need and that are not there.
pub fn tools(site: &Site, plan: &Plan, problems: &mut Vec<Problem>) {
    let steps = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Build(build) => Some((**build).clone()),
            _ => None,
        })
        .collect::<Vec<_>>();
    if steps.is_empty() {
        return;
    }
    let builds = BuildPlan { steps, artifacts: Vec::new() };
    for tool in compose::missing_tools(site, &builds) {
        problems.push(Problem::new(
            format!("{tool} was not found, but the build needs it"),
            format!("install {tool}, then run gitroll init"),
        ));
    }
    let work = &site.binding.work_dir;
    if let Err(error) = files::make_private_dir(work).and_then(|()| files::probe_writable(work)) {
        problems.push(Problem::new(
            format!("the directory for builds cannot be written: {}: {error}", work.display()),
            "set work_dir in host.toml to a directory that the app's user owns on the same file system",
        ));
    }
}

fn locks(site: &Site, problems: &mut Vec<Problem>) {
    problems.extend(stale_locks(site).into_iter().map(|path| {
        Problem::new(
            format!("{} is in the way", path.display()),
            "if no git command is running here, remove that file: a killed command left it",
        )
    }));
}

/// Lock files of a git that was killed: every write of a run would fail on them, some after what serves
/// was touched. A git that is at work here gets a moment to finish.
pub fn stale_locks(site: &Site) -> Vec<PathBuf> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let chain = ledger::chain_ref(&site.binding.environment, &site.binding.writer);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let present = site.git.locks_in_the_way(&chain);
        if present.is_empty() || Instant::now() >= deadline {
            return present;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The logs of checks that cannot be read: they would fail the proof, and the proof of the way back. One that is not
/// there yet may come with its service, where that does not run, or where `accepted` does not ask for it.
pub fn unreadable_logs(
    site: &Site,
    config: &Config,
    served: &Served,
    observed: &Observed,
    accepted: Option<&Config>,
) -> Vec<Problem> {
    let around = surroundings(site, config, served, "preflight");
    let known = |source: &LogSource| {
        accepted.is_none_or(|accepted| {
            accepted
                .checks
                .iter()
                .any(|check| matches!(&check.kind, CheckKind::Log(log) if log.source == *source))
        })
    };
    let problem = |check: &config::Check| {
        let CheckKind::Log(log) = &check.kind else { return None };
        let no = around.unreadable(log)?;
        let will_come = !runs(observed, &log.source) || !known(&log.source);
        if !no.lasting && will_come {
            return None;
        }
        Some(unreadable_log(site, &format!("check {}", check.name), &no))
    };
    config.checks.iter().filter_map(problem).collect()
}

/// The logs that would show what a plan changes flags to and that nobody may read.
fn unreadable_logs_of_flags(site: &Site, config: &Config, plan: &Plan) -> Vec<Problem> {
    let around = surroundings(site, config, &plan.to, "preflight");
    let shown = plan.flags().filter_map(|change| {
        let Verify::Ask { kind, .. } = config.flag_verify(change)? else { return None };
        let CheckKind::Log(log) = kind.as_ref() else { return None };
        let no = around.unreadable(log).filter(|no| no.lasting)?;
        Some(unreadable_log(site, &format!("what shows {}", change.name), &no))
    });
    shown.collect()
}

/// Whether what writes a log runs, as far as that is known.
fn runs(observed: &Observed, source: &LogSource) -> bool {
    observed.services.iter().any(|(name, state)| {
        let writes = match source {
            LogSource::Service(service) => name == service.as_str(),
            LogSource::File(_) => true,
        };
        writes && state.as_ref().is_ok_and(|state| state.up)
    })
}

fn unreadable_log(site: &Site, what: &str, no: &NoLog) -> Problem {
    let hint = if no.lasting {
        format!("let {} read it, or name another log", site.binding.run_as)
    } else {
        "create it if its writer will write to it, or set optional = true".to_owned()
    };
    Problem::new(format!("{what}: {}", no.why), hint)
}
