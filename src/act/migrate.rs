//! Migrations: which were applied, and taking them back.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::carry_out::{ChangeOptions, carry_out};
use super::failure::Failure;
use super::loss::AcceptedRows;
use super::newest_point;
use super::outcome::ChangeOutcome;
use super::session::Session;
use super::statement::check_reason;
use super::target::{self, refusal};
use crate::config::{DataSource, DownWay, Migrate, migration_number};
use crate::data::{AppliedTable, DownScript, Host, migrate};
use crate::model::{
    ApprovalOptions, DataName, Down, DownMigration, Event, MigrateStep, Oid, PointId, Recorded,
    RowsLost, Served,
};
use crate::plan::candidates;
use crate::plan::compose::Change;
use crate::plan::deployed;
use crate::plan::facts::Facts;
use crate::system::git::ObjectKind;
use crate::system::{files, random, text};
use crate::target::{Reach, Request};

/// The most bytes that a script may have.
const MOST_SCRIPT: u64 = 64 << 20;

/// To take migrations back.
#[derive(Debug, Clone, Default)]
pub struct DownRequest {
    /// The version whose schema is wanted; what serves, or where `back` would go, where left out.
    pub to: Option<String>,
    pub reason: Option<String>,
    /// Show the plan and stop.
    pub plan_only: bool,
    /// The question is answered in advance.
    pub yes: bool,
    pub accepted: AcceptedRows,
    /// What is said about approvals.
    pub approval: ApprovalOptions,
}

/// `migrate status`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MigrateStatus {
    /// The database that `[migrate] data` names.
    pub data: Option<DataName>,
    /// What serves.
    pub serving: Served,
    /// Where `gitroll back` would go.
    pub back_to: Option<Served>,
    /// Where it is known from what was applied.
    pub seen_in: SeenIn,
    /// Each known migration, the newest first.
    pub migrations: Vec<MigrationView>,
    /// What the database lists and no known version has.
    pub unknown: Vec<String>,
}

/// Where it is known from what was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeenIn {
    /// A table in the database lists it.
    Table(String),
    /// By the records: what was deployed and not taken back since.
    Records,
}

/// One migration.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MigrationView {
    /// Its name.
    pub name: String,
    /// The version that serves has it.
    pub serving: bool,
    /// It was applied, as far as that can be seen.
    pub applied: bool,
    /// `gitroll back` goes to a version that does not have it.
    pub between: bool,
    /// The script or command that takes it back; absent if there is none.
    pub down: Option<String>,
}

/// Which migrations there are, which were applied, which lie between versions.
///
/// # Errors
/// When `[migrate]` is not declared, or git or the database cannot be read.
pub fn status(caller: &Caller) -> Result<MigrateStatus, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let known = Known::of(&session, &facts)?;
    let all = candidates::gather(&session.site, &facts);
    let back = all.resolve(&Request::LastGood)?.ok().and_then(|found| found.chosen.commit);
    let site = &session.site;
    let before = match &back {
        Some(commit) => Some(deployed::migrations_in(site, known.migrate, commit)?),
        None => None,
    };
    let mut migrations = Vec::new();
    for (name, commit) in &known.all {
        let down = deployed::way_of(site, known.migrate, commit, name)?;
        let applied = known.applied.contains(name);
        migrations.push(MigrationView {
            name: name.clone(),
            serving: known.serving.contains(name),
            applied,
            between: applied && before.as_ref().is_some_and(|before| !before.contains(name)),
            down: down.as_ref().map(shown),
        });
    }
    let unknown = known.table.iter().flat_map(|table| &table.listed).filter(|listed| {
        let only = AppliedTable { table: String::new(), listed: vec![(*listed).clone()] };
        !known.all.iter().any(|(name, _)| only.lists(name))
    });
    let back_to = back.map(|commit| facts.names.served(&site.git, &commit, None)).transpose()?;
    Ok(MigrateStatus {
        data: known.migrate.data.clone(),
        serving: facts.serving.clone(),
        back_to,
        seen_in: match &known.table {
            Some(table) => SeenIn::Table(table.table.clone()),
            None => SeenIn::Records,
        },
        unknown: unknown.cloned().collect(),
        migrations,
    })
}

