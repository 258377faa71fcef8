//! `gitroll component` without an id: the state of the components.

use schemars::JsonSchema;
use serde::Serialize;

use crate::act::parts::{Part, parts};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::globals::Globals;
use crate::cli::session::Session;
use crate::component::{self, Content};
use crate::config::Component;
use crate::model::{ComponentId, Oid, Person, Seq, Served};
use crate::plan::candidates;
use crate::plan::deployed;
use crate::plan::facts::Facts;
use crate::system::clock;
use crate::target::Request;
use crate::ui::{Table, Ui, clock_word, escape, plural};

/// How far back a component's last change is looked for.
const MOST_COMMITS: usize = 2_000;

/// The answer of `component` without an id.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComponentsAnswer {
    /// What serves.
    pub serving: Served,
    /// What it is compared with.
    pub last_good: Option<Served>,
    /// The components, as gitroll.toml has them.
    pub components: Vec<ComponentLine>,
}

/// One component.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComponentLine {
    /// Its id.
    pub id: ComponentId,
    /// Its title.
    pub title: Option<String>,
    /// `held`, `changed`, `same`, `empty` (its paths match nothing), or `unknown` without a last good state.
    pub state: String,
    /// How many of its files differ from the last good state.
    pub changed_files: usize,
    /// How many files it has.
    pub files: usize,
    /// The records that hold some content of it.
    pub held_by: Vec<Seq>,
    /// The name of its flag.
    pub flag: Option<String>,
    /// Whether that flag is off by its declared value; absent if that is not known without asking the app.
    pub flag_off: Option<bool>,
    /// The release that serves otherwise, where the component's files are not as in it.
    pub not_as_in: Option<Served>,
    /// The last commit that changed it.
    pub last_change: Option<LastChange>,
    /// The deployment that brought it as it serves; absent where every state known here has it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed: Option<DeployedIn>,
}

/// A deployment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeployedIn {
    /// Its record.
    pub record: Seq,
    /// What it put in place, as it is called.
    pub name: String,
}

/// A commit that changed a component.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LastChange {
    /// The commit.
    pub commit: Oid,
    /// Who and when.
    pub author: Person,
    /// The first line of its message; escape before printing.
    pub subject: String,
}

/// Runs it.
pub(super) fn run(globals: &Globals, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::look(globals, ui)?;
    let facts = session.facts()?;
    let components = &facts.accepted.config.components;
    let all = candidates::gather(&session.site, &facts);
    let last_good = all
        .resolve(&Request::LastGood)?
        .ok()
        .and_then(|found| found.chosen.commit)
        .map(|commit| facts.names.served(&session.site.git, &commit, None))
        .transpose()?;
    let mut changes = last_changes(&session, &facts, components)?;
    let parts = parts(&session.site, &facts)?;
    let mut lines = Vec::new();
    let deployed = deployed::last_changes(&session.site, &facts, components)?;
    for ((component, part), deployed) in components.iter().zip(parts).zip(deployed) {
        let last_change = changes.remove(0);
        let good = last_good.as_ref().map(|good| &good.commit);
        let line = line(&session, &facts, (component, part), good, last_change)?;
        let deployed = deployed.map(|found| DeployedIn { record: found.seq, name: found.name });
        lines.push(ComponentLine { deployed, ..line });
    }
    let answer = ComponentsAnswer { serving: facts.serving.clone(), last_good, components: lines };
    tell(ui, &answer);
    ui.document("component", 0, &answer);
    Ok(Exit::Done)
}

