//! Files that are not what they seem, secrets at a cut, half-done git states, attributes that concern no file.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s")
}

fn make_pipe(path: &std::path::Path) {
    let mut command = Command::new("mkfifo");
    command.arg(path);
    Answer::of(command, Duration::from_secs(5)).exit(0);
}

#[test]
fn attributes_are_judged_by_the_files_they_change() {
    const USUAL: &str =
        "* text=auto\n*.sh text eol=lf\n*.bat text eol=crlf\n*.psd filter=lfs -text\n";
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    // Of an earlier time: a file that the rule changes.
    s.app.write(".gitattributes", USUAL);
    s.app.write("run.bat", "echo one\necho two\n");
    let with_bat = s.app.commit("A file for Windows");
    s.app.git(&["rm", "-q", "run.bat"]);
    let usual = s.app.commit("The rules alone");
    host.gitroll(&["deploy", &usual, "--yes"]).exit(0);
    s.serves("1.0.0");

    let answer = host.gitroll(&["deploy", &with_bat, "--yes"]);
    answer.exit(1).stderr_has("run.bat: eol=crlf in .gitattributes");
    answer.stderr_has("nothing was changed");
    // A rule that no commit has is named by its file, and judged alike.
    s.app.write(".git/info/attributes", "*.none filter=clean\n");
    host.gitroll(&["deploy", &usual, "--yes"]).exit(0);
    s.app.write(".git/info/attributes", "*.js filter=clean\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let answer = host.gitroll(&["deploy", &next, "--yes"]);
    answer.exit(1).stderr_has("filter=clean in .git/info/attributes");
    answer
        .stderr_has("remove the attribute from .git/info/attributes")
        .stderr_lacks(".gitattributes");
    s.app.write(".git/info/attributes", "");
    s.app.git(&["checkout", "-q", "--detach", &usual]);
    // The way back is not barred by line ends.
    let answer = host.gitroll(&["back", "--to", &with_bat, "--no-verdict", "--yes"]);
    answer.exit(0).says("run.bat: written as stored in git, without eol=crlf");
    assert_eq!(s.app.read("run.bat"), "echo one\necho two\n");

    // A pointer in the place of its content is another thing.
    s.app.git(&["checkout", "-q", "-f", "main"]);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n";
    s.app.write(".gitattributes", "");
    s.app.write("logo.psd", pointer);
    s.app.commit("A picture");
    s.app.write(".gitattributes", USUAL);
    let with_pointer = s.app.commit("kept elsewhere");
    s.app.git(&["checkout", "-q", "--detach", &with_bat]);
    for verb in [["deploy", &with_pointer], ["back --to", &with_pointer]] {
        let args: Vec<&str> =
            verb.iter().flat_map(|word| word.split(' ')).chain(["--yes"]).collect();
        let answer = host.gitroll(&args);
        answer.exit(1).stderr_has("logo.psd: filter=lfs").stderr_has("Git LFS");
    }
}

#[test]
fn what_git_did_not_end_stops_a_deploy_and_not_the_way_back() {
    let host = TestEnvironment::new();
    let config = quick().and("[component.QW-1]\npaths = [\"notes.txt\"]\n");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["checkout", "-q", "-b", "other"]);
    s.app.write("notes.txt", "theirs\n");
    s.app.commit("theirs");
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    s.app.write("notes.txt", "ours\n");
    let ours = s.app.commit("ours");
    host.gitroll(&["deploy", &ours, "--yes"]).exit(0);

    s.app.try_git(&["merge", "other"]).fails();
    for args in [&["deploy", "HEAD", "--yes"][..], &["deploy", "other", "--yes"]] {
        let answer = host.gitroll(args);
        answer.exit(1).stderr_has("in the middle of a merge").stderr_has("git merge --abort");
    }
    assert!(s.app.has(".git/MERGE_HEAD") && s.app.read("notes.txt").contains("<<<<"));
    host.gitroll(&["doctor"]).says("git merge --abort");

    // By night nobody is sent away for that: it goes on, and says how to end it.
    let answer = host.gitroll(&["back", "--yes"]);
    answer.exit(0).says("in the middle of a merge").says("git merge --quit");
    s.serves("1.1.0");
    let lies_there = Tree::of(&s.app.dir).without(".git");
    s.app.git(&["merge", "--quit"]);
    lies_there.assert_same(&Tree::of(&s.app.dir).without(".git"));
    host.gitroll(&["back", "--undo", "--yes"]).exit(0).never_says("in the middle");
}

