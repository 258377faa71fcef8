//! Whether symptoms show: the questions of rules, put once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::config::{Check, CheckGroup, CheckKind, SymptomProbe, When};
use crate::model::CheckName;

use super::asker::{Asker, elsewhere};
use super::judgement::{Judgement, Reach};
use super::prove::runtime;
use super::recent_lines::RecentLines;
use super::template::Subject;
use super::{Expectation, Surroundings};

/// What a question about a symptom came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symptom {
    /// The symptom is there: what the answer was, in a few words.
    Shows(String),
    /// It is not: what the answer was.
    Absent(String),
    /// Nobody can tell: why not.
    Unknown(String),
}

/// See [`super::symptoms`].
pub(super) fn symptoms(probes: &[&SymptomProbe], expectation: &Expectation) -> Vec<Symptom> {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Symptom::Unknown(format!("cannot ask: {error}")); probes.len()],
    };
    let seen = runtime.block_on(async {
        let mut asked = JoinSet::new();
        let subject = Arc::new(Subject::of(Some(expectation)));
        for (number, probe) in probes.iter().enumerate() {
            let (when, question) =
                (probe.when, Question::new(probe, &expectation.around, &subject));
            let subject = Arc::clone(&subject);
            asked.spawn(async move { (number, seen(when, question, &subject).await) });
        }
        let mut seen = vec![Symptom::Unknown("not asked".to_owned()); probes.len()];
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
    Log(Arc<RecentLines>, Check),
    Other { asker: Asker, samples: u32, every: Duration },
}

impl Question {
    fn new(probe: &SymptomProbe, around: &Surroundings, subject: &Subject) -> Self {
        let check = as_check(&probe.kind);
        if let CheckKind::Log(log) = &check.kind {
            let lately = RecentLines::new(log, probe.since, around, subject);
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
async fn seen(when: When, question: Question, subject: &Arc<Subject>) -> Symptom {
    let (asker, samples, every) = match question {
        Question::Log(lately, check) => {
            let judgement = elsewhere(Some(check.answer_limit()), move || lately.ask()).await;
            return judge(when, judgement);
        }
        Question::Other { asker, samples, every } => (asker, samples, every),
    };
    let mut last = judge(when, asker.ask(subject).await.0);
    for _ in 1..samples {
        if !matches!(last, Symptom::Shows(_)) {
            break;
        }
        tokio::time::sleep(every).await;
        last = judge(when, asker.ask(subject).await.0);
    }
    last
}

/// What one answer says about the symptom.
fn judge(when: When, judgement: Judgement) -> Symptom {
    match (when, judgement.reach, judgement.ok) {
        (_, Reach::Unaskable, _) | (When::Holds, Reach::Silent, _) => {
            Symptom::Unknown(judgement.answer)
        }
        (When::Holds, Reach::Answered, true)
        | (When::Fails, Reach::Answered, false)
        | (When::Fails, Reach::Silent, _) => Symptom::Shows(judgement.answer),
        (When::Holds, Reach::Answered, false) | (When::Fails, Reach::Answered, true) => {
            Symptom::Absent(judgement.answer)
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
        let fine = || Judgement::fine("x");
        let failed = || Judgement::failed("x");
        let shows = || Symptom::Shows("x".to_owned());
        let absent = || Symptom::Absent("x".to_owned());
        let unknown = || Symptom::Unknown("x".to_owned());
        for (judgement, holds, fails) in [
            (fine(), shows(), absent()),
            (failed(), absent(), shows()),
            // Who does not answer says nothing of his latency, but does not answer.
            (Judgement::silent("x"), unknown(), shows()),
            (Judgement::unaskable("x"), unknown(), unknown()),
        ] {
            assert_eq!(judge(When::Holds, judgement.clone()), holds, "{judgement:?}");
            assert_eq!(judge(When::Fails, judgement.clone()), fails, "{judgement:?}");
        }
    }
}
