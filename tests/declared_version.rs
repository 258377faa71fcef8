//! The version that a release declares, where no package.json does.

use crate::support::*;

const SERVER: &str = "const version = require('fs').readFileSync('VERSION', 'utf8').trim();\n\
    require('http').createServer((_, answer) => answer.end(JSON.stringify({ status: 'healthy', version })))\n\
    .listen(Number(process.env.PORT), '127.0.0.1');\n";

/// Commits a release that says its version in gitroll.toml (`declared`), or in nothing but its VERSION file.
fn commit(app: &App<'_>, version: &str, declared: bool) -> String {
    let own = if declared { format!("version = \"{version}\"\n") } else { String::new() };
    let port = app.port.number();
    app.write(
        "gitroll.toml",
        &format!(
            "[app]\nname = \"shop\"\n{own}\n[stable]\nmin_served = \"0s\"\n\n[service.web]\nmanager = \"process\"\n\
             command = [\"node\", \"server.js\"]\nenv = {{ PORT = \"{port}\" }}\n\n[[check]]\nname = \"api\"\n\
             http = \"http://127.0.0.1:{port}/\"\npasses = 1\nsettle = \"100ms\"\n\
             expect = {{ json = {{ \"/version\" = \"{{version}}\" }} }}\n"
        ),
    );
    app.write("server.js", SERVER);
    app.write("VERSION", &format!("{version}\n"));
    app.commit(&format!("Release {version}"))
}

#[test]
fn each_release_is_held_against_the_version_that_it_declares_itself() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    std::fs::remove_file(app.dir.join("package.json")).expect("the fixture has one");
    commit(&app, "1.0.0", true);
    host.gitroll(&["init", "--yes"]).exit(0);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let second = commit(&app, "1.1.0", true);
    host.gitroll(&["deploy", &second, "--yes"]).exit(0);

    host.gitroll(&["back", "--yes"]).exit(0).says("1.0.0 observed serving");
    // The configuration of 1.1.0 may be the accepted one: it does not speak for 1.0.0.
    host.gitroll(&["check"]).exit(0);
    let status = host.gitroll(&["status", "--json"]).exit(0).json();
    assert_eq!(status["result"]["serving"]["version"], "1.0.0", "{status}");

    app.git(&["checkout", "-q", "-f", "main"]);
    let third = commit(&app, "1.2.0", false);
    host.gitroll(&["unhold", &second, "--reason", "the test goes on"]).exit(0);
    host.gitroll(&["deploy", &third, "--yes"]).exit(0);
    host.gitroll(&["promote", "--yes"]).exit(0).says("v1.2.0-stable");
    app.write("notes.txt", "a fix\n");
    let fix = app.commit("A fix of 1.2.0");
    host.gitroll(&["deploy", &fix, "--yes"]).exit(0);
    // The name is taken; the command that is offered instead works as it is printed.
    host.gitroll(&["promote", "--yes"]).exit(1).says("gitroll promote --as v1.2.1");
    host.gitroll(&["promote", "--as", "v1.2.1", "--yes"]).exit(0).says("v1.2.1-stable");

    // Nothing could be observed: that is said before anything is changed.
    let nothing = "[app]\nname = \"shop\"\nprove = \"weak\"\n";
    app.write("gitroll.toml", nothing);
    app.commit("No check and no service");
    let before = app.state();
    host.gitroll(&["deploy", "HEAD", "--yes"]).exit(1).stderr_has("neither a check nor a service");
    before.assert_same(&app.state());
}
