//! Other managers, other users, and a systemd that does not answer.

use std::fs;
use std::time::Duration;

use super::*;

/// The user that the box knows besides root.
const USER: &str = "4242";

/// A user of the box with a systemd of their own, who owns the app.
struct Own<'h> {
    host: &'h TestEnvironment,
    inside: &'h Sysbox<'h>,
    app: App<'h>,
}

impl<'h> Own<'h> {
    #[track_caller]
    fn new(host: &'h TestEnvironment, inside: &'h Sysbox<'h>, config: &AppConfig) -> Self {
        host.configure_git("safe.directory", "*");
        let app = host.app(Fixture::Plain);
        app.configure(config);
        app.commit_version("1.0.0", Behaviour::Good);
        let home = host.path("home");
        let users = format!(
            "echo 'ada:x:{USER}:{USER}::{}:/bin/sh' >>/etc/passwd && echo 'ada:x:{USER}:' >>/etc/group && \
             mkdir -p /var/log/journal",
            home.display()
        );
        inside.run("sh", &["-c", &users]).exit(0);
        inside.start_journal();
        // On the disk each user's part may be read by that user.
        inside.run("journalctl", &["--flush"]).exit(0);
        let own = Self { host, inside, app };
        own.hand_over();
        own
    }

    /// Starts a systemd of the user's own, with the app's unit.
    #[track_caller]
    fn start_systemd(&self) {
        let units = self.host.path("own-units");
        fs::create_dir(&units).expect("ours");
        let target = "[Unit]\nDefaultDependencies=no\n";
        for name in ["own.target", "basic.target", "shutdown.target", "exit.target"] {
            fs::write(units.join(name), target).expect("ours");
        }
        fs::write(units.join("web.service"), web_unit(self.host, "")).expect("ours");
        self.hand_over();
        // Where a login or lingering makes it.
        let link = format!(
            "mkdir /run/user && ln -s {} /run/user/{USER}",
            self.host.path("run").display()
        );
        self.inside.run("sh", &["-c", &link]).exit(0);
        let unit = format!(
            "[Service]\nUser=ada\nSlice=user-{USER}.slice\nDelegate=yes\nEnvironment=XDG_RUNTIME_DIR={0} HOME={1} SYSTEMD_UNIT_PATH={2}:{0}/systemd/transient\n\
             ExecStart=/lib/systemd/systemd --user --unit=own.target\n",
            self.host.path("run").display(),
            self.host.path("home").display(),
            units.display(),
        );
        let name = format!("user@{USER}.service");
        self.inside.unit(&name, &unit);
        self.inside.run("systemctl", &["start", &name]).exit(0);
        wait_until("the user's systemd is up", || {
            self.run("systemctl", &["--user", "is-active", "--quiet", "own.target"]).code == Some(0)
        });
    }

    /// Everything belongs to the user.
    fn hand_over(&self) {
        let root = self.host.root().display().to_string();
        self.host.run("chown", &["-R", &format!("{USER}:{USER}"), &root]).exit(0);
    }

    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) -> Answer {
        let ids = [format!("--reuid={USER}"), format!("--regid={USER}")];
        let mut all = vec![ids[0].as_str(), ids[1].as_str(), "--clear-groups", program];
        all.extend(args);
        self.inside.run("setpriv", &all)
    }

    #[track_caller]
    fn gitroll(&self, args: &[&str]) -> Answer {
        self.run(&self.host.path("gitroll-inside").to_string_lossy(), args)
    }

    #[track_caller]
    fn init(&self) {
        self.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    }

    #[track_caller]
    fn release(&self, version: &str, behaviour: Behaviour) -> Answer {
        let serving = self.app.head();
        let commit = self.app.commit_version(version, behaviour);
        self.app.git(&["checkout", "-q", "--detach", &serving]);
        self.hand_over();
        self.gitroll(&["deploy", &commit, "--yes"])
    }
}

#[test]
fn the_watchdog_of_a_user_who_lingers_is_a_timer_of_their_own() {
    boxed(|host, inside| {
        let config = AppConfig::default().without_builds().settle(2, "300ms");
        let name = "web\"\nscope = \"user\"\n#".to_owned();
        let config = config.served_by(ServedBy::Unit(name)).and("[run]\nwatchdog = \"2s\"\n");
        let own = Own::new(host, inside, &config);
        own.start_systemd();
        inside.run(
            "sh",
            &["-c", "mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/ada"],
        );
        own.init();
        own.gitroll(&["deploy", "--yes"]).exit(0);
        let serving = own.app.head();
        let next = own.app.commit_version("1.1.0", Behaviour::Good);
        own.app.git(&["checkout", "-q", "--detach", &serving]);
        own.hand_over();
        let program = own.host.path("gitroll-inside").display().to_string();
        let at = ["GITROLL_FAIL_AT=activate after=kill", &program, "deploy", &next, "--yes"];
        let killed = own.run("env", &at);
        assert_eq!(killed.code, None, "{}", killed.stderr);
        let timers =
            own.run("systemctl", &["--user", "list-timers", "--no-legend", "gitroll-watchdog-*"]);
        assert!(timers.stdout.contains("gitroll-watchdog-"), "{}", timers.stdout);
        wait_until("the run is over", || own.gitroll(&["status"]).stdout.contains("none open"));
        wait_for_version(&own.app.health(), "1.1.0");
        own.gitroll(&["show"]).exit(0).stdout_has("finished by the watchdog");
    });
}

