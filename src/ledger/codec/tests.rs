#![allow(clippy::unwrap_used)]

use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::model::{AdoptedTag, Judgement, Outcome};

const SSH: &str = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n";

fn oid(digit: char) -> Oid {
    digit.to_string().repeat(40).parse().unwrap()
}

fn adopted(name: &str) -> AdoptedTag {
    AdoptedTag {
        target: TargetRef { name: format!("refs/tags/{name}"), id: oid('d') },
        commit: oid('d'),
        since: "2026-01-05T09:00:00Z".parse().unwrap(),
        seconds: 60,
    }
}

fn record() -> Record {
    Record {
        app: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        writer: "web-1.k3f9".parse().unwrap(),
        chain: "0".repeat(32).parse().unwrap(),
        seq: Seq(42),
        previous: Some(Digest::of(b"41")),
        event: Event::Back,
        outcome: Outcome::Succeeded,
        from: Some(oid('a')),
        to: Some(oid('b')),
        target: Some(TargetRef { name: "refs/tags/v1.2.0-stable".into(), id: oid('c') }),
        adopts: vec![adopted("v1.0.0-stable"), adopted("v1.1.0-stable")],
        subject: Some(oid('a')),
        verdict: Some(Verdict { judgement: Judgement::Bad, provisional: true }),
        hold: Some(Hold::Commit),
        components: vec!["QW-001".parse().unwrap(), "QW-002".parse().unwrap()],
        flags: vec![
            "file ENABLE_UPLOADS \"true\" \"false\"".parse().unwrap(),
            "api USE_X absent 0.01".parse().unwrap(),
        ],
        lifts: vec![Digest::of(b"7")],
        annotates: None,
        seen: vec![Seen {
            writer: "ci.aa".parse().unwrap(),
            seq: Seq(3),
            digest: Digest::of(b"3"),
        }],
        plan: Some(Digest::of(b"plan")),
        request: None,
        clock: Some(format!("{} 4711", "0f".repeat(16)).parse().unwrap()),
        moved_to: Some(oid('c')),
        ran_since: Some(format!("{} 4000", "0f".repeat(16)).parse().unwrap()),
        trusts: Vec::new(),
        revokes: Vec::new(),
        evidence: Digest::of(b"evidence"),
        config: Digest::of(b"config"),
        sentence: "production web-1: rolled back from v1.3.0 to v1.2.0-stable".into(),
        reason: Some("Error rate 12 % since 14:02\n\nTicket: 7\n\n---\n# not a comment".into()),
        unknown: Vec::new(),
    }
}

fn tagger() -> Person {
    Person {
        name: "Ana Lima".into(),
        email: "ana@example.com".into(),
        time: "2026-11-20T03:12:05Z".parse().unwrap(),
    }
}

fn payload() -> String {
    String::from_utf8(encode(&record(), &tagger()).unwrap()).unwrap()
}

fn read(payload: &str) -> Result<Record, String> {
    decode(format!("{payload}{SSH}").as_bytes()).map(|(decoded, _)| decoded.record)
}

#[test]
fn the_format_is_this_one_to_the_byte() {
    let digest = |of: &str| Digest::of(of.as_bytes());
    let (a, b, c, d) = (oid('a'), oid('b'), oid('c'), oid('d'));
    let expected = format!(
        "object {b}
type commit
tag gitroll/production/web-1.k3f9/42-back
tagger Ana Lima <ana@example.com> 1795144325 +0000

production web-1: rolled back from v1.3.0 to v1.2.0-stable

Error rate 12 % since 14:02

Ticket: 7

---
# not a comment

Gitroll-Record: 1
Gitroll-App: shop
Gitroll-Environment: production
Gitroll-Writer: web-1.k3f9
Gitroll-Chain: 00000000000000000000000000000000
Gitroll-Seq: 42
Gitroll-Previous: {}
Gitroll-Event: back
Gitroll-Outcome: succeeded
Gitroll-From: {a}
Gitroll-To: {b}
Gitroll-Target: refs/tags/v1.2.0-stable {c}
Gitroll-Adopts: refs/tags/v1.0.0-stable {d} {d} 1767603600 60
Gitroll-Adopts: refs/tags/v1.1.0-stable {d} {d} 1767603600 60
Gitroll-Subject: {a}
Gitroll-Verdict: bad provisional
Gitroll-Hold: commit
Gitroll-Component: QW-001
Gitroll-Component: QW-002
Gitroll-Flag: file ENABLE_UPLOADS \"true\" \"false\"
Gitroll-Flag: api USE_X absent 0.01
Gitroll-Lifts: {}
Gitroll-Seen: ci.aa 3 {}
Gitroll-Plan: {}
Gitroll-Clock: 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f 4711
Gitroll-Moved-To: cccccccccccccccccccccccccccccccccccccccc
Gitroll-Ran-Since: 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f 4000
Gitroll-Evidence: {}
Gitroll-Config: {}
",
        digest("41"),
        digest("7"),
        digest("3"),
        digest("plan"),
        digest("evidence"),
        digest("config")
    );
    assert_eq!(payload(), expected);
    let object = format!("{expected}{SSH}");
    let (decoded, signed) = decode(object.as_bytes()).unwrap();
    assert_eq!(decoded.digest, Digest::of(expected.as_bytes()));
    assert_eq!((decoded.record, decoded.tagger, decoded.object), (record(), tagger(), b));
    assert_eq!(signed.payload, expected.as_bytes());
}

