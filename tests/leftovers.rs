//! Commands from before gitroll that `gitroll init` finds, with the line to replace each with.

use crate::support::*;
use serde_json::json;

#[test]
fn init_names_what_would_deploy_past_it_and_what_to_write_instead() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds());
    app.write(
        "deploy.sh",
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\ngit pull && npm ci\npm2 reload web\n",
    );
    app.write(
        ".github/workflows/deploy.yml",
        "jobs:\n  deploy:\n    steps:\n      - run: ssh app@web-1 'cd /srv/app && git pull && pm2 reload web'\n",
    );
    app.commit_version("1.0.0", Behaviour::Good);
    // The test may run as a user whose crontab can be read: then that is the one looked into.
    let dir = app.dir.display().to_string();
    host.fake_tool(
        "crontab",
        &format!("#!/bin/sh\necho '*/5 * * * * cd {dir} && git pull && pm2 reload web'\n"),
    );
    let touched = host.path("touched");
    let canary = format!("#!/bin/sh\ntouch '{}'\ngit pull\n", touched.display());
    app.write(".git/hooks/post-merge", &canary);
    host.run("chmod", &["+x", ".git/hooks/post-merge"]).exit(0);
    app.write("bin/\u{1b}[31m.sh", &canary);

    let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
    let answer = host.gitroll(&init);
    answer
        .exit(0)
        .stdout_has("deploy without gitroll")
        .stdout_has("deploy.sh:3\n      - git pull && npm ci\n      + gitroll deploy --yes\n")
        .stdout_has("deploy.sh:4\n      - pm2 reload web\n      + (nothing")
        .stdout_has("+ - run: ssh app@web-1 'cd /srv/app && gitroll deploy --yes'")
        .never_says("\u{1b}");
    assert!(!touched.exists(), "something that was found was executed");

    let answer = host.gitroll(&["init", "--yes", "--json"]).exit(0).json();
    let leftovers = answer["result"]["leftovers"].as_array().expect("a list").clone();
    let of = |place: &str| leftovers.iter().find(|l| l["place"] == json!(place)).cloned();
    let hook = of(".git/hooks/post-merge").expect("hooks are looked at");
    assert_eq!(hook["replacement"], json!(format!("gitroll -C {dir} deploy --yes")));
    if let Some(cron) = of("crontab -l") {
        let wanted = cron["replacement"].as_str().expect("a line");
        assert!(wanted.starts_with(&format!("*/5 * * * * cd {dir} && ")), "{wanted}");
        assert!(wanted.ends_with("gitroll deploy --yes --quiet"), "{wanted}");
    }
}

#[test]
fn a_tree_without_leftovers_hears_nothing_of_them() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds());
    app.commit_version("1.0.0", Behaviour::Good);
    host.gitroll(&["init", "--yes"]).exit(0).stdout_lacks("replace").stdout_lacks("unread");
}
