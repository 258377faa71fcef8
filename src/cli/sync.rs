//! `gitroll sync`

use clap::Args;

use super::exit::Exit;
use super::failure::{self, Failure};
use super::globals::Globals;
use crate::act::sync::{SyncReport, SyncRequest, sync};
use crate::system::text::plural;
use crate::ui::{Ui, escape};

/// Exchange records and stable tags with the remote
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll sync                    fetch every host's records, then push this host's
  gitroll sync --remote backup

Nothing is overwritten on either side. Exits 10 if the two sides do not fit together. A clone that is not bound \
fetches the records of every environment, and publishes nothing.")]
pub struct SyncArgs {
    /// Remote to exchange with [default: `name` of `[remote]` in gitroll.toml]
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
}

/// # Errors
/// When there is no such remote, or it does not answer.
pub fn run(globals: &Globals, ui: &Ui, args: &SyncArgs) -> Result<Exit, Failure> {
    let report = sync(&globals.caller(ui), &SyncRequest { remote: args.remote.clone() })?;
    print(ui, &report);
    let fits = report.disputes.is_empty() && report.moved_tags.is_empty();
    let exit = match (fits, &report.unpublished) {
        (false, _) => Exit::Refused,
        (true, Some(_)) => Exit::Unchanged,
        (true, None) => Exit::Done,
    };
    ui.document("sync", exit.code(), &report);
    Ok(exit)
}

fn print(ui: &Ui, report: &SyncReport) {
    let style = &ui.out;
    let records = |count: u64| plural(usize::try_from(count).unwrap_or(usize::MAX), "record");
    for chain in &report.chains {
        let writer = escape(&chain.writer);
        match (&chain.refused, chain.records) {
            (None, Some(count)) => ui.line(&format!(
                "  {} {writer}  {}, {} new",
                style.ok(),
                records(count),
                chain.new
            )),
            (why, _) => {
                let why = escape(why.as_deref().unwrap_or("unknown"));
                ui.line(&format!("  {} {writer}  not believed: {why}", style.bad()));
            }
        }
    }
    for tag in &report.tags {
        ui.line(&format!("  {} {}  fetched", style.ok(), escape(tag)));
    }
    for tag in &report.moved_tags {
        let remote = escape(&report.remote);
        let what = format!("is another tag on {remote}; the one here is kept");
        ui.line(&format!("  {} {}  {what}", style.bad(), escape(tag)));
    }
    if let Some(why) = &report.notes_unpublished {
        let what = "the notes of this host were not published";
        ui.say(&format!("warning: {what}: {}", escape(why)));
    }
    for line in &report.trust {
        ui.line(&format!("  {} {}", style.ok(), escape(line)));
    }
    for dispute in &report.disputes {
        ui.line(&format!("  {} {}", style.bad(), escape(dispute)));
    }
    match &report.unpublished {
        Some(why) => ui.line(&format!("{} not published: {}", style.bad(), escape(why))),
        None if !report.verified => {
            ui.line("signatures are not verified: this clone is not bound, so nobody says whose keys count");
        }
        None => {
            let tags = report.pushed.iter().filter(|name| name.starts_with("refs/tags/")).count();
            let tags = match tags {
                0 => String::new(),
                count => format!(" and {}", plural(count, "stable tag")),
            };
            let remote = escape(&report.remote);
            let published = records(report.published);
            ui.line(&format!("{} published {published}{tags} to {remote}", style.ok()));
        }
    }
    for proposed in &report.proposed {
        let (writer, what) = (escape(&proposed.writer), escape(&proposed.what));
        let accept = format!("gitroll trust accept {} --writer {writer}", proposed.seq);
        failure::print_next_steps(ui, &[(accept, what)]);
    }
    if report.verified && report.chains.iter().any(|chain| chain.refused.is_some()) {
        let next =
            ("gitroll trust add 'LINE'", "trusts a host: it prints LINE by gitroll trust request");
        failure::print_next_steps(ui, &[(next.0.to_owned(), next.1.to_owned())]);
    }
}