#[test]
fn every_departure_from_the_format_is_refused_and_named() {
    let missing = |name: &str| {
        let mut lines: Vec<String> = payload().lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with(&format!("{name}:")));
        lines.join("\n") + "\n"
    };
    let swap = |from: &str, to: &str| {
        assert!(payload().contains(from), "{from}");
        payload().replacen(from, to, 1)
    };
    let cases: Vec<(String, &str)> = vec![
        (missing("Gitroll-App"), "trailer Gitroll-App is missing"),
        (missing("Gitroll-Record"), "trailer Gitroll-Record is missing"),
        (missing("Gitroll-Chain"), "trailer Gitroll-Chain is missing"),
        (missing("Gitroll-Outcome"), "trailer Gitroll-Outcome is missing"),
        (missing("Gitroll-Evidence"), "trailer Gitroll-Evidence is missing"),
        (missing("Gitroll-Config"), "trailer Gitroll-Config is missing"),
        (missing("Gitroll-Previous"), "exactly when it is not the first"),
        (missing("Gitroll-To"), "object is not the commit"),
        (swap("Gitroll-Record: 1", "Gitroll-Record: 2"), "record format 2"),
        (swap("Gitroll-Record: 1", "Gitroll-Record: 1.0"), "not a version number"),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq: 42\nGitroll-Seq: 42"), "Gitroll-Seq occurs twice"),
        (swap("Gitroll-To:", "gitroll-to:"), "must be spelled Gitroll-To"),
        (
            swap("Gitroll-Event: back\n", "Gitroll-Later: x\ngitroll-event: back\n"),
            "must be spelled",
        ),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq: 43"), "its tag is named"),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq: 99999999999999999999"), "sequence number"),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq: 0"), "sequence number"),
        (swap("Gitroll-Event: back", "Gitroll-Event: deploy"), "its tag is named"),
        (swap("Gitroll-Event: back", "Gitroll-Event: ../x"), "not the name of an event"),
        (swap("Gitroll-Outcome: succeeded", "Gitroll-Outcome: fine"), "Gitroll-Outcome"),
        (swap("Gitroll-Writer: web-1", "Gitroll-Writer: web-2"), "its tag is named"),
        (swap("Gitroll-Target: refs/tags/", "Gitroll-Target: refs/heads/"), "Gitroll-Target"),
        (swap("Gitroll-Adopts: refs/tags/", "Gitroll-Adopts: refs/heads/"), "Gitroll-Adopts"),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq:42"), "is not a trailer"),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq:  42"), "is not a trailer"),
        (swap("Gitroll-Seq: 42", "Gitroll-Seq: 42\n folded"), "is not a trailer"),
        (swap("type commit", "type tree"), "does not point to a commit"),
        (swap("type commit\n", ""), "header is not"),
        (swap("tagger ", "tagger <"), "tagger cannot be read"),
        (swap(" 1795144325 ", " 01795144325 "), "tagger cannot be read"),
        (swap(" 1795144325 ", " 999999999999 "), "tagger cannot be read"),
        (swap("Ticket: 7", "Ticket: 7\r"), "control character"),
        (swap("Ticket: 7", "Ticket\0 7"), "control character"),
        (swap("Ticket: 7", "gitroll-to: 7"), "its reason"),
        (swap("production web-1: ", "Gitroll-To: "), "not one sentence"),
        (swap("production web-1: ", "production\nweb-1: "), "not one sentence"),
        (payload() + "\n", "is not a trailer"),
        (payload().trim_end().to_owned(), "not signed"),
    ];
    for (bad, problem) in cases {
        let told = read(&bad).unwrap_err();
        assert!(told.contains(problem), "{told:?} does not say {problem:?} for\n{bad}");
    }
    let mut not_text = payload().into_bytes();
    not_text[300] = 0xff;
    not_text.extend_from_slice(SSH.as_bytes());
    assert_eq!(decode(&not_text).unwrap_err(), "it is not UTF-8");
    assert!(decode(&vec![b'a'; MOST_BYTES as usize + 1]).unwrap_err().contains("larger than"));
    assert!(decode(b"").is_err());
}

