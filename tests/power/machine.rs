//! One host on a disk whose power can be cut.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::{Disk, FileSystem};
use crate::crash::oracle::{Found, Way};
use crate::crash::world::{Act, World};
use crate::support::*;

/// Where the power is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// When gitroll passes this place, the n-th time.
    Place(String, usize),
    /// After this time.
    After(Duration),
}

/// What the power was cut in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The act.
    pub act: Act,
    /// When.
    pub moment: Moment,
    /// How the run is ended then, where it is open.
    pub way: Way,
    /// When the power is cut again, while it is being ended.
    pub again: Option<Moment>,
    /// Another program syncs a file of its own just before. It takes the file system's log with it: names and
    /// sizes are on the device then, and the bytes of files that nobody synced are not.
    pub neighbour: bool,
}

/// What came of a cut.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// What was found in the end.
    pub found: Found,
    /// Whether a run was open when the host came back.
    pub open: bool,
    /// Whether the run had ended before the cut.
    pub late: bool,
    /// How often the power was cut.
    pub cuts: usize,
}

/// An app on a disk.
pub struct Machine<'d> {
    /// The disk.
    pub disk: &'d Disk,
    /// The app.
    pub world: World<'d>,
}

/// Leaves objects as a fetch does: loose and not synced.
const FETCH: &str =
    "set -e; GIT_INDEX_FILE=$TMPDIR/index; export GIT_INDEX_FILE; git read-tree next
blob=$(echo '<p>fetched a moment ago</p>' | git hash-object -w --stdin)
git update-index --add --cacheinfo 100644,$blob,pages/new/fetched.html
git commit-tree -p next -m Fetched $(git write-tree); rm $TMPDIR/index";

