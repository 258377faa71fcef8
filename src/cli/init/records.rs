//! The records that `init` makes.

use crate::act::outcome::RecordBrief;
use crate::act::statement::statement;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::engine;
use crate::ledger::Draft;
use crate::model::{AdoptedTag, ArtifactEvidence, Event, Evidence, Record, Served};
use crate::site::Observed;
use crate::system::{clock, user};
use crate::ui::plural;

/// Record 1, or the acceptance of another configuration while what serves is not healthy.
pub(super) fn begin(
    session: &Session,
    served: &Served,
    config: &str,
) -> Result<RecordBrief, Failure> {
    let mut record = statement(session, Event::Init);
    record.to = Some(served.commit.clone());
    record.sentence = format!(
        "{} {}: records begin, {} is checked out",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        served.name
    );
    write(session, record, Evidence::at(clock::now(), &user::actor()), served, config)
}

/// What serves was observed healthy, and a person asked for it to be known.
pub(super) fn adopt(
    session: &Session,
    served: &Served,
    config: &str,
    observed: &Observed,
    artifacts: &[ArtifactEvidence],
) -> Result<RecordBrief, Failure> {
    let mut record = statement(session, Event::Adopt);
    record.to = Some(served.commit.clone());
    record.sentence = format!(
        "{} {}: adopted {}, observed serving",
        session.site.binding.environment,
        engine::host_name(session.site.binding.writer.as_str()),
        served.name
    );
    let mut evidence = Evidence::at(clock::now(), &user::actor());
    evidence.checks.clone_from(&observed.checks);
    evidence.artifacts = artifacts.to_vec();
    write(session, record, evidence, served, config)
}

/// One record for all tags. It says nothing of what serves, which stands in From.
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
