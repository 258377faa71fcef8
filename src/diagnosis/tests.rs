#![allow(clippy::unwrap_used)]

use super::*;

fn found() -> Findings {
    let commit = "a".repeat(40).parse().unwrap();
    Findings {
        serving: Served { name: "v2".to_owned(), version: None, commit },
        proof: None,
        since: None,
        doubt: None,
        by_hand: false,
        checks: vec![check("500", Some("no such column: guest"))],
        services: vec![service("running", true, None)],
        strangers: Vec::new(),
        changed: Vec::new(),
        maintenance: None,
        unread: Vec::new(),
        full: Vec::new(),
        own_use: Vec::new(),
        gone: Vec::new(),
        partial: Vec::new(),
        back: Some(way("v1")),
        migrations: Migrations::default(),
        part: None,
        switched: None,
        switched_in_vain: None,
        rollback: None,
        failing_before: None,
        open_run: Vec::new(),
        not_restored: None,
        newer: None,
    }
}

fn check(answer: &str, says: Option<&str>) -> FailingCheck {
    let (answer, says) = (answer.to_owned(), says.map(str::to_owned));
    FailingCheck { name: "api".to_owned(), answer, says }
}

fn service(word: &str, up: bool, error: Option<&str>) -> ServiceSeen {
    ServiceSeen {
        name: "web".to_owned(),
        word: word.to_owned(),
        up,
        stopped: word == "stopped",
        restarts: 0,
        started: Some(Timestamp::from_second(100).unwrap()),
        error: error.map(str::to_owned),
    }
}

fn way(name: &str) -> Way {
    let name = name.to_owned();
    Way { name, named: false, failed: None, build: Vec::new(), about: None }
}

fn rollback(fault: &str) -> Option<Rollback> {
    let (left, faults) = ("v3".to_owned(), vec![fault.to_owned()]);
    Some(Rollback { record: Seq(9), left, faults, flags: false })
}

fn edited(second: i64) -> Vec<Changed> {
    let at = Timestamp::from_second(second).ok();
    vec![Changed { path: ".env".to_owned(), at, names: vec!["RELAY".to_owned()], kept: None }]
}

#[test]
fn the_first_command_is_the_one_that_heals() {
    let part = |same, other: Option<&str>, flag: Option<&str>| {
        Some(Part {
            id: "SRCH".to_owned(),
            because: "check search is its own".to_owned(),
            changed_in: None,
            same_in_target: same,
            other_in: other.map(way),
            flag: flag.map(str::to_owned),
        })
    };
    let crash = || vec![service("errored", false, Some("Error: boom"))];
    let well = || Findings { checks: Vec::new(), ..found() };
    let crossed = Migrations {
        names: vec!["0042_orders".to_owned()],
        seen: false,
        old_code_ok: false,
        stay: Vec::new(),
        point: None,
    };
    let unkept = vec![("node_modules".to_owned(), false)];
    let table: Vec<(&str, Findings, &str)> = vec![
        ("late failure", found(), "gitroll back"),
        ("crash", Findings { services: crash(), ..found() }, "gitroll back"),
        (
            "stopped by someone",
            Findings { services: vec![service("stopped", false, None)], ..found() },
            "gitroll service start web",
        ),
        (
            "stopped for maintenance",
            Findings {
                maintenance: Some("ana stopped it".to_owned()),
                services: vec![service("stopped", false, Some("Error: boom"))],
                ..found()
            },
            "gitroll service start",
        ),
        (
            "read since it was edited",
            Findings { changed: edited(50), ..found() },
            "${EDITOR:-vi} .env",
        ),
        (
            "edited, and nobody read it",
            Findings { changed: edited(500), ..found() },
            "gitroll back",
        ),
        (
            "pulled by hand, edited before",
            Findings { changed: edited(50), by_hand: true, ..found() },
            "gitroll back",
        ),
        (
            "kept copy",
            Findings { gone: vec![("node_modules".to_owned(), true)], ..found() },
            "gitroll deploy aaaaaaa",
        ),
        ("no copy", Findings { gone: unkept.clone(), ..found() }, "gitroll back"),
        (
            "no copy, nowhere to go",
            Findings { gone: unkept, back: None, ..found() },
            "gitroll deploy aaaaaaa",
        ),
        (
            "full disk",
            Findings { full: vec![("/srv".to_owned(), "0 KiB".to_owned())], ..found() },
            "du -xah -t 1M /srv | sort -h | tail -n 20",
        ),
        (
            "unseen schema",
            Findings { migrations: crossed, ..found() },
            "gitroll back --migrate-down",
        ),
        (
            "flag that is on",
            Findings { part: part(false, None, Some("X")), ..found() },
            "gitroll component SRCH",
        ),
        (
            "flawed target",
            Findings { part: part(true, Some("v0"), None), ..found() },
            "gitroll component SRCH --to v0",
        ),
        (
            "a flag that was switched in its file",
            Findings { changed: edited(50), part: part(true, None, Some("RELAY")), ..found() },
            "gitroll component SRCH",
        ),
        (
            "a flag that was switched while all was well",
            Findings {
                switched: Some(Switched { record: Seq(8), flags: vec!["FAST".to_owned()] }),
                ..found()
            },
            "gitroll back --level flags",
        ),
        ("own change", Findings { part: part(false, None, None), ..found() }, "gitroll back"),
        ("nowhere to go", Findings { back: None, ..found() }, "gitroll targets"),
        (
            "nowhere to go after a rollback",
            Findings { back: None, rollback: rollback("x"), ..found() },
            "gitroll back --undo",
        ),
        (
            "tried in vain",
            Findings { back: Some(Way { failed: Some(Seq(4)), ..way("v1") }), ..found() },
            "gitroll check",
        ),
        (
            "another than usual",
            Findings { back: Some(Way { named: true, ..way("v0") }), ..found() },
            "gitroll back --to v0",
        ),
        (
            "two versions, one error around them",
            Findings {
                checks: vec![check("500", Some("relay 10.0.0.7: ECONNREFUSED"))],
                rollback: rollback("api 500 \"relay 10.0.0.7: ECONNREFUSED\""),
                ..found()
            },
            "gitroll check",
        ),
        ("left while failing", Findings { rollback: rollback("x"), ..well() }, "gitroll diff"),
        (
            "false alarm",
            Findings {
                rollback: rollback("x").map(|one| Rollback { faults: Vec::new(), ..one }),
                ..well()
            },
            "gitroll back --undo",
        ),
        (
            "mended in its file, and not read yet",
            Findings { unread: vec![".env".to_owned()], changed: edited(500), ..found() },
            "gitroll service restart web",
        ),
        (
            "given up, passes",
            Findings { failing_before: Some((Seq(9), "api 500".to_owned())), ..well() },
            "gitroll back",
        ),
        (
            "given up, mended around it",
            Findings { failing_before: Some((Seq(9), "api ECONNREFUSED".to_owned())), ..well() },
            "gitroll deploy aaaaaaa",
        ),
        (
            "doubted",
            Findings { doubt: Some("older".to_owned()), ..well() },
            "gitroll deploy aaaaaaa",
        ),
        (
            "open run",
            Findings { open_run: vec![("gitroll resume".to_owned(), String::new())], ..found() },
            "gitroll resume",
        ),
    ];
    for (scene, findings, wanted) in table {
        let told = diagnose(&findings);
        assert_eq!(told.next[0].0, wanted, "{scene}: {told:#?}");
    }
    assert!(diagnose(&well()).next.is_empty());
}