/// Runs `test` with an app on a disk of its own; says so where this machine cannot make one.
pub fn on_a_machine(file_system: FileSystem, acts: &[Act], test: impl FnOnce(&Machine<'_>)) {
    let disk = match Disk::make(file_system) {
        Ok(disk) => disk,
        Err(why) => return left_out(file_system, &why),
    };
    let host = TestEnvironment::new_in(&disk.top());
    let world = World::prepare(&host, acts);
    disk.sync();
    test(&Machine { disk: &disk, world });
}

#[allow(clippy::print_stderr)]
fn left_out(file_system: FileSystem, why: &str) {
    eprintln!("left out: no power can be cut on {} here: {why}", file_system.name());
}

impl Machine<'_> {
    /// The places that an act passes, in order, each with the how-manieth time it is.
    pub fn places(&self, act: Act) -> Vec<(String, usize)> {
        self.world.reset(act);
        self.passed(self.world.act(act))
    }

    /// The places that `way` passes, where the power was cut in an act at `moment`.
    pub fn places_of_way(&self, act: Act, moment: &Moment, way: Way) -> Vec<(String, usize)> {
        self.world.reset(act);
        self.disk.sync();
        self.run_until(self.world.act(act), moment, false);
        self.boot();
        self.passed(self.world.host.gitroll_command(&[way.name()]))
    }

    fn passed(&self, mut command: Command) -> Vec<(String, usize)> {
        let log = self.disk.outside("places");
        fs::remove_file(&log).ok();
        command.env("GITROLL_FAIL_LOG", &log);
        Answer::of(command, crate::crash::world::LIMIT).exit(0);
        let text = fs::read_to_string(&log).expect("a debug build notes the places");
        let mut places: Vec<(String, usize)> = Vec::new();
        for line in text.lines() {
            let before = places.iter().filter(|(place, _)| place == line).count();
            places.push((line.to_owned(), before + 1));
        }
        places
    }

    /// How long an act takes at least: after that most cuts would come too late.
    pub fn duration(&self, act: Act) -> Duration {
        let once = || {
            self.world.reset(act);
            let begun = Instant::now();
            self.world.command(act).exit(0);
            begun.elapsed()
        };
        once().min(once())
    }

    /// Cuts the power in an act, lets the host come back, ends the run, and judges what is there.
    pub fn cut(&self, cut: &Cut) -> Came {
        self.world.reset(cut.act);
        self.disk.sync();
        let code = self.run_until(self.world.act(cut.act), &cut.moment, cut.neighbour);
        self.boot();
        let open = self.world.run_is_open();
        let mut cuts = 1;
        if let (true, Some(moment)) = (open, &cut.again) {
            let way = self.world.host.gitroll_command(&[cut.way.name()]);
            self.run_until(way, moment, cut.neighbour);
            self.boot();
            cuts += 1;
        }
        self.no_object_is_damaged();
        let said = match code {
            Some(0 | 30) => Some(Found::New),
            Some(20) => Some(Found::Old),
            _ => None,
        };
        assert!(said.is_none() || !open, "it exited with {code:?}, and its run is open");
        let ended = if self.world.run_is_open() { self.world.end(cut.way) } else { None };
        let forward = cut.way == Way::Resume && ended.is_some();
        assert!(!forward || ended == Some(Found::New), "resume did not get through");
        if self.world.app.version_served().is_none() {
            // Nobody starts what the built-in manager ran but who starts it: a line in a crontab.
            self.world.gitroll(&["service", "start"]).exit(0);
            wait_until("the app answers", || self.world.app.version_served().is_some());
        }
        let found = self.world.is_whole(cut.act, ended.or(said));
        self.no_object_is_damaged();
        Came { found, open, late: code.is_some(), cuts }
    }

    /// Cuts the power just after a run was begun to a commit that was made a moment ago and that nobody synced.
    pub fn cut_after_a_fetch(&self) {
        self.world.reset(Act::Deploy);
        self.disk.sync();
        let made = self.world.host.run("sh", &["-c", FETCH]);
        let fetched = made.exit(0).text();
        let deploy = self.world.host.gitroll_command(&["deploy", fetched, "--yes"]);
        let begun = Moment::Place("journal begun after".to_owned(), 1);
        assert_eq!(self.run_until(deploy, &begun, true), None);
        self.boot();
        self.no_object_is_damaged();
        assert!(self.world.run_is_open());
        self.world.gitroll(&["resume"]).exit(0);
        assert_eq!(self.world.app.head(), fetched);
        assert!(self.world.app.read("pages/new/fetched.html").contains("a moment ago"));
        wait_for_version(&self.world.app.health(), "1.1.0");
    }

    /// Cuts the power of the binding's disk, which is not the app's, just after `init` has ended.
    pub fn cut_after_init(&self) {
        let host = TestEnvironment::new();
        host.set("GITROLL_HOME", self.disk.top().join("etc/gitroll"));
        let app = host.app(Fixture::Plain);
        app.configure(&AppConfig::default().settle(1, "0s").without_builds());
        app.commit_version("1.0.0", Behaviour::Good);
        self.disk.sync();
        let scenario = Scenario { host: &host, app };
        scenario.bind();
        self.disk.sync_a_file();
        self.disk.cut().expect("it could be cut before");
        kill_everything_below(&self.disk.top());
        self.boot();
        host.gitroll(&["log"]).exit(0).stderr_lacks("is rejected");
        host.gitroll(&["deploy", "--yes"]).exit(0);
        scenario.serves("1.0.0");
    }

    /// Runs a command until the power is cut; its exit code, where it ended before.
    pub fn run_until(&self, mut command: Command, moment: &Moment, neighbour: bool) -> Option<i32> {
        let log = self.disk.outside("passed");
        fs::remove_file(&log).ok();
        let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
        silent.env("GITROLL_FAIL_LOG", &log);
        let fired = |place: &str| {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("fired ") == Some(place))
        };
        let mut child = match moment {
            Moment::Place(place, n) => {
                silent.env("GITROLL_FAIL_AT", format!("{place}#{n}=wait"));
                let mut child = silent.spawn().expect("it starts");
                wait_until(&format!("{place} is passed"), || fired(place) || ended(&mut child));
                child
            }
            Moment::After(time) => {
                let mut child = silent.spawn().expect("it starts");
                let end = Instant::now() + *time;
                while Instant::now() < end && !ended(&mut child) {
                    std::thread::sleep(Duration::from_millis(1).min(end - Instant::now().min(end)));
                }
                child
            }
        };
        if neighbour {
            self.disk.sync_a_file();
        }
        self.disk.cut().expect("it could be cut before");
        // What it did without the disk is no matter, what it said before is.
        child.kill().ok();
        let status = child.wait().expect("it was started here");
        kill_everything_below(&self.disk.top());
        status.code()
    }

    /// The host comes back. Nothing runs.
    pub fn boot(&self) {
        self.disk.come_back();
    }

    fn no_object_is_damaged(&self) {
        let fsck = self.world.app.try_git(&["fsck", "--full", "--no-dangling"]);
        fsck.exit(0);
    }
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().expect("it was started here").is_some()
}
