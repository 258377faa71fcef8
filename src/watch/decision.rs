//! Whether something may be done about a symptom without a person. Pure: every reason against it is here, in one order.

use std::time::Duration;

use super::notes::Act;
use super::trigger::Began;
use crate::config::WatchSettings;
use crate::model::{Digest, Moment, Seq};
use crate::system::text::span;

/// The last thing that changed what serves.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its record.
    pub seq: Seq,
    /// What identifies the record.
    pub digest: Digest,
    /// In words: `v1.3.0 deployed`.
    pub what: String,
    /// When it began.
    pub began: Moment,
}

/// What is known at the moment of the decision.
#[derive(Debug, Clone)]
pub struct Circumstances<'a> {
    pub settings: &'a WatchSettings,
    /// Now.
    pub now: Moment,
    /// Since the boot of the machine.
    pub up: Duration,
    /// Why a person wants it silent, until when.
    pub silence: Option<String>,
    /// Who is at work here.
    pub busy: Option<String>,
    /// A run that is open, in words.
    pub open_run: Option<String>,
    /// Why nothing is done any more until a person says so.
    pub stopped: Option<String>,
    /// What serves was put in place by hand.
    pub by_hand: bool,
    /// What a person did since the symptom began.
    pub person: Option<String>,
    /// The last change.
    pub change: Option<Change>,
    /// When the symptom began; `None` where it was never seen absent.
    pub began: Option<Began>,
    /// Between two looks at it passes no more than this.
    pub gap: Duration,
    /// Files outside of git that changed after the last change.
    pub outside: Vec<String>,
    /// What else is wrong, asked now: the second witness.
    pub witnesses: Vec<String>,
    /// Why the act itself would not be a quick and safe one.
    pub obstacle: Option<String>,
    /// What was done by itself before, the oldest first.
    pub acts: &'a [Act],
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Nobody needs to hear of it; it is decided anew at the next look.
    Wait(String),
    /// A person is told, and decides.
    Page(String),
}

/// Whether it may act, else the first reason against it.
///
/// # Errors
/// That reason.
pub fn may_act(all: &Circumstances<'_>) -> Result<(), Blocked> {
    waits(all.settings, all.up, all.silence.as_deref(), all.busy.as_deref())
        .map_err(Blocked::Wait)?;
    [stands, caused, confirmed, affordable]
        .into_iter()
        .try_for_each(|reason| reason(all))
        .map_err(Blocked::Page)
}

/// Why nobody is told either, and it is decided anew at the next look.
///
/// # Errors
/// That reason.
pub fn waits(
    settings: &WatchSettings,
    up: Duration,
    silence: Option<&str>,
    busy: Option<&str>,
) -> Result<(), String> {
    if let Some(silence) = silence {
        return Err(format!("silent {silence}"));
    }
    let grace = settings.start_grace;
    if up < grace {
        return Err(format!("the machine was started less than {} ago", span(grace)));
    }
    match busy {
        Some(who) => Err(format!("{who} is at work")),
        None => Ok(()),
    }
}

/// Whether the host stands as gitroll left it.
fn stands(all: &Circumstances<'_>) -> Result<(), String> {
    if let Some(run) = &all.open_run {
        return Err(format!("a run is open: {run}"));
    }
    if let Some(why) = &all.stopped {
        return Err(format!("nothing is done automatically any more: {why}"));
    }
    if all.by_hand {
        return Err("what serves was put in place by hand".to_owned());
    }
    match &all.person {
        Some(what) => Err(format!("a person is working on it: {what}")),
        None => Ok(()),
    }
}

/// Whether a change caused it.
fn caused(all: &Circumstances<'_>) -> Result<(), String> {
    let within = all.settings.within;
    let Some(change) = &all.change else {
        return Err("nothing was ever changed here".to_owned());
    };
    let what = format!("{} (#{})", change.what, change.seq);
    let Some(began) = &all.began else {
        return Err(format!("nobody knows whether it began before {what}"));
    };
    let Some(after) = change.began.until(&began.shows) else {
        return Err(format!("it was there before {what}, or the clock was set since"));
    };
    let looked = change.began.until(&began.absent).is_some()
        || began.absent.until(&change.began).is_some_and(|before| before <= all.gap);
    if !looked {
        return Err(format!("nobody knows whether it began before {what}"));
    }
    if after > within {
        return Err(format!("nothing was changed within {} before it: {what}", span(within)));
    }
    if !all.outside.is_empty() {
        let files = all.outside.join(", ");
        return Err(format!("{files} changed after {what}, and the code does not bring that back"));
    }
    let own = |act: &&Act| !act.acked && act.record == Some(change.digest);
    if all.acts.iter().any(|act| own(&act)) {
        return Err(format!("the last change was made automatically: {what}"));
    }
    let same = |act: &&Act| !act.acked && act.change == change.digest;
    if all.acts.iter().any(|act| same(&act)) {
        return Err(format!("it acted on {what} before"));
    }
    Ok(())
}

fn confirmed(all: &Circumstances<'_>) -> Result<(), String> {
    match all.witnesses.is_empty() {
        true => Err("not confirmed: every check passes and every service is up".to_owned()),
        false => Ok(()),
    }
}

