//! `gitroll init`

mod age;
mod args;
mod bind;
mod edited;
mod records;
mod tags;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, at};
use super::globals::Globals;
use super::session::{self, LockRequest, Session};
use crate::act::diagnosis;
use crate::act::outcome::RecordBrief;
use crate::adopt::leftovers::{Leftover, Leftovers};
use crate::config::{self, Binding, BindingError, Config};
use crate::engine;
use crate::ledger;
use crate::model::{ArtifactEvidence, Served};
use crate::plan::candidates;
use crate::plan::facts::Facts;
use crate::plan::names::Names;
use crate::plan::open_files;
use crate::site::{Observed, Site, held_files};
use crate::system::{environment, files, umask};
use crate::ui::{Ui, escape, plural};

pub use args::InitArgs;
pub use edited::EditedFile;
pub use tags::LeftTag;

/// The answer of `init`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InitAnswer {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The writer.
    pub writer: String,
    /// Where the binding is.
    pub binding: String,
    /// Whether gitroll.toml was written; of an existing one only `[app] local` is.
    pub wrote_config: bool,
    /// What serves.
    pub serving: Served,
    /// What is checked out, where no process was ever started on it.
    pub never_started: Option<Served>,
    /// Records that were made.
    pub records: Vec<RecordBrief>,
    /// Whether what serves was observed and adopted.
    pub adopted: bool,
    /// Whether its checks pass and its services are up.
    pub healthy: bool,
    /// Built directories of what serves that were copied, so that a rollback to it needs no build.
    pub kept: Vec<String>,
    /// Stable tags from before gitroll that were adopted, the last to serve first.
    pub adopted_tags: Vec<String>,
    /// Stable tags that were not, with why.
    pub left_tags: Vec<LeftTag>,
    /// Tracked files that were edited here, and what happens to each.
    pub edited: Vec<EditedFile>,
    /// What `gitroll back` would take tonight.
    pub back_to: Option<Served>,
    /// What is missing, a sentence each.
    pub missing: Vec<String>,
    /// What will be in the way of a deploy, a sentence each: tracked files that a service holds open.
    pub warnings: Vec<String>,
    /// Lines on this host and in the tree that deploy the app without gitroll.
    pub leftovers: Vec<Leftover>,
    /// Files that may contain more such lines but could not be read, each with the reason.
    pub unread: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When the repository is refused, a name is wrong, gitroll.toml does not parse or nothing can sign.
