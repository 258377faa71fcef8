//! Instances of a template, one after the other; several services in their order.

use std::fs;

use super::*;

/// Four instances, each on a port that is its name. Which version each start had is in `starts`.
struct Rolling {
    ports: Vec<Port>,
}

impl Rolling {
    fn new() -> Self {
        Self { ports: (0..3).map(|_| free_port()).collect() }
    }

    fn names(&self, app: &App<'_>) -> Vec<String> {
        let more = self.ports.iter().map(|port| port.number().to_string());
        std::iter::once(app.port.number().to_string()).chain(more).collect()
    }

    #[track_caller]
    fn serving<'h>(&self, host: &'h TestEnvironment, inside: &'h Sysbox<'h>) -> Served<'h> {
        let run = script(host, "run.sh", RUN);
        let text = unit_of(host, &run, "");
        let text = text.replace("run.sh", "run.sh %i");
        let app = host.app(Fixture::Plain);
        let names: Vec<String> = self.names(&app).iter().map(|n| format!("\"{n}\"")).collect();
        let name = format!("app@\"\ninstances = [{}]\n#", names.join(", "));
        let config = config().timeout("2s").served_by(ServedBy::Unit(name));
        Served::of_app(inside, app, &config, &[("app@.service", &text)])
    }
}

/// Version 1.2.0 does not run on the instance that `refused` names.
const RUN: &str = "version=$(sed -n 's/.*\"version\": \"\\(.*\\)\".*/\\1/p' package.json)\n\
    echo \"$1 $version\" >>../starts\n\
    if [ \"$version $1\" = \"1.2.0 $(cat ../refused)\" ]; then echo 'no such shard' >&2; exit 3; fi\n\
    export PORT=$1\nexec node server.js\n";

fn starts(host: &TestEnvironment, version: &str) -> Vec<String> {
    let text = fs::read_to_string(host.path("starts")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(_, of)| *of == version).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn instances_are_restarted_in_turn_and_the_first_bad_one_stops_the_others() {
    boxed(|host, inside| {
        let rolling = Rolling::new();
        let served = rolling.serving(host, inside);
        let names = rolling.names(&served.app);
        served.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 4/4 fresh");
        assert_eq!(starts(host, "1.1.0"), names);

        fs::write(host.path("refused"), &names[1]).expect("ours");
        let bad = served.release("1.2.0", Behaviour::Good);
        let unit = format!("app@{}.service failed: exit code 3", names[1]);
        bad.exit(20).stderr_has(&unit).stderr_has("no such shard");
        assert_eq!(starts(host, "1.2.0"), names[..2], "the others ran what they ran before");
        for name in &names {
            wait_for_version(&format!("http://127.0.0.1:{name}/api/health"), "1.1.0");
        }
        let states = inside.gitroll(&["service", "status", "--json"]);
        let pids = states.json()["result"]["services"][0]["pids"].as_array().expect("pids").len();
        assert_eq!(pids, 4);
    });
}

#[test]
fn a_check_that_fails_with_the_first_instance_stops_the_others() {
    boxed(|host, inside| {
        let rolling = Rolling::new();
        let served = rolling.serving(host, inside);
        let names = rolling.names(&served.app);
        // It runs and never listens: systemd has nothing to say against it.
        let bad = served.release("1.1.0", Behaviour::HangsAtBoot);
        bad.exit(20).stderr_has("runs, but with app@").stderr_has("check api fails");
        assert_eq!(starts(host, "1.1.0"), names[..1]);
        served.serves("1.0.0");
    });
}

#[test]
fn services_of_several_managers_are_reloaded_after_those_they_depend_on() {
    boxed(|host, inside| {
        let job = "grep version package.json >>../order\n";
        let job = script(host, "job.sh", job);
        let more = "depends_on = [\"queue\"]\n[service.queue]\nmanager = \"process\"\n\
            command = [\"sh\", \"-c\", \"echo queue >>../order; exec sleep 1000\"]\ndepends_on = [\"db\"]\n\
            [service.db]\nmanager = \"systemd\"\n";
        let config = AppConfig::default()
            .without_builds()
            .settle(2, "300ms")
            .served_by(ServedBy::Unit(format!("web\"\n{}#", more)))
            .and("[run]\nwatchdog = \"off\"\n");
        let web = unit_of(
            host,
            &script(host, "web.sh", "echo web >>../order\nexec node server.js\n"),
            "",
        );
        let db = unit_of(host, &job, "Type=oneshot\nRemainAfterExit=yes");
        let units = [("web.service", web.as_str()), ("db.service", db.as_str())];
        let served = Served::configured(host, inside, &config, &units);
        fs::write(host.path("order"), "").expect("ours");
        served.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        let order = fs::read_to_string(host.path("order")).expect("ours");
        let order: Vec<&str> = order.lines().map(str::trim).collect();
        assert_eq!(order, ["\"version\": \"1.1.0\",", "queue", "web"]);
    });
}

/// Says what it was started with.
const TELLS: &str = r#"
const fs = require('fs'), http = require('http');
const read = (file) => fs.readFileSync(file, 'utf8');
const version = JSON.parse(read('package.json')).version;
const env = Object.fromEntries(read('.env').split('\n').map((line) => line.split('=')));
http.createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ status: 'healthy', version, pid: process.pid, A: env.A }));
}).listen(env.PORT, '127.0.0.1');
"#;

#[test]
fn a_flag_is_not_asked_for_between_instances_before_all_were_reloaded() {
    boxed(|host, inside| {
        let app = host.app(Fixture::Plain);
        let port = app.port.number();
        app.write("server.js", TELLS);
        let more = "web\"\ndepends_on = [\"worker\"]\n[service.worker]\nmanager = \"systemd\"\n\
            name = \"worker@\"\ninstances = [\"1\", \"2\"]\n#";
        let flags = format!(
            "[flags]\nfile = \".env\"\nverify = {{ http = \"http://127.0.0.1:{port}/\", timeout = \"3s\", \
             expect = {{ status = 200, json = {{ \"/A\" = \"{{value}}\" }} }} }}\n\
             [component.A]\npaths = [\"a/**\"]\nflag = {{ name = \"A\", off = \"false\" }}\n"
        );
        let config = config().served_by(ServedBy::Unit(more.to_owned())).and(&flags);
        let dotenv = app.read(".env");
        app.write(".env", &format!("{}\nA=true\n", dotenv.trim_end()));
        let worker = unit_of(host, &script(host, "worker.sh", "exec sleep 1000\n"), "");
        let units = [("web.service", web_unit(host, "")), ("worker@.service", worker)];
        let units: Vec<(&str, &str)> = units.iter().map(|(n, t)| (*n, t.as_str())).collect();
        let served = Served::of_app(inside, app, &config, &units);
        inside.gitroll(&["flags", "off", "A"]).exit(0).stderr_has("reload worker");
        served.serves("1.0.0");
    });
}