#[test]
fn an_environment_file_that_cannot_be_read_hangs_and_bars_nothing() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let env = s.app.dir.join(".env");
    let quickly = |args: &[&str], code: i32| {
        let answer = host.gitroll(args);
        answer.exit(code).within(Duration::from_secs(30));
        answer
    };
    fs::remove_file(&env).expect("the fixture has one");
    make_pipe(&env);
    quickly(&["status"], 0);
    quickly(&["doctor"], 0).says(".env was not read: is not a regular file");
    quickly(&["back", "--yes"], 0).says(".env was not read").says("are not masked");
    s.serves("1.0.0");
    fs::remove_file(&env).expect("the pipe is there");

    symlink("/dev/zero", &env).expect("the tree is writable");
    quickly(&["status"], 0);
    quickly(&["back", "--undo", "--yes"], 0).says(".env was not read: is not a regular file");
    fs::remove_file(&env).expect("the link is there");

    let huge = fs::File::create(&env).expect("the tree is writable");
    huge.set_len(2 << 30).expect("a sparse file");
    quickly(&["doctor"], 0).says(".env was not read: is larger than 1 MiB");
    quickly(&["back", "--yes"], 0);
    fs::remove_file(&env).expect("the file is there");

    // The same of the other files of the tree that are read, and of those of the host.
    fs::remove_file(s.app.dir.join("gitroll.toml")).expect("it is there");
    make_pipe(&s.app.dir.join("gitroll.toml"));
    quickly(&["status"], 0);
    quickly(&["back", "--undo", "--yes"], 0);
    s.serves("1.1.0");
    // And of gitroll's own: a pipe in the place of each, or far more than it ever holds.
    let state = s.app.dir.join(".git/gitroll");
    let own = fs::read_dir(&state).expect("it is gitroll's own").flatten();
    let plain = |path: &std::path::PathBuf| path.is_file() && !path.ends_with("lock");
    let own: Vec<_> = own.map(|entry| entry.path()).filter(plain).collect();
    assert!(!own.is_empty());
    for (number, path) in own.iter().enumerate() {
        fs::remove_file(path).expect("it is there");
        if number % 2 == 0 {
            make_pipe(path);
        } else {
            fs::File::create(path).and_then(|file| file.set_len(8 << 30)).expect("a sparse file");
        }
    }
    quickly(&["status"], 0);
    quickly(&["targets"], 0);
    own.iter().for_each(|path| drop(fs::remove_file(path)));
    let trust = host.binding_dir().join("trust");
    fs::rename(&trust, trust.with_extension("old")).expect("it is there");
    make_pipe(&trust);
    quickly(&["deploy", "HEAD~1", "--plan"], 10).stderr_has("must be a regular file");
    quickly(&["back", "--plan"], 0).stderr_has("must be a regular file");
    quickly(&["doctor"], 1);
}

/// The directory of the host binding.
#[test]
fn who_is_believed_is_written_by_nobody_else() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    for name in ["revoked", "roles.toml"] {
        let path = host.binding_dir().join(name);
        fs::write(&path, "").expect("the binding is writable");
        set_mode(&path, 0o666);
        let answer = host.gitroll(&["deploy", "HEAD~1", "--plan"]);
        answer.exit(10).stderr_has(name).stderr_has("writable by others");
        let back = host.gitroll(&["back", "--plan"]);
        back.exit(0).stderr_has(name).stderr_has("this host verified before");
        host.gitroll(&["doctor"]).exit(1).says(name);
        set_mode(&path, 0o644);
        host.gitroll(&["back", "--plan"]).exit(0);
    }
}

