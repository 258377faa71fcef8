//! What serves fails, so does the first candidate of `back`, and the next one serves: a kill, or an error, at every
//! place between them. Two runs are of one act there.

// What was measured is printed for who runs the sweep with `--nocapture`.
#![allow(clippy::print_stderr)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::failpoints::{Place, fired, passed, run};
use super::oracle::{Found, State, Way};
use super::tally::{message, part};
use super::world::{Act, World};
use crate::support::*;

const TEMPLATE: &str = "templates/third";

/// 1.2.0 serves and fails, 1.1.0 fails as well, 1.0.0 is good.
struct TwoCandidates<'h> {
    world: World<'h>,
    /// 1.2.0's commit.
    left: String,
    old: State,
    new: State,
    records: usize,
    /// The places of the act from the failure of the first candidate on.
    places: Vec<Place>,
}

impl<'h> TwoCandidates<'h> {
    fn prepare(host: &'h TestEnvironment) -> Self {
        let config = AppConfig::default()
            .without_builds()
            .settle(1, "0s")
            .timeout("1500ms")
            .and("[run]\nwatchdog = \"off\"\n");
        let s = Scenario::serving(host, Fixture::Plain, &config);
        s.release("1.1.0", Behaviour::Good).exit(0);
        s.release("1.2.0", Behaviour::Good).exit(0);
        s.app.write("notes.txt", "not in git\n");
        s.app.write(".git/foreign/xyz", "of another tool\n");
        s.app.sour("1.1.0");
        s.app.sour("1.2.0");
        let left = s.app.head();
        let world = World::around(s);
        world.keep_as(TEMPLATE);
        let mut two = {
            let old = State::of(&world, Act::Back);
            let new = old.clone();
            let records = world.log().len();
            Self { world, left, old, new, records, places: Vec::new() }
        };
        two.reset();
        two.old = State::of(&two.world, Act::Back);
        two.back("nowhere=kill").exit(0).stdout_has("v1.0.0-stable observed serving");
        two.new = State::of(&two.world, Act::Back);
        assert_eq!(two.old.served.as_deref(), Some("1.2.0"));
        assert_eq!(two.new.served.as_deref(), Some("1.0.0"));
        let places = passed(&two.world);
        let failed = places.iter().position(|place| place.name == "journal failed before");
        two.places = places[failed.expect("the first candidate fails")..].to_vec();
        two
    }

    fn reset(&self) {
        self.world.put_back(TEMPLATE);
        self.world.app.git(&["update-index", "-q", "--refresh"]);
        self.world.start("1.2.0");
    }

    fn back(&self, armed: &str) -> Answer {
        run(&self.world, self.world.act(Act::Back), armed)
    }

    fn open_runs(&self) -> usize {
        let status = self.world.gitroll(&["status"]);
        status.exit(0).stdout_lacks("by hand");
        let status = self.world.gitroll(&["status", "--json"]).exit(0).json();
        status["result"]["open_runs"].as_array().expect("a list").len()
    }

    /// A fault there, then `way` as often as it takes; exactly old or new is found then, as it was said.
    fn judge(&self, place: &Place, action: &str, way: Way) -> Found {
        self.reset();
        let answer = self.back(&place.armed(action));
        assert!(fired(&self.world), "the fault did not fire");
        if action == "kill" {
            assert_eq!(answer.code, None, "{}", answer.transcript());
        }
        let mut said = self.said(&answer, "back");
        let mut ends = Vec::new();
        while self.open_runs() > 0 {
            assert!(said.is_none(), "it said {said:?} and left a run open");
            assert!(ends.len() < 3, "it does not end:\n{}", ends.join("\n"));
            self.world.gitroll(&["back", "--yes"]).exit(22);
            let answer = self.world.gitroll(&[way.name()]);
            ends.push(answer.transcript());
            said = if answer.transcript().contains("too late") {
                self.world.gitroll(&["resume"]).exit(0);
                Some(Found::New)
            } else {
                self.said(&answer, way.name())
            };
        }
        let found = self.found();
        let told = format!("{}\n{}", answer.transcript(), ends.join("\n"));
        assert!(said.is_none_or(|said| said == found), "found {found:?}, said {said:?}:\n{told}");
        assert!(said.is_some() || answer.code.is_none(), "nothing was said:\n{told}");
        match (found, ends.is_empty(), way) {
            (Found::Old, false, Way::Resume) => panic!("resume went back:\n{told}"),
            (Found::Old, true, _) => panic!("it was left as it was:\n{told}"),
            _ => {}
        }
        self.next_act(found);
        found
    }

