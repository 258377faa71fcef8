//! A work tree that is not what git thinks, or that gitroll could not put right.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// The files put aside by any run, by their path in the app.
fn saved(s: &Scenario<'_>) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for run in fs::read_dir(s.app.dir.join(".git/gitroll/saved")).into_iter().flatten().flatten() {
        let mut dirs = vec![run.path()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("a directory can be listed").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let bytes = fs::read(&path).expect("a file put aside can be read");
                let relative = path.strip_prefix(run.path()).expect("below the run").to_owned();
                found.push((relative, bytes));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_edited_file_is_saved_and_named_and_a_local_one_kept() {
    let host = TestEnvironment::new();
    let config = quick();
    let s = bound(&host, &config);
    let toml = s.app.read("gitroll.toml");
    s.app.write(
        "gitroll.toml",
        &toml.replace("name = \"plain-app\"\n", "name = \"plain-app\"\nlocal = [\"host.json\"]\n"),
    );
    s.app.write("host.json", "{}\n");
    s.app.write("notes.txt", "one\n");
    s.app.commit("Add files");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.write("notes.txt", "two\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    s.app.write("host.json", "{\"of\": \"this host\"}\n");
    s.app.write("notes.txt", "edited here\n");
    s.app.write("server.js", &(s.app.read("server.js") + "// edited here\n"));

    host.gitroll(&["deploy", &next, "--yes"])
        .exit(0)
        .says("saved    notes.txt")
        .says("saved    server.js")
        .never_says("saved    host.json");
    s.serves("1.1.0");
    assert_eq!(s.app.read("notes.txt"), "two\n");
    assert_eq!(s.app.read("host.json"), "{\"of\": \"this host\"}\n");
    let names: Vec<PathBuf> = saved(&s).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [PathBuf::from("notes.txt"), PathBuf::from("server.js")]);
    assert_eq!(saved(&s)[0].1, b"edited here\n");
}

#[test]
fn edits_are_back_when_the_deploy_fails() {
    let host = TestEnvironment::new();
    let s = serving(&host, &quick());
    let next = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    s.app.write("notes/new.txt", "from git\n");
    let newer = s.app.commit("Add a file where one lies on the host");
    s.app.git(&["checkout", "-q", "--detach", "HEAD~2"]);
    assert_ne!(next, newer);
    s.app.write("build.js", "// edited here\n");
    s.app.write("notes/new.txt", "untracked here\n");
    let before = s.app.state().without("(git refs)");
    host.gitroll(&["deploy", &newer, "--yes"]).exit(20).stderr_has("restored, observed serving");
    s.serves("1.0.0");
    before.assert_same(&s.app.state().without("(git refs)"));
}

#[test]
fn untracked_and_ignored_files_in_the_way_are_saved_and_the_live_environment_stays() {
    let host = TestEnvironment::new();
    let config = quick().and("[flags]\nfile = \".env\"\n");
    let s = bound(&host, &config);
    // An old release that tracked what is ignored and live today.
    s.app.write(".env", "PORT=1\nSECRET=old\n");
    s.app.write("cache/state.bin", "from git");
    s.app.git(&["add", "-f", ".env", "cache/state.bin"]);
    let old = s.app.commit_version("0.9.0", Behaviour::Good);
    s.app.git(&["rm", "-q", "--cached", ".env", "cache/state.bin"]);
    s.app.write(".gitignore", "node_modules/\ndist/\n.env\ncache/\n");
    s.app.commit_version("1.0.0", Behaviour::Good);
    let live = format!("PORT={}\nSECRET=live\n", s.app.port.number());
    s.app.write(".env", &live);
    s.app.write("cache/state.bin", "live data");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    assert_eq!(s.app.read(".env"), live);

    let answer = host.gitroll(&["deploy", &old, "--yes"]);
    answer.exit(0).says(".env").says("cache/state.bin");
    s.serves("0.9.0");
    assert_eq!(s.app.read(".env"), live, "the live .env was replaced");
    assert_eq!(s.app.read("cache/state.bin"), "from git");
    assert!(saved(&s).contains(&("cache/state.bin".into(), b"live data".to_vec())));
    let objects = s.app.git(&["cat-file", "--batch-all-objects", "--batch-check"]);
    let live_blob = host.run("git", &["hash-object", ".env"]).text().to_owned();
    assert!(!objects.contains(&live_blob), "the live .env went into git's objects");
}

#[test]
fn a_submodule_that_changes_is_refused() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let head = s.app.head();
    s.app.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},vendor/lib")]);
    s.app.git(&["commit", "-q", "-m", "Add a submodule"]);
    let with = s.app.head();
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    refused(&s, &["deploy", &with, "--yes"], 1, &["submodule vendor/lib", "nothing was changed"]);
}

