#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::ledger::entry::EntryParts;
use crate::model::{HistoryLine, Person, Record};

/// A tag pinned to `object` on `named`.
fn tag(name: &str, object: char, named: char) -> AdoptedTag {
    AdoptedTag {
        target: TargetRef { name: format!("refs/tags/{name}"), id: commit(object) },
        commit: commit(named),
        since: Timestamp::from_second(30).unwrap(),
        seconds: 20,
    }
}

fn commit(letter: char) -> Oid {
    letter.to_string().repeat(40).parse().unwrap()
}

fn writer(name: &str) -> WriterId {
    name.parse().unwrap()
}

fn packed(history: &History) -> Vec<u8> {
    let mut bytes = Packing::default();
    history.pack(&mut bytes).unwrap();
    bytes.as_bytes().to_vec()
}

fn unpacked(bytes: &[u8]) -> Option<History> {
    let mut fields = Packed::of(bytes);
    let history = History::unpack(&mut fields)?;
    fields.end().map(|()| history)
}

/// A ledger under construction: each act is recorded a minute after the one before.
#[derive(Default)]
struct Acts {
    ledger: Option<Ledger>,
    minute: i64,
}

impl Acts {
    fn act(
        &mut self,
        by: &str,
        event: &str,
        outcome: Outcome,
        change: impl FnOnce(&mut Record),
    ) -> Digest {
        let ledger = self.ledger.get_or_insert(Ledger::default());
        let id: crate::model::ChainId = "0".repeat(32).parse().unwrap();
        let chain = ledger.chains.entry(writer(by)).or_insert_with(|| Chain {
            writer: writer(by),
            id: id.clone(),
            entries: Vec::new(),
        });
        let seq = Seq(chain.entries.len() as u64 + 1);
        let line = HistoryLine {
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            writer: writer(by),
            chain: id,
        };
        let mut record = Record::new(&line, event.to_owned().into());
        record.seq = seq;
        record.outcome = outcome;
        record.sentence = event.to_owned();
        change(&mut record);
        let digest = Digest::of(format!("{by} {seq}").as_bytes());
        let object = commit('0');
        self.minute += 1;
        chain.entries.push(Entry::from(EntryParts {
            record,
            tagger: Person {
                name: "ana".into(),
                email: "a@b".into(),
                time: Timestamp::from_second(self.minute * 60).unwrap(),
            },
            digest,
            object: object.clone(),
            commit: object.clone(),
            blob: object.clone(),
            evidence: object.clone(),
            config: object,
        }));
        digest
    }

    fn ok(&mut self, by: &str, event: &str, change: impl FnOnce(&mut Record)) -> Digest {
        self.act(by, event, Outcome::Succeeded, change)
    }

    fn serve(&mut self, event: &str, from: char, to: char) -> Digest {
        self.ok("web", event, |r| (r.from, r.to) = (Some(commit(from)), Some(commit(to))))
    }

    fn history(&self) -> History {
        let history = History::of(self.ledger.as_ref().unwrap(), Some(&writer("web")));
        self.assert_found_by_index(&history);
        assert_eq!(unpacked(&packed(&history)).as_ref(), Some(&history));
        history
    }

