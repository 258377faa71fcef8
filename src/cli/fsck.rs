//! `gitroll fsck`

use clap::Args;

use super::exit::Exit;
use super::failure::{self, Failure};
use super::globals::Globals;
use crate::act::fsck::{FsckReport, FsckRequest, fsck};
use crate::ledger::Finding;
use crate::model::Seq;
use crate::system::text::plural;
use crate::ui::{Ui, escape};

/// Check the records, tags and notes, and repair them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll fsck                 check everything new since the last fsck, and every tag and note
  gitroll fsck --all           verify every signature and object again
  gitroll fsck --repair        restore deleted or moved tags and notes

fsck exits 0 if nothing is wrong, else 10.")]
pub struct FsckArgs {
    /// Report only findings about this record and later ones
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Verify everything again, including what an earlier fsck verified
    #[arg(long)]
    all: bool,
    /// Restore record tags, stable tags and notes from the records
    #[arg(long)]
    repair: bool,
    /// With --repair: show the plan and change nothing
    #[arg(long, requires = "repair")]
    plan: bool,
}

impl FsckArgs {
    /// Whether nothing is repaired.
    pub fn only_looks(&self) -> bool {
        !self.repair || self.plan
    }
}

/// # Errors
/// When the records cannot be examined, or not be repaired.
pub fn run(globals: &Globals, ui: &Ui, args: &FsckArgs) -> Result<Exit, Failure> {
    let repair = !args.only_looks();
    let request = FsckRequest { since: args.since.map(Seq), anew: args.all, repair };
    let report = fsck(&globals.caller(ui), &request)?;
    print(ui, &report, args.plan);
    let exit = if report.findings.is_empty() { Exit::Done } else { Exit::Refused };
    ui.document("fsck", exit.code(), &report);
    Ok(exit)
}

fn print(ui: &Ui, report: &FsckReport, plan: bool) {
    let style = &ui.out;
    ui.line(&format!("{} {} {}", report.app, style.dot(), report.environment));
    for chain in &report.chains {
        let writer = escape(&chain.writer);
        match &chain.newest {
            Some(newest) => ui.line(&format!(
                "  {} {writer}  {}, newest {newest}",
                style.ok(),
                plural(usize::try_from(chain.records).unwrap_or(usize::MAX), "record")
            )),
            None => ui.line(&format!("  {} {writer}  rejected", style.bad())),
        }
    }
    for finding in &report.repaired {
        ui.line(&format!("{} {}, repaired", style.ok(), told(finding)));
    }
    for finding in &report.findings {
        ui.line(&format!("{} {}", style.bad(), told(finding)));
        match (&finding.fix, finding.repairable && plan) {
            (_, true) => ui.line("    gitroll fsck --repair restores it"),
            (Some(fix), false) => ui.line(&format!("    {}", escape(fix))),
            (None, false) => {}
        }
    }
    let (found, repairable) = (
        report.findings.len(),
        report.findings.iter().filter(|finding| finding.repairable).count(),
    );
    if found == 0 {
        ui.line(&format!("{} nothing is wrong", style.ok()));
        return;
    }
    ui.line(&format!("{}, {repairable} repairable", plural(found, "finding")));
    if repairable > 0 {
        let next = ("gitroll fsck --repair".to_owned(), "restores tags and notes".to_owned());
        failure::print_next_steps(ui, &[next]);
    }
}

fn told(finding: &Finding) -> String {
    let seq = finding.seq.map(|seq| format!("#{seq} ")).unwrap_or_default();
    escape(&format!("{seq}{}: {}", finding.writer, finding.problem))
}
