#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{CheckKind, Layout, Manager, Prove, Scope};
use crate::model::RepoPath;

/// Every section and every key.
const WHOLE: &str = r#"
[app]
name = "shop"
layout = "in-place"
local = ["config/host.json"]
version = "1.2.0"
prove = "strong"

[deploy]
ref = "origin/main"

[stable]
pattern = "*-stable"
min_served = "30m"

[[build]]
name = "deps"
run = [["npm", "ci"]]
inputs = ["package.json", "package-lock.json"]
outputs = ["node_modules"]
timeout = "10m"

[[build]]
name = "app"
run = [["npm", "run", "build"]]
inputs = ["**"]
outputs = ["dist/"]
carry = [".env"]
env = { NODE_ENV = "production" }

[migrate]
paths = ["migrations/**"]

[service.web]
manager = "pm2"
name = "app"
depends_on = ["queue", "db"]

[service.queue]
manager = "process"
command = ["node", "queue.js"]
env = { PORT = "3001" }
log = "queue.log"
stop_timeout = "10s"
depends_on = ["db"]

[service.db]
manager = "systemd"
name = "db.service"
scope = "user"

[service.extra]
manager = "command"
start = ["./ctl", "start"]
stop = ["./ctl", "stop"]
reload = ["./ctl", "reload"]
status = ["./ctl", "status"]
timeout = "1m30s"

[[check]]
name = "api"
http = "http://127.0.0.1:3000/api/health"
expect = { status = 200, header = { "X-Commit" = "{commit}" }, body = "ok", json = { "/status" = "healthy", "/version" = "{version}", "/n" = 1 } }
passes = 3
settle = "5s"
timeout = "30s"
request_timeout = "2s"
max_bytes = "64KiB"
redirects = 1

[component.QW-001]
title = "Parallel S3 uploads"
paths = ["app/api/upload/**"]
flag = { name = "ENABLE_PARALLEL_UPLOADS", off = "false" }
services = ["web"]

[flags]
file = ".env"

[notify.chat]
kind = "slack"
url = { env = "CHAT_URL" }
events = ["started", "done"]

[notify.mail]
kind = "smtp"
server = "mail.example.com:587"
user = "shop"
password = { file = "/etc/gitroll/mail" }
from = "Shop <shop@example.com>"
to = ["ops@example.com"]
template = "{{ summary }}"

[notify.pager]
kind = "pagerduty"
key = { env = "PAGER_KEY" }

[contacts]
ops = "Ana, +49 1"
database = { who = "Ben", within = "15m" }

[links]
runbook = "https://wiki.example.com/runbook"

[remote]
name = "origin"
required = true
push_tags = false

[run]
watchdog = "10m"

[retention]
runs = 7
saved = "30d"
artifacts = 3

[rto]
flags = "2m"
code = "15m"
full = "45m"
"#;