/// Takes migrations back: the database gets the schema that another version knows. The code stays.
///
/// # Errors
/// Everything that ends without what serves seen serving on the older schema.
pub fn down(caller: &Caller, request: &DownRequest) -> Result<ChangeOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "migrate")?.with_approval(&request.approval);
    let facts = session.facts()?;
    let known = Known::of(&session, &facts)?;
    let state = state(&session, &facts, &known, request.to.as_deref())?;
    let name = facts.names.served(&session.site.git, &state, None)?;
    let Some(step) = step(&session, &facts, &known, &state, request.accepted)? else {
        let found =
            vec![format!("no migration of {} has to be reverted for {name}", facts.serving)];
        let serving = (&facts.serving, &facts.serving);
        let outcome = ChangeOutcome::nothing_to_do("migrate", "nothing-to-do", serving, found);
        return Ok(caller.ended(outcome));
    };
    let mut change = Change::new(&facts, Event::Migrate, facts.serving.clone());
    change.recorded = Recorded { reason: request.reason.clone(), ..Recorded::default() };
    change.recorded.decisions.push(format!("schema of {name}"));
    change.migrate = Some(step);
    let options = ChangeOptions {
        plan_only: request.plan_only,
        confirm: !request.yes,
        accepted: request.accepted,
        ..ChangeOptions::default()
    };
    carry_out(&session, facts, change, &[], &options)
}

/// The step that takes back what `state` does not know, for a run that goes there; `None` where it knows everything.
///
/// # Errors
/// As [`down`].
pub(super) fn step_to(
    session: &Session,
    facts: &Facts,
    state: &Oid,
    accepted: AcceptedRows,
) -> Result<Option<MigrateStep>, Failure> {
    let known = Known::of(session, facts)?;
    step(session, facts, &known, state, accepted)
}

/// What is known of migrations here.
struct Known<'c> {
    migrate: &'c Migrate,
    source: Option<&'c DataSource>,
    /// Those of what serves.
    serving: Vec<String>,
    /// Of every version that was deployed here lately, the newest first, with the newest such version that has it.
    all: Vec<(String, Oid)>,
    /// What the database says.
    table: Option<AppliedTable>,
    /// What was applied, as far as that can be seen.
    applied: BTreeSet<String>,
}

impl<'c> Known<'c> {
    fn of(session: &Session, facts: &'c Facts) -> Result<Self, Failure> {
        /// So many of the latest versions are looked at.
        const VERSIONS: usize = 20;
        let config = &facts.accepted.config;
        let migrate = &config.migrate;
        if migrate.paths.is_empty() {
            return Err(Failure::unchanged("gitroll.toml does not say where migrations are")
                .next("[migrate] with paths = [\"migrations/**\"] in gitroll.toml", "says so")
                .next("gitroll init", "accepts the changed file"));
        }
        let source = config.data.iter().find(|source| Some(&source.name) == migrate.data.as_ref());
        let site = &session.site;
        let mut versions = vec![facts.serving.commit.clone()];
        for span in facts.history.deployments().iter().rev() {
            if !versions.contains(&span.commit) && site.git.has(&span.commit) {
                versions.push(span.commit.clone());
            }
        }
        versions.truncate(VERSIONS);
        let mut all: Vec<(String, Oid)> = Vec::new();
        let mut serving = Vec::new();
        for (at, commit) in versions.iter().enumerate() {
            let names = deployed::migrations_in(site, migrate, commit)?;
            for name in &names {
                if !all.iter().any(|(other, _)| other == name) {
                    all.push((name.clone(), commit.clone()));
                }
            }
            if at == 0 {
                serving = names;
            }
        }
        all.sort_by_key(|(name, _)| Reverse(order(name)));
        let table = match source {
            Some(source) => {
                let host = host(session, facts);
                let asked = migrate::applied(&host, source);
                asked.unwrap_or_else(|why| {
                    session.caller.warn(format!("{}: {why}: going by the records", source.name));
                    None
                })
            }
            None => None,
        };
        let reverted = deployed::reverted(site, facts);
        let applied = all.iter().map(|(name, _)| name);
        let applied = applied.filter(|name| match &table {
            Some(table) => table.lists(name),
            None => !reverted.contains(*name),
        });
        let applied = applied.cloned().collect();
        Ok(Self { migrate, source, serving, all, table, applied })
    }
}

