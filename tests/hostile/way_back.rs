//! The way back is never barred: not by a lost key, a broken trust file, a revoked role or a ledger in dispute.

use super::*;

/// What happens to the trust of a host, and how it is mended.
struct Harm {
    name: &'static str,
    harm: fn(&Scenario<'_>),
    /// What `status` says.
    told: &'static str,
    /// Whether the records of this host cannot be verified either: commands that need them refuse.
    disputed: bool,
}

fn trust_file(s: &Scenario<'_>) -> std::path::PathBuf {
    s.host.path("gitroll/trust")
}

fn rewrite(path: &Path, text: &str) {
    fs::write(path, text).expect("the binding is ours");
}

const HARMS: [Harm; 7] = [
    Harm {
        name: "the key is moved",
        harm: |s| {
            let key = s.host.path("gitroll/key");
            fs::rename(&key, s.host.path("gitroll/moved")).expect("init made it");
        },
        told: "",
        disputed: false,
    },
    Harm {
        name: "the trust file is emptied",
        harm: |s| rewrite(&trust_file(s), ""),
        told: "cannot be verified now",
        disputed: true,
    },
    Harm {
        name: "the trust file is gone",
        harm: |s| fs::remove_file(trust_file(s)).expect("init wrote it"),
        told: "cannot be verified now",
        disputed: true,
    },
    Harm {
        name: "the trust file is a directory",
        harm: |s| {
            fs::remove_file(trust_file(s)).expect("init wrote it");
            fs::create_dir(trust_file(s)).expect("the binding is ours");
        },
        told: "must be a regular file",
        disputed: true,
    },
    Harm {
        name: "others may write the trust file",
        harm: |s| set_mode(&trust_file(s), 0o666),
        told: "trust: is writable by others (mode 0666): chmod go-w it",
        disputed: true,
    },
    Harm {
        name: "the key is revoked",
        harm: |s| {
            let public = s.host.path("gitroll/key.pub");
            fs::copy(public, s.host.path("gitroll/revoked")).expect("init made it");
        },
        told: "cannot be verified now",
        disputed: true,
    },
    Harm {
        name: "the chain is shorter than this host has seen it",
        harm: |s| {
            let chain = own_chain(s);
            s.app.git(&["update-ref", &chain, &format!("{chain}~1")]);
        },
        told: "as seen by this host",
        disputed: true,
    },
];

/// Puts everything that a harm touches as it was.
fn mend(s: &Scenario<'_>, trust: &str, chain: &(String, String)) {
    let (file, moved) = (trust_file(s), s.host.path("gitroll/moved"));
    if file.is_dir() {
        fs::remove_dir(&file).expect("it is empty");
    }
    rewrite(&file, trust);
    set_mode(&file, 0o644);
    let _ = fs::remove_file(s.host.path("gitroll/revoked"));
    if moved.exists() {
        fs::rename(moved, s.host.path("gitroll/key")).expect("the binding is ours");
    }
    s.app.git(&["update-ref", &chain.0, &chain.1]);
}

#[test]
fn back_goes_on_whatever_became_of_trust_and_ends_with_30() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let trust = fs::read_to_string(trust_file(&s)).expect("init wrote it");
    for (number, Harm { name, harm, told, disputed }) in HARMS.iter().enumerate() {
        s.release_kept(&format!("1.{}.0", number + 1)).exit(0);
        let chain = own_chain(&s);
        let before = (chain.clone(), s.app.git(&["rev-parse", &chain]));
        harm(&s);
        for verb in ["status", "targets", "log"] {
            let answer = host.gitroll(&[verb]);
            answer.exit(0);
            if *disputed {
                answer.stderr_has(told).stderr_has("this host verified before").says("next");
            }
        }
        let doctor = host.gitroll(&["doctor"]);
        doctor.exit(1);
        if *disputed {
            let answer = host.gitroll(&["fsck"]);
            answer.exit(10).stdout_has("rejected");
            let refused = host.gitroll(&["deploy", "HEAD~1", "--yes"]);
            refused.exit(10).says("nothing was changed").says("gitroll back");
        }

        let back = host.gitroll(&["back", "--yes", "--reason", "errors"]);
        back.exit(30).stderr_has("could not be signed");
        s.serves("1.0.0");
        // What could not be signed counts on this host: it is not gone back to what was left.
        let status = host.gitroll(&["status", "--json"]).exit(0).json();
        assert_eq!(status["result"]["unsigned"], 1, "{name}: {status}");
        assert_eq!(status["result"]["serving"]["name"], "v1.0.0-stable", "{name}: {status}");
        let twice = host.gitroll(&["back", "--yes"]);
        assert_ne!(twice.code, Some(0), "{name}: there is nothing older");
        s.serves("1.0.0");

        mend(&s, &trust, &before);
        let signed = host.gitroll(&["annotate", "--reason", "mended"]);
        signed.exit(0).stderr_has("signed 1 record from the queue");
        host.gitroll(&["status"]).exit(0).stdout_has("held").stderr_lacks("cannot be verified");
        host.gitroll(&["fsck"]).exit(0);
    }
}

