//! Services while they are being proven: trouble, restarts and changes, found from one look to the next.
//! Pure; times are counted from the start of the proof.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{ServiceEvidence, ServiceName};
use crate::service::{ServiceError, ServiceState};
use crate::system::procs::{ProcessId, Ticks};
use crate::system::secrets;

use super::judgement::{shown, times};
use super::listeners::{ObservedService, Place};
use super::witness::old_process;

/// All services as observed at one moment.
pub(super) type Observation = Vec<ObservedService>;

/// A manager has given up, and a look or two later still has.
const GIVEN_UP_LOOKS: u32 = 3;
const GIVEN_UP_TIME: Duration = Duration::from_secs(2);

/// The managers' words for a service that nobody will start again by itself.
const GIVEN_UP_WORDS: [&str; 5] = ["errored", "failed", "exited", "dead", "inactive"];
/// Given up only if it was up before: a team's own status command may say so while the service boots.
const STOPPED: &str = "stopped";

#[derive(Debug, Clone, Default)]
pub(super) struct ServiceWatch {
    services: Vec<WatchedService>,
    looked: bool,
    clean_since: Option<Duration>,
}

#[derive(Debug, Clone, Default)]
struct WatchedService {
    name: String,
    state: Option<ServiceState>,
    trouble: Option<String>,
    given_up: Option<GivenUp>,
    was_up: bool,
    restarts_seen: u64,
    changes: u64,
    last_change: Option<Duration>,
    /// Since when no restart was seen.
    steady_since: Option<Duration>,
    /// The longest time from a start to the restart after it.
    lived: Duration,
    workers: Workers,
}

/// The processes that a service has made of itself: of a cluster, of a server that forks.
#[derive(Debug, Clone, Default)]
struct Workers {
    alive: Vec<ProcessId>,
    ended: u64,
    last_end: Option<Duration>,
}

/// One that lived longer is not one that fails at start: some servers renew theirs from time to time.
const SHORT_LIFE: Duration = Duration::from_secs(30);

/// How often the next one may fail is not known from one: twice this long none may.
const WORKER_PAUSE: Duration = Duration::from_secs(2);

/// Since when, until when and how often in a row a service was seen given up.
#[derive(Debug, Clone, Copy)]
struct GivenUp {
    since: Duration,
    until: Duration,
    looks: u32,
}

impl ServiceWatch {
    /// Takes in a look. Says whether all services were as they must be and as they were at the look before.
    pub(super) fn seen(
        &mut self,
        look: Observation,
        at: Duration,
        fresh_since: Option<Ticks>,
    ) -> bool {
        let mut before = std::mem::take(&mut self.services);
        // A service that is spoken of for the first time, or no longer, is a change.
        let mut quiet = !self.looked || before.len() == look.len();
        for (name, result) in look {
            let position = before.iter().position(|service| service.name == name);
            let mut service = position.map(|at| before.swap_remove(at)).unwrap_or_default();
            service.name = name;
            quiet &= service.seen(result, at, fresh_since);
            self.services.push(service);
        }
        quiet &= before.is_empty();
        self.looked = true;
        if self.troubled() {
            self.clean_since = None;
        } else if !quiet || self.clean_since.is_none() {
            self.clean_since = Some(at);
        }
        quiet && !self.troubled()
    }

    /// Takes in which workers the services have, a moment after the processes were seen. Says whether one of them ended
    /// that had not lived long.
    pub(super) fn workers(&mut self, alive: impl Fn(u32) -> Vec<ProcessId>, at: Duration) -> bool {
        let now = Ticks::now();
        let mut ended = false;
        for service in &mut self.services {
            let Some(state) = &service.state else { continue };
            let alive: Vec<ProcessId> =
                state.processes.iter().flat_map(|process| alive(process.pid)).collect();
            ended |= service.workers_are(alive, now, at);
        }
        if ended {
            self.clean_since = Some(at);
        }
        ended
    }

    pub(super) fn troubled(&self) -> bool {
        self.services.iter().any(|service| service.trouble.is_some())
    }

