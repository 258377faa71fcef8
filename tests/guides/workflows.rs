//! The workflow files: what their build servers demand of them, and what their scripts do over a real ssh.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{exit_codes, gate, github, gitlab};
use crate::support::{Answer, AppConfig, Fixture, Scenario, Sshd, TestEnvironment, wait_until};

/// What both jobs say for an exit code, and whether the job has failed.
const SAID: [(i32, &str, bool); 12] = [
    (0, "It serves, and was observed serving.", false),
    (1, "Nothing was changed.", true),
    (2, "Nothing was changed.", true),
    (10, "Nothing was changed.", true),
    (11, "Nothing was changed.", true),
    (12, "Nothing was changed: run this job again.", true),
    (20, "What served before was restored and observed serving.", true),
    (21, "A PERSON IS NEEDED: nothing healthy serves.", true),
    (22, "gitroll resume or gitroll abort", true),
    (30, "its record is not signed or not published", false),
    (70, "This should not happen.", true),
    (255, "the state of the host is not known", true),
];

#[test]
fn the_github_workflow_takes_nothing_it_does_not_need_and_runs_one_deploy_at_a_time() {
    let workflow = github();
    assert_eq!(keys(&workflow), ["name", "on", "permissions", "concurrency", "jobs"]);
    assert_eq!(workflow["permissions"], serde_json::json!({}));
    assert_eq!(workflow["concurrency"]["cancel-in-progress"], false);
    assert!(workflow["concurrency"]["group"].is_string());
    assert_eq!(workflow["on"]["push"]["branches"], serde_json::json!(["main"]));
    let job = &workflow["jobs"]["deploy"];
    let known = ["runs-on", "timeout-minutes", "environment", "defaults", "steps"];
    assert_eq!(keys(job), known);
    assert_eq!(job["environment"], "production");
    assert!(job["runs-on"].as_str().is_some_and(|runner| !runner.ends_with("latest")));
    assert_eq!(job["defaults"]["run"]["shell"], "bash");
    for step in job["steps"].as_array().expect("steps are a list") {
        let known = ["name", "id", "if", "env", "run", "uses", "with"];
        assert!(keys(step).iter().all(|key| known.contains(key)), "{:?}", keys(step));
        assert_ne!(step["run"].is_string(), step["uses"].is_string(), "{step}");
        if let Some(action) = step["uses"].as_str() {
            let (_, version) =
                action.split_once('@').unwrap_or_else(|| panic!("{action}: no version"));
            let commit = version.len() == 40 && version.chars().all(|c| c.is_ascii_hexdigit());
            assert!(commit || version.matches('.').count() == 2, "{action} can change under us");
        }
        // A value that is put into the script is a command to be, whoever wrote it.
        assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{step}");
    }
}

#[test]
fn the_gitlab_job_needs_no_checkout_and_runs_one_deploy_at_a_time() {
    let file = gitlab();
    let job = &file["deploy-production"];
    let stages = file["stages"].as_array().expect("stages are a list");
    assert!(stages.contains(&job["stage"]));
    assert_eq!(job["resource_group"], "production");
    assert_eq!(job["environment"]["name"], "production");
    assert_eq!(job["interruptible"], false);
    assert_eq!(job["variables"]["GIT_STRATEGY"], "none");
    assert_eq!(job["allow_failure"]["exit_codes"], serde_json::json!([30]));
    assert_eq!(job["retry"]["exit_codes"], serde_json::json!([12, 255]));
    assert_eq!(job["artifacts"]["when"], "always");
    let image = job["image"].as_str().expect("an image is named");
    assert!(image.split_once(':').is_some_and(|(_, tag)| tag != "latest"), "{image}");
    let known = [
        "stage",
        "image",
        "rules",
        "environment",
        "resource_group",
        "interruptible",
        "timeout",
        "variables",
        "retry",
        "allow_failure",
        "before_script",
        "script",
        "artifacts",
    ];
    assert_eq!(keys(job), known);
}

#[test]
fn no_secret_is_in_a_command_line() {
    let workflow = github();
    for (name, script) in [
        ("github, deploy", github_step(&workflow, 0)),
        ("github, page", github_step(&workflow, 1)),
        ("gitlab", gitlab_script(&gitlab())),
    ] {
        for line in script.replace("\\\n", " ").lines() {
            let runs = line.trim_start();
            // printf is part of bash: no process, no command line.
            let shown = !runs.starts_with("printf ") && !runs.starts_with('#');
            // GitLab's DEPLOY_KEY is a path.
            let secret = ["$PAGE_URL", "${PAGE_URL"].iter().any(|s| line.contains(s))
                || (name.starts_with("github") && line.contains("$DEPLOY_KEY"));
            assert!(!(shown && secret), "{name}: {line}");
            assert!(!runs.starts_with("set -x"), "{name} shows what it runs");
        }
        assert!(!script.contains("StrictHostKeyChecking=no"), "{name} talks to anybody");
        assert!(!script.contains("ssh-keyscan"), "{name} trusts whoever answers");
    }
}