fn problems(text: &str) -> Vec<String> {
    match parse(text, "gitroll.toml") {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

/// The problems of `[app]` with a name and then `rest`, without their places.
pub(super) fn messages(rest: &str) -> Vec<String> {
    let text = format!("[app]\nname = \"shop\"\n{rest}");
    match parse(&text, "gitroll.toml") {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.into_iter().map(|problem| problem.message).collect(),
    }
}

#[track_caller]
fn refuses(rest: &str, wanted: &str) {
    let found = messages(rest);
    assert!(
        found.len() == 1 && found[0].contains(wanted),
        "{rest}\nwanted {wanted}\nfound {found:#?}"
    );
}

#[track_caller]
pub(super) fn accepts(rest: &str) {
    assert_eq!(messages(rest), Vec::<String>::new(), "{rest}");
}

fn matching(patterns: &str, path: &str) -> bool {
    let text = format!("[app]\nname = \"x\"\nlocal = {patterns}");
    let config = parse(&text, "gitroll.toml").unwrap();
    config.app.local.matches(&RepoPath::new(path).unwrap())
}

#[test]
fn a_file_with_every_key_is_read() {
    let config =
        parse(WHOLE, "gitroll.toml").unwrap_or_else(|error| panic!("{:#?}", error.problems));
    assert_eq!(config.app.name.as_str(), "shop");
    assert_eq!(config.app.version.as_deref(), Some("1.2.0"));
    let upstream = config.deploy.upstream.unwrap();
    assert_eq!((upstream.remote.as_str(), upstream.branch.as_str()), ("origin", "main"));
    assert_eq!(config.build[1].outputs, [RepoPath::new("dist").unwrap()]);
    assert_eq!(config.build[0].timeout, Duration::from_secs(600));
    assert_eq!(config.build[1].timeout, Duration::from_secs(900));
    let order: Vec<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(order, ["db", "queue", "web", "extra"]);
    assert!(matches!(&config.services[0].manager,
        Manager::Systemd { unit, scope: Scope::User, .. } if unit == "db.service"));
    let CheckKind::Http(http) = &config.checks[0].kind else { panic!("another kind") };
    assert_eq!((http.status, http.redirects, http.max_bytes), (200, 1, 65_536));
    assert!(http.json["/version"].tells_version());
    assert_eq!(http.json["/n"].value, 1);
    assert_eq!(config.run.watchdog, Some(Duration::from_secs(600)));
    let kept = config.retention;
    assert_eq!((kept.runs, kept.saved.as_secs(), kept.artifacts), (7, 30 * 86_400, 3));
    assert_eq!(config.rto.code, Some(Duration::from_secs(900)));
    assert!(config.remote.required);
}

#[test]
fn units_have_whole_names_in_the_order_of_their_instances() {
    let units = |more: &str| {
        let text = format!("[app]\nname = \"x\"\n[service.web]\nmanager = \"systemd\"\n{more}");
        parse(&text, "gitroll.toml").unwrap().services[0].manager.units()
    };
    assert_eq!(units(""), ["web.service"]);
    assert_eq!(units("name = \"web.service\""), ["web.service"]);
    let wanted = ["app@b.service", "app@a.service"];
    assert_eq!(units("name = \"app@\"\ninstances = [\"b\", \"a\"]"), wanted);
    assert_eq!(units("name = \"app@.service\"\ninstances = [\"b\", \"a\"]"), wanted);
}

#[test]
fn what_is_not_said_has_its_default() {
    let text = "[app]\nname = \"x\"\n[service.web]\nmanager = \"pm2\"\n[service.b]\nmanager = \"systemd\"\n\
                [[check]]\nname = \"a\"\nhttp = \"http://[::1]:1/\"\n\
                [[build]]\nname = \"d\"\nrun = [[\"make\"]]\noutputs = [\"out\"]";
    let config = parse(text, "gitroll.toml").unwrap();
    assert_eq!((config.app.layout, config.app.prove), (Layout::InPlace, Prove::Strong));
    assert_eq!(config.deploy.upstream, None);
    assert_eq!(config.stable.pattern, "*-stable");
    assert_eq!(config.stable.min_served, Duration::from_secs(1800));
    assert!(matches!(&config.services[0].manager, Manager::Pm2 { app, .. } if app == "web"));
    assert!(matches!(&config.services[1].manager,
        Manager::Systemd { unit, scope: Scope::System, .. } if unit == "b"));
    let check = &config.checks[0];
    let CheckKind::Http(http) = &check.kind else { panic!("another kind") };
    assert_eq!((check.passes, check.settle.as_secs(), check.timeout.as_secs()), (3, 5, 30));
    assert_eq!((http.status, http.redirects, http.max_bytes), (200, 0, 1 << 20));
    assert_eq!(http.request_timeout, Duration::from_secs(5));
    assert!(config.build[0].inputs.matches(&RepoPath::new("a/b/c").unwrap()));
    assert_eq!((config.remote.name.as_str(), config.remote.required), ("origin", false));
    assert_eq!(config.run.watchdog, Some(Duration::from_secs(300)));
    let kept = config.retention;
    assert_eq!((kept.runs, kept.saved.as_secs(), kept.artifacts), (50, 90 * 86_400, 20));
    assert!(config.migrate.paths.is_empty() && config.flags.is_none() && config.notify.is_empty());
}

#[test]
fn every_problem_of_a_file_is_told_at_once_with_its_place() {
    let text = r#"[app]
naem = "shop"
layout = "inplace"

[[check]]
name = "api"
http = "ftp://ana:geheim@127.0.0.1/"
setle = "5s"
passes = 0
timeout = "1 s"

[servce.web]
manager = "pm2"

[component.QW-001]
paths = ["../x"]
services = ["wbe"]

[service.web]
manager = "pm3"
"#;
    assert_eq!(
        problems(text),
        [
            "1:1: [app] needs \"name\"",
            "2:1: unknown key \"naem\" in [app] (did you mean \"name\"?)",
            "3:10: layout: \"inplace\" is not known (did you mean \"in-place\"?)",
            "7:8: http: must begin with http:// or https://, not \"ftp\":",
            "8:1: unknown key \"setle\" in [[check]] (did you mean \"settle\"?)",
            "9:10: passes: must be from 1 to 1000",
            "10:11: timeout: \"1 s\" is not a duration: write whole numbers with d, h, m, s or ms, \
             largest first, such as \"30s\" or \"1h30m\"",
            "12:2: unknown key \"servce\" in the file (did you mean \"service\"?)",
            "16:10: paths: \"../x\": a pattern must be relative to the repository, without `..`, \
             `.git` or empty parts",
            "20:11: manager: \"pm3\" is not known (did you mean \"pm2\"?)",
        ]
    );
}

#[test]
fn columns_count_characters() {
    assert_eq!(
        problems("[app]\nname = \"x\"\nprove = \"äö\" # ü\n\"ß\" = 1"),
        [
            "3:9: prove: \"äö\" is not known (known: strong, weak)",
            "4:1: unknown key \"ß\" in [app] (known: name, layout, local, version, prove)",
        ]
    );
}

#[test]
fn a_text_that_is_no_toml_has_one_problem() {
    for text in ["[app", "a = ", "[app]\nname = \"x\"\n[app]", "= 1", "a = 1\na = 2", "\u{1}"] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains("not TOML"), "{text:?}: {found:?}");
    }
    assert!(problems("[app]\nname = \"x\n")[0].starts_with("2:"));
    assert!(problems(&"[".repeat(100_000))[0].contains("not TOML"));
    assert_eq!(problems(&" ".repeat(2 << 20)), ["1:1: is larger than 1 MiB"]);
}