/// The version whose schema is wanted.
fn state(
    session: &Session,
    facts: &Facts,
    known: &Known<'_>,
    to: Option<&str>,
) -> Result<Oid, Failure> {
    // A rollback of the code left the schema behind.
    if to.is_none() && known.applied.iter().any(|name| !known.serving.contains(name)) {
        return Ok(facts.serving.commit.clone());
    }
    let all = candidates::gather(&session.site, facts);
    let request = target::request(to);
    let found = target::find(session, facts, &all, &request, Reach::default())?;
    let found = found.map_err(|error| refusal(session, facts, error, "migrate"))?;
    let commit = found.chosen.commit;
    commit.ok_or_else(|| Failure::unchanged("the target does not name a commit"))
}

fn step(
    session: &Session,
    facts: &Facts,
    known: &Known<'_>,
    state: &Oid,
    accepted: AcceptedRows,
) -> Result<Option<MigrateStep>, Failure> {
    let site = &session.site;
    let stays = deployed::migrations_in(site, known.migrate, state)?;
    let wanted: Vec<&(String, Oid)> = known
        .all
        .iter()
        .filter(|(name, _)| known.applied.contains(name) && !stays.contains(name))
        .collect();
    let Some((_, newest)) = wanted.first() else { return Ok(None) };
    // The newest version knows how all of them are taken back: each is in it, or a person is needed.
    let (mut migrations, mut missing) = (Vec::new(), Vec::new());
    for (name, _) in &wanted {
        match deployed::way_of(site, known.migrate, newest, name)? {
            Some(down) => migrations.push(DownMigration { name: name.clone(), down }),
            None => missing.push(name.clone()),
        }
    }
    if !missing.is_empty() {
        let point = newest_point::before_migrations(session, facts, &missing);
        return Err(no_way_back(known.migrate, newest, &missing, point));
    }
    let mut step = MigrateStep {
        data: known.migrate.data.clone(),
        commit: newest.clone(),
        migrations,
        loses: RowsLost::default(),
        most_rows: None,
    };
    if step.in_transaction() {
        step.loses = rehearsed(session, facts, known, &step)?;
    } else {
        as_committed(session, facts, newest)?;
        step.loses = RowsLost::unknown("a command reverts them");
    }
    step.most_rows = match accepted {
        AcceptedRows::Most(most) => Some(most),
        AcceptedRows::Ask => step.loses.rows.map(ceiling),
        AcceptedRows::Any => None,
    };
    room(session, facts, known)?;
    Ok(Some(step))
}

fn no_way_back(
    migrate: &Migrate,
    commit: &Oid,
    missing: &[String],
    point: Option<PointId>,
) -> Failure {
    let names = missing.join(", ");
    let what = match &migrate.down {
        None => format!("no way back is declared for {names}"),
        Some(_) => format!("{} has no script that reverts {names}", commit.short()),
    };
    let failure = Failure::refused(what).nothing_changed();
    let failure = match point {
        Some(point) => failure.next(
            format!("gitroll back --level full --to {point}"),
            format!("restores code and data from before {names}; says first what is lost"),
        ),
        None => failure,
    };
    let failure = match &migrate.down {
        None => {
            failure.next("down in [migrate] of gitroll.toml", "says how migrations are reverted")
        }
        Some(down) => failure.detail(format!("[migrate] down  {}", declared(down))),
    };
    failure.next("gitroll point list", "shows the points: data as it was before the migration")
}

fn declared(down: &DownWay) -> String {
    match down {
        DownWay::Script(script) => script.to_string(),
        DownWay::Command(run) => run.join(" "),
    }
}