#[test]
fn every_exit_code_ends_the_job_as_the_guide_says() {
    let explained: Vec<i32> = exit_codes().into_iter().chain([255]).collect();
    let told: Vec<i32> = SAID.iter().map(|(code, ..)| *code).collect();
    assert_eq!(told, explained, "a code has no outcome");
    let host = TestEnvironment::new();
    host.fake_tool(
        "curl",
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$HOME/curl-arguments\"\ncat >>\"$HOME/curl-input\"\n",
    );
    let sshd = Sshd::start(&host, "exit 0");
    let builder = Builder::new(&host, &sshd);
    for (code, words, fails) in SAID {
        sshd.allow(&format!("echo '{{}}'; exit {code}"));
        let commit = "a".repeat(40);

        let job = builder.github(&commit);
        job.exit(if fails { code } else { 0 }).stdout_has(words).stdout_has(&format!("[{code}]"));
        let level = match code {
            0 => "::notice",
            30 => "::warning",
            _ => "::error",
        };
        job.stdout_has(level);
        assert_eq!(builder.output(), format!("code={code}\n"));

        // 30 is among the codes that GitLab is told to take for a warning.
        builder.gitlab(&commit).exit(code).stdout_has(words).stdout_has(&format!("[{code}]"));
        assert_eq!(woken(&host).is_some(), code == 21, "woken for {code}");
    }
    builder.github_page().exit(0);
    let page = woken(&host).expect("somebody was woken");
    assert_eq!(page, "url = \"https://page.example.org/secret\"\n");
    let shown = fs::read_to_string(host.path("home/curl-arguments")).expect("somebody was woken");
    assert!(!shown.contains("secret"), "{shown}");
}

/// What curl was told on its standard input since this was asked last.
fn woken(host: &TestEnvironment) -> Option<String> {
    let file = host.path("home/curl-input");
    let text = fs::read_to_string(&file).ok()?;
    fs::remove_file(file).expect("the host's directory is writable");
    Some(text)
}

#[test]
fn a_push_is_deployed_over_ssh_and_a_bad_one_fails_the_job_while_the_site_stays_well() {
    let host = TestEnvironment::new();
    let shop = Shop::serving(&host);
    let sshd = Sshd::start(&host, &shop.gate());
    let builder = Builder::new(&host, &sshd);

    let good = shop.push("1.1.0", "good");
    builder.github(&good).exit(0).stdout_has("It serves, and was observed serving. [0]");
    shop.scenario.serves("1.1.0");
    assert_eq!(builder.answer()["result"]["outcome"], "serving");
    host.gitroll(&["log"]).exit(0).stdout_has("GitHub run 8123 by ana").stdout_has(" ci ");
    // Once more: it serves, nothing is reloaded.
    builder.gitlab(&good).exit(0);
    assert_eq!(builder.answer()["result"]["outcome"], "already-serving");

    let bad = shop.push("1.2.0", "throws");
    let job = builder.github(&bad);
    job.exit(20).stdout_has("What served before was restored and observed serving. [20]");
    job.stderr_has("restored, observed serving. [20]");
    assert_eq!(builder.answer()["result"]["outcome"], "restored");
    builder.gitlab(&bad).exit(20).stdout_has("restored and observed serving. [20]");
    shop.scenario.serves("1.1.0");

    let better = shop.push("1.3.0", "good");
    builder.gitlab(&better).exit(0).stdout_has("It serves, and was observed serving. [0]");
    shop.scenario.serves("1.3.0");
    host.gitroll(&["log"]).exit(0).stdout_has("GitLab pipeline 77 by ana");

    host.gitroll(&["back", "--yes"]).exit(0);
    let next = shop.push("1.4.0", "good");
    builder.github(&next).exit(10).stderr_has("which is held").stderr_has("--fixes");
}

