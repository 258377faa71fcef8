//! `gitroll migrate`

use clap::{Args, Subcommand};

use super::approve::ApprovalArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::loss::AcceptedRows;
use crate::act::migrate::{self, DownRequest, MigrateStatus, SeenIn};
use crate::ui::{Table, Ui, escape};

/// Show database migrations, and revert them with the scripts of the version that has them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll migrate status                  what was applied, and what back would cross
  gitroll migrate down --plan             what would be reverted, and the rows that would be lost
  gitroll migrate down                    only the schema; the code stays
  gitroll migrate down --to v1.2.0        the schema that v1.2.0 knows
  gitroll back --migrate-down             the schema and the code, in one run")]
pub struct MigrateArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show which migrations were applied, which lie between versions, and which can be reverted
    Status,
    /// Revert migrations: stop the services, copy the database, run the scripts, start, prove
    Down(DownArgs),
}

#[derive(Debug, Args)]
struct DownArgs {
    /// A version that knows the wanted schema [default: where `back` would go, or what serves after a `back`]
    #[arg(long, value_name = "STATE")]
    to: Option<String>,
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show the plan and stop
    #[arg(long)]
    plan: bool,
    /// Skip the confirmation prompt; a loss of rows is asked for nevertheless
    #[arg(long, short)]
    yes: bool,
    /// Accept the loss of up to this many rows, or `any`
    #[arg(long, value_name = "ROWS", value_parser = rows, overrides_with = "accept_loss")]
    accept_loss: Option<AcceptedRows>,
    #[command(flatten)]
    approvals: ApprovalArgs,
}

impl MigrateArgs {
    /// Whether nothing is changed.
    pub fn only_looks(&self) -> bool {
        match &self.action {
            Action::Status => true,
            Action::Down(args) => args.plan,
        }
    }
}

/// What `--accept-loss` means.
///
/// # Errors
/// When it is neither.
pub fn rows(text: &str) -> Result<AcceptedRows, String> {
    match text {
        "any" => Ok(AcceptedRows::Any),
        number => number
            .parse()
            .map(AcceptedRows::Most)
            .map_err(|_| "write a number of rows, or any".to_owned()),
    }
}

pub fn run(globals: &Globals, ui: &Ui, args: &MigrateArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    match &args.action {
        Action::Status => {
            let status = migrate::status(&caller)?;
            tell(ui, &status);
            ui.document("migrate", Exit::Done.code(), &status);
            Ok(Exit::Done)
        }
        Action::Down(args) => {
            let request = DownRequest {
                to: args.to.clone(),
                reason: args.reason.clone(),
                plan_only: args.plan,
                yes: args.yes,
                accepted: args.accept_loss.unwrap_or_default(),
                approval: args.approvals.options(),
            };
            Ok(migrate::down(&caller, &request)?.status.into())
        }
    }
}

fn tell(ui: &Ui, status: &MigrateStatus) {
    let database = status.data.as_ref().map_or("no database declared", |name| name.as_str());
    let known = match &status.seen_in {
        SeenIn::Table(table) => format!("applied as its table {table} lists"),
        SeenIn::Records => "applied as far as the records tell".to_owned(),
    };
    ui.line(&format!("{database}    serving {}, {known}", status.serving));
    let mut table = Table::with_head(&["", "MIGRATION", "APPLIED", "SERVING", "DOWN"]);
    for one in &status.migrations {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        table.row(vec![
            if one.between { ui.out.next() } else { String::new() },
            escape(&one.name),
            yes(one.applied),
            yes(one.serving),
            one.down.as_ref().map_or("none".to_owned(), |down| escape(down)),
        ]);
    }
    for line in table.lines(&ui.out) {
        ui.line(&line);
    }
    for name in &status.unknown {
        ui.line(&format!("  unknown  {}: applied, but in no known version", escape(name)));
    }
    let between: Vec<&str> =
        status.migrations.iter().filter(|one| one.between).map(|one| one.name.as_str()).collect();
    if let (false, Some(back)) = (between.is_empty(), &status.back_to) {
        let names = escape(&between.join(", "));
        ui.line(&format!("  back     {} does not have {names}", back));
        ui.line("  next     gitroll migrate down --plan    counts the rows that this loses");
    }
}
