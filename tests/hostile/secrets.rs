//! A secret from `.env` stays in `.env`.

use std::path::PathBuf;

use super::*;

const CANARY: &str = "canary-7f3a9c51d2";

/// Every file below `dir` that holds the canary, and every object of the repository.
fn sightings(s: &Scenario<'_>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![s.host.root().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("it was just listed");
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap_or_default();
                if bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
                    found.push(path.strip_prefix(s.host.root()).expect("below it").to_owned());
                }
            }
        }
    }
    // Objects are compressed.
    let objects = s.app.git(&["cat-file", "--batch-all-objects", "--batch"]);
    if objects.contains(CANARY) {
        found.push("an object of git".into());
    }
    found.sort();
    found
}

#[test]
fn what_the_build_and_the_app_print_of_it_is_redacted_everywhere() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms").timeout("3s");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    let toml = s.app.read("gitroll.toml");
    s.app.write(
        "gitroll.toml",
        &(toml.replace("outputs = [\"dist\"]\n", "outputs = [\"dist\"]\ncarry = [\".env\"]\n")
            + "\n[flags]\nfile = \".env\"\n"),
    );
    let environment = format!(
        "PORT={}\nAPI_TOKEN={CANARY}\nDATABASE_URL=postgres://app:{CANARY}@db/shop\n",
        s.app.port.number()
    );
    s.app.write(".env", &environment);
    let says = "const told = require('fs').readFileSync('.env', 'utf8').split('\\n')[1];\n\
                console.log(told); console.error('Error: ' + told);\n";
    s.app.write("build.js", &format!("{says}{}", s.app.read("build.js")));
    s.app.commit("Print what must not be printed");
    let mut answers = vec![host.gitroll(&["deploy", "HEAD", "--yes"])];
    answers[0].exit(0);
    assert!(!s.app.read("dist/index.html").contains(CANARY), "the fixture puts it into dist");
    answers.push(s.release("1.1.0", Behaviour::BuildFails));
    answers.push(s.release("1.2.0", Behaviour::Good));
    // It throws at boot, saying it.
    s.app.git(&["checkout", "-q", "-f", "main"]);
    s.app.write("server.js", &format!("{says}{}", s.app.read("server.js")));
    answers.push(s.release("1.3.0", Behaviour::ThrowsAtBoot));
    s.app.git(&["checkout", "-q", "-f", "main"]);
    s.app.write("server.js", &format!("const word = '';\n{says}throw new Error(told);\n"));
    s.app.commit("Throw it");
    answers.push(host.gitroll(&["deploy", "main", "--yes"]));
    answers.last().expect("it was just pushed").exit(20);
    for args in [
        &["status"] as &[&str],
        &["log"],
        &["show", "2"],
        &["show", "3"],
        &["show", "4", "--json"],
        &["targets", "--json"],
        &["check"],
        &["deploy", "main", "--plan", "--json"],
    ] {
        answers.push(host.gitroll(args));
    }
    for answer in &answers {
        answer.never_says(CANARY);
    }
    let own_log =
        |path: &PathBuf| path.starts_with("app/.git/gitroll/services") || path.ends_with("web.log");
    let seen: Vec<PathBuf> = sightings(&s).into_iter().filter(|path| !own_log(path)).collect();
    assert_eq!(seen, [PathBuf::from("app/.env")]);
}