#[test]
fn going_back_is_not_offered_beside_the_reason_why_it_does_not_help() {
    let switched = Some(Switched { record: Seq(8), flags: vec!["FAST".to_owned()] });
    let doubted = [
        Findings { full: vec![("/srv".to_owned(), "0 KiB".to_owned())], ..found() },
        Findings { changed: edited(50), ..found() },
        Findings { unread: vec![".env".to_owned()], ..found() },
        Findings { rollback: rollback("api 500 \"no such column: guest\""), ..found() },
        Findings { switched, ..found() },
    ];
    for findings in doubted {
        let told = diagnose(&findings);
        assert!(told.back_doubted.is_some(), "{told:#?}");
        assert!(told.next.iter().all(|(command, _)| command != "gitroll back"), "{told:#?}");
    }
    assert!(diagnose(&found()).back_doubted.is_none());
}

#[test]
fn the_cause_is_told_once_and_silence_of_what_does_not_run_is_none() {
    let twice = vec![service("running", true, Some("Error: no such column: guest"))];
    let told = diagnose(&Findings { services: twice, ..found() });
    assert_eq!(told.why, ["api answers 500 and says: no such column: guest"]);
    let silent = Findings {
        checks: vec![check("no listener on :3000", None)],
        services: vec![service("exited", false, Some("Error: boom"))],
        ..found()
    };
    let told = diagnose(&silent);
    assert_eq!((told.health, told.why), (Health::Down, vec!["web exited: Error: boom".to_owned()]));
}

#[test]
fn a_bare_status_makes_no_two_failures_the_same() {
    assert!(same_failure("prove: api: 500 \"pool 3 empty\"", "prove: api: 500 \"pool 4 empty\""));
    assert!(!same_failure("prove: api: 500", "prove: api: 500"));
    assert!(is_of_the_schema("api 500 \"column \"guest\" does not exist\""));
    assert!(
        is_of_the_schema("no such column: guest") && !is_of_the_schema("cart 7 does not exist")
    );
    assert!(says_the_same("prove: api: 500 \"no such table\"", "no such table"));
    assert!(!says_the_same("prove: api: 500", ""));
}

#[test]
fn what_a_disk_or_a_network_did_is_no_fault_of_a_version() {
    for why in [
        "reload web: /srv/app/.git/gitroll/services/web.json: Input/output error (os error 5)",
        "Error: EIO: i/o error, open '/srv/app/data.db'",
        "prove: web: Error: connect ECONNREFUSED 127.0.0.1:5432",
        "Read-only file system (os error 30)",
    ] {
        assert!(is_of_the_surroundings(why), "{why}");
    }
    assert!(!is_of_the_surroundings("TypeError: x is not a function"));
}
