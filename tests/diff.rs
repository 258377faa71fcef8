//! What may have broken it: `gitroll diff` between deployed states, at home and in a clone, and its bad
//! inputs.

mod bad_input;
mod patch;
mod story;

use crate::support::*;

/// Quick, without builds, with a component and migrations.
fn config() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s").and(
        "[migrate]\npaths = [\"migrations/**\"]\n\n\
         [component.QW-001]\ntitle = \"Parallel uploads\"\npaths = [\"app/upload/**\"]\n\
         flag = { name = \"ENABLE_UPLOADS\", off = \"false\" }\n",
    )
}

/// A lock file of this version, with these packages installed; the first is asked for by the app.
fn lock(version: u32, packages: &[(&str, &str)]) -> String {
    let first = packages[0].0;
    let entries: Vec<String> = packages
        .iter()
        .map(|(name, version)| match version {
            _ if name.contains('/') => unreachable!("plain names only"),
            version => format!("\"PLACE{name}\": {{ \"version\": \"{version}\" }}"),
        })
        .collect();
    let entries = entries.join(", ");
    match version {
        1 => {
            let entries = entries.replace("PLACE", "");
            format!("{{ \"lockfileVersion\": 1, \"dependencies\": {{ {entries} }} }}\n")
        }
        _ => {
            let entries = entries.replace("PLACE", "node_modules/");
            format!(
                "{{ \"lockfileVersion\": {version}, \"packages\": {{ \
                 \"\": {{ \"dependencies\": {{ \"{first}\": \"*\" }} }}, {entries} }} }}\n"
            )
        }
    }
}

/// 1.0.0 with a lock file, a component and a migration serves.
fn serving(host: &TestEnvironment) -> Scenario<'_> {
    let app = host.app(Fixture::Plain);
    app.configure(&config());
    app.write("package-lock.json", &lock(3, &[("express", "4.18.2"), ("ms", "2.0.0")]));
    app.write("app/upload/route.js", "one\ntwo\nthree\n");
    app.write("lib/old-name.js", &(0..40).map(|n| format!("line {n}\n")).collect::<String>());
    app.write("migrations/0001_users.sql", "create table users();\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let scenario = Scenario { host, app };
    scenario.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    scenario.promote("v1.0.0");
    scenario
}

/// The `what` of every suspect of a kind, in their order.
fn suspects(answer: &Answer, kind: &str) -> Vec<String> {
    let document = answer.exit(0).json();
    let all = document["result"]["suspects"].as_array().expect("a list").clone();
    let of_kind = all.iter().filter(|suspect| kind.is_empty() || suspect["kind"] == kind);
    of_kind.map(|suspect| suspect["what"].as_str().expect("a text").to_owned()).collect()
}
