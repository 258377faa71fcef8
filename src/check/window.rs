//! The state of one proof: answers and looks go in, whether it is proven comes out. Pure; times are
//! counted from its start.

use std::time::Duration;

use crate::config::Check;
use crate::service::ServiceState;
use crate::system::procs::ProcessId;

use super::expectation::{Expectation, Proof};
use super::judgement::seconds;
use super::listeners::{Answerers, Whose};
use super::streak::{Answered, Streak};
use super::takeover::Places;
use super::watch::{Observation, ServiceWatch};
use super::witness::{Witness, asks_the_app, old_listener, weigh};

/// How often services are looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// How long services must stay as they are where no check asks anything, and for how long that is tried.
const SERVICES_SETTLE: Duration = Duration::from_secs(5);
const SERVICES_TIMEOUT: Duration = Duration::from_secs(30);

/// How a proof stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProofState {
    Open,
    Proven,
    Failed,
}

/// One proof on its way.
#[derive(Debug, Clone)]
pub(super) struct Window<'a> {
    expectation: &'a Expectation,
    streaks: Vec<Streak>,
    watch: ServiceWatch,
    answerers: Answerers,
    places: Places,
    /// By check: it asks the app, and not something else.
    asks: Vec<bool>,
    /// When the last look began and ended.
    looked: Option<(Duration, Duration)>,
    deadline: Duration,
    settle: Duration,
}

impl<'a> Window<'a> {
    pub(super) fn new(checks: &[Check], expectation: &'a Expectation) -> Self {
        let streaks: Vec<Streak> = checks
            .iter()
            .map(|check| Streak::new(check, expectation.tells.contains(&check.name)))
            .collect();
        let deadline = streaks.iter().map(Streak::timeout).max().unwrap_or(SERVICES_TIMEOUT);
        let settle = streaks.iter().map(Streak::settle).max().unwrap_or(SERVICES_SETTLE);
        Self {
            expectation,
            streaks,
            watch: ServiceWatch::default(),
            answerers: Answerers::default(),
            places: Places::default(),
            asks: checks.iter().map(asks_the_app).collect(),
            looked: None,
            deadline,
            settle,
        }
    }

    /// Check number `check` was asked at `at`.
    pub(super) fn asked(&mut self, check: usize, at: Duration) {
        if let Some(streak) = self.streaks.get_mut(check) {
            streak.asked(at);
        }
    }

    /// An answer to check number `check` has come.
    pub(super) fn answered(&mut self, check: usize, answer: Answered) {
        let deadline = self.deadline;
        if let Some(streak) = self.streaks.get_mut(check) {
            streak.answered(answer, deadline);
        }
    }

    /// Services and sockets were looked at from `began` to `ended`.
    pub(super) fn seen(
        &mut self,
        look: Observation,
        mut answerers: Answerers,
        began: Duration,
        ended: Duration,
    ) {
        let quiet = self.watch.seen(look, ended, self.expectation.fresh_since);
        // What was answered before the first look may come from processes nobody has seen.
        let places = self.places.seen(std::mem::take(&mut answerers.unnamed));
        let disturbed = !(places && answerers.strangers.is_empty() && answerers.silent.is_empty());
        if !quiet || disturbed || self.looked.is_none() {
            self.streaks.iter_mut().for_each(|streak| streak.restart(ended));
        }
        if let Some(since) = self.expectation.fresh_since.filter(|_| !self.expectation.weak) {
            for (streak, listeners) in self.streaks.iter_mut().zip(&answerers.sockets) {
                let listeners = listeners.as_deref().unwrap_or_default();
                let named = |pid: &u32| answerers.strangers.iter().any(|s| s.pid == Some(*pid));
                streak.socket(old_listener(listeners, since).filter(|pid| !named(pid)), ended);
            }
        }
        self.answerers = answerers;
        self.looked = Some((began, ended));
    }

    /// What the services have started themselves is looked at between the looks, for it may come and go within one.
    pub(super) fn workers(&mut self, alive: impl Fn(u32) -> Vec<ProcessId>, at: Duration) {
        if self.watch.workers(alive, at) {
            self.streaks.iter_mut().for_each(|streak| streak.restart(at));
        }
    }

