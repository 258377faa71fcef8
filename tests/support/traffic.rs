//! Users: a loop of requests that remembers who answered, and when nobody did.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http_get;

/// A thread that asks a health URL over and over, one new connection each time.
pub struct RequestLoop {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Request>>>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub answered: Instant,
    /// The status and the version that answered, or why nobody did.
    pub outcome: Result<(u16, Option<String>), String>,
}

/// Everything a request loop saw, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// The requests.
    pub requests: Vec<Request>,
}

impl RequestLoop {
    /// Begins to ask `url`, every 15 ms or as fast as it answers.
    pub fn start(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, url) = (Arc::clone(&stop), url.to_owned());
        let thread = thread::spawn(move || {
            let mut requests = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let outcome = http_get(&url).map(|r| (r.status, r.version()));
                requests.push(Request { sent, answered: Instant::now(), outcome });
                thread::sleep(Duration::from_millis(15));
            }
            requests
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it and returns what it saw.
    pub fn stop(mut self) -> Traffic {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("only stop takes the thread");
        Traffic { requests: thread.join().expect("the request loop does not panic") }
    }
}

impl Drop for RequestLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Traffic {
    /// The requests sent at or after `moment`.
    pub fn since(&self, moment: Instant) -> Traffic {
        self.part(|request| request.sent >= moment)
    }

    /// The requests answered before `moment`.
    pub fn until(&self, moment: Instant) -> Traffic {
        self.part(|request| request.answered < moment)
    }

    /// The versions that answered, whatever the status.
    pub fn versions(&self) -> BTreeSet<String> {
        let version = |r: &Request| r.outcome.as_ref().ok().and_then(|(_, v)| v.clone());
        self.requests.iter().filter_map(version).collect()
    }

    /// The requests that nobody answered, or not with 200.
    pub fn failures(&self) -> Vec<&Request> {
        let bad = |r: &&Request| !matches!(r.outcome, Ok((200, _)));
        self.requests.iter().filter(bad).collect()
    }

    /// The longest time without a 200, from the first request to the last answer.
    pub fn longest_gap(&self) -> Duration {
        let (Some(first), Some(last)) = (self.requests.first(), self.requests.last()) else {
            return Duration::ZERO;
        };
        let good = self.requests.iter().filter(|r| matches!(r.outcome, Ok((200, _))));
        let mut moments = vec![first.sent];
        moments.extend(good.map(|r| r.answered));
        moments.push(last.answered);
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Somebody was asked, and only this version answered.
    #[track_caller]
    pub fn only(&self, version: &str) -> &Self {
        assert!(!self.requests.is_empty(), "no request was sent in this time");
        let versions = self.versions();
        assert!(
            versions.iter().eq([version]),
            "expected answers of {version} only, got {versions:?} in {} requests, {} failed",
            self.requests.len(),
            self.failures().len()
        );
        self
    }

    /// Nobody was turned away.
    #[track_caller]
    pub fn without_failures(&self) -> &Self {
        let failures = self.failures();
        assert!(
            failures.is_empty(),
            "{} of {} requests failed, the first: {:?}",
            failures.len(),
            self.requests.len(),
            failures[0].outcome
        );
        self
    }

    fn part(&self, wanted: impl Fn(&Request) -> bool) -> Traffic {
        Traffic { requests: self.requests.iter().filter(|r| wanted(r)).cloned().collect() }
    }
}
