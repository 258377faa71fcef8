//! One rule over time: how long, and how often in a row, its symptom shows. Pure. Times are counted since the machine
//! began, by a clock that nobody sets.

use std::time::Duration;

use crate::check::Symptom;
use crate::model::Moment;

/// What one question came to, and when.
#[derive(Debug, Clone)]
pub struct Look {
    /// When it was asked.
    pub asked: Duration,
    /// When it was answered.
    pub answered: Duration,
    /// The moment it was asked, as records tell moments.
    pub moment: Moment,
    /// The answer.
    pub seen: Symptom,
}

/// When a symptom is taken for real.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// It shows for so long.
    pub lasts: Duration,
    /// It shows so often in a row.
    pub attempts: u32,
    /// Between two looks passes no more than this; otherwise nobody knows what was in between.
    pub gap: Duration,
}

/// A rule, as it was seen until now.
#[derive(Debug, Clone, Default)]
pub struct Trigger {
    last: Option<Look>,
    streak: Option<Streak>,
    /// How often in a row the symptom was absent.
    absent: u32,
    /// When it was absent last.
    was_absent: Option<Moment>,
    first_since_absent: Option<Moment>,
}

/// Between which two looks a symptom began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    /// When it was absent last.
    pub absent: Moment,
    /// When it showed first.
    pub shows: Moment,
}

/// The symptom shows without a break.
#[derive(Debug, Clone)]
struct Streak {
    since: Duration,
    times: u32,
}

impl Trigger {
    /// Takes in a look. An answer that tells nothing, and a gap, end what was seen in a row.
    pub fn take(&mut self, look: Look, needs: Needs) {
        let gap = self.last.as_ref().is_some_and(|last| last.answered + needs.gap < look.asked);
        if gap {
            self.streak = None;
            self.absent = 0;
        }
        match look.seen {
            Symptom::Shows(_) => {
                let streak = self.streak.get_or_insert(Streak { since: look.asked, times: 0 });
                streak.times = streak.times.saturating_add(1);
                self.absent = 0;
                self.first_since_absent.get_or_insert_with(|| look.moment.clone());
            }
            Symptom::Absent(_) => {
                self.streak = None;
                self.absent = self.absent.saturating_add(1);
                self.was_absent = Some(look.moment.clone());
                self.first_since_absent = None;
            }
            Symptom::Unknown(_) => {
                self.streak = None;
                self.absent = 0;
            }
        }
        self.last = Some(look);
    }

    /// Whether the symptom is taken for real.
    pub fn fires(&self, needs: Needs) -> bool {
        let Some(streak) = &self.streak else { return false };
        streak.times >= needs.attempts && self.showing() >= needs.lasts
    }

    /// For how long the symptom shows without a break, from the first look to the last. How long an answer took does not count.
    pub fn showing(&self) -> Duration {
        let asked = self.last.as_ref().map(|last| last.asked);
        let since = self.streak.as_ref().map(|streak| streak.since);
        asked.zip(since).map_or(Duration::ZERO, |(asked, since)| asked.saturating_sub(since))
    }

    /// How often in a row the symptom shows.
    pub fn times(&self) -> u32 {
        self.streak.as_ref().map_or(0, |streak| streak.times)
    }

    /// How often in a row it was absent.
    pub fn absent(&self) -> u32 {
        self.absent
    }

    /// When the symptom began, where it was seen absent before; what nobody knows of in between is no end of it.
    pub fn began(&self) -> Option<Began> {
        let (absent, shows) = (self.was_absent.clone()?, self.first_since_absent.clone()?);
        Some(Began { absent, shows })
    }

    /// The last look.
    pub fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const NEEDS: Needs =
        Needs { lasts: Duration::from_secs(5), attempts: 3, gap: Duration::from_secs(3) };

    fn look(second: u64, word: char) -> Look {
        let seen = match word {
            'x' => Symptom::Shows("500".to_owned()),
            '-' => Symptom::Absent("200".to_owned()),
            _ => Symptom::Unknown("no data".to_owned()),
        };
        let asked = Duration::from_secs(second);
        let time = Timestamp::from_second(second.cast_signed()).unwrap();
        Look { asked, answered: asked, moment: Moment { time, boot: None }, seen }
    }

    /// A look a second: `x` shows, `-` is absent, `?` is unknown, and at a blank nobody looked.
    fn seen(looks: &str) -> Trigger {
        let mut trigger = Trigger::default();
        for (second, word) in looks.chars().enumerate().filter(|(_, word)| *word != ' ') {
            trigger.take(look(second as u64, word), NEEDS);
        }
        trigger
    }

    #[test]
    fn a_symptom_is_real_once_it_lasts_and_shows_often_enough_without_a_break() {
        for (looks, fires) in [
            ("xxxxxx", true),
            ("xxxxx", false),
            ("-xxxxxx", true),
            ("xxxxx-", false),
            ("xx-xxxxx", false),
            ("xx?xxxxx", false),
            ("xxxxxxx?", false),
            ("x  x  x", true),
            ("x    x", false),
            ("xxxxx      x", false),
            ("", false),
            ("??????", false),
        ] {
            assert_eq!(seen(looks).fires(NEEDS), fires, "{looks:?}");
        }
        // One answer that took long is one look.
        let mut trigger = Trigger::default();
        let slow = Look { answered: Duration::from_secs(60), ..look(0, 'x') };
        trigger.take(slow, NEEDS);
        assert!(!trigger.fires(Needs { attempts: 1, ..NEEDS }));
    }

    #[test]
    fn since_when_it_shows_is_known_only_where_it_was_absent_before() {
        for (looks, began) in [
            ("-xxx", Some((0, 1))),
            ("xxxx", None),
            ("??xx", None),
            // What was not seen in between does not make it younger.
            ("-x??xx", Some((0, 1))),
            ("-x      x", Some((0, 1))),
            ("-??x", Some((0, 3))),
            ("-x-x", Some((2, 3))),
            ("xx-?x", Some((2, 4))),
            ("-x-", None),
        ] {
            let second = |moment: &Moment| moment.time.as_second();
            let found = seen(looks).began();
            let found = found.map(|began| (second(&began.absent), second(&began.shows)));
            assert_eq!(found, began, "{looks:?}");
        }
        assert_eq!(seen("xx--").absent(), 2);
        assert_eq!(seen("--?-").absent(), 1);
    }
}