    /// When services want to be looked at again. At once when every streak holds and they have not been seen
    /// since: what was seen before a crash proves nothing.
    pub(super) fn next_look(&self) -> Duration {
        let Some((began, ended)) = self.looked else { return Duration::ZERO };
        match self.held_since() {
            Some(held) if began < held => held,
            _ => ended + BETWEEN_LOOKS,
        }
    }

    pub(super) fn state(&self, now: Duration) -> ProofState {
        if self.proven() {
            ProofState::Proven
        } else if self.blind()
            || self.watch.hopeless()
            || self.streaks.iter().any(|streak| streak.hopeless() || streak.missed(now))
            || (now > self.deadline
                && self.streaks.iter().all(|streak| streak.out_of_time(now, self.deadline)))
        {
            ProofState::Failed
        } else {
            ProofState::Open
        }
    }

    /// Whether nothing is asked and nothing is observed.
    fn blind(&self) -> bool {
        self.streaks.is_empty() && self.looked.is_some() && self.watch.is_empty()
    }

    /// Since when all streaks hold; `None` while one does not.
    fn held_since(&self) -> Option<Duration> {
        self.streaks
            .iter()
            .try_fold(Duration::ZERO, |held, streak| Some(held.max(streak.held_at()?)))
    }

    fn proven(&self) -> bool {
        let (Some((began, ended)), Some(held)) = (self.looked, self.held_since()) else {
            return false;
        };
        let Answerers { strangers, silent, .. } = &self.answerers;
        if !(strangers.is_empty() && silent.is_empty() && self.places.taken().is_empty()) {
            return false;
        }
        let observed = if self.streaks.is_empty() {
            !self.watch.is_empty() && self.watch.clean_for(ended) >= self.settle
        } else {
            began >= held
        };
        observed
            && self.watch.clean_for(ended) >= self.watch.must_last()
            && !self.watch.troubled()
            && self.witness().is_some()
    }

    fn witness(&self) -> Option<Witness> {
        let told = self.streaks.iter().any(Streak::told);
        let services: Vec<&ServiceState> = self.watch.states();
        let Expectation { fresh_since, changed, weak, .. } = *self.expectation;
        if changed && fresh_since.is_none() {
            return Some(if told { Witness::Told } else { Witness::Unseen });
        }
        weigh(told, &services, &self.answerers.sockets, self.proxied(), fresh_since, weak)
    }

    /// Whether everything that asks the app does so through a proxy.
    fn proxied(&self) -> bool {
        let through = |number: usize| {
            let listeners = self.answerers.sockets.get(number).and_then(Option::as_ref);
            listeners.is_some_and(|l| l.iter().any(|l| l.whose == Whose::Front))
        };
        let mut asking = (0..self.asks.len()).filter(|number| self.asks[*number]).peekable();
        asking.peek().is_some() && asking.all(through)
    }

    /// Why a proof that holds is a weak one.
    fn weakness(&self) -> Option<String> {
        let told = self.streaks.iter().any(Streak::told);
        if !told && !self.asks.contains(&true) {
            return Some("no [[check]] queries the app".to_owned());
        }
        match self.witness()? {
            Witness::Waived => {
                Some("nothing distinguishes this version from the previous one".to_owned())
            }
            Witness::Proxied => Some("every check goes through a proxy".to_owned()),
            Witness::Unseen => Some(
                "nothing was reloaded, and no answer distinguishes this version from the previous one"
                    .to_owned(),
            ),
            Witness::NotDemanded | Witness::Told | Witness::Processes | Witness::Sockets => None,
        }
    }

    /// `api 2/3, admin: 500`.
    pub(super) fn progress(&self) -> String {
        if self.streaks.is_empty() {
            return self.watch.progress();
        }
        self.streaks.iter().map(Streak::progress).collect::<Vec<_>>().join(", ")
    }