    /// What the index of commits finds is what searching the chain finds.
    fn assert_found_by_index(&self, history: &History) {
        let chains = &self.ledger.as_ref().unwrap().chains;
        let own = chains.get(&writer("web")).map_or(&[][..], |chain| &chain.entries);
        let serving: Vec<usize> =
            (0..own.len()).filter(|at| own[*at].record.event.serves()).collect();
        let mut newest_first: Vec<&Oid> = Vec::new();
        for span in history.deployments().iter().rev() {
            if !newest_first.contains(&&span.commit) {
                newest_first.push(&span.commit);
            }
        }
        assert_eq!(history.served_commits().collect::<Vec<_>>(), newest_first);
        for commit in ('0'..='9').chain('a'..='f').map(commit) {
            let stated = |at: &usize| {
                let record = &own[*at].record;
                match record.outcome {
                    Outcome::Succeeded => record.to.as_ref(),
                    Outcome::Restored => record.to.as_ref().or(record.from.as_ref()),
                    Outcome::Failed => None,
                }
            };
            let here = serving.iter().rposition(|at| stated(at) == Some(&commit));
            // Up to the next that something else serves by: the last that speaks of it, else the first.
            let left_by = here.and_then(|place| {
                let later = &serving[place + 1..];
                let next = later.iter().position(|at| stated(at).is_some());
                let until = &later[..next.map_or(later.len(), |next| next + 1)];
                let speaks = |at: &&usize| {
                    let record = &own[**at].record;
                    let found = record.event == Event::Predeploy;
                    record.from.as_ref() == Some(&commit)
                        || (found && record.subject.as_ref() == Some(&commit))
                };
                until.iter().rev().find(speaks).or(until.first()).copied()
            });
            assert_eq!(history.left_by(&commit), left_by, "{commit}");
            let recorded = serving.iter().rev().copied().find(|at| {
                let record = &own[*at].record;
                let found = record.to.is_none() && record.event == Event::Predeploy;
                record.to.as_ref() == Some(&commit)
                    || (found && record.subject.as_ref() == Some(&commit))
            });
            assert_eq!(history.last_record(&commit), recorded, "{commit}");
            let spans = history.deployments().iter().filter(|span| span.commit == commit);
            assert!(history.times(&commit).eq(spans.clone()), "{commit}");
            assert_eq!(history.proven_here(&commit), spans.clone().any(|span| span.proven));
        }
    }
}

fn bad(record: &mut Record, subject: char) {
    record.subject = Some(commit(subject));
    record.verdict = Some("bad provisional".parse().unwrap());
    record.hold = Some(Hold::Commit);
}

fn good(record: &mut Record, subject: char) {
    record.subject = Some(commit(subject));
    record.verdict = Some("good".parse().unwrap());
}

#[test]
fn each_kind_of_record_says_what_it_says_about_serving() {
    use Outcome::{Failed, Restored, Succeeded};
    // event, outcome, from, to → serves then, proven, adopted
    let table = [
        ("init", Succeeded, None, Some('b'), Some('b'), false, false),
        ("adopt", Succeeded, None, Some('b'), Some('b'), false, true),
        ("predeploy", Succeeded, Some('a'), Some('b'), Some('b'), true, false),
        ("predeploy", Failed, Some('a'), Some('b'), Some('b'), false, false),
        ("deploy", Succeeded, Some('a'), Some('b'), Some('b'), true, false),
        ("deploy", Restored, Some('a'), None, Some('a'), true, false),
        ("deploy", Restored, Some('a'), Some('a'), Some('a'), true, false),
        ("deploy", Failed, Some('a'), None, None, false, false),
        ("deploy", Failed, Some('a'), Some('b'), None, false, false),
        ("back", Succeeded, Some('a'), Some('b'), Some('b'), true, false),
        ("component", Succeeded, Some('a'), Some('b'), Some('b'), true, false),
        ("flags", Succeeded, Some('b'), Some('b'), Some('b'), true, false),
        ("promote", Succeeded, None, Some('b'), None, false, false),
        ("mark", Succeeded, None, Some('b'), None, false, false),
        ("rehearse", Succeeded, Some('a'), Some('b'), None, false, false),
    ];
    for (event, outcome, from, to, serves, proven, adopted) in table {
        let mut acts = Acts::default();
        acts.act("web", event, outcome, |r| (r.from, r.to) = (from.map(commit), to.map(commit)));
        let history = acts.history();
        let case = format!("{event} {outcome:?} {from:?} {to:?}");
        let standing = history.serving().map(|standing| standing.commit.clone());
        assert_eq!(standing, serves.map(commit), "{case}");
        assert_eq!(history.deployments().len(), usize::from(serves.is_some()), "{case}");
        let about = commit(serves.or(to).or(from).unwrap());
        assert_eq!(history.proven_here(&about), proven, "{case}");
        assert_eq!(history.adopted(&about), adopted, "{case}");
    }
}

