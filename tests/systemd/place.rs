//! Units that run something else than the live tree.

use std::fs;

use super::*;

/// A copy of the app beside the tree, of version 0.9.0, and the command that runs it.
#[track_caller]
fn copy(host: &TestEnvironment, app: &App<'_>) -> String {
    let old = host.path("old");
    host.run("cp", &["-r", &app.dir.to_string_lossy(), &old.to_string_lossy()]).exit(0);
    fs::write(old.join("package.json"), "{ \"name\": \"plain-app\", \"version\": \"0.9.0\" }\n")
        .expect("ours");
    let node = find_tool("node").expect("node is on this machine");
    format!("{} {}/server.js", node.display(), old.display())
}

/// No check of it tells the version.
fn silent(app: &App<'_>) {
    let toml = app.read("gitroll.toml");
    app.write("gitroll.toml", &toml.replace(", \"/version\" = \"{version}\"", ""));
}

#[test]
fn a_unit_that_runs_another_copy_is_no_witness() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        let command = copy(host, &served.app);
        let rooted = format!("[Unit]\nDefaultDependencies=no\n[Service]\nExecStart={command}\n");
        inside.unit("web.service", &rooted);
        inside.run("systemctl", &["restart", "web"]).exit(0);
        served.serves("0.9.0");
        inside.gitroll(&["doctor"]).exit(1).stdout_has("old/server.js, which is not in ");
        // It is another checkout's: what is done by its name would be done to that.
        let pid = served.shown("web", "MainPID");
        for action in ["stop", "restart", "start"] {
            let refused = inside.gitroll(&["service", action, "web"]);
            refused.exit(1).stderr_has("old/server.js, which is not in ");
        }
        assert_eq!(served.shown("web", "MainPID"), pid);
        // Nor in the tree's directory, where it may be a wrapper as well.
        let within = format!("{rooted}WorkingDirectory={}\n", host.path("app").display());
        for (unit, wanted) in [
            (&rooted, "old/server.js, which is not in "),
            (&within, "it could not show which version runs"),
        ] {
            inside.unit("web.service", unit);
            inside.run("systemctl", &["restart", "web"]).exit(0);
            served.serves("0.9.0");
            silent(&served.app);
            served.release("1.1.0", Behaviour::Good).exit(1).stderr_has(wanted);
            served.app.git(&["checkout", "-q", "--force", "HEAD"]);
            // Also before systemd has read it.
            inside.unit("web.service", &web_unit(host, ""));
            inside.run("systemctl", &["restart", "web"]).exit(0);
            served.serves("1.0.0");
            inside.write_unit("web.service", unit);
            silent(&served.app);
            served.release("1.1.0", Behaviour::Good).exit(1).stderr_has(wanted);
            served.app.git(&["checkout", "-q", "--force", "HEAD"]);
            served.serves("1.0.0");
        }
    });
}

#[test]
fn a_wrapper_beside_the_tree_is_believed_by_what_it_runs() {
    boxed(|host, inside| {
        let run = script(host, "run.sh", "exec node server.js\n");
        let unit = unit_of(host, &run, "");
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        silent(&served.app);
        served.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        served.serves("1.1.0");
        // Every argument with a line of its own, and an empty one.
        let node = find_tool("node").expect("node is on this machine");
        let lines = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nWorkingDirectory={}\n\
             ExecStart=/bin/sh -c 'true\\n\\nActiveState=failed\\nexec {} server.js'\n",
            host.path("app").display(),
            node.display()
        );
        inside.unit("web.service", &lines);
        served.release("1.2.0", Behaviour::Good).exit(0);
        served.serves("1.2.0");
    });
}