    /// What came of it, at `now`.
    pub(super) fn proof(&self, now: Duration) -> Proof {
        let proven = self.proven();
        let failures = if proven { Vec::new() } else { self.failures(now) };
        let window = self.settle.max(self.watch.must_last());
        let lines = if proven { Vec::new() } else { self.watch.lines(now, window) };
        Proof {
            proven,
            checks: self.streaks.iter().map(|streak| streak.evidence(now)).collect(),
            services: self.watch.evidence(self.expectation.fresh_since, &self.answerers.listens),
            weak: self.weakness().filter(|_| proven),
            failures,
            lines,
            last_look: self.watch.last_look(),
        }
    }

    fn failures(&self, now: Duration) -> Vec<String> {
        if self.blind() {
            return vec!["there is no check and no service, so nothing can be observed".to_owned()];
        }
        let (wrong, other): (Vec<&Streak>, Vec<&Streak>) =
            self.streaks.iter().partition(|streak| streak.wrong_version());
        let window = self.settle.max(self.watch.must_last());
        let mut services = self.watch.failures(now, window);
        let silent = self.answerers.silent.iter();
        services.extend(silent.map(|(service, why)| format!("{service}: {why}")));
        let strangers = self.answerers.strangers.iter().map(ToString::to_string);
        services.splice(0..0, strangers.chain(self.places.taken().iter().cloned()));
        let disturbed = !services.is_empty();
        let mut failures: Vec<String> = wrong
            .into_iter()
            .chain(other)
            .filter_map(|streak| streak.failure(disturbed, now))
            .collect();
        failures.extend(services);
        let no_witness = self.held_since().is_some() && self.witness().is_none();
        if failures.is_empty() && no_witness {
            failures.push(format!(
                "no check and no process distinguishes {} from what served before",
                self.expectation.served
            ));
        }
        if failures.is_empty() {
            failures.push(format!("it did not stay healthy for {}", seconds(self.settle)));
        }
        failures
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::check::judgement::Judgement;
    use crate::check::listeners::{Listener, Sockets};
    use crate::config::{CheckKind, HttpCheck};
    use crate::model::Served;
    use crate::system::procs::Ticks;

    /// What happens in a story, at a time in ms.
    #[derive(Debug, Clone, Copy)]
    enum Happens {
        /// An answer comes, asked for 10 ms before.
        Answer(&'static Kind),
        /// A look is taken, 10 ms long: pid and start of the one process, restarts, who listens.
        Observation(Option<(u32, u64)>, u64, Option<(u32, u64)>),
        /// A look finds nothing running.
        Down(&'static str),
    }

    #[derive(Debug)]
    struct Kind {
        ok: bool,
        told: bool,
        words: &'static str,
    }

    const OK: Happens = Happens::Answer(&Kind { ok: true, told: false, words: "200" });
    const TOLD: Happens = Happens::Answer(&Kind { ok: true, told: true, words: "200" });
    const BAD: Happens = Happens::Answer(&Kind { ok: false, told: false, words: "500" });
    const FRESH: Happens = Happens::Observation(Some((5, 150)), 0, None);
    const UNNAMED: Happens = Happens::Observation(None, 0, None);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn check() -> Check {
        Check {
            name: "api".parse().unwrap(),
            kind: CheckKind::Http(HttpCheck {
                url: "http://127.0.0.1:3000/".to_owned(),
                status: 200,
                headers: BTreeMap::new(),
                body: None,
                json: BTreeMap::new(),
                file: None,
                own: true,
                redirects: 0,
                request_timeout: ms(1000),
                max_bytes: 1,
            }),
            critical: true,
            group: crate::config::CheckGroup::Quick,
            passes: 3,
            settle: ms(1000),
            timeout: ms(5000),
        }
    }

    fn expectation() -> Expectation {
        Expectation {
            only: crate::config::Selection::All,
            around: crate::check::Surroundings::default(),
            until: crate::system::signals::Until::Left,
            served: Served {
                commit: "4be21d9".repeat(6)[..40].parse().unwrap(),
                name: "v1.0.0".to_owned(),
                version: Some("1.0.0".to_owned()),
            },
            deployment: "7".to_owned(),
            not: None,
            fresh_since: Some(Ticks(100)),
            changed: false,
            weak: false,
            listens: crate::check::Listens::default(),
            tells: Default::default(),
        }
    }

    fn state(process: Option<(u32, u64)>, restarts: u64) -> ServiceState {
        let process = process.map(|(pid, start_ticks)| ProcessId {
            pid,
            start_ticks,
            boot_id: String::new(),
        });
        ServiceState {
            word: "online".to_owned(),
            up: true,
            processes: process.into_iter().collect(),
            restarts,
            socket_owners: Vec::new(),
            stale: None,
            untouched: false,
            kept: false,
            no_witness: None,
            redefined: None,
            log: Vec::new(),
        }
    }

    fn apply(window: &mut Window<'_>, at: Duration, event: Happens) {
        let began = at.saturating_sub(ms(10));
        match event {
            Happens::Answer(Kind { ok, told, words }) => {
                let judgement = Judgement { ok: *ok, told: *told, ..Judgement::failed(*words) };
                window.answered(0, Answered { began, ended: at, took: ms(10), judgement });
            }
            Happens::Observation(process, restarts, listener) => {
                let look = vec![("web".to_owned(), Ok(state(process, restarts)))];
                let listener = listener.map(|(pid, started)| Listener {
                    pid: Some(pid),
                    started: Some(started),
                    whose: Whose::Unknown,
                });
                let sockets: Sockets = vec![Some(listener.into_iter().collect())];
                window.seen(look, sockets.into(), began, at);
            }
            Happens::Down(word) => {
                let down = ServiceState { word: word.to_owned(), up: false, ..state(None, 16) };
                let sockets: Sockets = vec![Some(vec![])];
                window.seen(vec![("web".to_owned(), Ok(down))], sockets.into(), began, at);
            }
        }
    }

    /// Plays a story; says when it was proven or failed, and why.
    fn played(
        checks: &[Check],
        expectation: &Expectation,
        story: &[(u64, Happens)],
    ) -> (ProofState, u64, Vec<String>) {
        let mut window = Window::new(checks, expectation);
        for (at, event) in story {
            apply(&mut window, ms(*at), *event);
            let state = window.state(ms(*at));
            if state != ProofState::Open {
                return (state, *at, window.proof(ms(*at)).failures);
            }
        }
        let end = story.last().map_or(0, |(at, _)| *at);
        (ProofState::Open, end, window.proof(ms(end)).failures)
    }

    fn story(parts: &[(u64, Happens)]) -> Vec<(u64, Happens)> {
        parts.to_vec()
    }

    #[test]
    fn a_row_must_be_long_enough_in_passes_and_in_time() {
        let (expectation, checks) = (expectation(), [check()]);
        let quick = story(&[(10, FRESH), (100, OK), (200, OK), (300, OK), (400, OK), (500, FRESH)]);
        assert_eq!(played(&checks, &expectation, &quick).0, ProofState::Open, "1 s has not passed");
        let few = story(&[(10, FRESH), (100, OK), (2000, OK), (2100, FRESH)]);
        assert_eq!(played(&checks, &expectation, &few).0, ProofState::Open, "two passes only");
        let good = story(&[(10, FRESH), (100, OK), (600, OK), (1100, OK), (1200, FRESH)]);
        assert_eq!(played(&checks, &expectation, &good), (ProofState::Proven, 1200, vec![]));
    }

    #[test]
    fn a_process_that_was_restarted_must_last_twice_as_long_as_the_one_before() {
        let (expectation, checks) = (expectation(), [check()]);
        let again = Happens::Observation(Some((6, 200)), 1, None);
        let mut restarted = story(&[
            (10, FRESH),
            (100, OK),
            (700, again),
            (800, OK),
            (1300, OK),
            (1800, OK),
            (1900, again),
        ]);
        assert_eq!(played(&checks, &expectation, &restarted).0, ProofState::Open, "0.7 s, 1.2 s");
        restarted.push((2100, again));
        assert_eq!(played(&checks, &expectation, &restarted), (ProofState::Proven, 2100, vec![]));
        // One that lives longer than the checks settle, again and again, never holds.
        let mut loops = story(&[(10, FRESH)]);
        for (number, from) in (0..4).map(|number| (number, number * 1500)) {
            loops.extend([(from + 100, OK), (from + 700, OK), (from + 1200, OK)]);
            let ended = u32::try_from(number).unwrap();
            loops.push((
                from + 1490,
                Happens::Observation(Some((7 + ended, 200)), number + 1, None),
            ));
        }
        let (state, _, failures) = played(&checks, &expectation, &loops);
        assert_eq!(
            (state, failures),
            (ProofState::Failed, vec!["web: restarted 3 times".to_owned()])
        );
    }

    #[test]
    fn a_late_failure_and_flapping_start_the_row_anew() {
        let (expectation, checks) = (expectation(), [check()]);
        let late = story(&[
            (10, FRESH),
            (100, OK),
            (600, OK),
            (1000, BAD),
            (1200, OK),
            (1300, FRESH),
            (1700, OK),
            (2150, OK),
            (2160, FRESH),
            (2210, OK),
            (2300, FRESH),
        ]);
        assert_eq!(played(&checks, &expectation, &late), (ProofState::Proven, 2300, vec![]));
        let mut flapping = story(&[(10, FRESH)]);
        for n in 0..20 {
            flapping.push((100 + n * 300, if n % 3 == 0 { BAD } else { OK }));
            flapping.push((130 + n * 300, FRESH));
        }
        let (state, at, failures) = played(&checks, &expectation, &flapping);
        assert!(state == ProofState::Failed && at > 5000);
        assert_eq!(
            failures,
            ["api: passed 1 in a row over 0 ms, not 3 over 1 s within 5 s, before that: 500"]
        );
    }

    #[test]
    fn what_was_not_looked_at_after_the_row_held_is_not_proven() {
        let (expectation, checks) = (expectation(), [check()]);
        let mut window = Window::new(&checks, &expectation);
        for (at, event) in [(10, FRESH), (100, OK), (600, OK), (1100, OK)] {
            apply(&mut window, ms(at), event);
        }
        assert_eq!(window.state(ms(1100)), ProofState::Open);
        assert_eq!(window.next_look(), ms(1100), "at once");
        apply(&mut window, ms(1110), Happens::Down("errored"));
        assert_eq!(window.state(ms(1110)), ProofState::Open);
        assert_eq!(window.proof(ms(1110)).failures, ["web: errored, 16 restarts"]);
    }

    #[test]
    fn restarts_and_new_processes_within_the_row_start_it_anew() {
        let (expectation, checks) = (expectation(), [check()]);
        for second in [
            Happens::Observation(Some((5, 150)), 1, None),
            Happens::Observation(Some((6, 180)), 0, None),
        ] {
            let mut told = story(&[(10, FRESH), (100, TOLD), (600, TOLD), (700, second)]);
            told.extend([(1100, TOLD), (1110, second), (1600, TOLD), (2100, TOLD), (2110, second)]);
            assert_eq!(played(&checks, &expectation, &told), (ProofState::Proven, 2110, vec![]));
        }
        let mut looping = story(&[(10, FRESH)]);
        for n in 1..60 {
            looping.push((n * 100, TOLD));
            looping.push((n * 100 + 50, Happens::Observation(Some((n as u32, 100 + n)), n, None)));
        }
        let (state, _, failures) = played(&checks, &expectation, &looping);
        assert_eq!(state, ProofState::Failed);
        assert_eq!(failures, ["web: restarted 50 times"]);
    }

    #[test]
    fn an_old_process_is_never_proven_whatever_it_answers() {
        let (expectation, checks) = (expectation(), [check()]);
        let old = Happens::Observation(Some((5, 99)), 0, None);
        for answer in [OK, TOLD] {
            let (state, failures) = steady(&checks, &expectation, answer, old);
            assert_eq!(state, ProofState::Failed);
            assert_eq!(failures, ["web: process 5 started before the reload"]);
        }
        let weak = Expectation { weak: true, ..expectation };
        assert_eq!(steady(&checks, &weak, OK, old).0, ProofState::Failed);
    }

    #[test]
    fn an_old_listener_fails_unless_the_version_was_told_through_it() {
        let (expectation, checks) = (expectation(), [check()]);
        let strange = |started| Happens::Observation(Some((5, 150)), 0, Some((7, started)));
        let (state, failures) = steady(&checks, &expectation, OK, strange(99));
        assert_eq!(state, ProofState::Failed);
        assert_eq!(failures, ["api: answered by process 7, which started before the reload"]);
        assert_eq!(steady(&checks, &expectation, TOLD, strange(99)).0, ProofState::Proven);
        assert_eq!(steady(&checks, &expectation, OK, strange(100)).0, ProofState::Proven);
        let weak = Expectation { weak: true, ..expectation };
        assert_eq!(steady(&checks, &weak, OK, strange(99)).0, ProofState::Proven);
    }

    #[test]
    fn without_a_witness_nothing_is_proven_unless_that_was_asked_for() {
        let (expectation, checks) = (expectation(), [check()]);
        let (state, failures) = steady(&checks, &expectation, OK, UNNAMED);
        assert_eq!(state, ProofState::Failed);
        assert_eq!(
            failures,
            ["no check and no process distinguishes v1.0.0 (4be21d9) from what served before"]
        );
        assert_eq!(steady(&checks, &expectation, TOLD, UNNAMED).0, ProofState::Proven);
        let fresh_socket = Happens::Observation(None, 0, Some((7, 120)));
        assert_eq!(steady(&checks, &expectation, OK, fresh_socket).0, ProofState::Proven);
        let weak = Expectation { weak: true, ..expectation.clone() };
        assert_eq!(steady(&checks, &weak, OK, UNNAMED).0, ProofState::Proven);
        let unchanged = Expectation { fresh_since: None, ..expectation };
        let old = Happens::Observation(Some((5, 9)), 0, None);
        assert_eq!(steady(&checks, &unchanged, OK, old).0, ProofState::Proven);
    }

    #[test]
    fn answers_of_two_versions_in_turn_are_not_proven() {
        let (expectation, checks) = (expectation(), [check()]);
        let mut mixed = story(&[(10, FRESH)]);
        for n in 1..60 {
            mixed.push((n * 100, if n % 4 == 0 { OK } else { TOLD }));
            mixed.push((n * 100 + 20, FRESH));
        }
        let (state, _, failures) = played(&checks, &expectation, &mixed);
        assert_eq!(state, ProofState::Failed);
        assert_eq!(failures, ["api: some answers contain the version and some do not"]);
    }

    #[test]
    fn a_service_given_up_ends_it_early() {
        let (expectation, checks) = (expectation(), [check()]);
        let errored: Vec<(u64, Happens)> = (0..9)
            .flat_map(|n| [(n * 500 + 10, Happens::Down("errored")), (n * 500 + 20, BAD)])
            .collect();
        let (state, at, failures) = played(&checks, &expectation, &errored);
        assert_eq!((state, at), (ProofState::Failed, 2010));
        assert_eq!(failures, ["api: 500", "web: errored, 16 restarts"]);
    }

    #[test]
    fn a_check_that_missed_its_own_time_ends_it_early() {
        let expectation = expectation();
        let patient = Check { name: "slow".parse().unwrap(), timeout: ms(60_000), ..check() };
        let checks = [check(), patient];
        let bad = story(&[(10, FRESH), (100, BAD), (5200, BAD)]);
        assert_eq!(played(&checks, &expectation, &bad).0, ProofState::Failed);
    }

    #[test]
    fn a_first_answer_is_waited_for_a_request_long() {
        let (expectation, checks) = (expectation(), [check()]);
        let mut window = Window::new(&checks, &expectation);
        apply(&mut window, ms(10), FRESH);
        assert_eq!(window.state(ms(5500)), ProofState::Open);
        assert_eq!(window.state(ms(6001)), ProofState::Failed);
        apply(&mut window, ms(5600), OK);
        assert_eq!(window.state(ms(5600)), ProofState::Failed, "too late to be a pass");
    }

    #[test]
    fn services_alone_must_stay_for_five_seconds_and_nothing_at_all_proves_nothing() {
        let expectation = expectation();
        let calm: Vec<(u64, Happens)> = (0..20).map(|n| (n * 500 + 10, FRESH)).collect();
        assert_eq!(played(&[], &expectation, &calm), (ProofState::Proven, 5010, vec![]));
        let mut restarted = calm.clone();
        restarted[6].1 = Happens::Observation(Some((6, 160)), 0, None);
        assert_eq!(played(&[], &expectation, &restarted).0, ProofState::Proven);
        assert_eq!(played(&[], &expectation, &restarted).1, 8510, "five seconds from the way back");
        let mut window = Window::new(&[], &expectation);
        window.seen(Vec::new(), Answerers::default(), ms(0), ms(1));
        assert_eq!(window.state(ms(1)), ProofState::Failed);
        assert_eq!(
            window.proof(ms(1)).failures,
            ["there is no check and no service, so nothing can be observed"]
        );
    }

    #[test]
    fn evidence_says_what_was_seen() {
        let (expectation, checks) = (expectation(), [check()]);
        let mut window = Window::new(&checks, &expectation);
        for (at, event) in [(10, FRESH), (100, TOLD), (400, TOLD), (700, TOLD), (1100, TOLD)] {
            apply(&mut window, ms(at), event);
        }
        apply(&mut window, ms(1200), FRESH);
        assert_eq!(window.progress(), "api 3/3");
        let proof = window.proof(ms(1200));
        assert!(proof.proven && proof.failures.is_empty());
        let check = &proof.checks[0];
        assert!(check.passed && check.told_version);
        assert_eq!((check.passes, check.wanted, check.last.answer.as_str()), (3, 3, "200"));
        assert_eq!((proof.services[0].fresh, proof.services[0].pids.as_slice()), (1, &[5][..]));
    }

    /// The same answer and the same look for 7 s.
    fn steady(
        checks: &[Check],
        expectation: &Expectation,
        answer: Happens,
        look: Happens,
    ) -> (ProofState, Vec<String>) {
        let mut steady = story(&[(10, look)]);
        steady.extend((0..35).flat_map(|n| [(100 + n * 200, answer), (150 + n * 200, look)]));
        let (state, _, failures) = played(checks, expectation, &steady);
        (state, failures)
    }

    fn any_event() -> impl Strategy<Value = Happens> {
        let process = (1u32..3, 95u64..105);
        let listener = proptest::option::of((7u32..9, 95u64..105));
        prop_oneof![
            6 => Just(OK),
            6 => Just(TOLD),
            1 => Just(BAD),
            8 => Just(FRESH),
            2 => (proptest::option::of(process), 0u64..2, listener)
                .prop_map(|(process, restarts, listener)| Happens::Observation(process, restarts, listener)),
            1 => Just(Happens::Down("errored")),
        ]
    }

    proptest! {
        /// Whatever happens: a proof has behind it a settle time without a failed answer, without a
        /// disturbance, and with a witness.
        #[test]
        fn a_proof_is_never_given_away(
            events in proptest::collection::vec((20u64..300, any_event()), 1..80),
        ) {
            let (expectation, checks) = (expectation(), [check()]);
            let mut at = 0;
            let story: Vec<(u64, Happens)> = events
                .into_iter()
                .map(|(pause, event)| { at += pause; (at, event) })
                .collect();
            let (state, end, failures) = played(&checks, &expectation, &story);
            prop_assert_eq!(state == ProofState::Proven, failures.is_empty());
            if state == ProofState::Proven {
                let window: Vec<&(u64, Happens)> = story
                    .iter()
                    .filter(|(at, _)| *at <= end && *at + 1000 >= end)
                    .collect();
                for (_, event) in &window {
                    match event {
                        Happens::Answer(kind) => prop_assert!(kind.ok),
                        Happens::Down(_) => prop_assert!(false, "it was down"),
                        Happens::Observation(process, ..) => {
                            prop_assert!(process.is_none_or(|(_, start)| start >= 100));
                        }
                    }
                }
                let told = window.iter().any(|(_, event)| {
                    matches!(event, Happens::Answer(kind) if kind.told)
                });
                let last = window.last().map(|(_, event)| event);
                let fresh = matches!(last, Some(Happens::Observation(Some(_), ..) | Happens::Observation(_, _, Some(_))));
                prop_assert!(told || fresh);
            }
        }
    }
}