#[test]
fn attributes_that_change_bytes_are_refused() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n";
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let before = s.app.head();
    for (attributes, file, text, texts) in [
        ("*.bin filter=lfs -text\n", "a.bin", pointer, ["a.bin: filter=lfs", "Git LFS"]),
        ("*.txt filter=indent\n", "a.txt", "x", ["filter=indent", "remove the attribute"]),
        (
            "*.txt working-tree-encoding=ISO-8859-1\n",
            "a.txt",
            "\u{e9}",
            ["working-tree-encoding", "remove"],
        ),
        ("*.js ident\n", "a.js", "// $Id$\n", ["a.js: ident", "remove the attribute"]),
    ] {
        s.app.write(file, text);
        s.app.commit("Add a file");
        s.app.write(".gitattributes", attributes);
        let with = s.app.commit("Add attributes");
        s.app.git(&["checkout", "-q", "-f", "--detach", &before]);
        refused(&s, &["deploy", &with, "--yes"], 1, &texts);
    }
}

#[test]
fn paths_and_contents_that_are_no_text_come_and_go_exactly() {
    let host = TestEnvironment::new();
    let s = serving(&host, &quick());
    let odd = [
        &b"data/caf\xe9 \xff.bin"[..],
        b"data/line\nfeed",
        b"data/ leading and trailing ",
        b"data/\"quoted\\\"",
        b"data/-rf",
        b"data/\x1b[31mred",
        "data/\u{202e}gpj.exe".as_bytes(),
    ];
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    fs::create_dir(s.app.dir.join("data")).expect("the work tree is writable");
    for name in odd {
        fs::write(s.app.dir.join(OsStr::from_bytes(name)), &bytes).expect("the tree is writable");
    }
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let whole = Tree::of(&s.app.dir.join("data"));
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    // One of them is in the way, untracked.
    let in_the_way = s.app.dir.join(OsStr::from_bytes(odd[0]));
    fs::create_dir_all(s.app.dir.join("data")).expect("the work tree is writable");
    fs::write(&in_the_way, b"mine \xff").expect("the work tree is writable");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0).never_says("\u{1b}").never_says("\u{202e}");
    whole.assert_same(&Tree::of(&s.app.dir.join("data")));
    assert_eq!(saved(&s)[0].1, b"mine \xff");
    host.gitroll(&["show", "--json"]).exit(0).json();
    host.gitroll(&["back", "--yes"]).exit(0);
    assert!(!s.app.has("data/-rf"));
    host.gitroll(&["status"]).exit(0).never_says("\u{1b}");
}

#[test]
fn files_that_become_directories_and_links_come_and_go() {
    let host = TestEnvironment::new();
    let s = serving(&host, &quick());
    s.app.write("thing", "a file\n");
    std::os::unix::fs::symlink("thing", s.app.dir.join("link")).expect("a link can be made");
    let first = s.app.commit_version("1.1.0", Behaviour::Good);
    fs::remove_file(s.app.dir.join("thing")).expect("the work tree is writable");
    fs::remove_file(s.app.dir.join("link")).expect("the work tree is writable");
    s.app.write("thing/inside", "now a directory\n");
    s.app.write("link/inside", "was a link\n");
    let second = s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["deploy", &first, "--yes"]).exit(0);
    assert_eq!(s.app.read("link"), "a file\n");
    host.gitroll(&["deploy", &second, "--yes"]).exit(0);
    assert_eq!(s.app.read("link/inside"), "was a link\n");
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(s.app.read("thing"), "a file\n");
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
}

