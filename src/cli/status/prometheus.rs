//! `gitroll status --prometheus`: the answer as a page for node_exporter's textfile collector.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use super::answer::StatusAnswer;

/// One page: every series names the app and the environment.
struct Page {
    text: String,
    labels: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.labelled(name, help, "", value);
    }

    fn labelled(&mut self, name: &str, help: &str, more: &str, value: impl Display) {
        let labels = &self.labels;
        // Writing to a string does not fail.
        let _ = write!(
            self.text,
            "# HELP gitroll_{name} {help}\n# TYPE gitroll_{name} gauge\ngitroll_{name}{{{labels}{more}}} {value}\n"
        );
    }
}

/// The page; `promoted` is when a version was promoted last. Times are seconds since 1970, so that an old page shows its
/// age.
pub(super) fn page(answer: &StatusAnswer, promoted: Option<Timestamp>, now: Timestamp) -> String {
    let labels = format!("app={},environment={}", quoted(&answer.app), quoted(&answer.environment));
    let mut page = Page { text: String::new(), labels };
    let version = format!(
        ",version={},commit={}",
        quoted(&answer.serving.name),
        quoted(answer.serving.commit.as_str())
    );
    page.labelled("serving_info", "What serves.", &version, 1);
    if let Some(since) = answer.since {
        page.gauge("serving_since_seconds", "When it was put in place.", since.as_second());
    }
    let flag = u8::from;
    page.gauge("proven", "Whether a run observed it serving.", flag(answer.proven));
    page.gauge(
        "healthy",
        "Whether every check passes and every service is up.",
        flag(answer.healthy),
    );
    let failing = answer.checks.iter().filter(|check| check.failed()).count();
    page.gauge("checks_failing", "Checks that fail.", failing);
    let down = answer.services.iter().filter(|service| !service.up).count();
    page.gauge("services_down", "Services that are not up.", down);
    let open = answer.open_runs.len() + usize::from(answer.damaged_run.is_some());
    page.gauge("open_runs", "Runs that are open, or damaged and may be open.", open);
    let watch = &answer.watch;
    page.gauge("watching", "Whether gitroll watch runs.", flag(watch.watcher.is_some()));
    page.gauge(
        "watch_stopped",
        "Whether gitroll watch does nothing automatically until gitroll watch ack.",
        flag(watch.stopped.is_some()),
    );
    page.gauge("silent", "Whether a silence lasts.", flag(watch.silence.is_some()));
    page.gauge("incidents_open", "Incidents that are open.", watch.incidents.len());
    if let Some(promoted) = promoted {
        let help = "When a version was promoted to stable last.";
        page.gauge("last_stable_seconds", help, promoted.as_second());
    }
    page.gauge("status_seconds", "When this page was written.", now.as_second());
    page.text
}

/// A value of a label, as Prometheus reads it.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}
