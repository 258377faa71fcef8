//! `gitroll approve`

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::approvals::{self, ApproveAnswer, ApproveRequest, RequestView};
use crate::model::ApprovalOptions;
use crate::system::clock;
use crate::ui::{Ui, clock_word, escape};

/// Approve what another host asks for, or deny it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll approve                         show the open request, ask, approve it
  gitroll approve --list                  all requests
  gitroll approve 4f3a91c2                one of several
  gitroll approve --deny 'wait for ben'   deny it; the host says why
  gitroll approve 'gitroll-request:…'     from a line, where there is no remote")]
pub struct ApproveArgs {
    /// The beginning of a request's digest, or its line [default: the only open request]
    request: Option<String>,
    /// List the requests and stop
    #[arg(long, conflicts_with_all = ["request", "deny", "yes"])]
    list: bool,
    /// Deny the request
    #[arg(long, value_name = "REASON")]
    deny: Option<String>,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

impl ApproveArgs {
    /// Whether nothing is changed.
    pub fn only_looks(&self) -> bool {
        self.list
    }
}

/// What a command that may need approvals is told of them.
#[derive(Debug, Args)]
pub struct ApprovalArgs {
    /// A line that `gitroll approve` printed on another machine, where there is no remote
    #[arg(long, value_name = "LINE")]
    approval: Vec<String>,
    /// Go on without approvals, only when everything is observed down; recorded
    #[arg(long = "override", value_name = "REASON")]
    overriding: Option<String>,
}

impl ApprovalArgs {
    /// As the act takes them.
    pub fn options(&self) -> ApprovalOptions {
        ApprovalOptions { lines: self.approval.clone(), overriding: self.overriding.clone() }
    }
}

/// # Errors
/// When there is no such request, the key may not answer it, or it was not confirmed.
pub fn run(globals: &Globals, ui: &Ui, args: &ApproveArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    if args.list {
        let requests = approvals::list(&caller)?;
        if requests.is_empty() {
            ui.say("there are no requests");
        }
        for request in &requests {
            tell(ui, request);
        }
        let answer = ApproveAnswer { requests: Some(requests), ..ApproveAnswer::default() };
        ui.document("approve", Exit::Done.code(), &answer);
        return Ok(Exit::Done);
    }
    let asked =
        ApproveRequest { which: args.request.clone(), deny: args.deny.clone(), yes: args.yes };
    let answer = approvals::approve(&caller, &asked, |request| tell(ui, request))?;
    let word = if args.deny.is_some() { "denied" } else { "approved" };
    let seq = answer.record.as_ref().map(|record| record.seq.to_string()).unwrap_or_default();
    ui.line(&format!("{} {word}, #{seq}", ui.out.ok()));
    if answer.published == Some(false) {
        ui.say("not published: give this line to the host");
        ui.say("  next     the command there with --approval LINE");
    }
    if let Some(line) = answer.line.as_ref().filter(|_| answer.published == Some(false)) {
        ui.line(line);
    }
    ui.document("approve", Exit::Done.code(), &answer);
    Ok(Exit::Done)
}

fn tell(ui: &Ui, view: &RequestView) {
    let request = &view.request;
    let intent = &request.intent;
    let state = match (view.denied, view.expired, view.missing.is_empty()) {
        _ if view.done => "done".to_owned(),
        (true, _, _) => "denied".to_owned(),
        (_, _, true) => "approved".to_owned(),
        (_, true, _) => "expired".to_owned(),
        _ => format!("open, missing {}", view.missing.join(", ")),
    };
    let digest: String = view.digest.trim_start_matches("sha256:").chars().take(8).collect();
    ui.line(&format!("{digest}  {} of {}    {}", intent.level, intent.writer, escape(&state)));
    let field = |name: &str, text: &str| ui.line(&format!("  {name:<8} {}", escape(text)));
    field("from", &request.names.0);
    field("to", &request.names.1);
    for (name, how) in &intent.migrations {
        field("migrate", &format!("{name} down    {how}"));
    }
    for flag in &intent.flags {
        let (before, after) = (flag.before.plain(), flag.after.plain());
        field("flag", &format!("{} of {}: {before} to {after}", flag.name, flag.source));
    }
    for (name, from) in &intent.settings {
        field("settings", &format!("{name}, from {from}"));
    }
    for (point, _) in &intent.points {
        field("point", &point.to_string());
    }
    let data: Vec<&str> = intent.data.iter().map(|name| name.as_str()).collect();
    if !data.is_empty() {
        let most = match intent.most_rows {
            Some(rows) => format!("{}, at most {rows} rows lost", data.join(", ")),
            None => format!("{}, any number of rows may be lost", data.join(", ")),
        };
        field("data", &most);
    }
    if let Some(loses) = &request.loses {
        field("counted", loses);
    }
    if let Some(reason) = &request.reason {
        field("reason", reason);
    }
    let opened = clock_word(request.opened, clock::now());
    field("by", &format!("{}, {opened}, for {} min", request.by, request.valid_seconds / 60));
    field("roles", &request.roles.join(", "));
}
