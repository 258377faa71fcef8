//! What `-v` and `GITROLL_LOG` log: commands with how they end, ref transactions, and no secret.

use std::fs;

use crate::support::*;

#[test]
fn verbose_logs_commands_and_refs_on_stderr_and_no_secret_of_the_environment_file() {
    let host = TestEnvironment::new();
    let canary = "canary-5f1c2e";
    let flags = format!(
        "[flags]\nfile = \".env\"\nverify = {{ command = [\"test\", \"-n\", \"{canary}\"] }}\n"
    );
    let component = "[component.PAY]\npaths = [\"pay/**\"]\n\
                     flag = { name = \"ENABLE_UPLOADS\", off = \"false\" }\n";
    let s = flagged(&host, &format!("{flags}{component}"));
    fs::write(s.app.dir.join(".env"), format!("SESSION_KEY={canary}\nENABLE_UPLOADS=true\n"))
        .expect("it is writable");
    let off = host.gitroll(&["flags", "off", "PAY", "-v"]);
    off.exit(0).stderr_lacks(canary).stderr_has("[redacted]");
    let git = |line: &&str| line.contains("git --no-pager") && line.contains(": exit 0 in ");
    assert!(off.stderr.lines().any(|line| git(&line)), "{}", off.stderr);
    off.stderr_has("ref transaction (").stdout_lacks("DEBUG");

    let plain = host.gitroll(&["log", "--json"]);
    let verbose = host.gitroll(&["log", "--json", "-vv"]);
    assert_eq!(plain.exit(0).stdout, verbose.exit(0).stdout);
    plain.stderr_lacks("DEBUG");
    host.set("GITROLL_LOG", "gitroll::system::git=debug");
    host.gitroll(&["doctor", "--json"]).stderr_lacks("git --no-pager");
    host.set("GITROLL_LOG", "debug");
    host.gitroll(&["doctor", "--json"]).stderr_has("git --no-pager").stdout_lacks("DEBUG");
}