#[test]
fn an_emergency_goes_back_without_a_trust_file_and_twice_goes_further() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    rewrite(&trust_file(&s), "");
    host.gitroll(&["back", "--emergency"]).exit(30).stderr_has("this host verified before");
    s.serves("1.1.0");
    host.gitroll(&["back", "--emergency"]).exit(30);
    s.serves("1.0.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(30);
    s.serves("1.1.0");
    // The undo lifts the hold of the second rollback also where all three are signed later.
    host.gitroll(&["init", "--yes"]).exit(0);
    let status = host.gitroll(&["status", "--json"]).exit(0).json();
    assert_eq!(status["result"]["unsigned"], 0, "{status}");
    let held = status["result"]["held"].as_array().map(Vec::len);
    assert_eq!(held, Some(1), "1.2.0 is held, 1.1.0 is not: {status}");
    host.gitroll(&["fsck"]).exit(0);
}

#[test]
fn a_tag_that_nobody_can_verify_now_needs_break_glass_and_its_own_proof() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let first = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    let key = host.path("gitroll/key");
    let sign = format!("user.signingKey={}", key.to_str().expect("UTF-8"));
    let tag = |name: &str, commit: &str| {
        let of = ["-c", "gpg.format=ssh", "-c", &sign, "tag", "-s", "-m", "t", name, commit];
        s.app.git(&of);
    };
    tag("v1.0.9-stable", &first);
    s.app.git(&["commit", "-q", "--allow-empty", "-m", "never deployed"]);
    tag("v1.0.8-stable", "HEAD");
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    rewrite(&trust_file(&s), "");
    let refused = host.gitroll(&["back", "v1.0.9-stable", "--yes"]);
    refused.exit(10).stderr_has("signer is not in the pinned").stderr_has("--break-glass");
    let glass = |name: &str| host.gitroll(&["back", name, "--yes", "--break-glass", "keys lost"]);
    // What never served here is no way back.
    glass("v1.0.8-stable").exit(10);
    s.serves("1.1.0");
    glass("v1.0.9-stable").exit(30);
    s.serves("1.0.0");
    host.gitroll(&["init", "--yes"]).exit(0);
    host.gitroll(&["show", "5"]).exit(0).says("break glass: keys lost");
}

#[test]
fn what_somebody_planted_as_the_memory_of_this_host_counts_for_nothing() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    rewrite(&trust_file(&s), "");
    let cache = s.app.dir.join(".git/gitroll/cache/verified.json");
    set_mode(&cache, 0o666);
    host.gitroll(&["status"]).exit(10);
    host.gitroll(&["back", "--yes"]).exit(10).stderr_has("pinned trust file");
    set_mode(&cache, 0o600);
    fs::remove_file(&cache).expect("it was there");
    host.gitroll(&["back", "--yes"]).exit(10);
    s.serves("1.1.0");
}

#[test]
fn flags_go_back_whatever_became_of_the_key() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"));
    let key = host.path("gitroll/key");
    let lost = key.with_extension("lost");
    let value = || s.app.read(".env");
    let before = value();
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    assert_ne!(value(), before);
    fs::rename(&key, &lost).expect("init made it");
    // A change that is none of the way back still needs the key.
    host.gitroll(&["flags", "on", "QW-001"]).exit(1);
    let back = host.gitroll(&["back", "--level", "flags", "--yes"]);
    back.exit(30).stderr_has("cannot be signed now, and is queued");
    assert_eq!(value(), before);
    // The flags of what is suspect, too, and the undo of both.
    s.sicken("flag");
    host.gitroll(&["back", "--level", "auto", "--yes"]).exit(30);
    assert_ne!(value(), before);
    fs::rename(&lost, &key).expect("it is ours");
    host.gitroll(&["annotate", "--reason", "the key is back"])
        .exit(0)
        .stderr_has("signed 2 records");
    host.gitroll(&["fsck"]).exit(0);
}

/// Nobody answers: an agent that waits for a person at night.
#[test]
fn an_agent_that_never_answers_holds_no_rollback_up() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let key = host.path("gitroll/key");
    let place = key.to_str().expect("UTF-8");
    host.run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret words", "-f", place]).exit(0);
    let socket = host.path("agent");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a short path");
    host.set("SSH_AUTH_SOCK", socket.to_str().expect("UTF-8"));
    let began = std::time::Instant::now();
    let terminal = host.gitroll_on_terminal(&["back", "--yes", "--reason", "errors"]);
    let (code, screen) = terminal.finish();
    assert_eq!(code, 30, "{screen}");
    assert!(screen.contains("was it waiting for input?"), "{screen}");
    assert!(!screen.contains("Enter passphrase"), "{screen}");
    s.serves("1.0.0");
    // Each question is given up after 10 s: before the run, and when its record is to be signed.
    assert!(began.elapsed() < std::time::Duration::from_secs(45), "{:?}", began.elapsed());
    drop(listener);
}