#[test]
fn a_key_that_cannot_sign_by_itself_is_not_trusted() {
    let host = TestEnvironment::new();
    host.unset("SSH_AUTH_SOCK");
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    let key = host.path("locked");
    let path = key.display().to_string();
    host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "a passphrase", "-f", &path]).exit(0);
    host.configure_git("gpg.format", "ssh");
    host.configure_git("user.signingkey", &path);
    let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
    host.gitroll(&init).exit(0).says("is not used");
    let public = fs::read_to_string(key.with_extension("pub")).expect("it was made");
    let public = public.split(' ').nth(1).expect("type and key");
    let trust = fs::read_to_string(host.binding_dir().join("trust")).expect("it is there");
    assert!(!trust.contains(public), "{trust}");
    assert!(trust.contains("web-1"), "{trust}");

    // One that can is taken, also where nothing was bound before and there is no directory for it yet.
    let other = TestEnvironment::new();
    let app = other.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    let key = other.ssh_key().display().to_string();
    other.configure_git("user.signingkey", &key);
    other.gitroll(&init).exit(0).never_says("is not used");
    let binding = other.binding_dir().join("host.toml");
    let binding = fs::read_to_string(binding).expect("it is there");
    assert!(binding.contains(&key), "{binding}");
}

#[test]
fn a_hold_reaches_through_a_history_that_is_cut_off() {
    let host = TestEnvironment::new();
    let origin = host.app(Fixture::Plain);
    origin.configure(&quick());
    origin.commit_version("0.9.0", Behaviour::Good);
    origin.commit_version("1.0.0", Behaviour::Good);
    let url = format!("file://{}", origin.dir.display());
    let shallow = host.path("shallow");
    let dir = shallow.display().to_string();
    origin.git(&["clone", "-q", "--depth", "1", &url, &dir]);
    let gitroll = |args: &[&str]| host.gitroll_in(&shallow, args);
    let newest = || {
        let mut fetch = host.command("git");
        fetch.current_dir(&shallow).args(["fetch", "-q", "--depth", "1", "origin", "main"]);
        Answer::of(fetch, Duration::from_secs(20)).exit(0);
        origin.head()
    };
    let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
    gitroll(&init).exit(0);
    gitroll(&["deploy", "--yes"]).exit(0);
    origin.commit_version("1.1.0", Behaviour::Good);
    let held = newest();
    gitroll(&["deploy", &held, "--yes"]).exit(0);
    // Of another line, so that what serves could only be told to contain it by the history that is not here.
    let other = origin.git(&["commit-tree", "HEAD^{tree}", "-m", "another line"]);
    origin.git(&["branch", "other", &other]);
    let mut fetch = host.command("git");
    fetch.current_dir(&shallow).args(["fetch", "-q", "--depth", "1", "origin", "other"]);
    Answer::of(fetch, Duration::from_secs(20)).exit(0);
    gitroll(&["mark", "bad", &other, "--reason", "found elsewhere"]).exit(0);
    let back = gitroll(&["back", "--yes"]);
    back.exit(0).says("held").says("this clone is shallow").says("git fetch --unshallow");
    wait_for_version(&origin.health(), "1.0.0");
    gitroll(&["mark", "good", &other, "--reason", "it was something else"]).exit(0);
    origin.commit_version("1.2.0", Behaviour::Good);
    origin.commit_version("1.3.0", Behaviour::Good);
    let later = newest();
    let answer = gitroll(&["deploy", &later, "--yes"]);
    answer.exit(10).stderr_has("this clone is shallow").stderr_has("git fetch --unshallow");
    gitroll(&["doctor"]).says("git fetch --unshallow");

    let mut fetch = host.command("git");
    fetch.current_dir(&shallow).args(["fetch", "-q", "--unshallow", "origin", "main"]);
    Answer::of(fetch, Duration::from_secs(20)).exit(0);
    let answer = gitroll(&["deploy", &later, "--yes"]);
    answer.exit(10).stderr_has("which is held").stderr_lacks("shallow");
    origin.commit_version("1.4.0", Behaviour::Good);
    let message = format!("Revert 1.1.0\n\nThis reverts commit {held}.");
    origin.git(&["commit", "-q", "--allow-empty", "-m", &message]);
    origin.git(&["commit", "-q", "--allow-empty", "-m", "More"]);
    let mended = newest();
    gitroll(&["deploy", &mended, "--yes"]).exit(10).stderr_has("shallow");
    let mut fetch = host.command("git");
    fetch.current_dir(&shallow).args(["fetch", "-q", "--depth", "2", "origin", "main"]);
    Answer::of(fetch, Duration::from_secs(20)).exit(0);
    gitroll(&["deploy", &mended, "--yes"]).exit(0);
    wait_for_version(&origin.health(), "1.4.0");
}