    /// For how long all services have been as they must be, until `at`.
    pub(super) fn clean_for(&self, at: Duration) -> Duration {
        self.clean_since.map_or(Duration::ZERO, |since| at.saturating_sub(since))
    }

    /// For how long all services must have been as they must be: twice as long as a process that ended meanwhile had
    /// lived, so that one that comes and goes is not taken for one that stays.
    pub(super) fn must_last(&self) -> Duration {
        self.services.iter().map(|service| service.lived * 2).max().unwrap_or_default()
    }

    /// Whether a service cannot recover by itself.
    pub(super) fn hopeless(&self) -> bool {
        self.services.iter().any(WatchedService::hopeless)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// What the managers said, where they said anything.
    pub(super) fn states(&self) -> Vec<&ServiceState> {
        self.services.iter().filter_map(|service| service.state.as_ref()).collect()
    }

    /// Each service as it was seen the last time its manager answered.
    pub(super) fn last_look(&self) -> Vec<(String, ServiceState)> {
        let seen = |s: &WatchedService| Some((s.name.clone(), s.state.clone()?));
        self.services.iter().filter_map(seen).collect()
    }

    /// What speaks against the services at `end`, changes within the last `window` included.
    pub(super) fn failures(&self, end: Duration, window: Duration) -> Vec<String> {
        self.services.iter().filter_map(|service| service.failure(end, window)).collect()
    }

    /// The log lines of the services in trouble; of all if none is.
    pub(super) fn lines(&self, end: Duration, window: Duration) -> Vec<(String, String)> {
        let failed = |service: &&WatchedService| service.failure(end, window).is_some();
        let any = self.services.iter().any(|service| failed(&service));
        self.services
            .iter()
            .filter(|service| !any || failed(service))
            .filter_map(|service| Some((service, service.state.as_ref()?)))
            .flat_map(|(s, state)| state.log.iter().map(|line| (s.name.clone(), line.clone())))
            .collect()
    }

    pub(super) fn evidence(
        &self,
        fresh_since: Option<Ticks>,
        listens: &BTreeMap<String, Vec<Place>>,
    ) -> Vec<ServiceEvidence> {
        let told = |service: &WatchedService| {
            let places = listens.get(&service.name).map(Vec::as_slice).unwrap_or_default();
            let listens = places.iter().map(Place::to_string).collect();
            Some(ServiceEvidence { listens, ..service.evidence(fresh_since)? })
        };
        self.services.iter().filter_map(told).collect()
    }

    /// `web online`, for a proof that has nothing else to tell.
    pub(super) fn progress(&self) -> String {
        let word =
            |s: &WatchedService| s.state.as_ref().map_or("unknown", |state| &state.word).to_owned();
        let all: Vec<String> =
            self.services.iter().map(|s| format!("{} {}", s.name, shown(&word(s)))).collect();
        all.join(", ")
    }
}

impl WatchedService {
    fn seen(
        &mut self,
        result: Result<ServiceState, ServiceError>,
        at: Duration,
        fresh_since: Option<Ticks>,
    ) -> bool {
        let given_up;
        let mut quiet = true;
        match result {
            Err(error) => {
                given_up = matches!(
                    error,
                    ServiceError::Unknown { .. }
                        | ServiceError::NoTool(_)
                        | ServiceError::Unsupported(_)
                        | ServiceError::Unusable { .. }
                );
                self.trouble = Some(shown_line(&error.to_string()));
            }
            Ok(state) => {
                self.was_up |= state.up;
                // Some say why after it: `failed: exit code 1`.
                let word = state.word.split([':', ' ']).next().unwrap_or_default();
                given_up = !state.up
                    && (GIVEN_UP_WORDS.contains(&word) || (self.was_up && word == STOPPED));
                self.trouble = trouble(&state, fresh_since);
                if let Some(before) = &self.state {
                    let restarts = state.restarts.saturating_sub(before.restarts);
                    let changed = !same_processes(before, &state);
                    if restarts > 0 || changed {
                        self.restarts_seen += restarts;
                        if let Some(since) = self.steady_since.filter(|_| restarts > 0) {
                            self.lived = self.lived.max(at.saturating_sub(since));
                            self.steady_since = Some(at);
                        }
                        self.changes += 1;
                        self.last_change = Some(at);
                        quiet = false;
                    }
                }
                self.steady_since.get_or_insert(at);
                self.state = Some(state);
            }
        }
        self.given_up = given_up.then(|| {
            let before = self.given_up.unwrap_or(GivenUp { since: at, until: at, looks: 0 });
            GivenUp { until: at, looks: before.looks + 1, ..before }
        });
        quiet
    }