#[test]
fn the_gate_lets_nothing_through_but_newer_commits_of_the_branch() {
    let host = TestEnvironment::new();
    let shop = Shop::serving(&host);
    let sshd = Sshd::start(&host, &shop.gate());
    let builder = Builder::new(&host, &sshd);
    let first = shop.scenario.app.head();
    let second = shop.push("1.1.0", "good");
    builder.github(&second).exit(0);

    builder
        .github(&first)
        .exit(10)
        .stderr_has("is older than what serves")
        .stderr_has("gitroll back");
    let strange = shop.push_to("feature", "9.9.9");
    builder.gitlab(&strange).exit(10).stderr_has("is not on origin/main");
    builder.github(&"b".repeat(40)).exit(10).stderr_has("is not on origin/main");
    builder.github("main").exit(2).stderr_has("a full commit id");
    builder.github(&format!("{second}; touch {}", host.path("broken-out").display())).exit(2);
    builder.github(&format!("{second} $(touch {})", host.path("broken-out").display())).exit(0);
    assert!(!host.path("broken-out").exists(), "the client's words were run");

    let status = builder.ssh("status").exit(0).json();
    assert_eq!(status["result"]["serving"]["version"], "1.1.0");
    for sentence in ["id", "bash -i", "", "deploy", "status; id", "undeploy x"] {
        let answer = builder.ssh(sentence);
        answer.exit(2).stderr_has("nothing was changed").never_says("uid=");
    }
    shop.scenario.serves("1.1.0");

    // Somebody else answers where the host should.
    let other = fs::read_to_string(sshd.key().with_extension("pub")).expect("a key has two halves");
    let line = format!("[127.0.0.1]:{} {other}", sshd.number());
    fs::write(host.path("known_hosts"), line).expect("the host's directory is writable");
    builder.gitlab(&second).exit(255).stdout_has("Running this job again is safe");
}

#[test]
fn a_job_whose_connection_breaks_can_be_run_again() {
    let host = TestEnvironment::new();
    let shop = Shop::serving(&host);
    let sshd = Sshd::start(&host, &shop.gate());
    let builder = Builder::new(&host, &sshd);
    let slow = shop.push("1.1.0", "slow");
    let mut connection = builder.ssh_command(&format!("deploy {slow} first try"));
    let mut connection =
        connection.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ssh");
    wait_until("the new version is in the tree", || shop.scenario.app.head() == slow);
    connection.kill().expect("a child can be killed");
    connection.wait().expect("a child can be waited for");

    builder.gitlab(&slow).exit(0);
    assert_eq!(builder.answer()["result"]["outcome"], "already-serving");
    shop.scenario.serves("1.1.0");
}

/// A host that serves 1.0.0, and a laptop that pushes.
struct Shop<'h> {
    host: &'h TestEnvironment,
    scenario: Scenario<'h>,
    laptop: PathBuf,
}

impl<'h> Shop<'h> {
    #[track_caller]
    fn serving(host: &'h TestEnvironment) -> Self {
        let config = AppConfig::default().without_builds();
        let scenario = Scenario::bound(host, Fixture::Plain, &config);
        let origin = scenario.app.with_remote();
        host.gitroll(&["deploy", "--yes"]).exit(0);
        let laptop = host.path("laptop");
        let [from, to] = [&origin, &laptop].map(|path| path.to_str().expect("UTF-8"));
        host.run("git", &["clone", "-q", from, to]).exit(0);
        Self { host, scenario, laptop }
    }

    /// What the key is good for, as the guide writes it into authorized_keys.
    fn gate(&self) -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_gitroll"));
        let bin = program.parent().expect("a program lies in a directory");
        let app = self.scenario.app.dir.display();
        format!("PATH='{}':$PATH exec '{}' '{app}' origin/main", bin.display(), gate().display())
    }

    #[track_caller]
    fn push(&self, version: &str, run: &str) -> String {
        self.commit(version, run);
        self.git(&["push", "-q", "origin", "HEAD:main"]);
        self.git(&["rev-parse", "HEAD"])
    }

    #[track_caller]
    fn push_to(&self, branch: &str, version: &str) -> String {
        self.commit(version, "good");
        self.git(&["push", "-q", "origin", &format!("HEAD:{branch}")]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn commit(&self, version: &str, run: &str) {
        let package = self.laptop.join("package.json");
        let text = fs::read_to_string(&package).expect("a clone can be read");
        let mut text: Value = serde_json::from_str(&text).expect("package.json is JSON");
        text["version"] = version.into();
        fs::write(&package, text.to_string()).expect("a clone is writable");
        let behaviour = format!("{{ \"run\": \"{run}\", \"seconds\": 3, \"build\": \"good\" }}\n");
        fs::write(self.laptop.join("behaviour.json"), behaviour).expect("a clone is writable");
        self.git(&["commit", "-q", "-am", &format!("Release {version}")]);
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        let laptop = self.laptop.to_str().expect("UTF-8");
        self.host.run("git", &[&["-C", laptop], args].concat()).exit(0).text().to_owned()
    }
}

/// A build server: runs the jobs' scripts in an empty directory, with the variables that a real one sets.
struct Builder<'h> {
    host: &'h TestEnvironment,
    sshd: &'h Sshd<'h>,
    dir: PathBuf,
}

