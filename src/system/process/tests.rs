use super::*;
use crate::system::procs;

fn shell(script: &str) -> Invocation {
    let mut invocation = Invocation::new("sh", Path::new("/"));
    invocation.args = vec!["-c".into(), script.into()];
    invocation.env.insert("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
    invocation
}

fn number(bytes: &[u8]) -> u32 {
    String::from_utf8_lossy(bytes).trim().parse().unwrap()
}

fn gone(pid: u32) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while ProcessId::of(pid).is_some() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn the_environment_is_exactly_the_declared_one() {
    let mut invocation = Invocation::new("/usr/bin/env", Path::new("/"));
    invocation.env.insert("ONLY".into(), "this".into());
    assert_eq!(invocation.run().unwrap().stdout, b"ONLY=this\n");
}

#[test]
fn output_code_and_signal_are_told_apart() {
    let finished = shell("echo out; echo err >&2; exit 3").run().unwrap();
    assert_eq!((finished.code, finished.signal, finished.timed_out), (Some(3), None, false));
    assert_eq!((&finished.stdout[..], &finished.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert!(!finished.success());
    let finished = shell("kill -9 $$").run().unwrap();
    assert_eq!((finished.code, finished.signal), (None, Some(9)));
}

#[test]
fn a_program_is_looked_up_in_the_declared_path_only() {
    let mut invocation = shell("true");
    invocation.env.insert("PATH".into(), "/nonexistent".into());
    assert!(matches!(invocation.run(), Err(ProcessError::NotFound { .. })));
    invocation.env.clear();
    assert!(matches!(invocation.run(), Err(ProcessError::NotFound { .. })));
    let missing = Invocation::new("/nonexistent/program", Path::new("/"));
    assert!(matches!(missing.run(), Err(ProcessError::NotFound { .. })));
    let directory = Invocation::new("/usr", Path::new("/"));
    assert!(matches!(directory.run(), Err(ProcessError::Start { .. })));
    let nowhere = Invocation { dir: "/nonexistent".into(), ..shell("true") };
    let message = nowhere.run().unwrap_err().to_string();
    assert!(message.contains("/nonexistent is not a directory"), "{message}");
}

#[test]
fn a_program_that_exceeds_its_limit_is_ended_with_its_children() {
    let mut invocation = shell("sleep 60 & echo $!; wait");
    invocation.limit = Duration::from_millis(300);
    let finished = invocation.run().unwrap();
    assert!(finished.timed_out && !finished.success());
    assert!(finished.took < Duration::from_secs(2), "TERM was enough");
    assert!(gone(number(&finished.stdout)), "the child was left behind");
}

#[test]
fn a_program_that_ignores_term_is_killed_two_seconds_later() {
    let mut invocation = shell("trap '' TERM; while :; do sleep 0.1; done");
    invocation.limit = Duration::from_millis(200);
    let finished = invocation.run().unwrap();
    assert!(finished.timed_out);
    assert_eq!(finished.signal, Some(9));
    assert!(finished.took >= Duration::from_secs(2) && finished.took < Duration::from_secs(5));
}

#[test]
fn a_child_that_keeps_the_pipe_open_does_not_hang_the_call() {
    let finished = shell("sleep 60 & echo $!").run().unwrap();
    assert!(finished.success());
    assert!(finished.took < Duration::from_secs(5));
    assert!(gone(number(&finished.stdout)), "the child was left behind");
}

#[test]
fn a_child_that_left_the_group_and_keeps_the_pipe_does_not_hang_the_call() {
    let finished = shell("setsid sh -c 'echo $$; exec sleep 60' & sleep 0.3").run().unwrap();
    assert!(finished.took < Duration::from_secs(8));
    let stray = ProcessId::of(number(&finished.stdout)).expect("it is not ours to end");
    assert!(stray.kill());
}

#[test]
fn a_quiet_child_of_the_group_is_not_left_behind() {
    let finished = shell("sleep 60 >/dev/null 2>&1 & echo $!").run().unwrap();
    assert!(finished.took < Duration::from_millis(900), "no pipe was open");
    assert!(gone(number(&finished.stdout)));
}

#[test]
fn much_input_and_output_at_once_do_not_deadlock() {
    let mut invocation = shell("tee /dev/stderr");
    let input: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    invocation.input = Some(input.clone());
    let finished = invocation.run().unwrap();
    assert!(finished.stdout == input && finished.stderr == input);
    let mut deaf = shell("exit 0");
    deaf.input = Some(input);
    assert!(deaf.run().unwrap().success(), "unread input is no failure");
}

#[test]
fn endless_output_is_kept_within_bounds_from_both_ends() {
    let finished = shell("echo begin; head -c 40000000 /dev/zero; echo end").run().unwrap();
    assert!(finished.stdout.len() < 17 * 1024 * 1024);
    assert!(finished.stdout.starts_with(b"begin\n") && finished.stdout.ends_with(b"end\n"));
}

#[test]
fn a_detached_program_leads_a_session_and_writes_to_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("out.log");
    std::fs::write(&log, "before\n").unwrap();
    let id = shell("echo out; echo err >&2; read x || echo no input; exec sleep 60")
        .spawn_detached(&log)
        .unwrap();
    assert!(id.alive());
    assert_eq!(procs::session(id.pid), [id.pid]);
    let end = Instant::now() + Duration::from_secs(5);
    while !std::fs::read_to_string(&log).unwrap().contains("no input") && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "before\nout\nerr\nno input\n");
    assert!(id.kill());
    assert!(procs::wait_until_gone(&[id], Duration::from_secs(5)));
}

#[test]
fn a_detached_program_holds_no_descriptor_of_its_caller() {
    let dir = tempfile::tempdir().unwrap();
    let lock = File::create(dir.path().join("lock")).unwrap();
    // As the shell of a CI job hands descriptors down: open across exec.
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).unwrap();
    let id = shell("exec sleep 60").spawn_detached(&dir.path().join("log")).unwrap();
    let name = format!("/proc/{}/comm", id.pid);
    let end = Instant::now() + Duration::from_secs(5);
    while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
        assert!(Instant::now() < end, "it is not executed");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Past its start, in which the loader has libraries open.
    std::thread::sleep(Duration::from_millis(100));
    let held: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{}/fd", id.pid))
        .unwrap()
        .map(|file| std::fs::read_link(file.unwrap().path()).unwrap())
        .collect();
    assert!(id.kill());
    assert_eq!(held.len(), 3, "{held:?}");
    assert!(!held.contains(&dir.path().join("lock")));
}