#[test]
fn what_served_and_for_how_long_adds_up() {
    let mut acts = Acts::default();
    acts.serve("deploy", 'a', 'a'); // 1
    acts.serve("deploy", 'a', 'b'); // 2
    acts.serve("back", 'b', 'a'); // 3
    acts.ok("web", "promote", |r| r.subject = Some(commit('a'))); // 4
    acts.act("web", "deploy", Outcome::Failed, |r| r.from = Some(commit('a'))); // 5
    let history = acts.history();
    let at = |second| Moment { time: Timestamp::from_second(second).unwrap(), boot: None };
    let now = at(60 * 60);
    let total = |history: &History, of, now: &Moment| {
        let total = history.served_total(&commit(of), now);
        (total.known.as_secs(), total.and_unknown)
    };
    assert_eq!(total(&history, 'a', &now), (60 + 120, false));
    assert_eq!(total(&history, 'b', &now), (60, false));
    assert_eq!(total(&history, 'c', &now), (0, false));
    let seqs: Vec<u64> = history.deployments().iter().map(|span| span.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!(history.serving().unwrap().seq, Seq(3));

    acts.act("web", "predeploy", Outcome::Failed, |r| r.to = Some(commit('c'))); // 6
    let history = acts.history();
    assert_eq!(history.serving().unwrap().commit, commit('c'));
    assert_eq!(total(&history, 'c', &now), (54 * 60, false));
    assert!(!history.proven_here(&commit('c')));
    assert_eq!(total(&history, 'c', &at(0)), (0, true));
}

#[test]
fn time_served_counts_only_between_clocks_that_agree() {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    // Of four deployments in a row the clock that can be set, and the boot and its seconds where they are on record;
    // for how long the second one served, and whether that is known.
    let a = |seconds| Some(('a', seconds));
    let b = |seconds| Some(('b', seconds));
    let none = [None; 4];
    for (times, boots, wanted) in [
        ([0, 60, 3660, 3720], none, (3600, false)),
        // Before the clock was set, and after it was set too far ahead.
        ([YEAR, 60, YEAR + 60, YEAR + 120], none, (0, true)),
        ([0, 60, YEAR, 120], none, (0, true)),
        // All in one boot: that clock tells.
        ([YEAR, 60, YEAR + 60, YEAR + 120], [a(1), a(3), a(8), a(9)], (5, false)),
        ([0, 60, YEAR, 120], [a(1), a(61), a(70), a(121)], (9, false)),
        // The machine was started again meanwhile.
        ([0, 60, 3660, 3720], [a(1), a(61), b(100), b(160)], (3600, false)),
        ([0, 60, 3660, 3720], [a(1), a(61), b(3700), b(3760)], (0, true)),
        ([0, 60, YEAR, YEAR + 60], [a(1), a(10_000), b(5), b(65)], (0, true)),
    ] {
        let mut acts = Acts::default();
        for (of, (time, boot)) in ['a', 'b', 'c', 'd'].into_iter().zip(times.into_iter().zip(boots))
        {
            acts.minute = 0;
            acts.ok("web", "deploy", |r| {
                r.to = Some(commit(of));
                r.clock = boot.map(|(id, seconds)| {
                    format!("{} {seconds}", id.to_string().repeat(32)).parse().unwrap()
                });
            });
            let chain = acts.ledger.as_mut().unwrap().chains.values_mut().next().unwrap();
            let last = chain.entries.last_mut().unwrap();
            let time = Timestamp::from_second(10 * YEAR + time).unwrap();
            let tagger = Person { time, ..last.tagger.clone() };
            *last = EntryParts { tagger, ..(**last).clone() }.into();
        }
        let now = Moment { time: Timestamp::from_second(20 * YEAR).unwrap(), boot: None };
        let total = acts.history().served_total(&commit('b'), &now);
        assert_eq!((total.known.as_secs(), total.and_unknown), wanted, "{times:?} {boots:?}");
    }
}

#[test]
fn an_older_state_can_be_adopted_without_serving() {
    let mut acts = Acts::default();
    acts.serve("deploy", 'a', 'b');
    acts.ok("web", "adopt", |r| r.subject = Some(commit('a')));
    let history = acts.history();
    assert!(history.adopted(&commit('a')) && !history.adopted(&commit('b')));
    assert_eq!(history.serving().unwrap().commit, commit('b'));
}

#[test]
fn what_serves_on_another_host_says_nothing_of_this_one() {
    let mut acts = Acts::default();
    acts.serve("deploy", 'a', 'b');
    acts.ok("ci", "deploy", |r| r.to = Some(commit('c')));
    let history = acts.history();
    assert_eq!(history.serving().unwrap().commit, commit('b'));
    assert!(!history.proven_here(&commit('c')));
    let nobody = History::of(acts.ledger.as_ref().unwrap(), None);
    assert_eq!((nobody.serving(), nobody.deployments()), (None, &[][..]));
}

#[test]
fn verdicts_of_all_chains_count_until_any_chain_lifts_them() {
    for lifter_first_by_name in [false, true] {
        let lifter = if lifter_first_by_name { "aaa" } else { "zzz" };
        let mut acts = Acts::default();
        let one = acts.ok("ci", "back", |r| bad(r, 'b'));
        let two = acts.ok("web", "mark", |r| bad(r, 'b'));
        assert_eq!(acts.history().holds().len(), 2);
        acts.ok(lifter, "lift", |r| r.lifts = vec![one]);
        let history = acts.history();
        assert_eq!(history.verdict(&commit('b')).unwrap().digest, two);
        assert_eq!(history.holds().iter().map(|held| held.digest).collect::<Vec<_>>(), [two]);
        acts.ok(lifter, "lift", |r| r.lifts = vec![two]);
        assert_eq!(acts.history().verdict(&commit('b')), None);
        assert!(acts.history().holds().is_empty());
    }
}

#[test]
fn a_lift_counts_even_where_it_is_read_before_what_it_lifts() {
    let mut acts = Acts::default();
    let later = Digest::of(b"web 1");
    acts.ok("ci", "lift", |r| r.lifts = vec![later]);
    assert_eq!(acts.ok("web", "back", |r| bad(r, 'b')), later);
    assert_eq!(acts.history().verdict(&commit('b')), None);
}

#[test]
fn an_act_that_failed_lifts_nothing() {
    for outcome in [Outcome::Failed, Outcome::Restored] {
        let mut acts = Acts::default();
        let held = acts.ok("web", "back", |r| bad(r, 'b'));
        acts.act("web", "deploy", outcome, |r| r.lifts = vec![held]);
        assert_eq!(acts.history().holds().len(), 1);
    }
}

#[test]
fn bad_wins_over_good_and_a_person_over_a_conclusion() {
    let mut acts = Acts::default();
    acts.ok("web", "mark", |r| good(r, 'b'));
    assert_eq!(acts.history().verdict(&commit('b')).unwrap().verdict.to_string(), "good");
    let provisional = acts.ok("ci", "back", |r| bad(r, 'b'));
    acts.ok("ci", "mark", |r| good(r, 'b'));
    let history = acts.history();
    assert_eq!(history.verdict(&commit('b')).unwrap().digest, provisional);
    assert_eq!(history.verdicts(&commit('b')).len(), 3);
    let said = acts.ok("web", "mark", |r| {
        bad(r, 'b');
        r.verdict = Some("bad".parse().unwrap());
        r.lifts = vec![provisional];
    });
    acts.ok("zzz", "back", |r| bad(r, 'b'));
    assert_eq!(acts.history().verdict(&commit('b')).unwrap().digest, said);
}

#[test]
fn a_rollback_without_subject_judges_what_it_left() {
    let mut acts = Acts::default();
    acts.ok("web", "component", |r| {
        (r.from, r.to) = (Some(commit('a')), Some(commit('b')));
        let content = Digest::of(b"upload");
        r.hold = Some(Hold::Component { id: "QW-001".parse().unwrap(), content });
    });
    assert_eq!(acts.history().holds()[0].subject, commit('a'));
}

#[test]
fn promotions_of_all_chains_count_until_withdrawn() {
    let mut acts = Acts::default();
    let tag = |name: &str| TargetRef { name: format!("refs/tags/{name}"), id: commit('e') };
    let first = acts.ok("ci", "promote", |r| {
        (r.subject, r.target) = (Some(commit('b')), Some(tag("v1-stable")));
    });
    acts.ok("web", "promote", |r| {
        (r.subject, r.target) = (Some(commit('b')), Some(tag("v2-stable")));
    });
    acts.act("web", "promote", Outcome::Failed, |r| {
        (r.subject, r.target) = (Some(commit('b')), Some(tag("v3-stable")));
    });
    assert_eq!(acts.history().promoted(&commit('b')), [tag("v1-stable"), tag("v2-stable")]);
    acts.ok("web", "lift", |r| r.lifts = vec![first]);
    assert_eq!(acts.history().promoted(&commit('b')), [tag("v2-stable")]);
    assert!(acts.history().promoted(&commit('a')).is_empty());
    assert_eq!(acts.history().demoted(&tag("v1-stable")), Some(Seq(3)));
    assert_eq!(acts.history().demoted(&tag("v2-stable")), None);
    acts.ok("web", "promote", |r| {
        (r.subject, r.target) = (Some(commit('b')), Some(tag("v1-stable")));
    });
    assert_eq!(acts.history().demoted(&tag("v1-stable")), None);
    let names: Vec<String> =
        acts.history().promotions().map(|p| format!("{} {}", p.tag.short(), p.seq)).collect();
    assert_eq!(names, ["v2-stable 1", "v1-stable 4"]);
}

#[test]
fn reasons_added_later_belong_to_the_record_they_name() {
    let mut acts = Acts::default();
    let back = acts.ok("web", "back", |r| bad(r, 'b'));
    for (by, text) in [("web", "errors"), ("ci", "and latency")] {
        acts.ok(by, "annotate", |r| {
            (r.annotates, r.reason) = (Some(back), Some(text.to_owned()));
        });
    }
    let history = acts.history();
    let texts: Vec<&str> = history.added_reasons(&back).iter().map(|r| r.text.as_str()).collect();
    assert_eq!(texts, ["errors", "and latency"]);
    assert!(history.added_reasons(&Digest::of(b"other")).is_empty());
    assert_eq!(history.holds().len(), 1);
}

#[test]
fn a_record_that_adopts_tags_pins_each_and_changes_nothing_that_serves() {
    let mut acts = Acts::default();
    acts.serve("adopt", 'a', 'b');
    let before = acts.history();
    acts.ok("web", "adopt", |r| {
        r.from = Some(commit('b'));
        r.adopts = vec![tag("v1-stable", 'c', 'c'), tag("v2-stable", 'd', 'e')];
    });
    let history = acts.history();
    assert_eq!(history.serving(), before.serving());
    assert_eq!(history.deployments(), before.deployments());
    let pinned = |name: &str| acts.history().pinned(&format!("refs/tags/{name}")).cloned();
    assert_eq!(pinned("v2-stable").unwrap().tag, tag("v2-stable", 'd', 'e'));
    assert_eq!(pinned("v2-stable").unwrap().seq, Seq(2));
    assert_eq!(pinned("v3-stable"), None);
    // Adopted again after someone moved it on purpose: the later word counts.
    acts.ok("web", "adopt", |r| {
        r.from = Some(commit('b'));
        r.adopts = vec![tag("v2-stable", 'f', 'f')];
    });
    let again = acts.history().pinned("refs/tags/v2-stable").cloned().unwrap();
    assert_eq!((again.tag.target.id, again.seq), (commit('f'), Seq(3)));
}

#[test]
fn tags_are_not_adopted_by_another_host_nor_by_another_act_nor_by_one_that_failed() {
    let mut acts = Acts::default();
    acts.serve("init", 'a', 'b');
    let adopts = |r: &mut Record| {
        r.from = Some(commit('b'));
        r.adopts = vec![tag("v1-stable", 'c', 'c')];
    };
    acts.ok("other", "adopt", adopts);
    acts.ok("web", "annotate", adopts);
    acts.act("web", "adopt", Outcome::Failed, adopts);
    assert_eq!(acts.history().pinned("refs/tags/v1-stable"), None);
}

#[test]
fn a_move_by_hand_is_no_proof_and_gives_time_to_what_ran_alone() {
    let clock = |seconds| BootClock { boot: "a".repeat(32), seconds };
    let mut acts = Acts::default();
    acts.ok("web-1", "deploy", |r| {
        r.to = Some(commit('1'));
        r.clock = Some(clock(60));
    });
    // The record of the first move, at 120 s: what was proven served until then, and its processes say so.
    for (from, to, at, since) in
        [('1', '2', 120, Some(50)), ('2', '3', 180, Some(150)), ('3', '4', 240, None)]
    {
        acts.ok("web-1", "moved", |r| {
            (r.from, r.moved_to) = (Some(commit(from)), Some(commit(to)));
            r.clock = Some(clock(at));
            r.ran_since = since.map(clock);
        });
    }
    let history = History::of(acts.ledger.as_ref().unwrap(), Some(&writer("web-1")));
    assert_eq!(history.serving().map(|serving| &serving.commit), Some(&commit('1')));
    let now = Moment { time: Timestamp::from_second(240).unwrap(), boot: Some(clock(240)) };
    let served = |letter| history.served_total(&commit(letter), &now).known.as_secs();
    // 1 from its deploy until the first process of 2 was started; 2 from then until it was left.
    assert_eq!((served('1'), served('2'), served('3')), (90, 30, 0));
    assert!(history.ran_here(&commit('2')) && !history.proven_here(&commit('2')));
    assert!(!history.ran_here(&commit('1')) && !history.ran_here(&commit('3')));
    let left: Vec<u64> = history.moved_from().values().map(|seq| seq.0).collect();
    assert_eq!(left, [2, 3, 4]);
}

/// What a random act states; numbers choose among few, so that acts are about the same things.
type RandomAct = (u8, u8, u8, [Option<u8>; 4], u8, Option<u8>, Option<u8>);

fn random_acts() -> impl Strategy<Value = Vec<RandomAct>> {
    let few = || proptest::option::of(0..5_u8);
    let commits = [few(), few(), few(), few()];
    let act = (0..3_u8, 0..14_u8, 0..3_u8, commits, 0..8_u8, few(), proptest::option::of(0..40_u8));
    proptest::collection::vec(act, 1..40)
}

fn act_all(random: &[RandomAct]) -> Acts {
    const EVENTS: [&str; 14] = [
        "init",
        "adopt",
        "predeploy",
        "moved",
        "deploy",
        "promote",
        "back",
        "component",
        "flags",
        "mark",
        "hold",
        "lift",
        "annotate",
        "rehearse",
    ];
    const OUTCOMES: [Outcome; 3] = [Outcome::Succeeded, Outcome::Restored, Outcome::Failed];
    let of = |number: u8| commit((b'a' + number) as char);
    let mut acts = Acts::default();
    let mut digests: Vec<Digest> = Vec::new();
    for &(by, event, outcome, [from, to, subject, ran], judged, clock, about) in random {
        let by = ["web", "ci", "laptop"][usize::from(by)];
        let (event, outcome) = (EVENTS[usize::from(event)], OUTCOMES[usize::from(outcome)]);
        let about = about.and_then(|at| digests.get(usize::from(at)).copied());
        let boot =
            |seconds: u8| BootClock { boot: "a".repeat(32), seconds: u64::from(seconds) + 1 };
        digests.push(acts.act(by, event, outcome, |r| {
            (r.from, r.to, r.subject) = (from.map(of), to.map(of), subject.map(of));
            // A record is about some commit.
            r.subject = r.subject.take().or_else(|| Some(of(0)));
            (r.clock, r.ran_since) = (clock.map(boot), ran.map(boot));
            r.verdict = ["bad", "good", "bad provisional"]
                .get(usize::from(judged))
                .and_then(|v| v.parse().ok());
            r.hold = (judged % 3 == 0).then_some(Hold::Commit);
            r.lifts = about.filter(|_| judged > 4).into_iter().collect();
            r.annotates = about.filter(|_| event == "annotate");
            r.reason = Some("because".to_owned()).filter(|_| judged % 2 == 0);
            if event == "promote" {
                r.target = Some(tag("v1-stable", 'd', 'd').target);
            }
            if event == "adopt" {
                r.adopts = vec![tag("v2-stable", 'd', 'e')];
            }
        }));
    }
    acts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_random_history_is_the_same_when_it_is_read_back(random in random_acts(), cut in 0..10_000_usize) {
        // Compares what is folded with what is read back.
        let history = act_all(&random).history();
        let bytes = packed(&history);
        prop_assert!(unpacked(&bytes[..cut % bytes.len()]).is_none());
        let mut damaged = bytes.clone();
        let at = cut % bytes.len();
        damaged[at] ^= 0x40;
        // Whatever it reads as, it is no panic; the sum of the file tells.
        let _ = unpacked(&damaged);
    }
}