pub fn run(globals: &Globals, ui: &Ui, args: &InitArgs) -> Result<Exit, Failure> {
    let (git, binding) = session::open(globals, ui)?;
    let head = git.head().map_err(|_| {
        Failure::unchanged(format!("{} has no commit yet", git.top().display()))
            .next("git commit", "commit the app first")
    })?;
    let taking = |bound| LockRequest { command: "init", bound, watchdog: false };
    // Lock and open run come before everything that is written: the binding says whose run it is.
    let (mut session, draft) = match binding {
        Ok(bound) => {
            another_environment(args, &bound)?;
            // What others could have written is not added to.
            if let Some(error) = &bound.distrust {
                return Err(Failure::refused(error.to_string()).and_nothing_changed());
            }
            let session = Session::lock(globals, ui, git, bound.clone(), taking(true))?;
            session.refuse_beside_run()?;
            let draft = bind::prepare(&session.site.git, ui, args, Some(bound))?;
            (session, draft)
        }
        // Where the binding was lost while a run was open, there is no way on without it.
        Err(BindingError::Unbound { .. }) => {
            let draft = bind::prepare(&git, ui, args, None)?;
            (Session::lock(globals, ui, git, draft.binding.clone(), taking(false))?, draft)
        }
        Err(error) => return Err(error.into()),
    };
    let wrote_config = draft.wrote_config;
    // The binding first: most hosts that cannot be set up fail here, and nothing must be left in the tree.
    let binding = bind::save(&session.site.git, ui, args, draft.binding)?;
    at("binding saved")?;
    if wrote_config {
        let path = session.site.top().join("gitroll.toml");
        let mode = match path.symlink_metadata() {
            Ok(there) => there.permissions().mode() & 0o777,
            Err(_) => 0o666 & !umask::current(),
        };
        files::write_durably(&path, draft.config_text.as_bytes(), mode)
            .map_err(|e| Failure::unchanged(format!("{}: {e}", path.display())))?;
        ui.say(&match draft.local_added.as_slice() {
            [] => "wrote gitroll.toml: review it, correct it, commit it".to_owned(),
            added => edited::added(added),
        });
    }
    at("configuration written")?;
    session.rebind(globals)?;
    session.refuse_beside_run()?;
    engine::tidy(&session.site);
    let site = &session.site;
    let config_text = draft.config_text;
    let mut records = Vec::new();
    let parsed = config::parse(&config_text, "gitroll.toml")?;
    let names = Names::of(&site.git, &parsed.stable.pattern)?;
    let checked_out = names.served(&site.git, &head.commit, Some(&parsed))?;
    let ledger = site.ledger()?;
    let begun = ledger.chains.contains_key(&site.binding.writer);
    let age = age::of(&session, &parsed, &names, &checked_out, begun)?;
    let served = age.serving.clone();
    let lies_there = age.never_started.is_none();
    let tags = tags::decide(&session, args, &parsed.stable.pattern, &ledger)?;
    if !begun {
        records.push(records::begin(&session, &served, &config_text, lies_there)?);
    }
    let observed = Observed::now(site, &parsed, &served, "");
    let healthy = observed.healthy() && !(parsed.checks.is_empty() && parsed.services.is_empty());
    let doubt = age.doubt.filter(|_| healthy && !observed.told());
    let adopted = healthy && doubt.is_none();
    let facts = session.facts()?;
    let accepted_changed = begun && facts.accepted.text != config_text;
    let adopting = adopted && (accepted_changed || !known(&facts, &served));
    let mut artifacts = records::Artifacts::default();
    // What is there may have been built for what was checked out since.
    if adopted && lies_there {
        // Before the record that names them: a kill in between costs another copy, not the way back.
        let named = if adopting { Vec::new() } else { recorded_artifacts(site, &facts, &served) };
        artifacts = records::keep(&session, &parsed, |a| adopting || named.contains(a))?;
        at("artifacts kept")?;
        remember_services(site, &parsed, &served);
    }
    if adopting {
        let (live, config) = (&artifacts.live, (&parsed, config_text.as_str()));
        records.push(records::adopt(&session, &served, config, &observed, live, lies_there)?);
    } else if accepted_changed {
        records.push(records::begin(&session, &served, &config_text, lies_there)?);
    }
    if !tags.adopt.is_empty() {
        records.push(records::adopt_tags(&session, &served, &config_text, &tags.adopt)?);
    }
    let facts = session.facts()?;
    let mut missing: Vec<String> = artifacts.missing;
    missing.extend(tags.missing);
    if let Some(why) = &doubt {
        missing.push(format!(
            "{why}: nothing shows that the running app is {}; gitroll deploy starts and proves it",
            served.name
        ));
    }
    if !healthy {
        missing.extend(observed.faults());
        if parsed.checks.is_empty() && parsed.services.is_empty() {
            missing.push("gitroll.toml has no check and no service yet".into());
        }
    }
    if let (false, Some(why)) = (parsed.build.is_empty(), no_place_to_build(site)) {
        missing.push(why);
    }
    if parsed.checks.is_empty() && !parsed.services.is_empty() {
        missing.push("gitroll.toml has no [[check]]: without one the proof is weak".into());
    }
    let leftovers = Leftovers::of(site, &parsed);
    let mut warnings = held_open(site, &served, &observed)?;
    if !parsed.build.is_empty() {
        warnings.extend(kept_from_builds(site, &parsed, &served)?);
    }
    let answer = InitAnswer {
        warnings,
        leftovers: leftovers.found,
        unread: leftovers.unread,
        app: binding.app.to_string(),
        environment: binding.environment.to_string(),
        writer: binding.writer.to_string(),
        binding: binding.dir.display().to_string(),
        wrote_config,
        kept: artifacts.kept,
        adopted_tags: tags.adopt.iter().map(|t| t.target.short().to_owned()).collect(),
        left_tags: tags.left,
        edited: draft.edited,
        back_to: tonight(&session, &facts, healthy)?,
        never_started: age.never_started,
        serving: served,
        records,
        adopted,
        healthy,
        missing,
    };
    let strangers: Vec<u32> = observed.strangers.iter().filter_map(|one| one.pid).collect();
    print(&session, &answer, &strangers);
    ui.document("init", 0, &answer);
    Ok(Exit::Done)
}

