//! What a run put aside: brought back by an undo, listed, restored, kept long enough.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::*;
use serde_json::json;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s")
}

#[test]
fn an_undo_brings_back_what_the_rollback_put_aside() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    // A tracked link to a directory beside the app, as Capistrano makes them.
    let shared = host.path("uploads");
    fs::create_dir(&shared).expect("it can be made");
    symlink(&shared, s.app.dir.join("uploads")).expect("it can be made");
    let linked = s.app.commit("Uploads are kept elsewhere");
    host.gitroll(&["deploy", &linked, "--yes"]).exit(0);
    fs::remove_file(s.app.dir.join("uploads")).expect("it is a link");
    s.app.write("uploads/.gitkeep", "");
    s.app.write("notes.txt", "tracked\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.app.write("uploads/ana/photo.png", "of a user");
    s.app.write("uploads/second.png", "of another");

    let back = host.gitroll(&["back", "--no-verdict", "--yes"]);
    back.exit(0).says("moves to .git/gitroll/saved");
    assert!(s.app.dir.join("uploads").is_symlink());
    let listed = host.gitroll(&["saved"]);
    listed.exit(0).stdout_has("uploads/ana/photo.png").stdout_has("back #");
    let all = host.gitroll(&["saved", "--json"]).exit(0).json();
    let set = all["result"]["saved"][0].clone();
    assert_eq!(set["event"], json!("back"));
    assert_eq!(set["files"][1]["path"], json!("uploads/ana/photo.png"));
    assert_eq!(set["files"][1]["place"], json!("taken"), "a link stands there: {set}");

    // Cut off before it is proven, and continued: what is continued knows what it undoes.
    Paused::at(&host, "prove before", &["back", "--undo", "--yes"]).kill();
    assert!(!s.app.has("uploads/second.png"));
    let answer = host.gitroll(&["resume", "--json"]);
    answer.exit(0).stderr_has("restored saved files: uploads/ana, uploads/second.png");
    let result = answer.json()["result"].clone();
    assert_eq!(result["brought_back"], json!(["uploads/ana", "uploads/second.png"]), "{result}");
    assert_eq!(result["still_aside"], json!([]), "{result}");
    assert_eq!(s.app.read("uploads/ana/photo.png"), "of a user");
    assert_eq!(s.app.read("uploads/second.png"), "of another");
    assert!(s.app.has("uploads/.gitkeep"));
    host.gitroll(&["saved"]).exit(0).says("there are no saved files");
    s.serves("1.1.0");
}

#[test]
fn what_was_put_aside_is_listed_and_restored_by_name_and_replaces_nothing() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.app.write("config/host.json", "of this host\n");
    s.app.write("config/more.json", "of this host, too\n");
    let serving = s.app.head();
    // The next release brings files where these lie, and is left again.
    s.app.git(&["checkout", "-q", "--orphan", "next"]);
    s.app.git(&["reset", "-q", &serving]);
    s.app.write("config/host.json", "of the release\n");
    s.app.write("config/more.json", "of the release\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "-f", "--detach", &serving]);
    s.app.write("config/host.json", "of this host\n");
    s.app.write("config/more.json", "of this host, too\n");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0).says("config/host.json");
    assert_eq!(s.app.read("config/host.json"), "of the release\n");

    let set = host.gitroll(&["saved", "--json"]).exit(0).json()["result"]["saved"][0].clone();
    let id = set["id"].as_str().expect("it has a name").to_owned();
    let answer = host.gitroll(&["saved", "restore", &id]);
    answer
        .exit(1)
        .stderr_has("every one of these paths is in use again")
        .stderr_has("config/host.json");
    assert_eq!(s.app.read("config/host.json"), "of the release\n");
    host.gitroll(&["saved", "restore", &id, "config/none.json"])
        .exit(1)
        .stderr_has("does not contain");
    host.gitroll(&["saved", "restore", "99"]).exit(1).stderr_has("gitroll saved");

    // Left for what served before, they could lie there again: the way back says so.
    let answer = host.gitroll(&["back", "--yes"]);
    answer.exit(0).says(&format!("gitroll saved restore {id}")).says("config/host.json");
    assert!(!s.app.has("config/host.json"));
    let seq = set["seq"].to_string();
    let answer = host.gitroll(&["saved", "restore", &seq, "config/host.json"]);
    answer.exit(0).stdout_has("config/host.json").stdout_lacks("more.json");
    assert_eq!(s.app.read("config/host.json"), "of this host\n");
    let answer = host.gitroll(&["saved", "restore", &seq, "--json"]).exit(0).json();
    assert_eq!(answer["result"]["restored"]["restored"], json!(["config/more.json"]));
    s.serves("1.0.0");
}