#[test]
fn of_a_secret_at_a_cut_nothing_is_left() {
    const DECLARED: &str = "Zq7Rv2Kx9Lm4Np8Ws3Tb6Yd1Hc5Jf0Ga";
    const UNKNOWN: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dcX9";
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.app.write(".env", &format!("DB_PASSWORD={DECLARED}\n"));
    let mut said = String::new();
    let mut hear = |answer: Answer| said.push_str(&(answer.exit(20).transcript()));
    let server = s.app.read("server.js");
    // Lines of the log are cut at 200 characters, answers at 60, and the secret stands there.
    for (version, long) in [("1.1.0", DECLARED.to_owned()), ("1.2.0", format!("token={UNKNOWN}"))] {
        let line = format!(
            "console.error('Error: ' + 'x'.repeat(175) + ' {long} at host');process.exit(1);\n"
        );
        s.app.git(&["checkout", "-q", "-f", "main"]);
        s.app.write("server.js", &format!("{line}{server}"));
        let commit = s.app.commit_version(version, Behaviour::Good);
        s.app.git(&["checkout", "-q", "-f", "--detach", "HEAD~1"]);
        hear(host.gitroll(&["deploy", &commit, "--yes"]));
    }
    let answers = format!(
        "require('http').createServer((q, r) => {{ r.setHeader('content-type', 'application/json'); \
         r.end(JSON.stringify({{ status: 'healthy', version: 'cannot connect: postgres://app:' + \
         '{DECLARED}@db or with api_key={UNKNOWN}' }})) }}).listen(+process.env.PORT, '127.0.0.1');\n"
    );
    s.app.git(&["checkout", "-q", "-f", "main"]);
    s.app.write("server.js", &answers);
    let commit = s.app.commit_version("1.3.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "-f", "--detach", "HEAD~1"]);
    hear(host.gitroll(&["deploy", &commit, "--yes"]));
    s.app.git(&["checkout", "-q", "-f", "--detach", "HEAD"]);
    assert!(said.contains("[redacted]"), "{said}");

    // The app's own files are in git too: only records and their evidence are looked at.
    let mut kept = String::new();
    for name in s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll/"]).lines() {
        for commit in s.app.git(&["rev-list", "--first-parent", name]).lines() {
            for part in ["record", "evidence"] {
                // Below the first record lies the app's own commit.
                let text = s.app.try_git(&["cat-file", "-p", &format!("{commit}:{part}")]);
                kept.push_str(if text.code == Some(0) { &text.stdout } else { "" });
            }
        }
    }
    let runs = s.app.dir.join(".git/gitroll/runs");
    for run in fs::read_dir(runs).expect("there were runs").flatten() {
        kept.push_str(&fs::read_to_string(run.path().join("journal.jsonl")).unwrap_or_default());
    }
    assert!(kept.contains("[redacted]"), "nothing was kept of what the app said");
    for secret in [DECLARED, UNKNOWN] {
        for text in [&said, &kept] {
            assert!(!text.contains(&secret[..10]), "{} of {secret} is left: {text}", &secret[..10]);
        }
    }
}

#[test]
fn a_lost_tag_of_a_record_is_made_again_by_the_next_record() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let format = "--format=%(refname) %(objectname)";
    let tags = s.app.git(&["for-each-ref", format, "refs/tags/gitroll/"]);
    let (name, id) = tags.lines().last().and_then(|l| l.split_once(' ')).expect("a record");
    let object = s.app.dir.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(object).expect("it is a loose object");
    s.app.try_git(&["for-each-ref", "--format=%(contents:subject)", "refs/tags/gitroll/"]).fails();
    host.gitroll(&["annotate", "--reason", "somebody looked"]).exit(0);
    let again = s.app.git(&["for-each-ref", format, name]);
    assert_eq!(again, format!("{name} {id}"));
    s.app.git(&["for-each-ref", "--format=%(contents:subject)", "refs/tags/gitroll/"]);
}