#[test]
fn the_parts_of_a_newer_version_are_kept_and_harmless() {
    let newer = payload()
        .replace("Gitroll-Event: back", "Gitroll-Event: rehearse")
        .replace("/42-back", "/42-rehearse")
        .replace("Gitroll-Plan:", "Gitroll-Risk: low\nGitroll-Risk: or not\nGitroll-Plan:");
    let read = read(&newer).unwrap();
    assert_eq!(read.event, Event::Other("rehearse".into()));
    let risk = |value: &str| ("Gitroll-Risk".to_owned(), value.to_owned());
    assert_eq!(read.unknown, [risk("low"), risk("or not")]);
    assert_eq!(read.to, record().to);
}

#[test]
fn reasons_that_could_be_taken_for_a_part_of_a_record_are_refused() {
    let long = "x".repeat(MOST_REASON + 1);
    for bad in [
        "",
        " ",
        "a\n",
        "a\tb",
        "a\rb",
        "a\u{1b}[2Jb",
        "a\u{9b}b",
        "a\n\nGitroll-To: 1",
        "gITROLL-hold: commit",
        "a\n  Gitroll-To: 1",
        "-----BEGIN SSH SIGNATURE-----",
        "x\n-----begin PGP SIGNATURE-----",
        &long,
    ] {
        assert!(check_reason(bad).is_err(), "{bad:?} was accepted");
        assert!(encode(&Record { reason: Some(bad.into()), ..record() }, &tagger()).is_err());
    }
    for good in ["a", "a\n\n\n\nb", "Fixes: #3", "gitroll was slow", &long[1..], "ünï — ✓"] {
        assert_eq!(check_reason(good), Ok(()));
    }
}

#[test]
fn what_would_not_read_back_is_never_written() {
    for bad in [
        Record { sentence: "two\nlines".into(), ..record() },
        Record { sentence: "Gitroll-To: x".into(), ..record() },
        Record { sentence: String::new(), ..record() },
        Record { seq: Seq::FIRST, ..record() },
        Record { previous: None, ..record() },
        Record { event: Event::Other("a b".into()), ..record() },
        Record { event: Event::Other("deploy".into()), ..record() },
        Record { from: None, to: None, subject: None, ..record() },
        Record { unknown: vec![("Gitroll-To".into(), "x".into())], ..record() },
        Record { unknown: vec![("A".into(), "x\nGitroll-To: y".into())], ..record() },
        Record {
            target: Some(TargetRef { name: "refs/tags/a b".into(), id: oid('c') }),
            ..record()
        },
    ] {
        assert!(encode(&bad, &tagger()).is_err(), "{bad:?}");
    }
    for name in ["a <b", "a\nobject x", "a\0"] {
        assert!(encode(&record(), &Person { name: name.into(), ..tagger() }).is_err());
    }
    let fraction = "2026-11-20T03:12:05.5Z".parse().unwrap();
    assert!(encode(&record(), &Person { time: fraction, ..tagger() }).is_err());
}

fn digests() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|bytes| Digest::of(&bytes))
}

fn oids() -> impl Strategy<Value = Oid> {
    "[0-9a-f]{40}|[0-9a-f]{64}".prop_map(|hex| hex.parse().unwrap())
}

fn events() -> impl Strategy<Value = Event> {
    "[a-z][a-z0-9-]{0,9}|deploy|back|init|mark".prop_map(Event::from)
}

fn reasons() -> impl Strategy<Value = String> {
    let line = "([ -~äß✓]{0,20}|Gitroll-|gitroll|-----BEGIN|[A-Z][a-z]{1,5}: [a-z]{1,5})";
    proptest::collection::vec(line, 1..6)
        .prop_map(|lines| lines.join("\n").trim().to_owned())
        .prop_filter("recordable", |reason| check_reason(reason).is_ok())
}

fn holds() -> impl Strategy<Value = Hold> {
    prop_oneof![
        Just(Hold::Commit),
        ("[A-Z]{2}-[0-9]{3}", digests())
            .prop_map(|(id, content)| Hold::Component { id: id.parse().unwrap(), content }),
    ]
}

prop_compose! {
    fn positions()(seq in 1..999_999_999u64, previous in digests()) -> (Seq, Option<Digest>) {
        (Seq(seq), (seq > 1).then_some(previous))
    }
}

prop_compose! {
    fn judged()(
        subject in option::of(oids()),
        verdict in option::of(prop_oneof!["good", "bad", "bad provisional"]),
        hold in option::of(holds()),
        lifts in proptest::collection::vec(digests(), 0..3),
        annotates in option::of(digests()),
    ) -> (Option<Oid>, Option<Verdict>, Option<Hold>, Vec<Digest>, Option<Digest>) {
        (subject, verdict.map(|v| v.parse().unwrap()), hold, lifts, annotates)
    }
}