fn line(
    session: &Session,
    facts: &Facts,
    (component, part): (&Component, Part),
    last_good: Option<&Oid>,
    last_change: Option<LastChange>,
) -> Result<ComponentLine, Failure> {
    let git = &session.site.git;
    let now = Content::of(git, &facts.serving.commit, component)?;
    let good = last_good.map(|commit| Content::of(git, commit, component)).transpose()?;
    let of_this = |found: &&component::HeldContent| found.component.id == component.id;
    let held_by = facts.held_contents.iter().filter(of_this).map(|found| found.held.seq).collect();
    let held_now = component::held_in(git, &facts.held_contents, &facts.serving.commit)?
        .iter()
        .any(|found| found.component.id == component.id);
    let changed_files = good.as_ref().map_or(0, |good| now.differences(good).len());
    let state = match &good {
        _ if held_now => "held",
        Some(good) if now.is_empty() && good.is_empty() => "empty",
        None if now.is_empty() => "empty",
        None => "unknown",
        Some(_) if changed_files == 0 => "same",
        Some(_) => "changed",
    };
    Ok(ComponentLine {
        id: component.id.clone(),
        title: component.title.clone(),
        state: state.to_owned(),
        changed_files,
        files: now.len(),
        held_by,
        flag: component.flag.as_ref().map(|flag| flag.name.to_string()),
        flag_off: part.flag_off,
        not_as_in: part.not_as_in,
        last_change,
        deployed: None,
    })
}

/// The last commit that changed each component, along first parents: a merge counts as the change.
fn last_changes(
    session: &Session,
    facts: &Facts,
    components: &[Component],
) -> Result<Vec<Option<LastChange>>, Failure> {
    let git = &session.site.git;
    let mut found: Vec<Option<LastChange>> = components.iter().map(|_| None).collect();
    let mut at = Some(facts.serving.commit.clone());
    for _ in 0..MOST_COMMITS {
        let Some(id) = at.take().filter(|id| git.has(id) && found.iter().any(Option::is_none))
        else {
            break;
        };
        let commit = git.commit(&id)?;
        let parent = commit.parents.first().filter(|parent| git.has(parent)).cloned();
        let paths: Vec<_> = match &parent {
            Some(parent) => git.changes(parent, &id)?.into_iter().map(|c| c.path).collect(),
            None => git.entries(&id)?.into_iter().map(|(path, _)| path).collect(),
        };
        for (component, slot) in components.iter().zip(&mut found) {
            if slot.is_none() && paths.iter().any(|path| component.paths.covers(path)) {
                let subject = commit.message.lines().next().unwrap_or_default().to_owned();
                let (commit, author) = (id.clone(), commit.author.clone());
                *slot = Some(LastChange { commit, author, subject });
            }
        }
        at = parent;
    }
    Ok(found)
}

fn tell(ui: &Ui, answer: &ComponentsAnswer) {
    if answer.components.is_empty() {
        ui.say("gitroll.toml declares no component");
        ui.say("  next     [component.ID] with paths = [\"…\"] in gitroll.toml, then gitroll init");
        return;
    }
    let now = clock::now();
    let dash = || ui.out.dash().to_owned();
    let mut table =
        Table::with_head(&["COMPONENT", "STATE", "DEPLOYED", "FLAG", "LAST CHANGE", "TITLE"]);
    for line in &answer.components {
        let mut state = match line.state.as_str() {
            "changed" => format!("changed ({})", plural(line.changed_files, "file")),
            state => state.to_owned(),
        };
        if line.state != "held"
            && let Some(seq) = line.held_by.last()
        {
            state.push_str(&format!(", another held (#{seq})"));
        }
        if let Some(release) = &line.not_as_in {
            state.push_str(&format!(", different from {}", escape(&release.name)));
        }
        let change = line.last_change.as_ref().map_or_else(dash, |change| {
            let when = clock_word(change.author.time, now);
            format!("{} {when}  {}", change.commit.short(), escape(&change.author.name))
        });
        table.row(vec![
            line.id.to_string(),
            state,
            line.deployed.as_ref().map_or_else(dash, |deployed| {
                format!("{}, #{}", escape(&deployed.name), deployed.record)
            }),
            match (&line.flag, line.flag_off) {
                (None, _) => dash(),
                (Some(flag), None) => escape(flag),
                (Some(flag), Some(off)) => {
                    format!("{} {}", escape(flag), if off { "off" } else { "on" })
                }
            },
            change,
            line.title.as_deref().map_or_else(dash, escape),
        ]);
    }
    for line in table.lines(&ui.out) {
        ui.line(&line);
    }
    match &answer.last_good {
        Some(good) => ui.say(&format!("compared with {good}, the last good version")),
        None => ui.say("there is no last good version to compare with: gitroll targets shows why"),
    }
}
