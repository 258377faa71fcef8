//! Whether symptoms show: the questions of rules, put once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::{Check, CheckGroup, CheckKind, SymptomProbe, When};
use crate::model::CheckName;

use super::ask::{Asker, elsewhere};
use super::expect::{Judged, Reach};
use super::lately::Lately;
use super::prove::runtime;
use super::template::Subject;
use super::{Intent, Surroundings};

/// What a question about a symptom came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The symptom is there: what the answer was, in a few words.
    Shows(String),
    /// It is not: what the answer was.
    Absent(String),
    /// Nobody can tell: why not.
    Unknown(String),
}

/// See [`super::symptoms`].
pub(super) fn symptoms(probes: &[&SymptomProbe], intent: &Intent) -> Vec<Seen> {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Seen::Unknown(format!("cannot ask: {error}")); probes.len()],
    };
    let seen = runtime.block_on(async {
        let mut asked = JoinSet::new();
        let subject = Arc::new(Subject::of(Some(intent)));
        for (number, probe) in probes.iter().enumerate() {
            let (when, question) = (probe.when, Question::new(probe, &intent.around, &subject));
            let subject = Arc::clone(&subject);
            asked.spawn(async move { (number, seen(when, question, &subject).await) });
        }
        let mut seen = vec![Seen::Unknown("not asked".to_owned()); probes.len()];
        while let Some(done) = asked.join_next().await {
            if let Ok((number, found)) = done {
                seen[number] = found;
            }
        }
        seen
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    seen
}

/// A question made ready.
enum Question {
    Log(Arc<Lately>, Check),
    Other { asker: Asker, samples: u32, every: Duration },
}

impl Question {
    fn new(probe: &SymptomProbe, around: &Surroundings, subject: &Subject) -> Self {
        let check = as_check(&probe.kind);
        if let CheckKind::Log(log) = &check.kind {
            let lately = Lately::new(log, probe.since, around, subject);
            return Question::Log(Arc::new(lately), check);
        }
        let every = match &probe.kind {
            CheckKind::Metric(metric) => metric.every,
            _ => Duration::ZERO,
        };
        let asker = Asker::new(&check, around, subject, &Arc::default());
        Question::Other { asker, samples: probe.samples, every }
    }
}

/// Asks as often as wanted. One answer that does not show the symptom ends it.
async fn seen(when: When, question: Question, subject: &Arc<Subject>) -> Seen {
    let (asker, samples, every) = match question {
        Question::Log(lately, check) => {
            let judged = elsewhere(Some(check.answer_limit()), move || lately.ask()).await;
            return judge(when, judged);
        }
        Question::Other { asker, samples, every } => (asker, samples, every),
    };
    let mut last = judge(when, asker.ask(subject).await.0);
    for _ in 1..samples {
        if !matches!(last, Seen::Shows(_)) {
            break;
        }
        tokio::time::sleep(every).await;
        last = judge(when, asker.ask(subject).await.0);
    }
    last
}

/// What one answer says about the symptom.
fn judge(when: When, judged: Judged) -> Seen {
    match (when, judged.reach, judged.ok) {
        (_, Reach::Unaskable, _) | (When::Holds, Reach::Silent, _) => Seen::Unknown(judged.answer),
        (When::Holds, Reach::Answered, true)
        | (When::Fails, Reach::Answered, false)
        | (When::Fails, Reach::Silent, _) => Seen::Shows(judged.answer),
        (When::Holds, Reach::Answered, false) | (When::Fails, Reach::Answered, true) => {
            Seen::Absent(judged.answer)
        }
    }
}

/// A question as a check, which is never judged by its rhythm.
fn as_check(kind: &CheckKind) -> Check {
    const LONG: Duration = Duration::from_secs(60 * 60);
    Check {
        name: "probe".parse::<CheckName>().unwrap_or_else(|_| unreachable!("a plain name")),
        kind: kind.clone(),
        critical: true,
        group: CheckGroup::Quick,
        passes: 1,
        settle: Duration::ZERO,
        timeout: LONG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_a_symptom_is_against_it_or_tells_nothing() {
        let fine = || Judged::fine("x");
        let failed = || Judged::failed("x");
        let shows = || Seen::Shows("x".to_owned());
        let absent = || Seen::Absent("x".to_owned());
        let unknown = || Seen::Unknown("x".to_owned());
        for (judged, holds, fails) in [
            (fine(), shows(), absent()),
            (failed(), absent(), shows()),
            // Who does not answer says nothing of his latency, but does not answer.
            (Judged::silent("x"), unknown(), shows()),
            (Judged::unaskable("x"), unknown(), unknown()),
        ] {
            assert_eq!(judge(When::Holds, judged.clone()), holds, "{judged:?}");
            assert_eq!(judge(When::Fails, judged.clone()), fails, "{judged:?}");
        }
    }
}