/// A mount that ends with the test.
struct Mount(PathBuf);

impl Mount {
    /// Mounts at `place`; `None` where this machine does not let us.
    fn at(place: &Path, args: &[&str]) -> Option<Self> {
        let done = Command::new("mount").args(args).arg(place).output().ok()?;
        done.status.success().then(|| Self(place.to_owned()))
    }

    fn remount(&self, how: &str) {
        // Busy for as long as a process that was just ended still has its log open.
        wait_until("the file system is remounted", || {
            let mut mount = Command::new("mount");
            mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
            mount.output().is_ok_and(|done| done.status.success())
        });
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg(&self.0).status().is_ok_and(|s| s.success());
        if !gone {
            Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
        }
    }
}

/// The app on a file system of its own. `None` where nothing can be mounted.
fn on_its_own_disk<'h>(host: &'h TestEnvironment, size: &str) -> Option<(Scenario<'h>, Mount)> {
    let place = host.path("app");
    fs::create_dir(&place).expect("a fresh directory can be filled");
    let Some(mount) = Mount::at(&place, &["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
    else {
        skipped("no file system can be mounted here");
        return None;
    };
    Some((bound(host, &quick()), mount))
}

#[test]
fn a_disk_that_is_nearly_full_is_noticed_before_anything_changes() {
    let host = TestEnvironment::new();
    let Some((s, mount)) = on_its_own_disk(&host, "8m") else { return };
    s.host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.write("more/a.txt", "a\n");
    s.app.write("more/b.txt", "b\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    fs::write(s.app.dir.join("ballast"), vec![1; 40 << 20]).expect_err("the disk is small");
    let size = fs::metadata(s.app.dir.join("ballast")).expect("it was written").len();
    let file =
        fs::OpenOptions::new().write(true).open(s.app.dir.join("ballast")).expect("it is ours");
    file.set_len(size - 60_000).expect("a file can be cut");
    drop(file);
    refused(
        &s,
        &["deploy", &next, "--yes"],
        1,
        &["disk is nearly full", "free", "free some space"],
    );
    s.serves("1.0.0");
    // With nothing left at all: an error that names the place, never half a change.
    let full =
        fs::OpenOptions::new().append(true).open(s.app.dir.join("ballast")).expect("it is ours");
    std::io::Write::write_all(&mut &full, &[1; 100_000]).expect_err("the disk is full");
    drop(full);
    for args in [&["deploy", &next, "--yes"] as &[&str], &["promote", "--yes"]] {
        let before = s.app.state();
        s.host.gitroll(args).exit(1).stderr_lacks("bug");
        before.assert_same(&s.app.state());
    }
    s.host.gitroll(&["status"]).exit(0);
    fs::remove_file(s.app.dir.join("ballast")).expect("it is ours");
    s.host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.serves("1.1.0");
    host.end_processes();
    drop(mount);
}

#[test]
fn a_tree_that_cannot_be_written_is_noticed_before_anything_changes() {
    let host = TestEnvironment::new();
    let Some((s, mount)) = on_its_own_disk(&host, "16m") else { return };
    s.host.gitroll(&["deploy", "--yes"]).exit(0);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    // The service's log is open for writing in the tree.
    s.host.gitroll(&["service", "stop"]).exit(0);
    mount.remount("ro");
    let texts = ["app", "Read-only file system"];
    for args in [&["deploy", &next, "--yes"] as &[&str], &["back", "--yes"], &["init", "--yes"]] {
        refused(&s, args, 1, &texts);
    }
    s.host.gitroll(&["status"]).exit(0);
    s.host.gitroll(&["log"]).exit(0);
    mount.remount("rw");
    s.host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.serves("1.1.0");
    host.end_processes();
    drop(mount);
}
