//! `gitroll init`

mod bind;
mod questions;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::Globals;
use super::exit::Exit;
use super::failure::Failure;
use super::flow;
use super::outcome::RecordBrief;
use super::session::{self, Session};
use crate::config::{self, BindingError};
use crate::engine;
use crate::ledger::{self, Draft};
use crate::model::{Event, Evidence, Served};
use crate::plan::candidates;
use crate::plan::compose;
use crate::plan::facts::Facts;
use crate::plan::names::Names;
use crate::site::{Observed, Site};
use crate::system::{clock, files, user};
use crate::target::{Request, resolve};
use crate::ui::{Ui, escape};

/// Set this checkout up: gitroll.toml, the host binding, a key, the first record
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll init                                asks at most four questions
  gitroll init --yes --environment staging    asks none
  gitroll init --yes --system                 binding in /etc/gitroll, not ~/.config/gitroll

Reloads nothing, moves nothing, pushes nothing. Run it again after editing gitroll.toml to accept
the new one, or after installing tools.")]
pub struct InitArgs {
    /// The environment this checkout is (default production)
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The name of this host in records (default its host name)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Put the binding into /etc/gitroll
    #[arg(long)]
    system: bool,
    /// Make a key of the host's own, also where the user's git can sign
    #[arg(long)]
    new_key: bool,
    /// Begin a new chain: this checkout was copied
    #[arg(long)]
    new_writer: bool,
    /// Take every default
    #[arg(long, short)]
    yes: bool,
}

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
    /// Whether gitroll.toml was written (an existing one is kept).
    pub wrote_config: bool,
    /// What serves.
    pub serving: Served,
    /// Records that were made.
    pub records: Vec<RecordBrief>,
    /// Whether what serves was observed and adopted.
    pub adopted: bool,
    /// What `gitroll back` would take tonight.
    pub back_to: Option<Served>,
    /// What is missing, a sentence each.
    pub missing: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When the repository is refused, a name is wrong, gitroll.toml does not parse or nothing can sign.
