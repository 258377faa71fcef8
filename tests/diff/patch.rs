//! The changed lines: for `git apply` in a pipe, for eyes on a terminal, and nobody's programs but the
//! user's pager.

use std::fs;

use super::*;

#[test]
fn in_a_pipe_it_is_a_patch_that_git_applies() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.app.write("app/upload/route.js", "one\n2\n");
    s.app.write("app/upload/image.bin", "\0\u{1}");
    s.release_kept("1.1.0").exit(0);
    let good = s.app.git(&["rev-parse", "HEAD~1"]);
    let patch = host.gitroll(&["diff", "--patch", "--component", "QW-001"]);
    patch.exit(0).stdout_has("+2").stdout_lacks("package.json");
    let whole = host.gitroll(&["diff", "--patch"]).exit(0).stdout.clone();
    assert!(whole.contains("package.json"), "{whole}");
    let file = host.path("x.patch");
    fs::write(&file, patch.stdout.replace("Binary files", "# Binary")).expect("it is writable");
    let text = fs::read_to_string(&file).expect("it was just written");
    let kept = text.split("diff --git").filter(|part| !part.contains("image.bin"));
    fs::write(&file, kept.collect::<Vec<_>>().join("diff --git")).expect("it is writable");
    s.app.git(&["checkout", "-q", "--detach", &good]);
    s.app.git(&["apply", file.to_str().expect("temporary paths are UTF-8")]);
    assert_eq!(s.app.read("app/upload/route.js"), "one\n2\n");
}

#[test]
fn the_users_pager_shows_it_escaped_and_no_program_of_the_repository_is_run() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let mark = host.path("the-canary-sang");
    let canary = format!("touch '{}'; cat", mark.display());
    for key in ["core.pager", "diff.external", "diff.x.command", "diff.x.textconv", "pager.diff"] {
        s.app.git(&["config", key, &canary]);
    }
    s.app.write(".git/info/attributes", "* diff=x\n");
    s.app.write("app/upload/route.js", "\u{1b}]0;owned\u{7}\tx\n");
    s.release_kept("1.1.0").exit(0);
    host.configure_git("core.pager", "sed 's/^/PAGED /'");
    let (code, screen) = host.gitroll_on_terminal(&["diff", "--patch"]).finish();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains(r"PAGED +\u{1b}]0;owned\u{7}"), "{screen}");
    host.gitroll(&["diff", "--patch"]).exit(0).stdout_has("owned").stdout_lacks("PAGED");
    host.gitroll(&["diff"]).exit(0);
    assert!(!mark.exists(), "a program that the repository names was run");
    host.gitroll(&["diff", "--patch", "--json"]).exit(2).stderr_has("--json");
}