impl<'h> Builder<'h> {
    fn new(host: &'h TestEnvironment, sshd: &'h Sshd<'h>) -> Self {
        let dir = host.path("builder");
        fs::create_dir(&dir).expect("the host's directory is writable");
        fs::write(host.path("known_hosts"), sshd.known_hosts()).expect("it is writable");
        fs::copy(sshd.key(), host.path("deploy-key")).expect("it is writable");
        Self { host, sshd, dir }
    }

    /// The job of the GitHub workflow, for this commit.
    #[track_caller]
    fn github(&self, commit: &str) -> Answer {
        fs::write(self.dir.join("output"), "").expect("it is writable");
        let key = fs::read_to_string(self.sshd.key()).expect("the key can be read");
        let known = fs::read_to_string(self.host.path("known_hosts")).expect("it can be read");
        let port = self.sshd.number().to_string();
        self.run(
            &["--noprofile", "--norc", "-eo", "pipefail", "-c"],
            &github_step(&github(), 0),
            &[
                ("DEPLOY_HOST", &self.sshd.destination()),
                ("DEPLOY_PORT", &port),
                // GitHub takes the line breaks off both ends of what is pasted.
                ("DEPLOY_KEY", key.trim()),
                ("DEPLOY_KNOWN_HOSTS", known.trim()),
                ("COMMIT", commit),
                ("REASON", "GitHub run 8123 by ana"),
                ("GITHUB_OUTPUT", "output"),
                ("GITHUB_STEP_SUMMARY", "summary"),
            ],
        )
    }

    /// The step of the GitHub workflow that wakes somebody.
    #[track_caller]
    fn github_page(&self) -> Answer {
        let step = github_step(&github(), 1);
        let url = "https://page.example.org/secret";
        self.run(
            &["--noprofile", "--norc", "-eo", "pipefail", "-c"],
            &step,
            &[("PAGE_URL", url), ("RUN_URL", "https://example.org/run/1")],
        )
    }

    /// The job of the GitLab file, for this commit.
    #[track_caller]
    fn gitlab(&self, commit: &str) -> Answer {
        let port = self.sshd.number().to_string();
        let file = |name: &str| self.host.path(name).display().to_string();
        self.run(
            &["-eo", "pipefail", "-c"],
            &gitlab_script(&gitlab()),
            &[
                ("DEPLOY_HOST", &self.sshd.destination()),
                ("DEPLOY_PORT", &port),
                ("DEPLOY_KEY", &file("deploy-key")),
                ("DEPLOY_KNOWN_HOSTS", &file("known_hosts")),
                ("CI_COMMIT_SHA", commit),
                ("CI_COMMIT_SHORT_SHA", &commit[..4]),
                ("CI_PIPELINE_IID", "77"),
                ("GITLAB_USER_LOGIN", "ana"),
                ("CI_JOB_URL", "https://example.org/job/1"),
                ("PAGE_URL", "https://page.example.org/secret"),
            ],
        )
    }

    #[track_caller]
    fn run(&self, options: &[&str], script: &str, variables: &[(&str, &str)]) -> Answer {
        let mut command = self.host.command("bash");
        command.args(options).arg(script).current_dir(&self.dir);
        command.envs(variables.iter().copied());
        Answer::of(command, Duration::from_secs(120))
    }

    /// Says something else with the same key.
    #[track_caller]
    fn ssh(&self, sentence: &str) -> Answer {
        Answer::of(self.ssh_command(sentence), Duration::from_secs(60))
    }

    fn ssh_command(&self, sentence: &str) -> Command {
        let mut command = self.host.command("ssh");
        let port = self.sshd.number().to_string();
        let known = format!("UserKnownHostsFile={}", self.host.path("known_hosts").display());
        command.args(["-F", "none", "-T", "-p", &port, "-o", "BatchMode=yes", "-o", &known, "-i"]);
        command.arg(self.sshd.key()).arg(self.sshd.destination()).arg(sentence);
        command
    }

    /// What gitroll answered to the last job.
    #[track_caller]
    fn answer(&self) -> Value {
        let text = fs::read_to_string(self.dir.join("answer.json")).expect("a job wrote it");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn output(&self) -> String {
        fs::read_to_string(self.dir.join("output")).expect("the step wrote its output")
    }
}

fn github_step(workflow: &Value, index: usize) -> String {
    let run = workflow["jobs"]["deploy"]["steps"][index]["run"].as_str();
    run.expect("the step is a script").to_owned()
}

/// As the runner joins them: one shell for both lists.
fn gitlab_script(file: &Value) -> String {
    let job = &file["deploy-production"];
    let lines = ["before_script", "script"].iter().flat_map(|list| job[list].as_array());
    let lines: Vec<&str> = lines.flatten().filter_map(Value::as_str).collect();
    assert_eq!(lines.len(), 2);
    lines.join("\n")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("a table").keys().map(String::as_str).collect()
}
