//! What is said where a person is needed.

use crate::act::next_steps;
use crate::check;
use crate::cli::failure::print_next_steps;
use crate::cli::session::Session;
use crate::config;
use crate::engine::{self, Lying, Run, Side};
use crate::model::{Event, Plan, RunId, Served};
use crate::site::Observed;
use crate::ui::escape;

/// Says what serves, why the run could not be ended, and the ways on.
pub(super) fn needed(session: &Session, plan: &Plan, run: &RunId, side: Side, why: &str) {
    let ui = &session.ui;
    let host = engine::host_name(plan.writer.as_str());
    let run = Run::open(&session.site, run);
    let answers = answering(session, plan);
    let what = match (&run, answers) {
        (Ok(run), answers) if side == Side::Before && run.lying() == Lying::Between => {
            let what = match plan.event {
                Event::Flags => "the flags".to_owned(),
                _ => plan.from.to_string(),
            };
            let answers = match answers {
                Answering::Healthy(served) => format!("; {served} answers"),
                Answering::Partly(what) => format!("; {what}"),
                Answering::Nothing => String::new(),
            };
            format!("{what} could not be put back on {host}{answers}")
        }
        (_, Answering::Healthy(served)) => {
            format!("{served} answers on {host}, but the run could not be ended")
        }
        (_, Answering::Partly(what)) => format!("on {host} {what}"),
        (_, Answering::Nothing) => format!("nothing healthy serves on {host}"),
    };
    let what = escape(&what);
    ui.cry(&format!("{} A PERSON IS NEEDED: {what}. [21]", ui.err.bad()));
    let lines = run.map(|run| next_steps::explain_stuck(&session.site, &run, side, why));
    for (name, text) in lines.unwrap_or_else(|_| vec![("why", why.to_owned())]) {
        ui.cry(&format!("  {name:<8} {}", escape(&text)));
    }
    print_next_steps(ui, &next_steps::stuck(side));
}

/// How a host answers.
enum Answering<'p> {
    /// As it should with this state, in all.
    Healthy(&'p Served),
    /// The checks pass, but a service is not seen to be up.
    Partly(String),
    Nothing,
}

/// Which of the two states of a plan answers as it should, where one does.
fn answering<'p>(session: &Session, plan: &'p Plan) -> Answering<'p> {
    let mut partly = Answering::Nothing;
    for (served, config) in [(&plan.from, &plan.config_before), (&plan.to, &plan.config)] {
        let Ok(config) = config::parse(config, "gitroll.toml") else { continue };
        // Without a check that names the version nobody knows which of them it is.
        if !check::has_witness(&config.checks, &[]) {
            continue;
        }
        let observed = Observed::now(&session.site, &config, served, "");
        if observed.healthy() {
            return Answering::Healthy(served);
        }
        let pass = !observed.checks.is_empty() && observed.checks.iter().all(|c| c.passed);
        if pass && matches!(partly, Answering::Nothing) {
            let faults = observed.faults().join(", ");
            partly = Answering::Partly(format!("{served} answers, but {faults}"));
        }
    }
    partly
}