pub fn run(globals: &Globals, ui: &Ui, args: &InitArgs) -> Result<Exit, Failure> {
    let (git, binding) = session::open(globals)?;
    let head = git.head().map_err(|_| {
        Failure::unchanged(format!("{} has no commit yet", git.top().display()))
            .next("git commit", "commit the app first")
    })?;
    let bound = match binding {
        Ok(binding) => Some(binding),
        Err(BindingError::Unbound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let draft = bind::prepare(&git, ui, args, bound)?;
    let wrote_config = draft.wrote_config;
    config::parse(&draft.config_text, "gitroll.toml")?;
    // The binding first: most hosts that cannot be set up fail here, and nothing must be left in the tree.
    let binding = bind::save(&git, ui, args, draft.binding)?;
    if wrote_config {
        let path = git.top().join("gitroll.toml");
        files::write_durably(&path, draft.config_text.as_bytes(), 0o644)
            .map_err(|e| Failure::unchanged(format!("{}: {e}", path.display())))?;
        ui.say("wrote gitroll.toml: read it, correct it, commit it");
    }
    drop(git);
    let session = Session::change(globals, ui, "init")?;
    let site = &session.site;
    let config_text = draft.config_text;
    let mut records = Vec::new();
    let parsed = config::parse(&config_text, "gitroll.toml")?;
    let served = Names::of(&site.git.tags()?, &parsed.stable.pattern).served(
        &site.git,
        &head.commit,
        Some(&parsed),
    )?;
    let ledger = ledger::read(&site.git, &site.binding)?;
    let begun = ledger.chains.contains_key(&site.binding.writer);
    if !begun {
        records.push(begin(&session, &served, &config_text)?);
    }
    let observed = Observed::now(site, &parsed, &served, "");
    let adopted = observed.healthy() && !(parsed.checks.is_empty() && parsed.services.is_empty());
    let accepted_changed = begun && Facts::gather(site)?.accepted.text != config_text;
    let known = begun && {
        let facts = Facts::gather(site)?;
        facts.history.proven_here(&served.commit) || facts.history.adopted(&served.commit)
    };
    if adopted && (!known || accepted_changed) {
        records.push(adopt(&session, &served, &config_text, &observed)?);
    } else if accepted_changed {
        records.push(begin(&session, &served, &config_text)?);
    }
    let facts = session.facts()?;
    if adopted {
        let host = site.host(&served, "");
        for service in &parsed.services {
            let _ = crate::service::remember(&host, service);
        }
    }
    let mut missing: Vec<String> = Vec::new();
    if !adopted {
        missing.extend(observed.faults());
        if parsed.checks.is_empty() && parsed.services.is_empty() {
            missing.push("gitroll.toml has no check and no service yet".into());
        }
    }
    if parsed.checks.is_empty() && !parsed.services.is_empty() {
        missing.push(
            "gitroll.toml has no [[check]]: a service that stays up counts as serving".into(),
        );
    }
    let answer = InitAnswer {
        app: binding.app.to_string(),
        environment: binding.environment.to_string(),
        writer: binding.writer.to_string(),
        binding: binding.dir.display().to_string(),
        wrote_config,
        back_to: tonight(&session, &facts)?,
        serving: served,
        records,
        adopted,
        missing,
    };
    tell(&session, &answer);
    ui.document("init", 0, &answer);
    Ok(Exit::Done)
}

/// Record 1, or the acceptance of another configuration while what serves is not healthy.
fn begin(session: &Session, served: &Served, config: &str) -> Result<RecordBrief, Failure> {
    let mut record = flow::statement(session, Event::Init);
    record.to = Some(served.commit.clone());
    record.sentence = format!(
        "{} {}: records begin, {} is checked out",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        served.name
    );
    write(session, record, Evidence::at(clock::now(), &user::actor()), served, config)
}

fn adopt(
    session: &Session,
    served: &Served,
    config: &str,
    observed: &Observed,
) -> Result<RecordBrief, Failure> {
    let mut record = flow::statement(session, Event::Adopt);
    record.to = Some(served.commit.clone());
    record.sentence = format!(
        "{} {}: adopted {}, observed serving",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        served.name
    );
    let mut evidence = Evidence::at(clock::now(), &user::actor());
    evidence.checks.clone_from(&observed.checks);
    let site = &session.site;
    let parsed = config::parse(config, "gitroll.toml")?;
    let outputs: Vec<_> = parsed.build.iter().flat_map(|group| group.outputs.clone()).collect();
    let live = site
        .store
        .live(site.top(), &outputs)
        .map_err(|e| Failure::unchanged(format!("{}: {e}", site.top().display())))?;
    evidence.artifacts = compose::artifacts_now(&live);
    write(session, record, evidence, served, config)
}

fn write(
    session: &Session,
    record: crate::model::Record,
    mut evidence: Evidence,
    served: &Served,
    config: &str,
) -> Result<RecordBrief, Failure> {
    let site: &Site = &session.site;
    evidence.name = Some(served.name.clone());
    evidence.version.clone_from(&served.version);
    let draft = Draft { record, evidence, config: config.to_owned(), person: site.person() };
    let entry = engine::append(site, &draft)?;
    Ok(RecordBrief { seq: entry.record.seq, digest: entry.digest })
}

/// What `gitroll back` would do now.
fn tonight(session: &Session, facts: &Facts) -> Result<Option<Served>, Failure> {
    let all = candidates::gather(&session.site, facts)?;
    let found = resolve(&Request::LastGood, &all.deployments, &all.stable, None).ok();
    Ok(found.and_then(|f| {
        Some(Served { commit: f.chosen.commit?, name: f.chosen.name, version: None })
    }))
}

fn tell(session: &Session, answer: &InitAnswer) {
    let ui = &session.ui;
    let field = |name: &str, text: &str| ui.line(&format!("  {name:<9} {}", escape(text)));
    ui.line(&format!("{} {}", ui.out.ok(), session.place()));
    field("serving", &answer.serving.to_string());
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
    for missing in &answer.missing {
        field("missing", missing);
    }
    match &answer.back_to {
        Some(back) => field("tonight", &format!("gitroll back would go to {back}")),
        None if answer.adopted => {
            field(
                "tonight",
                "this is the first state known: after the next deploy, back returns to it",
            );
        }
        None => field("tonight", "gitroll back has nowhere to go before something was proven here"),
    }
    if answer.wrote_config {
        field("next", "read gitroll.toml, correct it, then: git add gitroll.toml && git commit");
    } else if answer.adopted {
        field("next", "gitroll deploy");
    } else {
        field("next", "mend what is missing in gitroll.toml, then gitroll init again");
        field("", "or gitroll deploy, which starts the services and proves them");
    }
}
