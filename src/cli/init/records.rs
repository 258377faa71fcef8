//! What `init` records, and the artifacts of what serves that it takes into the store.

use std::time::Instant;

use crate::act::outcome::RecordBrief;
use crate::act::statement::statement;
use crate::build::{Depth, TakeOutcome, outputs_of};
use crate::check;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::config::{self, Config};
use crate::engine;
use crate::ledger::Draft;
use crate::model::{AdoptedTag, ArtifactEvidence, Event, Evidence, Narration, Record, Served};
use crate::plan::compose;
use crate::site::{Observed, witness};
use crate::system::{clock, user};
use crate::ui::{Live, plural};

/// Record 1, or the acceptance of another configuration while what serves is not healthy.
pub(super) fn begin(
    session: &Session,
    served: &Served,
    config: &str,
    lies_there: bool,
) -> Result<RecordBrief, Failure> {
    let mut record = statement(session, Event::Init);
    record.to = Some(served.commit.clone());
    record.sentence = format!(
        "{} {}: records begin, {} {}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        served.name,
        if lies_there { "is checked out" } else { "serves" }
    );
    write(session, record, Evidence::at(clock::now(), &user::actor()), served, config)
}

/// What serves was observed healthy, and a person asked for it to be known. `lies_there`: it is also what is checked out.
pub(super) fn adopt(
    session: &Session,
    served: &Served,
    (parsed, config): (&Config, &str),
    observed: &Observed,
    artifacts: &[ArtifactEvidence],
    lies_there: bool,
) -> Result<RecordBrief, Failure> {
    let mut record = statement(session, Event::Adopt);
    record.to = Some(served.commit.clone());
    let mut evidence = Evidence::at(clock::now(), &user::actor());
    evidence.weak = unasked(config);
    record.sentence = format!(
        "{} {}: adopted {}, {}",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        served.name,
        evidence.weak.as_ref().map_or("observed serving", |_| "its services are up")
    );
    evidence.checks.clone_from(&observed.checks);
    evidence.artifacts = artifacts.to_vec();
    let (site, look) = (&session.site, &observed.services);
    let mut witnessed = witness(site, parsed, &served.commit, look, |_| true, &[])?;
    // Other files lie there than those that serve.
    witnessed.files = witnessed.files.filter(|_| lies_there);
    evidence.witnessed = Some(witnessed);
    write(session, record, evidence, served, config)
}

/// That nothing asks the app, if so.
fn unasked(config: &str) -> Option<String> {
    let config = config::parse(config, "gitroll.toml").ok()?;
    let asked = config.checks.iter().any(check::asks_the_app);
    (!asked).then(|| "no [[check]] queries the app".to_owned())
}

/// One record for all tags. It says nothing of what serves, which is in From.
pub(super) fn adopt_tags(
    session: &Session,
    served: &Served,
    config: &str,
    tags: &[AdoptedTag],
) -> Result<RecordBrief, Failure> {
    const NAMED: usize = 3;
    let site = &session.site;
    let mut record = statement(session, Event::Adopt);
    record.from = Some(served.commit.clone());
    record.adopts = tags.to_vec();
    let many = plural(tags.len(), "stable tag");
    let names: Vec<&str> = tags.iter().take(NAMED).map(|tag| tag.target.short()).collect();
    let more = if tags.len() > NAMED { ", …" } else { "" };
    record.sentence = format!(
        "{} {}: adopted {many} from before gitroll: {}{more}",
        site.binding.environment,
        engine::host_name(site.binding.writer.as_str()),
        names.join(", ")
    );
    let mut evidence = Evidence::at(clock::now(), &user::actor());
    evidence.name = Some(many);
    append(session, record, evidence, config)
}

fn write(
    session: &Session,
    record: Record,
    mut evidence: Evidence,
    served: &Served,
    config: &str,
) -> Result<RecordBrief, Failure> {
    evidence.name = Some(served.name.clone());
    evidence.version.clone_from(&served.version);
    append(session, record, evidence, config)
}

fn append(
    session: &Session,
    record: Record,
    evidence: Evidence,
    config: &str,
) -> Result<RecordBrief, Failure> {
    let site = &session.site;
    let draft = Draft { record, evidence, config: config.to_owned(), person: site.person() };
    let entry = engine::append(site, &draft)?;
    Ok(RecordBrief { seq: entry.record.seq, digest: entry.digest })
}

/// What serves with, and what of it is kept whatever becomes of the live tree.
#[derive(Debug, Default)]
pub(super) struct Artifacts {
    pub(super) live: Vec<ArtifactEvidence>,
    pub(super) kept: Vec<String>,
    pub(super) missing: Vec<String>,
}

/// Takes each artifact that gitroll did not build itself, and that `wanted` asks for. One that cannot be
/// taken is said, and is not an error: it still serves, and the next deploy's swap keeps it too.
pub(super) fn keep(
    session: &Session,
    config: &Config,
    wanted: impl Fn(&ArtifactEvidence) -> bool,
) -> Result<Artifacts, Failure> {
    let site = &session.site;
    let entries = site.git.entries(&site.git.head()?.commit)?;
    let all = outputs_of(&config.build, &entries);
    let outputs: Vec<_> = all.iter().flat_map(|outputs| outputs.all()).cloned().collect();
    let live = site
        .store
        .live(site.top(), &outputs, Depth::Deep)
        .map_err(|e| Failure::unchanged(format!("{}: {e}", site.top().display())))?;
    let mut artifacts = Artifacts { live: compose::artifacts_now(&live), ..Artifacts::default() };
    let mut narrator = Live::new(&session.ui);
    for (artifact, evidence) in live.iter().zip(&artifacts.live) {
        let kept = || site.store.keeps(&artifact.key, &artifact.output, Depth::Deep);
        if artifact.known || !wanted(evidence) || kept().unwrap_or(false) {
            continue;
        }
        let output = artifact.output.to_string();
        let step = format!("keep {}", crate::ui::escape(&output));
        let begin = Instant::now();
        narrator.tell(Narration::Begin { step: step.clone() });
        let why = match site.store.take(site.top(), artifact) {
            Ok(TakeOutcome::Kept) => {
                narrator.tell(Narration::Done { step, took: begin.elapsed() });
                artifacts.kept.push(output);
                continue;
            }
            Ok(TakeOutcome::NoRoom { needed, free }) => format!(
                "a copy may need {} MiB and {} MiB are free: free some space, then run gitroll init again",
                needed >> 20,
                free >> 20
            ),
            Ok(TakeOutcome::Not(why)) => why.to_owned(),
            Err(error) => error.to_string(),
        };
        narrator.tell(Narration::Warning { text: format!("{output} was not copied: {why}") });
        artifacts.missing.push(format!(
            "{output} was not copied ({why}); if it changes before the next deploy, rolling back to this \
             version needs a build"
        ));
    }
    Ok(artifacts)
}