    fn workers_are(&mut self, alive: Vec<ProcessId>, now: Ticks, at: Duration) -> bool {
        let gone = self.workers.alive.iter().filter(|known| !alive.contains(known));
        let short = |process: &&ProcessId| Ticks(process.start_ticks).until(now) < SHORT_LIFE;
        let ended = gone.filter(short).count() as u64;
        self.workers.alive = alive;
        if ended == 0 {
            return false;
        }
        let since = self.workers.last_end.map(|last| at.saturating_sub(last));
        self.lived = self.lived.max(WORKER_PAUSE).max(since.unwrap_or_default());
        self.workers.ended += ended;
        self.workers.last_end = Some(at);
        self.last_change = Some(at);
        true
    }

    fn hopeless(&self) -> bool {
        self.given_up.is_some_and(|GivenUp { since, until, looks }| {
            looks >= GIVEN_UP_LOOKS && until.saturating_sub(since) >= GIVEN_UP_TIME
        })
    }

    fn failure(&self, end: Duration, window: Duration) -> Option<String> {
        if let Some(trouble) = &self.trouble {
            return Some(format!("{}: {trouble}", self.name));
        }
        let recent = self.last_change.is_some_and(|last| end.saturating_sub(last) <= window);
        if self.workers.ended > 0 && recent {
            let ended = times(self.workers.ended);
            return Some(format!("{}: a process that it starts itself ended {ended}", self.name));
        }
        if self.restarts_seen > 0 && recent {
            return Some(format!("{}: restarted {}", self.name, times(self.restarts_seen)));
        }
        let why = "its processes changed";
        recent.then(|| format!("{}: {why} {}", self.name, times(self.changes)))
    }

