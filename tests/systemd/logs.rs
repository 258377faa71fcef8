//! What units write to the journal, read by checks.

use super::*;

/// What the app says as it starts, and what it must not say.
pub const LOG: &str = "\n[[check]]\nname = \"web-log\"\nlog = { service = \"web\" }\n\
    expect = { must = 'plain-app {version} listens', must_not = 'FATAL' }\nsettle = \"500ms\"\n";

#[test]
fn the_journal_is_read_from_the_change_on() {
    boxed(|host, inside| {
        let unit = web_unit(host, "");
        let s =
            Served::configured(host, inside, &config().and(LOG), &[("web.service", unit.as_str())]);
        s.release("1.1.0", Behaviour::Good).exit(0);
        // It answers well, and says that it does not.
        s.app.write(
            "features/sick/index.js",
            "console.error('FATAL: no disk');\nmodule.exports = 'sick';\n",
        );
        let bad = s.release("1.2.0", Behaviour::Good);
        bad.exit(20).stderr_has("web-log").stderr_has("FATAL: no disk");
        s.serves("1.1.0");
        // What was said before a change is not held against the next one.
        std::fs::remove_file(s.app.dir.join("features/sick/index.js")).ok();
        s.release("1.3.0", Behaviour::Good).exit(0);
        let all = inside.gitroll(&["logs", "web"]);
        all.exit(0).stdout_has("== web  the journal of web.service").stdout_has("FATAL: no disk");
        let record = inside.gitroll(&["log", "-n", "1", "--json"]).exit(0).json();
        let seq = record["result"]["records"][0]["record"]["seq"].to_string();
        inside.gitroll(&["logs", "--at", &seq]).exit(0).stdout_has("plain-app 1.3.0 listens");
        // A unit that writes to a file of its own is read there.
        let file = host.path("web.out");
        let to_file = web_unit(host, &format!("StandardOutput=append:{}", file.display()));
        inside.unit("web.service", &to_file);
        inside.run("systemctl", &["restart", "web"]).exit(0);
        s.serves("1.3.0");
        s.release("1.4.0", Behaviour::Good).exit(0);
        let said = std::fs::read_to_string(file).expect("the unit wrote it");
        assert!(said.contains("1.4.0 listens"), "{said}");
        inside.gitroll(&["logs"]).exit(0).stdout_has("web.out\n").stdout_has("1.4.0 listens");
    });
}