/// A checkout is one environment for good: its records are of that.
fn another_environment(args: &InitArgs, bound: &Binding) -> Result<(), Failure> {
    let Some(asked) =
        args.environment.as_ref().filter(|asked| *asked != bound.environment.as_str())
    else {
        return Ok(());
    };
    let (now, path) = (&bound.environment, bound.path.display());
    Err(Failure::unchanged(format!("{path} is bound to {now}, not to {asked}"))
        .and_nothing_changed()
        .next("gitroll init", format!("renews the binding to {now}"))
        .next("gitroll eject", format!("ends it; then gitroll init --environment {asked}")))
}

/// Why nothing could be built, if so.
fn no_place_to_build(site: &Site) -> Option<String> {
    let work = &site.binding.work_dir;
    let error = files::make_private_dir(work).and_then(|()| files::probe_writable(work)).err()?;
    let file = site.binding.file();
    Some(format!(
        "the directory for builds cannot be written: {}: {error}; set work_dir in {}",
        work.display(),
        file.display()
    ))
}

/// The variables of this shell that builds do not see, those first that files of the app name.
fn kept_from_builds(
    site: &Site,
    config: &Config,
    served: &Served,
) -> Result<Option<String>, Failure> {
    const SHOWN: usize = 8;
    let said = |name: &String| config.build.iter().any(|group| group.env.contains_key(name));
    let mut kept = environment::kept_from_builds(&site.binding.pass);
    kept.retain(|name| !said(name));
    let named = site.git.words_of(&served.commit, &kept)?;
    let (mut names, others): (Vec<_>, Vec<_>) =
        kept.into_iter().partition(|name| named.contains(name));
    let read = match names.len() {
        0 => String::new(),
        _ => format!(" ({} used in files of the app)", names.join(", ")),
    };
    names.extend(others);
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(SHOWN);
    let file = site.binding.file();
    Ok((!names.is_empty()).then(|| {
        format!(
            "builds do not see these variables of your shell: {}{more}{read}; set a variable with env in \
             [[build]], or pass it with pass in {}",
            names.join(", "),
            file.display()
        )
    }))
}

/// Whether a run or a person vouched for what serves here already.
fn known(facts: &Facts, served: &Served) -> bool {
    let vouched = |span: &ledger::ServedSpan| span.proven || span.adopted;
    facts.history.deployments().iter().any(|s| s.commit == served.commit && vouched(s))
}

/// The artifacts that the last record of what serves names.
fn recorded_artifacts(site: &Site, facts: &Facts, served: &Served) -> Vec<ArtifactEvidence> {
    let entry = facts.last_record_of(site, &served.commit);
    let evidence = entry.and_then(|entry| ledger::evidence(&site.git, entry).ok());
    evidence.map(|evidence| evidence.artifacts).unwrap_or_default()
}

fn remember_services(site: &Site, config: &Config, served: &Served) {
    let host = site.host(served, "");
    for service in &config.services {
        let _ = crate::service::remember(&host, service);
    }
}

/// What the services hold open although git tracks it.
fn held_open(site: &Site, served: &Served, observed: &Observed) -> Result<Vec<String>, Failure> {
    let held = held_files(site, observed);
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let tracked: BTreeSet<_> =
        site.git.entries(&served.commit)?.into_iter().map(|(path, _)| path).collect();
    Ok(open_files::tracked(&held, |path| tracked.contains(path)))
}