#[test]
fn a_program_that_is_waited_for_holds_no_descriptor_of_its_caller_either() {
    let dir = tempfile::tempdir().unwrap();
    let lock = File::create(dir.path().join("lock")).unwrap();
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).unwrap();
    let held = shell("readlink /proc/self/fd/*").run().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&held).contains("lock"));
}

#[test]
fn a_detached_program_that_ends_at_once_still_has_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let id = shell("exit 7").spawn_detached(&dir.path().join("log")).unwrap();
    assert!(procs::wait_until_gone(&[id], Duration::from_secs(5)));
}

#[test]
fn a_log_that_is_a_link_or_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link.log");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
    for log in [link.as_path(), dir.path(), Path::new("/nonexistent/log")] {
        let error = shell("true").spawn_detached(log).unwrap_err();
        assert!(error.to_string().contains(&log.display().to_string()), "{error}");
    }
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn what_a_start_command_leaves_running_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("out.log");
    std::fs::write(&log, "before\n").unwrap();
    let finished = shell("sleep 60 & echo $!").run_and_leave(&log).unwrap();
    assert!(finished.success());
    assert!(finished.took < Duration::from_millis(900));
    let server = ProcessId::of(number(&finished.stdout)).expect("it goes on");
    assert!(server.kill());
}

#[test]
fn a_program_begins_only_when_its_process_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let (note, begun) = (dir.path().join("note"), dir.path().join("begun"));
    // To note something here takes until someone reads it.
    let made = Command::new("mkfifo").arg(&note).status().unwrap();
    assert!(made.success());
    let mut noted = shell(&format!("touch {}", begun.display()));
    noted.pid_file = Some(note.clone());
    let run = std::thread::spawn(move || noted.run());
    std::thread::sleep(Duration::from_millis(400));
    assert!(!begun.exists(), "it begins before it is noted");
    let said = std::fs::read(&note).unwrap();
    let finished = run.join().unwrap().unwrap();
    assert!(finished.success() && begun.exists());
    assert!(serde_json::from_slice::<ProcessId>(&said).is_ok());
}

#[test]
fn what_is_noted_gets_its_own_environment_and_words_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut noted = Invocation::new("/usr/bin/env", Path::new("/"));
    // No shell takes such a name.
    noted.env.insert("npm_config_//registry/:_token".into(), "this".into());
    noted.pid_file = Some(dir.path().join("note"));
    assert_eq!(noted.run().unwrap().stdout, b"npm_config_//registry/:_token=this\n");
    assert!(!dir.path().join("note").exists());
    let log = dir.path().join("out.log");
    assert_eq!(noted.run_and_leave(&log).unwrap().stdout, b"npm_config_//registry/:_token=this\n");
    noted.dir = "/nonexistent".into();
    assert!(noted.run().is_err());
}