    /// What an exit code claims.
    fn said(&self, answer: &Answer, verb: &str) -> Option<Found> {
        let told = answer.transcript();
        match answer.code {
            Some(0 | 30) if verb != "abort" => Some(Found::New),
            Some(21) if told.contains("fails as it did before [21]") => Some(Found::Old),
            Some(1) => {
                assert!(told.contains("too late"), "{told}");
                None
            }
            Some(21 | 22) | None => None,
            _ => panic!("{verb} came to this:\n{told}"),
        }
    }

    fn found(&self) -> Found {
        let now = State::of(&self.world, Act::Back);
        let (old, new) = (now.differences(&self.old), now.differences(&self.new));
        match (old.is_empty(), new.is_empty()) {
            (true, _) => Found::Old,
            (_, true) => Found::New,
            _ => panic!(
                "neither old nor new; other than old:\n{}\nother than new:\n{}",
                old.join("\n"),
                new.join("\n")
            ),
        }
    }

    /// Records say the same; what was left first is held, and nothing else; the next act works.
    fn next_act(&self, found: Found) {
        let records = |outcome: &str| {
            let log = self.world.log();
            let new = log.iter().take(log.len() - self.records);
            new.filter(|line| line["record"]["outcome"] == outcome).count()
        };
        if found == Found::Old {
            assert_eq!(records("succeeded"), 0);
            self.world.chain_is_linear();
            self.back("nowhere=kill").exit(0);
        } else {
            // Signs what waits, and removes what was left over.
            let mark = ["mark", "good", "v1.0.0-stable", "--reason", "looked at it"];
            self.world.gitroll(&mark).exit(0);
            assert_eq!(records("failed"), 1);
            self.world.chain_is_linear();
        }
        let status = self.world.gitroll(&["status", "--json"]).exit(0).json();
        let held = status["result"]["held"].as_array().expect("a list");
        let held: Vec<&Value> = held.iter().map(|held| &held["commit"]).collect();
        assert_eq!(held, [self.left.as_str()]);
        self.world.nothing_is_left();
        fs::remove_file(self.world.host.path("fail.log")).ok();
    }
}

fn at_every_place(action: &str, each: usize) {
    let host = TestEnvironment::new();
    let two = TwoCandidates::prepare(&host);
    let both = |place: &Place| Way::BOTH.map(|way| (place.clone(), way));
    let (points, swept) = part(two.places.iter().flat_map(both).collect(), each);
    let (count, mut old, mut failures) = (points.len(), 0, Vec::new());
    for (place, way) in points {
        match catch_unwind(AssertUnwindSafe(|| two.judge(&place, action, way))) {
            Ok(found) => old += usize::from(found == Found::Old),
            Err(panic) => failures.push(format!("{place:?} {way:?}: {}", message(&*panic))),
        }
    }
    let new = count - old - failures.len();
    eprintln!(
        "{action} between two candidates: {swept}, found old {old}, new {new}, failed {}",
        failures.len()
    );
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn a_rollback_killed_between_two_candidates_is_finished_or_undone() {
    at_every_place("kill", 5);
}

#[test]
fn a_rollback_that_fails_between_two_candidates_is_finished_or_undone() {
    at_every_place("error", 5);
}