fn own_unit() -> AppConfig {
    let name = "web\"\nscope = \"user\"\n#".to_owned();
    config().served_by(ServedBy::Unit(name))
}

#[test]
fn a_users_own_units_need_no_root_and_no_login() {
    boxed(|host, inside| {
        let own = Own::new(host, inside, &own_unit());
        own.init();
        // Nobody started it yet.
        let none = own.gitroll(&["deploy", "--yes"]);
        none.exit(1)
            .stderr_has("no systemd runs for user ada")
            .stderr_has("loginctl enable-linger ada");
        own.start_systemd();
        own.gitroll(&["deploy", "--yes"]).exit(0);
        wait_for_version(&own.app.health(), "1.0.0");
        own.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        let bad = own.release("1.2.0", Behaviour::ThrowsAtBoot);
        bad.exit(20).stderr_has("web.service failed: exit code 1").stderr_has("throws at boot");
        wait_for_version(&own.app.health(), "1.1.0");
        own.gitroll(&["back", "--yes"]).exit(0);
        wait_for_version(&own.app.health(), "1.0.0");
        own.gitroll(&["service", "stop"]).exit(0);
        own.gitroll(&["service", "status"]).exit(1).stdout_has("inactive");
        own.gitroll(&["service", "start"]).exit(0).stdout_has("running");
        // Started as root it is the same user's.
        inside.gitroll(&["service", "status"]).exit(0).stdout_has("web  running");
    });
}