/// What the scripts would lose, as tried out in a copy. A script that fails there is refused where the copy is whole.
fn rehearsed(
    session: &Session,
    facts: &Facts,
    known: &Known<'_>,
    step: &MigrateStep,
) -> Result<RowsLost, Failure> {
    let source = known.source.ok_or_else(|| Failure::unchanged("[migrate] names no data"))?;
    let mut scripts = Vec::new();
    for migration in &step.migrations {
        let Down::Script { path, blob } = &migration.down else { continue };
        let text = session.site.git.object(blob, ObjectKind::Blob, MOST_SCRIPT)?;
        scripts.push(DownScript { path: path.to_string(), text });
    }
    migrate::refuse_unfit(source, &scripts)
        .map_err(|why| Failure::refused(why).nothing_changed())?;
    let scratch = session.site.binding.work_dir.join(format!("rehearsal-{}", random::suffix()));
    let failed = |error: std::io::Error| {
        Failure::unchanged(format!("{}: {error}", scratch.display())).and_nothing_changed()
    };
    files::make_private_dir(&scratch).map_err(failed)?;
    let rehearsed = migrate::rehearse(&host(session, facts), source, &scratch, &scripts);
    fs::remove_dir_all(&scratch).map_err(failed)?;
    match rehearsed {
        Ok(lost) => Ok(lost),
        Err(why) if migrate::rehearses_in_full(source) => {
            Err(Failure::unchanged(format!("in a copy of {} it fails: {why}", source.name))
                .nothing_changed()
                .next(
                    "gitroll point list",
                    "shows the points: data as it was before the migration",
                ))
        }
        Err(why) => Ok(RowsLost::unknown(format!("not tried out: {why}"))),
    }
}

/// A command runs in the live tree: that must be the version that has the migrations, as it was committed.
fn as_committed(session: &Session, facts: &Facts, newest: &Oid) -> Result<(), Failure> {
    let git = &session.site.git;
    if facts.head.commit != *newest {
        let what =
            format!("the command needs the tree of {}, which has the migrations", newest.short());
        return Err(Failure::unchanged(what)
            .and_nothing_changed()
            .next(format!("gitroll deploy {}", newest.short()), "puts that tree in place"));
    }
    let local = session.site.local(&facts.accepted.config);
    let edited: Vec<String> = git
        .edited(newest)?
        .iter()
        .filter(|path| !local.matches(path))
        .map(ToString::to_string)
        .collect();
    match edited.first() {
        None => Ok(()),
        Some(first) => {
            let more = edited.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            Err(Failure::unchanged(format!(
                "{first}{more} was edited here: the command would not be as committed"
            ))
            .and_nothing_changed()
            .next("git diff", "shows the edits"))
        }
    }
}

/// The next number with two digits and zeros: what is agreed to does not change with each row that is written meanwhile.
fn ceiling(rows: u64) -> u64 {
    let unit = 10_u64.saturating_pow(rows.checked_ilog10().unwrap_or(0).saturating_sub(1));
    rows.div_ceil(unit).saturating_mul(unit)
}

/// The copy of before needs room.
fn room(session: &Session, facts: &Facts, known: &Known<'_>) -> Result<(), Failure> {
    let Some(source) = known.source else { return Ok(()) };
    let needed = migrate::size(&host(session, facts), source).map_err(|why| {
        Failure::unchanged(format!("{}: {why}", source.name)).and_nothing_changed()
    })?;
    let place = session.site.state();
    let free = files::free_space(&place)
        .map_err(|error| Failure::unchanged(format!("{}: {error}", place.display())))?
        .bytes;
    // The copy of before, and one of what is there when that is put back.
    let needed = needed.saturating_mul(2);
    if free >= needed {
        return Ok(());
    }
    let (free, needed) = (text::bytes(free), text::bytes(needed));
    let what = format!(
        "{} has {free} free, and copies of {} need up to {needed}",
        place.display(),
        source.name
    );
    Err(Failure::unchanged(what).and_nothing_changed())
}

fn host(session: &Session, facts: &Facts) -> Host {
    let limit = facts.accepted.config.points.max_time;
    Host::of(&session.site.binding, session.site.top(), limit)
}

fn shown(down: &Down) -> String {
    match down {
        Down::Script { path, .. } => path.to_string(),
        Down::Command { run } => run.join(" "),
    }
}

/// Migrations come in the order of their numbers, then of their names.
fn order(name: &str) -> (usize, String, String) {
    let number = migration_number(name).trim_start_matches('0').to_owned();
    (number.len(), number, name.to_owned())
}
