//! A machine of a test's own that systemd runs: `systemd --system` as process 1 of its own namespaces, over
//! a copy-on-write view of this machine's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::environment::find_tool;
use super::{Answer, TestEnvironment, children_of, wait_until};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// It ends, with everything in it, when this is dropped: before the host whose directory it shares.
pub struct Sysbox<'h> {
    host: &'h TestEnvironment,
    /// What made the namespaces, and ends process 1 when it is ended.
    outside: Child,
    /// Process 1, as seen from outside.
    first: u32,
    cgroup: PathBuf,
}

impl<'h> Sysbox<'h> {
    /// Starts it. Of this machine it can change nothing but the directory of `host`; the network is shared.
    ///
    /// # Errors
    /// Why that is not possible on this machine: it needs root, namespaces, an overlay and cgroup 2.
    pub fn start(host: &'h TestEnvironment) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start a systemd".to_owned());
        }
        for tool in ["unshare", "nsenter", "setpriv", "systemd-run"] {
            find_tool(tool).ok_or_else(|| format!("{tool} is not on this machine"))?;
        }
        let name = host.root().file_name().expect("it has a name").to_string_lossy().into_owned();
        let cgroup = cgroups().ok_or("there is no cgroup 2")?.join(format!("gitroll-test-{name}"));
        fs::create_dir(&cgroup).map_err(|e| format!("{}: {e}", cgroup.display()))?;
        let place = host.path("sysbox");
        fs::create_dir(&place).expect("the host's directory is writable");
        fs::copy(env!("CARGO_BIN_EXE_gitroll"), host.path("gitroll-inside")).expect("it is ours");
        let log = fs::File::create(host.path("sysbox.log")).expect("it is ours");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "sh", "-c", BEGIN, "sh"]);
        command.arg(&cgroup).arg(BOOT).arg(&place).arg(host.root());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let outside = command.spawn().expect("setpriv can be started");
        let mut started = Self { host, outside, first: 0, cgroup };
        started.boot()?;
        Ok(started)
    }

    fn boot(&mut self) -> Result<(), String> {
        let log = || fs::read_to_string(self.host.path("sysbox.log")).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.host.path("sysbox.made").exists() {
            if self.outside.try_wait().expect("a child can be asked").is_some() {
                return Err(format!("it cannot be made here: {}", log()));
            }
            assert!(Instant::now() < deadline, "the box is not made: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.first = *children_of(self.outside.id()).first().expect("process 1 runs");
        wait_until(&format!("systemd is up\n{}", log()), || {
            self.run("systemctl", &["is-active", "--quiet", "box.target"]).code == Some(0)
        });
        Ok(())
    }

    /// Writes a unit and lets systemd know.
    #[track_caller]
    pub fn unit(&self, name: &str, text: &str) -> &Self {
        self.write_unit(name, text);
        self.run("systemctl", &["daemon-reload"]).exit(0);
        self
    }

    /// Writes a unit; systemd is not told.
    pub fn write_unit(&self, name: &str, text: &str) {
        fs::create_dir_all(self.host.path("units")).expect("the host's directory is writable");
        let file = self.host.path("units").join(name);
        fs::write(file, text).expect("the host's directory is writable");
    }

    /// Starts the journal: without it what units write is nowhere.
    #[track_caller]
    pub fn start_journal(&self) -> &Self {
        self.run("systemctl", &["start", "systemd-journald.service"]).exit(0);
        self
    }

    /// A command in the box, with the environment and the app's directory of the host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first.to_string(), "-m", "-p", "-u", "-i", "-C", "--"]);
        let app = self.host.path("app");
        let dir = if app.is_dir() { app.as_path() } else { self.host.root() };
        command.arg("env").arg("-i").arg("-C").arg(dir);
        for (name, value) in self.host.variables() {
            let mut setting = name;
            setting.push("=");
            setting.push(value);
            command.arg(setting);
        }
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a program in the box.
    #[track_caller]
    pub fn run(&self, program: &str, args: &[&str]) -> Answer {
        let mut command = self.command(program);
        command.args(args);
        Answer::of(command, LIMIT)
    }

    /// Runs the program under test in the box.
    #[track_caller]
    pub fn gitroll(&self, args: &[&str]) -> Answer {
        self.run(&self.host.path("gitroll-inside").to_string_lossy(), args)
    }

    /// Runs the program under test in the box with a failpoint.
    #[track_caller]
    pub fn gitroll_until(&self, place: &str, args: &[&str]) -> Answer {
        let mut command = self.command(&format!("GITROLL_FAIL_AT={place}"));
        command.arg(self.host.path("gitroll-inside")).args(args);
        Answer::of(command, LIMIT)
    }
}

impl Drop for Sysbox<'_> {
    fn drop(&mut self) {
        // With process 1 the kernel ends everything in the box.
        for pid in [self.first, self.outside.id()] {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            pid.map(|pid| kill_process(pid, Signal::KILL).ok());
        }
        let _ = self.outside.wait();
        // These name processes by the numbers they had in the box: others outside have the same.
        let state = self.host.path("app/.git/gitroll");
        let _ = fs::remove_dir_all(state.join("services"));
        let _ = fs::remove_dir_all(state.join("runs"));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !remove_groups(&self.cgroup) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where cgroup 2 is mounted.
fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.find(|words| words.get(2) == Some(&"cgroup2")).map(|words| PathBuf::from(words[1]))
}

/// Removes a control group with those below it; `false` as long as a process is in one.
fn remove_groups(dir: &Path) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    fs::remove_dir(dir).is_ok() || !dir.exists()
}

/// Arguments: the control group, then those of [`BOOT`].
const BEGIN: &str = r#"
echo $$ > "$1/cgroup.procs" && shift &&
exec unshare --mount --pid --fork --cgroup --uts --ipc --propagation private --kill-child=KILL sh -c "$@"
"#;

/// Makes the box's files and becomes its systemd. Arguments: an empty directory, the directory to share.
///
/// systemd finds no units but those written here and in `units` of the shared directory, so nothing of this machine's is started, and what it
/// writes outside of the shared directory is gone with it.
const BOOT: &str = r#"
set -e
share=$1 place=$0
mount -t tmpfs -o mode=755 none "$place"
cd "$place" && mkdir up work root
mount -t overlay -o "lowerdir=/,upperdir=$place/up,workdir=$place/work" none root
for dir in tmp var/tmp run dev; do mount -t tmpfs -o mode=755 none "root/$dir"; done
chmod 1777 root/tmp root/var/tmp
for node in null zero full random urandom tty; do
    touch "root/dev/$node" && mount --bind "/dev/$node" "root/dev/$node"
done
mkdir -p "root$share" root/units root/old root/run/systemd
mount --bind "$share" "root$share"
mount -t proc none root/proc
mount -t sysfs -o ro none root/sys
mount -t cgroup2 none root/sys/fs/cgroup
for target in box basic sysinit shutdown timers umount local-fs; do
    printf '[Unit]\nDefaultDependencies=no\n' > "root/units/$target.target"
done
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
    ln -s "/lib/systemd/system/$unit" root/units/
done
tr -d - < /proc/sys/kernel/random/uuid > root/etc/machine-id
cd root && pivot_root . old && umount -l /old
touch "$share/sysbox.made"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test SYSTEMD_UNIT_PATH="/units:$share/units:/run/systemd/transient" \
    /lib/systemd/systemd --system --unit=box.target --log-target=console --show-status=no
"#;