#[test]
fn who_may_not_restart_a_unit_of_the_system_learns_it_before_anything_changes() {
    if !Path::new("/usr/bin/dbus-daemon").exists() {
        return;
    }
    boxed(|host, inside| {
        let own = Own::new(host, inside, &config());
        inside.unit("web.service", &web_unit(host, "User=ada"));
        for unit in ["dbus.service", "dbus.socket"] {
            let link = host.path("units").join(unit);
            std::os::unix::fs::symlink(format!("/lib/systemd/system/{unit}"), link).expect("ours");
        }
        inside.run("systemctl", &["daemon-reload"]).exit(0);
        inside.run("systemctl", &["start", "dbus.socket", "web.service"]).exit(0);
        wait_for_version(&own.app.health(), "1.0.0");
        own.init();
        let denied = own.release("1.1.0", Behaviour::Good);
        denied.exit(1).stderr_has("ada may not restart web.service").stderr_has("scope = \"user\"");
        wait_for_version(&own.app.health(), "1.0.0");
        own.gitroll(&["doctor"]).exit(1).stdout_has("ada may not restart web.service");

        // What sudoers allows is done by sudo: here a program that root listens to.
        host.fake_tool("sudo", SUDO);
        // With a password she may do everything, and `sudo -l COMMAND` succeeds for it.
        allow(host, &["(ALL) ALL", "(root) NOPASSWD: /usr/bin/true"]);
        own.init();
        let asks = own.release("1.1.0", Behaviour::Good);
        asks.exit(1).stderr_has("ada may not restart web.service");
        let only = ["systemctl restart web.service", "systemctl reset-failed web.service"];
        allow(host, &only);
        let listen = script(host, "listen.sh", LISTEN);
        inside.unit("listen.service", &unit_of(host, &listen, ""));
        inside.run("systemctl", &["start", "listen"]).exit(0);
        own.hand_over();
        own.init();
        own.release("1.2.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        own.release("1.3.0", Behaviour::ThrowsAtBoot).exit(20);
        wait_for_version(&own.app.health(), "1.2.0");
        let asked = fs::read_to_string(host.path("asked")).expect("sudo was asked");
        assert!(asked.contains("systemctl restart web.service\n"), "{asked}");

        // A changed unit file must be read again, and a quiesced unit be stopped and started.
        let unit = web_unit(host, "User=ada\nEnvironment=X=1");
        inside.write_unit("web.service", &unit);
        let unread = own.release("1.4.0", Behaviour::Good);
        unread.exit(1).stderr_has("ada may not run daemon-reload");
        allow(host, &[&only[..], &["systemctl daemon-reload"]].concat());
        own.release("1.4.0", Behaviour::Good).exit(0);
        own.release("1.2.0", Behaviour::Good).exit(0);
        let toml = own.app.read("gitroll.toml");
        let quiet = toml.replace("[service.web]\n", "[service.web]\nquiesce = true\n");
        own.app.write("gitroll.toml", &quiet);
        own.release("1.4.0", Behaviour::Good).exit(1).stderr_has("ada may not stop web.service");
        own.app.write("gitroll.toml", &toml);
        wait_for_version(&own.app.health(), "1.2.0");

        // Nor may she read its journal: that no bad line is seen there would say nothing.
        let toml = own.app.read("gitroll.toml");
        own.app.write("gitroll.toml", &format!("{toml}{}", logs::LOG));
        let blind = own.release("1.4.0", Behaviour::Good);
        blind.exit(1).stderr_has("may not read the journal of web.service");
        wait_for_version(&own.app.health(), "1.2.0");
    });
}

/// Allows what `sudoers` lists, a rule each, as the real one tells it: `-l COMMAND` succeeds also for what
/// wants a password.
const SUDO: &str = "#!/bin/bash\n\
    cd \"$(dirname \"$0\")/..\"\n\
    [ \"$1\" = -n ] || exit 1\nshift\n\
    if [ \"$1\" = -l ]; then shift\n\
    if [ -z \"$1\" ]; then echo 'User ada may run the following commands on box:'; cat sudoers; exit; fi\n\
    grep -q '(ALL) ALL' sudoers || grep -qF -- \"NOPASSWD: $*\" sudoers; exit\nfi\n\
    grep -qF -- \"NOPASSWD: $*\" sudoers || { echo 'sudo: a password is required' >&2; exit 1; }\n\
    shift\nrm -f done; echo \"$*\" >order.new && mv order.new order\n\
    until [ -e done ]; do sleep 0.02; done\n\
    cat said >&2; exit $(cat done)\n";

/// Rules of sudoers.
fn allow(host: &TestEnvironment, rules: &[&str]) {
    let systemctl = find_tool("systemctl").expect("systemctl is on this machine");
    let words = |rule: &&str| match rule.strip_prefix("systemctl") {
        Some(rest) => format!("    (root) NOPASSWD: {}{rest}\n", systemctl.display()),
        None => format!("    {rule}\n"),
    };
    fs::write(host.path("sudoers"), rules.iter().map(words).collect::<String>()).expect("ours");
}

const LISTEN: &str = "cd ..\nwhile :; do\nif [ -e order ]; then\n\
    words=$(cat order); rm order; echo \"systemctl $words\" >>asked\n\
    systemctl $words >said 2>&1; echo $? >done.new; chmod 666 said done.new; mv done.new done\n\
    fi\nsleep 0.02\ndone\n";

#[test]
fn a_systemd_that_does_not_answer_is_not_waited_for() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        host.fake_tool("systemctl", "#!/bin/sh\nexec sleep 600\n");
        inside.gitroll(&["init", "--yes"]);
        let hangs = served.release("1.1.0", Behaviour::Good);
        hangs.exit(1).stderr_has("systemctl show: gave no answer within 10 s");
        let doctor = inside.gitroll(&["doctor"]);
        doctor.exit(1).stdout_has("systemctl status").stdout_has("gave no answer within 10 s");
        let status = inside.gitroll(&["service", "status"]);
        status.exit(1).stderr_has("gitroll doctor");
        assert!(hangs.took < Duration::from_secs(50), "it took {:?}", hangs.took);
        served.serves("1.0.0");
    });
}

#[test]
fn pm2_runs_beside_it() {
    let pm2 = test_tools().join("pm2/node_modules/.bin/pm2");
    if !pm2.is_file() {
        return;
    }
    boxed(|host, inside| {
        // The box does not see this machine's temporary files, which the tools may be below.
        let [from, to] =
            [test_tools().join("pm2"), host.path("tool")].map(|p| p.display().to_string());
        host.run("cp", &["-a", &from, &to]).exit(0);
        host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{to}/node_modules/.bin/pm2' \"$@\"\n"));
        let more = "[service.worker]\nmanager = \"pm2\"\ndepends_on = [\"web\"]\n";
        let app = host.app(Fixture::Plain);
        app.write("worker.js", "setInterval(() => {}, 1000);\n");
        inside.run("pm2", &["start", "worker.js", "--name", "worker"]).exit(0);
        let units = [("web.service", web_unit(host, ""))];
        let units = units.each_ref().map(|(name, text)| (*name, text.as_str()));
        let served = Served::of_app(inside, app, &config().and(more), &units);
        let good = served.release("1.1.0", Behaviour::Good);
        good.exit(0).stdout_has("web 1/1 fresh").stdout_has("worker 1/1 fresh");
        served.release("1.2.0", Behaviour::ThrowsAtBoot).exit(20);
        served.serves("1.1.0");
        inside.run("pm2", &["kill"]);
    });
}