fn affordable(all: &Circumstances<'_>) -> Result<(), String> {
    if let Some(obstacle) = &all.obstacle {
        return Err(obstacle.clone());
    }
    let age = |act: &Act| act.moment().until(&all.now);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    // Where the clock was set nobody knows: it counts.
    let lately = all.acts.iter().filter(|act| age(act).is_none_or(|age| age < DAY)).count();
    if lately >= all.settings.per_day as usize {
        return Err(format!("it acted {lately} times within 24 h, the most that [watch] allows"));
    }
    let cooldown = all.settings.cooldown;
    let last = all.acts.iter().rfind(|act| !act.acked);
    match last.map(age) {
        Some(None) => Err("it acted before, and the clock was set since".to_owned()),
        Some(Some(age)) if age < cooldown => {
            Err(format!("it acted {} ago, less than the cooldown of {}", span(age), span(cooldown)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::config::parse;
    use crate::watch::ActEnd;

    fn at(second: i64) -> Moment {
        Moment { time: Timestamp::from_second(second).unwrap(), boot: None }
    }

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn act(second: i64, change: &str, record: &str) -> Act {
        Act {
            at: at(second).time,
            boot: None,
            rule: "errors".to_owned(),
            change: digest(change),
            record: Some(digest(record)),
            incident: "INC-1".to_owned(),
            ended: ActEnd::Cleared,
            acked: false,
        }
    }

    fn began(absent: i64, shows: i64) -> Option<Began> {
        Some(Began { absent: at(absent), shows: at(shows) })
    }

    /// Deployed at 10,000 s, failing from 10,060 s, decided at 10,100 s.
    fn usual<'a>(settings: &'a WatchSettings, acts: &'a [Act]) -> Circumstances<'a> {
        Circumstances {
            settings,
            now: at(10_100),
            up: Duration::from_secs(100_000),
            silence: None,
            busy: None,
            open_run: None,
            stopped: None,
            by_hand: false,
            person: None,
            change: Some(Change {
                seq: Seq(42),
                digest: digest("deploy"),
                what: "v1.3.0 deployed".to_owned(),
                began: at(10_000),
            }),
            began: began(10_050, 10_060),
            gap: Duration::from_secs(25),
            outside: Vec::new(),
            witnesses: vec!["api 500".to_owned()],
            obstacle: None,
            acts,
        }
    }

    #[test]
    fn it_acts_only_where_nothing_speaks_against_it() {
        let settings = parse("[app]\nname = \"shop\"\n", "gitroll.toml").unwrap().watch;
        let decide = |change: &dyn Fn(&mut Circumstances<'_>)| {
            let mut all = usual(&settings, &[]);
            change(&mut all);
            may_act(&all)
        };
        assert_eq!(decide(&|_| {}), Ok(()));
        let waits = |change: &dyn Fn(&mut Circumstances<'_>), text: &str| match decide(change) {
            Err(Blocked::Wait(why)) if why.contains(text) => {}
            other => panic!("{text}: {other:?}"),
        };
        waits(&|all| all.silence = Some("until 14:00".to_owned()), "silent until 14:00");
        waits(&|all| all.up = Duration::from_secs(100), "started less than 3 min ago");
        waits(&|all| all.busy = Some("gitroll deploy".to_owned()), "gitroll deploy is at work");
        let pages = |change: &dyn Fn(&mut Circumstances<'_>), text: &str| match decide(change) {
            Err(Blocked::Page(why)) if why.contains(text) => {}
            other => panic!("{text}: {other:?}"),
        };
        pages(&|all| all.open_run = Some("deploy".to_owned()), "a run is open");
        pages(&|all| all.stopped = Some("did not help".to_owned()), "did not help");
        pages(&|all| all.by_hand = true, "by hand");
        pages(&|all| all.person = Some("mark by ana".to_owned()), "a person is working on it");
        pages(&|all| all.change = None, "nothing was ever changed");
        pages(&|all| all.began = None, "nobody knows");
        pages(&|all| all.began = began(8_990, 9_000), "it was there before v1.3.0 deployed (#42)");
        pages(&|all| all.began = began(13_690, 13_700), "nothing was changed within 60 min");
        // Nobody looked, or no answer told anything, from before the change until it showed.
        pages(&|all| all.began = began(9_900, 10_060), "nobody knows");
        assert_eq!(decide(&|all| all.began = began(9_980, 10_010)), Ok(()));
        pages(&|all| all.outside = vec![".env".to_owned()], ".env changed after");
        pages(&|all| all.witnesses.clear(), "not confirmed");
        pages(&|all| all.obstacle = Some("builds app".to_owned()), "builds app");
    }

    #[test]
    fn it_acts_once_for_a_change_and_seldom() {
        let settings = parse("[app]\nname = \"shop\"\n", "gitroll.toml").unwrap().watch;
        for (acts, text) in [
            (vec![act(9_000, "deploy", "back")], "it acted on v1.3.0 deployed (#42) before"),
            (vec![act(9_000, "other", "deploy")], "the last change was made automatically"),
            (vec![act(9_000, "other", "back")], "less than the cooldown of 30 min"),
            (vec![act(1, "a", "b"), act(2, "c", "d")], "it acted 2 times within 24 h"),
            (vec![act(90_000, "a", "b")], "the clock was set since"),
        ] {
            match may_act(&usual(&settings, &acts)) {
                Err(Blocked::Page(why)) if why.contains(text) => {}
                other => panic!("{text}: {other:?}"),
            }
        }
        let acked = |act: Act| Act { acked: true, ..act };
        for acts in [
            vec![act(1, "other", "back")],
            vec![acked(act(9_000, "deploy", "back"))],
            vec![acked(act(9_000, "other", "deploy"))],
            vec![act(-80_000, "a", "b"), act(1, "c", "d")],
        ] {
            assert_eq!(may_act(&usual(&settings, &acts)), Ok(()), "{acts:#?}");
        }
    }
}