#[test]
fn what_the_app_wrote_since_is_saved_before_what_was_put_aside_is_restored() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.app.write("data.json", "as released\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    s.app.write("data.json", "of the app\n");
    s.app.write("more/one.txt", "of the app\n");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.app.write("data.json", "written since\n");
    let set = host.gitroll(&["saved", "--json"]).exit(0).json()["result"]["saved"][0].clone();
    let id = set["id"].as_str().expect("it has a name").to_owned();
    host.gitroll(&["saved"]).exit(0).says(&format!("gitroll saved restore {id} --force"));
    host.gitroll(&["saved", "restore", &id])
        .exit(1)
        .stderr_has(&format!("gitroll saved restore {id} --force"));
    assert_eq!(s.app.read("data.json"), "written since\n");

    let answer = host.gitroll(&["saved", "restore", &id, "--force", "--json"]).exit(0).json();
    let restored = answer["result"]["restored"].clone();
    assert_eq!(restored["restored"], json!(["data.json"]), "{restored}");
    assert_eq!(s.app.read("data.json"), "of the app\n");
    // Nothing is lost: what was there is saved under a name of its own, and comes back the same way.
    let replaced = restored["replaced"].as_str().expect("what was there is saved").to_owned();
    assert_ne!(replaced, id);
    let answer = host.gitroll(&["saved", "restore", &replaced, "data.json", "--force"]);
    answer.exit(0).stdout_has("data.json").says("returns to the files that were there");
    assert_eq!(s.app.read("data.json"), "written since\n");
    // Where nothing is in the way, nothing more is saved.
    fs::remove_file(s.app.dir.join("data.json")).expect("it is there");
    let all = host.gitroll(&["saved", "--json"]).exit(0).json()["result"]["saved"].clone();
    let last = all.as_array().and_then(|all| all.last()).expect("one is left").clone();
    let last = last["id"].as_str().expect("it has a name").to_owned();
    let answer = host.gitroll(&["saved", "restore", &last, "--force", "--json"]).exit(0).json();
    assert_eq!(answer["result"]["restored"]["replaced"], json!(null));
    host.gitroll(&["saved"]).exit(0).says("there are no saved files");
}

#[test]
fn an_undo_that_is_killed_after_its_run_was_over_names_what_it_did_not_restore() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    symlink(host.path("home"), s.app.dir.join("uploads")).expect("it can be made");
    let linked = s.app.commit("Uploads are kept elsewhere");
    host.gitroll(&["deploy", &linked, "--yes"]).exit(0);
    fs::remove_file(s.app.dir.join("uploads")).expect("it is a link");
    s.app.write("uploads/.gitkeep", "");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.app.write("uploads/photo.png", "of a user");
    host.gitroll(&["back", "--no-verdict", "--yes"]).exit(0);

    Paused::at(&host, "journal closed after", &["back", "--undo", "--yes"]).kill();
    assert!(!s.app.has("uploads/photo.png"));
    let set = host.gitroll(&["saved", "--json"]).exit(0).json()["result"]["saved"][0].clone();
    let command = format!("gitroll saved restore {}", set["id"].as_str().expect("a name"));
    let status = host.gitroll(&["status"]);
    status.exit(0).says(&command).says("uploads/photo.png");
    status.stdout_lacks("nothing remains to be done");
    let resumed = host.gitroll(&["resume"]);
    resumed.exit(1).stderr_has("no run is open").stderr_has(&command);
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    host.gitroll(&words).exit(0);
    assert_eq!(s.app.read("uploads/photo.png"), "of a user");
    host.gitroll(&["status"]).exit(0).stdout_lacks("saved restore");
}