    fn evidence(&self, fresh_since: Option<Ticks>) -> Option<ServiceEvidence> {
        let service: ServiceName = self.name.parse().ok()?;
        let Some(state) = &self.state else {
            return Some(ServiceEvidence {
                service,
                pids: Vec::new(),
                fresh: 0,
                state: "unknown".to_owned(),
                listens: Vec::new(),
            });
        };
        let fresh = |ticks: u64| fresh_since.is_some_and(|since| ticks >= since.0);
        let fresh = state.processes.iter().filter(|p| fresh(p.start_ticks)).count();
        Some(ServiceEvidence {
            service,
            pids: state.processes.iter().map(|p| p.pid).collect(),
            fresh: u32::try_from(fresh).unwrap_or(u32::MAX),
            state: state.word.clone(),
            listens: Vec::new(),
        })
    }
}

fn trouble(state: &ServiceState, fresh_since: Option<Ticks>) -> Option<String> {
    if !state.up {
        let word = shown(&state.word);
        let count = match state.restarts {
            0 => return Some(word),
            1 => "1 restart".to_owned(),
            more => format!("{more} restarts"),
        };
        return Some(format!("{word}, {count}"));
    }
    if let Some(found) = &state.stale {
        return Some(format!("does not run from the live tree: {}", shown_line(found)));
    }
    let old = old_process(state, fresh_since.filter(|_| !state.untouched && !state.kept)?)?;
    Some(format!("process {old} started before the reload"))
}

fn same_processes(a: &ServiceState, b: &ServiceState) -> bool {
    a.processes.len() == b.processes.len() && a.processes.iter().all(|p| b.processes.contains(p))
}

/// A sentence of our own making that may carry foreign text: longer than an answer, escaped as one.
fn shown_line(text: &str) -> String {
    let text = secrets::masked(text);
    let chars: Vec<char> = text.chars().take(240).collect();
    chars.chunks(60).map(|part| shown(&part.iter().collect::<String>())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Option<Ticks> = Some(Ticks(100));

    fn up(pids: &[(u32, u64)], restarts: u64) -> ServiceState {
        let process = |&(pid, start_ticks): &(u32, u64)| ProcessId {
            pid,
            start_ticks,
            boot_id: "b".to_owned(),
        };
        ServiceState {
            word: "online".to_owned(),
            up: true,
            processes: pids.iter().map(process).collect(),
            restarts,
            socket_owners: Vec::new(),
            stale: None,
            untouched: false,
            kept: false,
            no_witness: None,
            redefined: None,
            log: vec!["boom".to_owned()],
        }
    }

    fn down(word: &str, restarts: u64) -> ServiceState {
        ServiceState { word: word.to_owned(), up: false, ..up(&[], restarts) }
    }

    fn web(state: ServiceState) -> Observation {
        vec![("web".to_owned(), Ok(state))]
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn workers_that_end_soon_after_their_start_are_a_change_and_those_that_lived_long_are_none() {
        let mut watch = ServiceWatch::default();
        watch.seen(web(up(&[(1, 150)], 0)), ms(0), SINCE);
        let now = Ticks::now().0;
        let worker = |pid, start_ticks| ProcessId { pid, start_ticks, boot_id: "b".to_owned() };
        let mut seen = |workers: &[ProcessId], at: u64| watch.workers(|_| workers.to_vec(), ms(at));
        assert!(!seen(&[worker(2, 0), worker(3, now)], 100), "they begin");
        assert!(!seen(&[worker(3, now)], 200), "one is renewed after a long life");
        assert!(seen(&[], 300), "one ended at once");
        assert!(!seen(&[worker(4, now)], 400));
        assert!(seen(&[], 2800), "the next one too, later");
        assert_eq!(watch.must_last(), ms(5000), "twice the time between them");
        let told = watch.failures(ms(3000), ms(5000));
        assert_eq!(told, ["web: a process that it starts itself ended 2 times"]);
    }

    /// Looks, 500 ms apart; for each whether it was quiet; at the end the failures.
    fn watched(looks: Vec<Observation>) -> (Vec<bool>, Vec<String>, ServiceWatch) {
        let mut watch = ServiceWatch::default();
        let mut at = Duration::ZERO;
        let mut quiet = Vec::new();
        for look in looks {
            quiet.push(watch.seen(look, at, SINCE));
            at += ms(500);
        }
        let failures = watch.failures(at, ms(5000));
        (quiet, failures, watch)
    }

    #[test]
    fn a_service_that_stays_as_it_is_is_quiet() {
        let (quiet, failures, watch) =
            watched((0..3).map(|_| web(up(&[(1, 100), (2, 101)], 3))).collect());
        assert_eq!(quiet, [true, true, true]);
        assert!(failures.is_empty());
        assert_eq!(watch.clean_for(ms(1500)), ms(1500));
        let evidence = watch.evidence(SINCE, &BTreeMap::new());
        assert_eq!((evidence[0].pids.clone(), evidence[0].fresh), (vec![1, 2], 2));
        assert_eq!(watch.evidence(None, &BTreeMap::new())[0].fresh, 0);
    }

    #[test]
    fn restarts_and_changed_processes_disturb() {
        let (quiet, failures, watch) = watched(vec![
            web(up(&[(1, 100)], 3)),
            web(up(&[(1, 100)], 4)),
            web(up(&[(9, 130)], 5)),
        ]);
        assert_eq!(quiet, [true, false, false]);
        assert_eq!(failures, ["web: restarted 2 times"]);
        assert_eq!(watch.clean_for(ms(1500)), ms(500), "since the last change");
        let (quiet, failures, _) = watched(vec![
            web(up(&[(1, 100)], 0)),
            web(up(&[(1, 150)], 0)),
            web(up(&[(1, 150)], 0)),
        ]);
        assert_eq!(quiet, [true, false, true]);
        assert_eq!(failures, ["web: its processes changed once"]);
    }

    #[test]
    fn what_is_down_stale_or_old_is_said() {
        let stale = ServiceState { stale: Some("/srv/old".to_owned()), ..up(&[(1, 100)], 0) };
        let table = [
            (down("errored", 16), "web: errored, 16 restarts"),
            (down("stopped", 0), "web: stopped"),
            (down("launching", 1), "web: launching, 1 restart"),
            (stale, "web: does not run from the live tree: /srv/old"),
            (up(&[(7, 99)], 0), "web: process 7 started before the reload"),
        ];
        for (state, wanted) in table {
            let (quiet, failures, watch) = watched(vec![web(state)]);
            assert_eq!((quiet, failures), (vec![false], vec![wanted.to_owned()]));
            assert!(watch.troubled());
        }
        let mut watch = ServiceWatch::default();
        assert!(watch.seen(web(up(&[(7, 99)], 0)), ms(0), None), "nothing was reloaded");
    }

    #[test]
    fn a_manager_that_gave_up_is_not_waited_for_but_one_that_tries_is() {
        let looks = |state: ServiceState, count: usize| -> Vec<Observation> {
            (0..count).map(|_| web(state.clone())).collect()
        };
        assert!(watched(looks(down("errored", 16), 5)).2.hopeless());
        assert!(!watched(looks(down("errored", 16), 4)).2.hopeless(), "1.5 s only");
        assert!(!watched(looks(down("launching", 16), 9)).2.hopeless());
        assert!(!watched(looks(down("stopped", 0), 9)).2.hopeless(), "it may still be booting");
        let mut stopped = looks(up(&[(1, 100)], 0), 1);
        stopped.extend(looks(down("stopped", 0), 5));
        assert!(watched(stopped).2.hopeless());
        let mut looks = looks(down("errored", 1), 4);
        looks.push(web(up(&[(1, 100)], 1)));
        looks.push(web(down("errored", 2)));
        assert!(!watched(looks).2.hopeless(), "it came up in between");
    }

    #[test]
    fn an_unknown_service_is_hopeless_and_an_unanswered_question_is_not() {
        let unknown = || -> Observation {
            let error = ServiceError::Unknown {
                manager: "pm2".to_owned(),
                name: "shop".to_owned(),
                known: vec!["web".to_owned()],
            };
            vec![("web".to_owned(), Err(error))]
        };
        let (_, failures, watch) = watched((0..5).map(|_| unknown()).collect());
        assert_eq!(failures, ["web: pm2 has no \"shop\", it has web"]);
        assert!(watch.hopeless());
        let failed = || -> Observation {
            let error = ServiceError::Failed {
                command: "pm2 jlist".to_owned(),
                problem: "timed\u{1b} out".to_owned(),
            };
            vec![("web".to_owned(), Err(error))]
        };
        let (_, failures, watch) = watched((0..9).map(|_| failed()).collect());
        assert_eq!(failures, ["web: pm2 jlist: timed\\u{1b} out"]);
        assert!(!watch.hopeless());
    }

    #[test]
    fn the_log_of_the_service_in_trouble_is_shown_and_of_all_where_none_is() {
        let both = |web: ServiceState| {
            vec![("web".to_owned(), Ok(web)), ("worker".to_owned(), Ok(up(&[(5, 100)], 0)))]
        };
        let lines = |look: Observation| {
            let (_, _, watch) = watched(vec![look]);
            watch.lines(ms(500), ms(5000)).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(lines(both(down("errored", 1))), ["web"]);
        assert_eq!(lines(both(up(&[(1, 100)], 0))), ["web", "worker"]);
    }
}