/// What `gitroll back` would do now.
fn tonight(session: &Session, facts: &Facts, healthy: bool) -> Result<Option<Served>, Failure> {
    let all = candidates::gather(&session.site, facts);
    let found = diagnosis::last_good(&all, !healthy)?;
    Ok(found.and_then(|f| {
        Some(Served { commit: f.chosen.commit?, name: f.chosen.name, version: None })
    }))
}

/// Says what was set up, and what is next.
fn print(session: &Session, answer: &InitAnswer, strangers: &[u32]) {
    let ui = &session.ui;
    let field = |name: &str, text: &str| ui.line(&format!("  {name:<9} {}", escape(text)));
    ui.line(&format!("{} {}", ui.out.ok(), session.place()));
    field("serving", &answer.serving.to_string());
    if let Some(head) = &answer.never_started {
        let older = "the running app started before this version was checked out";
        field("tree", &format!("{head} is checked out but was never started: {older}"));
    }
    field("binding", &answer.binding);
    field(
        "records",
        &match answer.records.as_slice() {
            [] => "nothing new to record".to_owned(),
            made => made.iter().map(|r| format!("#{}", r.seq)).collect::<Vec<_>>().join(" "),
        },
    );
    if answer.adopted {
        let word = if answer.records.is_empty() { "healthy" } else { "adopted" };
        field(word, "what serves was observed healthy: `back` can return to it");
    }
    if !answer.kept.is_empty() {
        field("kept", &answer.kept.join(", "));
    }
    if !answer.adopted_tags.is_empty() {
        field("tags", &adopted_tags(&answer.adopted_tags));
    }
    for missing in &answer.missing {
        field("missing", missing);
    }
    for warning in &answer.warnings {
        field("warning", warning);
    }
    print_leftovers(ui, &answer.leftovers, &answer.unread);
    match &answer.back_to {
        Some(back) => field("tonight", &format!("gitroll back would go to {back}")),
        None if answer.adopted => {
            field(
                "tonight",
                "this is the first known version: after the next deploy, back returns to it",
            );
            if !answer.adopted_tags.is_empty() {
                field("", "gitroll targets shows the tags; gitroll back --to last-stable uses one");
            }
        }
        None => field("tonight", "gitroll back has no target until a version is proven here"),
    }
    if !strangers.is_empty() {
        let pids: Vec<String> = strangers.iter().map(u32::to_string).collect();
        let what = "stops the process that listens in place of the app";
        field("next", &format!("kill {}    {what}", pids.join(" ")));
        field("", "gitroll init   after that");
    } else if let (false, Some(back)) = (answer.adopted || answer.healthy, &answer.back_to) {
        field("next", &format!("gitroll back    what serves is not healthy: rolls back to {back}"));
        field("", "gitroll status  shows why");
    } else if answer.wrote_config {
        field("next", "review gitroll.toml, correct it, then: git add gitroll.toml && git commit");
    } else if answer.adopted {
        field("next", "gitroll deploy");
    } else {
        field("next", "fix gitroll.toml, then run gitroll init again");
        field("", "or gitroll deploy, which starts the services and proves them");
    }
}

fn adopted_tags(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match more {
        0 => format!("adopted {shown}"),
        _ => format!("adopted {shown} and {more} more"),
    }
}

/// Tells each line with the one to put in its place.
fn print_leftovers(ui: &Ui, leftovers: &[Leftover], unread: &[String]) {
    if !leftovers.is_empty() {
        let lines = plural(leftovers.len(), "line");
        ui.line(&format!("  replace   {lines} that would deploy without gitroll:"));
    }
    for Leftover { place, line, text, replacement } in leftovers {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        ui.line(&format!("    {}{line}", escape(place)));
        ui.line(&format!("      - {}", escape(text.trim_start())));
        ui.line(&match replacement {
            Some(new) => format!("      + {}", escape(new.trim_start())),
            None => "      + (nothing: the other lines do this)".to_owned(),
        });
    }
    for unread in unread {
        ui.line(&format!("  unread    {}", escape(unread)));
    }
}