prop_compose! {
    fn records()(
        (seq, previous) in positions(),
        event in events(),
        from in option::of(oids()),
        to in oids(),
        target in option::of(("refs/tags/[a-z$;-]{1,12}", oids())),
        (subject, verdict, hold, lifts, annotates) in judged(),
        seen in proptest::collection::vec(("[a-z]{1,8}", positions(), digests()), 0..3),
        plan in option::of(digests()),
        sentence in "[a-z]([ -~é]{0,60}[a-z.])?",
        reason in option::of(reasons()),
        adopts in proptest::collection::vec(
            ("refs/tags/[a-z$;-]{1,12}", oids(), oids(), 0..253_402_207_200i64, 0..999_999_999_999u64),
            0..3,
        ),
        unknown in proptest::collection::vec(("Later-[A-Z]{1,5}", "[a-z]([ -~]{0,9}[a-z])?"), 0..3),
    ) -> Record {
        Record {
            seq, previous, event, from, to: Some(to), subject, verdict, hold, lifts, annotates, plan,
            sentence, reason, unknown,
            target: target.map(|(name, id)| TargetRef { name, id }),
            adopts: adopts.into_iter().map(|(name, id, commit, since, seconds)| AdoptedTag {
                target: TargetRef { name, id },
                commit,
                since: Timestamp::from_second(since).unwrap(),
                seconds,
            }).collect(),
            seen: seen.into_iter().map(|(writer, (seq, _), digest)| {
                Seen { writer: writer.parse().unwrap(), seq, digest }
            }).collect(),
            ..record()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_record_reads_back_as_it_was_written(
        record in records().prop_filter("sentence", |r| check_sentence(&r.sentence).is_ok()),
        seconds in 0..253_402_207_200i64,
        name in "[A-Za-zé.'-]{1,9}( [A-Z][a-z]{1,5})?",
    ) {
        let time = Timestamp::from_second(seconds).unwrap();
        let tagger = Person { name, email: "a@b".into(), time };
        let mut object = encode(&record, &tagger).unwrap();
        let digest = Digest::of(&object);
        object.extend_from_slice(SSH.as_bytes());
        let (decoded, _) = decode(&object).unwrap();
        prop_assert_eq!(decoded.record, record);
        prop_assert_eq!(decoded.tagger, tagger);
        prop_assert_eq!(decoded.digest, digest);
    }

    #[test]
    fn any_changed_byte_is_refused_or_another_record(at in any::<prop::sample::Index>(), to: u8) {
        let payload = payload();
        let mut object = payload.clone().into_bytes();
        let at = at.index(object.len());
        prop_assume!(object[at] != to);
        object[at] = to;
        object.extend_from_slice(SSH.as_bytes());
        if let Ok((decoded, signed)) = decode(&object) {
            prop_assert_ne!(decoded.digest, Digest::of(payload.as_bytes()));
            prop_assert_eq!(decoded.digest, Digest::of(signed.payload));
            prop_assert!(decoded.record != record() || decoded.tagger != tagger()
                || signed.payload != payload.as_bytes());
        }
    }

    #[test]
    fn swapped_removed_or_doubled_trailers_are_refused(
        first in 0usize..24, second in 0usize..24, what in 0u8..3,
    ) {
        let payload = payload();
        let (before, trailers) = payload.rsplit_once("\n\n").unwrap();
        let mut lines: Vec<&str> = trailers.lines().collect();
        let (first, second) = (first % lines.len(), second % lines.len());
        match what {
            0 => lines.swap(first, second),
            1 => { lines.remove(first); }
            _ => lines.insert(second, lines[first]),
        }
        let changed = format!("{before}\n\n{}\n", lines.join("\n"));
        match read(&changed) {
            Err(problem) => prop_assert!(!problem.is_empty()),
            // An optional trailer can be left out, a repeatable one repeated: another statement.
            Ok(other) => prop_assert!(other != record() || changed == payload),
        }
    }

    #[test]
    fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let mut inside = payload().into_bytes();
        inside.extend_from_slice(&bytes);
        let _ = decode(&inside);
    }
}

#[test]
fn no_damaged_record_makes_it_panic_and_none_but_a_whole_one_keeps_its_identity() {
    crate::model::mutated::each("record", |bytes| {
        if let Err(problem) = decode(bytes) {
            assert!(!problem.is_empty());
        }
        if let Ok(signed) = signing::split(bytes) {
            let _ = crate::ledger::ssh::of_signature(signed.signature);
            let _ = crate::ledger::ssh::signer(signed.signature, signed.payload);
        }
    });
}