#[test]
fn an_empty_file_says_what_is_needed() {
    assert_eq!(problems(""), ["1:1: the file needs \"app\""]);
}

#[test]
fn sections_of_the_wrong_shape_are_named() {
    for key in [
        "deploy",
        "stable",
        "migrate",
        "service",
        "component",
        "flags",
        "notify",
        "remote",
        "run",
        "rto",
    ] {
        let found = problems(&format!("{key} = 1\n[app]\nname = \"x\""));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with(&format!("{key}: must be a table, not a whole number")),
            "{found:?}"
        );
    }
    refuses("[build]\nname = \"x\"", "build: write [[build]] with double brackets");
    refuses("[check]\nname = \"x\"", "check: write [[check]] with double brackets");
    refuses("[service]\nweb = 1", "\"web\": must be a table");
    refuses(
        "[rto]\ncode = 5",
        "code: must be a duration such as \"30s\" or \"1h30m\", not a whole number",
    );
    assert_eq!(problems("build = [1, \"a\"]\n[app]\nname = \"x\"").len(), 2);
}

#[test]
fn paths_and_patterns_stay_inside_the_repository() {
    let build = |key: &str, path: &str| {
        let rest = if key == "outputs" { "" } else { "outputs = [\"out\"]\n" };
        format!("[[build]]\nname = \"x\"\nrun = [[\"make\"]]\n{rest}{key} = [{path:?}]")
    };
    for path in [
        "",
        "/etc",
        "../x",
        "a/../b",
        ".git",
        ".GIT/hooks",
        ".git ",
        "a/.Git/x",
        "a//b",
        ".",
        "./",
        "/",
    ] {
        for key in ["outputs", "carry", "inputs"] {
            refuses(&build(key, path), "relative to the repository, without `..`, `.git`");
        }
        refuses(&format!("[component.a]\npaths = [{path:?}]"), "relative to the repository");
    }
    for path in ["{a,../b}", "{.git,a}/x", "a/{b,.GIT}/c"] {
        refuses(&format!("[component.a]\npaths = [{path:?}]"), "relative to the repository");
    }
    refuses(&build("inputs", "a[b"), "\"a[b\" is not a valid glob: unclosed character class");
    refuses(&build("inputs", "!a"), "would exclude \"a\"");
    refuses(&build("inputs", &"a".repeat(2000)), "longer than 1024 bytes");
    refuses(&build("outputs", "a").replace("\"a\"", r#""a\u0000b""#), "NUL");
    accepts(&build("carry", "./.env"));
    refuses("[flags]\nfile = \"../.env\"", "relative to the repository");
}

#[test]
fn a_pattern_that_names_a_directory_means_what_lies_below() {
    for pattern in ["[\"app/api\"]", "[\"app/api/\"]", "[\"./app/api\"]", "[\"app/api/**\"]"] {
        assert!(matching(pattern, "app/api/x/y.js"), "{pattern}");
        assert!(!matching(pattern, "app/apix"), "{pattern}");
        assert!(!matching(pattern, "lib/app/api/x"), "{pattern}");
    }
    assert!(matching("[\"app/api\"]", "app/api"));
    assert!(matching("[\"app/*.js\"]", "app/a.js"));
    assert!(!matching("[\"app/*.js\"]", "app/b/a.js"));
    assert!(!matching("[\"app/*\"]", "app/b/a.js"));
    assert!(matching("[\"**/*.js\"]", "app/b/a.js") && matching("[\"**/*.js\"]", "a.js"));
    assert!(matching("[\"**\"]", "a/b"));
}

#[test]
fn outputs_lie_apart_from_all_else() {
    let group = |name: &str, rest: &str| {
        format!("[[build]]\nname = \"{name}\"\nrun = [[\"make\"]]\n{rest}\n")
    };
    let one = group("a", "outputs = [\"dist\"]");
    let below = group("b", "outputs = [\"dist/assets\"]");
    refuses(&format!("{one}{below}"), "outputs: dist/assets overlaps dist of build a");
    refuses(&group("a", "outputs = [\"x\", \"x/\"]"), "outputs: x overlaps x of build a");
    let carrying = group("b", "outputs = [\"out\"]\ncarry = [\"dist/.env\"]");
    refuses(&format!("{one}{carrying}"), "outputs: dist overlaps dist/.env, carried by build b");
    refuses(
        &format!("{one}[flags]\nfile = \"dist/.env\""),
        "overlaps dist/.env, a file of [flags]",
    );
    let service = "[service.web]\nmanager = \"process\"\ncommand = [\"a\"]\nlog = \"dist/log\"";
    refuses(&format!("{one}{service}"), "overlaps dist/log, the log of [service.web]");
    accepts(&format!("{one}{}", group("b", "outputs = [\"dist2\"]")));
}

#[test]
fn commands_are_argument_vectors() {
    let build = |run: &str| format!("[[build]]\nname = \"x\"\noutputs = [\"o\"]\nrun = {run}");
    refuses(&build("\"npm ci\""), "must be an array of commands");
    refuses(&build("[\"npm\", \"ci\"]"), "use double brackets");
    refuses(&build("[]"), "is empty");
    refuses(&build("[[]]"), "is empty: name the program");
    refuses(&build("[[\"\"]]"), "does not name a program");
    refuses(&build("[[\"npm ci\"]]"), "one string with spaces");
    refuses(&build("[[1]]"), "must be a string, not a whole number");
    refuses("[notify]\nrun = []", "is empty: name the program");
    refuses("[notify]", "[notify] needs a channel");
    refuses("[[build]]\nname = \"x\"\nrun = [[\"a\"]]\noutputs = []", "is empty: list");
}

#[test]
fn names_are_plain_and_used_once() {
    let check = "[[check]]\nname = \"a\"\nhttp = \"http://h/\"\n";
    refuses(&format!("{check}{check}"), "\"a\" is also the name of an earlier [[check]]");
    let build =
        |out: &str| format!("[[build]]\nname = \"a\"\nrun = [[\"m\"]]\noutputs = [\"{out}\"]\n");
    refuses(
        &format!("{}{}", build("x"), build("y")),
        "\"a\" is also the name of an earlier [[build]]",
    );
    refuses("[service.\"a b\"]\nmanager = \"systemd\"", "\"a b\" is not a valid service name");
    refuses("[component.\"../x\"]\npaths = [\"a\"]", "\"../x\" is not a valid component id");
    assert!(problems("[app]\nname = \"a/b\"")[0].contains("\"a/b\" is not a valid app name"));
    assert!(problems("[app]\nname = 5")[0].contains("must be a string"));
}

#[test]
fn services_refer_to_each_other_without_circles() {
    let service = |name: &str, deps: &str| {
        format!("[service.{name}]\nmanager = \"pm2\"\ndepends_on = [{deps}]\n")
    };
    refuses(&service("web", "\"wbe\""), "there is no [service.wbe] (did you mean \"web\"?)");
    refuses(&service("web", "\"web\""), "contains a cycle: web → web");
    let circle = [service("a", "\"b\""), service("b", "\"c\""), service("c", "\"b\"")].concat();
    refuses(&circle, "contains a cycle: b → c → b");
    refuses(
        &format!("{}{}", service("a", "\"b\", \"b\""), service("b", "")),
        "\"b\" is listed twice",
    );
    refuses(
        "[component.a]\npaths = [\"a\"]\nservices = [\"web\"]",
        "services: there is no [service.web]",
    );
    let same = format!("{}[service.b]\nmanager = \"pm2\"\nname = \"a\"", service("a", ""));
    refuses(&same, "the pm2 app \"a\" is already [service.a]");
}

#[test]
fn a_service_has_the_keys_of_its_manager() {
    refuses("[service.web]", "[service.web] needs \"manager\"");
    refuses("[service.web]\nmanager = \"pm2\"\ncommand = [\"a\"]", "unknown key \"command\"");
    refuses("[service.web]\nmanager = \"process\"", "[service.web] needs \"command\"");
    assert_eq!(messages("[service.web]\nmanager = \"command\"").len(), 3);
    for name in ["all", "0", "/web/", "-x", "a b", "@acme/web", "app.json"] {
        let text = format!("[service.web]\nmanager = \"pm2\"\nname = \"{name}\"");
        assert_eq!(messages(&text), [""; 0], "{name}");
    }
    refuses(
        "[service.x]\nmanager = \"systemd\"\nname = \"../x\"",
        "not the name of a systemd unit",
    );
    refuses("[service.x]\nmanager = \"systemd\"\nscope = \"usr\"", "did you mean \"user\"?");
    let unit = |more: &str| format!("[service.x]\nmanager = \"systemd\"\n{more}");
    refuses(&unit("name = \"x.timer\""), "is a timer: only a service unit runs the app");
    refuses(&unit("name = \"app@\""), "is a template: list its instances, such as instances =");
    refuses(&unit("instances = [\"1\"]"), "is not a template: the name of a template ends with @");
    refuses(&unit("name = \"app@\"\ninstances = [\"1\", \"1\"]"), "\"1\" is listed twice");
    refuses(&unit("name = \"app@\"\ninstances = [\"a b\"]"), "is not a valid instance name");
    refuses(&unit("name = \"app@\"\ninstances = []"), "must have from 1 to 100 instances");
    refuses(&unit("relod = true"), "did you mean \"reload\"?");
    refuses(&unit("quiesce = \"yes\""), "quiesce");
    refuses(
        "[service.x]\nmanager = \"systemd\"\nname = \"app@2.service\"\n\
         [service.y]\nmanager = \"systemd\"\nname = \"app@\"\ninstances = [\"1\", \"2\"]",
        "the unit \"app@2.service\" is already [service.x]",
    );
    let process =
        |rest: &str| format!("[service.x]\nmanager = \"process\"\ncommand = [\"a\"]\n{rest}");
    refuses(&process("env = { \"A-B\" = \"1\" }"), "\"A-B\": is not a variable name");
    refuses(&process("env = { GITROLL_RUN = \"1\" }"), "are set by gitroll");
    refuses(&process("env = { PORT = 3000 }"), "\"PORT\": must be a string, not a whole number");
    refuses(&process("stop_timeout = \"2h\""), "\"2h\" is not between 100ms and 1h");
    refuses(&process("log = \"../log\""), "relative to the repository");
}

#[test]
fn checks_are_bounded_and_say_what_they_expect() {
    let check = |rest: &str| format!("[[check]]\nname = \"a\"\nhttp = \"http://h/\"\n{rest}");
    let asks = |url: &str| format!("[[check]]\nname = \"a\"\nhttp = {url:?}");
    refuses("[[check]]\nname = \"a\"", "[[check]] needs one of \"http\", \"tcp\"");
    for url in [
        "",
        "127.0.0.1:3000",
        "http://",
        "file:///etc/passwd",
        "http://h/a b",
        "http://h/{version}",
    ] {
        assert_eq!(messages(&asks(url)).len(), 1, "{url}");
    }
    let secret = messages(&asks("http://ana:geheim@h/"));
    assert!(secret[0].contains("user or password") && !secret[0].contains("geheim"), "{secret:?}");
    refuses(&check("passes = 0"), "passes: must be from 1 to 1000");
    refuses(&check("passes = -1"), "passes: must be from 1 to 1000");
    refuses(
        &check("passes = 1.5"),
        "passes: must be a whole number from 1 to 1000, not a fraction",
    );
    refuses(&check("timeout = \"3s\""), "timeout: 3s is shorter than settle, 5s");
    refuses(&check("settle = \"40s\""), "timeout, 30s is shorter than settle, 40s");
    refuses(&check("request_timeout = \"31s\""), "longer than the timeout of the whole check, 30s");
    accepts(&check("settle = \"1s\"\ntimeout = \"2s\""));
    refuses(&check("max_bytes = 0"), "between 1B and 64MiB");
    refuses(&check("max_bytes = \"1TB\""), "is not a size");
    refuses(&check("redirects = 99"), "must be from 0 to 10");
    refuses(&check("expect = { status = 20 }"), "status: must be from 100 to 599");
    refuses(&check("expect = { stats = 200 }"), "did you mean \"status\"?");
    refuses(&check("expect = { header = { \"a b\" = \"x\" } }"), "\"a b\": is not a header name");
    refuses(&check("expect = { header = { A = \"x\", a = \"y\" } }"), "is set twice");
    refuses(&check("expect = { json = { status = \"ok\" } }"), "\"status\": is not a JSON pointer");
    refuses(&check("expect = { json = { \"/a~2\" = \"ok\" } }"), "is not a JSON pointer");
    refuses(
        &check("expect = { json = { \"/v\" = \"{verison}\" } }"),
        "{verison} is not a placeholder (did you mean \"version\"?)",
    );
    refuses(&check("expect = { json = { \"/v\" = [\"{version}\"] } }"), "in a plain string");
    refuses(&check("expect = { json = { \"/v\" = inf } }"), "not a number that JSON can represent");
    refuses(&check("expect = { json = { \"/v\" = 1979-05-27 } }"), "not a date");
    refuses(&check("expect = { body = \"\" }"), "is empty");
    accepts(&check("expect = { body = '{\"status\":\"ok\"} {}' }"));
    accepts(&check("expect = { json = { \"/a/b~1c\" = { x = [1, true, 1.5] } } }"));
}

#[test]
fn the_small_sections_are_typed_too() {
    for name in
        ["main", "origin/", "/main", "origin/a..b", "-o/main", "refs/heads/main", "origin/a b"]
    {
        refuses(&format!("[deploy]\nref = {name:?}"), "is not a remote and branch");
    }
    accepts("[deploy]\nref = \"origin/feature/x\"");
    refuses("[stable]\npattern = \"[\"", "is not a valid glob");
    refuses("[stable]\npattern = \"\"", "must not be empty");
    refuses("[stable]\nmin_served = \"500d\"", "is not between 0s and 365d");
    refuses("[remote]\nrequired = \"yes\"", "must be true or false, not a string");
    refuses("[remote]\nname = \"--upload-pack=x\"", "is not the name of a remote");
    refuses("[run]\nwatchdog = false", "write \"off\"");
    refuses("[run]\nwatchdog = \"900ms\"", "is not between 1s and 1d");
    accepts("[run]\nwatchdog = \"off\"");
    refuses("[retention]\nruns = 0", "must be from 1 to 10000");
    refuses("[retention]\nsaved = \"1h\"", "is not between 1d and 3650d");
    refuses("[retention]\nartifacts = \"2 GiB\"", "number");
    refuses("[retention]\nstages = 1", "unknown key \"stages\"");
    accepts("layout = \"releases\"\nprove = \"weak\"");
    refuses("version = \"1 2\"", "must be one word");
    refuses("[component.a]\npaths = []", "is empty: list");
    refuses(
        "[component.a]\npaths = [\"a\"]\nflag = { name = \"A=B\", off = \"0\" }",
        "is not a valid flag name",
    );
    refuses("[component.a]\npaths = [\"a\"]\nflag = { name = \"A\" }", "flag needs \"off\"");
}

#[test]
fn hostile_text_is_escaped_and_shortened_in_messages() {
    let found = messages("\"\\u001b[31m\\u202e\" = 1").concat();
    assert!(found.contains("\\u{1b}[31m\\u{202e}"), "{found:?}");
    let found = messages(&format!("{} = 1", "k".repeat(5000))).concat();
    assert!(found.len() < 200, "{found}");
}

#[test]
fn a_file_made_to_be_slow_is_not() {
    let begin = std::time::Instant::now();
    let many = |line: &dyn Fn(usize) -> String| (0..20_000).map(line).collect::<String>();
    refuses(&many(&|n| format!("[service.s{n}]\nmanager = \"pm2\"\n")), "more than 100 entries");
    refuses(&many(&|n| format!("[[check]]\nname = \"c{n}\"\n")), "more than 100 [[check]]");
    assert_eq!(messages(&many(&|n| format!("k{n} = 1\n"))).len(), 20_000);
    let outputs = format!("outputs = [{}]", many(&|n| format!("\"o{n}\",")));
    refuses(
        &format!("[[build]]\nname = \"a\"\nrun = [[\"m\"]]\n{outputs}"),
        "more than 1000 elements",
    );
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

const SNIPPETS: [&str; 14] =
    ["[", "]", "[[", "=", "\"", "{", "}", "\n[app]\n", "1", "[]", "{}", "true", "é\u{202e}", "'''"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_makes_it_panic_or_fail_without_a_reason(
        edits in proptest::collection::vec((0..WHOLE.len(), 0..60usize, 0..SNIPPETS.len(), any::<bool>()), 1..4),
    ) {
        let mut text = WHOLE.to_owned();
        for (at, cut, snippet, whole_line) in edits {
            let at = at.min(text.len());
            let begin = (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            let end = if whole_line {
                text[begin..].find('\n').map_or(text.len(), |n| begin + n)
            } else {
                (begin + cut).min(text.len())
            };
            let end = (end..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
            text.replace_range(begin..end, SNIPPETS[snippet]);
        }
        if let Err(error) = parse(&text, "gitroll.toml") {
            prop_assert!(!error.problems.is_empty());
            let lines = text.split('\n').count();
            for problem in &error.problems {
                prop_assert!(problem.line >= 1 && problem.line <= lines && problem.column >= 1);
                prop_assert!(!problem.message.chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn a_value_of_any_other_type_is_told(line in 0..WHOLE.lines().count(), value in 0..6usize) {
        let value = ["1", "true", "1.5", "[[]]", "{ zz = 1 }", "1979-05-27"][value];
        let text: Vec<String> = WHOLE
            .lines()
            .enumerate()
            .map(|(at, text)| match text.split_once(" = ") {
                Some((key, _)) if at == line => format!("{key} = {value}"),
                _ => text.to_owned(),
            })
            .collect();
        let changed = text[line] != WHOLE.lines().nth(line).unwrap_or_default();
        match parse(&text.join("\n"), "gitroll.toml") {
            Ok(_) => prop_assert!(
                !changed || ["passes", "redirects", "max_bytes", "required", "push_tags", "runs", "artifacts"]
                    .iter()
                    .any(|key| text[line].starts_with(key)),
                "{} was accepted", text[line]
            ),
            Err(error) => prop_assert!(!error.problems.is_empty()),
        }
    }
}

#[test]
fn no_damaged_gitroll_toml_makes_it_panic() {
    crate::model::mutated::each("gitroll", |bytes| {
        if let Err(error) = parse(&String::from_utf8_lossy(bytes), "gitroll.toml") {
            assert!(!error.problems.is_empty());
        }
    });
}

#[test]
fn a_channel_holds_no_secret_and_a_page_cannot_choose() {
    let channel = |text: &str| format!("[notify.x]\n{text}\n");
    let table = [
        (
            "kind = \"slack\"\nurl = \"https://hooks.example.com/s3cret\"",
            "could write to the channel",
        ),
        ("kind = \"slakc\"", "did you mean \"slack\"?"),
        ("kind = \"webhook\"\nurl = \"http://x/?token=s3cret\"", "may hold a secret"),
        ("kind = \"webhook\"\nurl = \"http://x/\"\nsecret = \"s3cret\"", "secret: must be a table"),
        ("kind = \"pagerduty\"\nkey = { env = \"K\" }\nevents = [\"done\"]", "cannot be chosen"),
        ("kind = \"command\"\nrun = [\"x\"]\nevents = [\"dnoe\"]", "did you mean \"done\"?"),
        ("kind = \"command\"\nrun = [\"x\"]\nevents = []", "name an event"),
        ("kind = \"command\"\nrun = [\"x\"]\ntemplate = \"{{ x\"", "is not a template"),
        ("kind = \"command\"\nrun = [\"x\"]\nlevels = [\"deep\"]", "is not known"),
        ("kind = \"smtp\"\nserver = \"mail\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]", "with its port"),
        (
            "kind = \"smtp\"\nserver = \"mail:25\"\nfrom = \"a\"\nto = [\"a@b.c\"]",
            "not a mail address",
        ),
        (
            "kind = \"smtp\"\nserver = \"mail:25\"\nuser = \"a\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]",
            "belong together",
        ),
        (
            "kind = \"smtp\"\nserver = \"mail:25\"\ntls = \"none\"\nuser = \"a\"\npassword = { env = \"P\" }\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]",
            "for everyone to read",
        ),
    ];
    for (text, wanted) in table {
        refuses(&channel(text), wanted);
        assert!(
            problems(&format!("[app]\nname = \"x\"\n{}", channel(text)))
                .iter()
                .all(|p| !p.contains("s3cret"))
        );
    }
    refuses("[links]\nrunbook = \"ftp://x\"", "must begin with http");
    refuses("[contacts]\nops = { within = \"5m\" }", "needs \"who\"");
    let config =
        parse("[app]\nname = \"x\"\n[notify]\nrun = [\"./tell.sh\"]", "gitroll.toml").unwrap();
    assert_eq!(config.notify[0].name, "run");
    assert_eq!(config.notify[0].events.len(), 5);
}
