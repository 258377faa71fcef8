//! A file system of a test's own in an image file, whose power can be cut.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The file systems whose power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4 as `mkfs.ext4` makes it: `data=ordered`, blocks allocated late.
    Ext4,
    /// XFS as `mkfs.xfs` makes it.
    Xfs,
}

impl FileSystem {
    /// Its name, as `mkfs` and `mount` have it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }
}

/// An image file and where it is mounted. What was not yet written to the image when the power is cut is
/// lost, as it is with a real disk: the page cache of the file system in the image is thrown away, its log is
/// not flushed.
pub struct Disk {
    home: PathBuf,
    /// Whether the next mount takes another device than the first free one.
    odd: Cell<bool>,
}

/// What XFS wants at least, and some.
const BYTES: u64 = 400 * 1024 * 1024;

impl Disk {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// Why this machine cannot: not root, no loop devices, a tool is missing.
    pub fn make(file_system: FileSystem) -> Result<Self, String> {
        let home = tempfile::Builder::new()
            .prefix("gp-")
            .tempdir_in("/tmp")
            .and_then(|dir| dir.keep().canonicalize())
            .map_err(|e| format!("no temporary directory: {e}"))?;
        let disk = Self { home, odd: Cell::new(false) };
        let made = disk.fill(file_system);
        // What is dropped removes what was made so far.
        made.map(|()| disk)
    }

    fn fill(&self, file_system: FileSystem) -> Result<(), String> {
        let said = |e: std::io::Error| e.to_string();
        fs::create_dir(self.top()).map_err(said)?;
        File::create(self.image()).and_then(|image| image.set_len(BYTES)).map_err(said)?;
        let image = self.image();
        let image = image.to_str().ok_or("temporary paths are UTF-8")?;
        match file_system {
            FileSystem::Ext4 => run("mkfs.ext4", &["-q", "-F", "-b", "4096", image])?,
            FileSystem::Xfs => run("mkfs.xfs", &["-q", "-f", image])?,
        };
        self.mount()?;
        // Else nothing could be cut; the trial costs no more than mounting it again.
        self.cut()?;
        self.unmount();
        self.mount()
    }

    /// Where it is mounted.
    pub fn top(&self) -> PathBuf {
        self.home.join("disk")
    }

    /// A place beside it, which survives.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn image(&self) -> PathBuf {
        self.home.join("image")
    }

    /// Everything written so far is on the device.
    pub fn sync(&self) {
        rustix::fs::syncfs(File::open(self.top()).expect("it is mounted"))
            .expect("it can be synced");
    }

    /// What any other program on this disk does all the time: writes and syncs a file of its own.
    pub fn sync_a_file(&self) {
        let file = File::create(self.top().join("neighbour")).expect("it is mounted");
        (&file).write_all(b"of another program").and_then(|()| file.sync_all()).expect("it can be");
    }

    /// Cuts the power: from now on nothing reaches the device, and what had not is gone.
    ///
    /// # Errors
    /// What `xfs_io` said. (It does the same for ext4, which took the call over from XFS.)
    pub fn cut(&self) -> Result<(), String> {
        assert!(self.is_mounted(), "{} is no file system of the test's own", self.top().display());
        let top = self.top();
        let top = top.to_str().ok_or("temporary paths are UTF-8")?;
        // Without -f: the log is not flushed first.
        run("xfs_io", &["-x", "-c", "shutdown", top]).map(|_| ())
    }

    /// The power is back: the log is replayed. Nothing may be at work on it any more.
    pub fn come_back(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.unmount();
            self.mount().expect("it was mounted before");
            // Another program's mount namespace, made meanwhile, keeps the dead one alive as long as it lasts.
            let Err(error) = fs::write(self.top().join("alive"), "") else { return };
            assert!(Instant::now() < deadline, "it does not come back: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn mount(&self) -> Result<(), String> {
        let (image, top) = (self.image(), self.top());
        let paths = [&image, &top].map(|path| path.to_str().unwrap_or_default());
        // Devices have other numbers after a boot than before: every other time one is taken meanwhile.
        let taken = self.odd.replace(!self.odd.get());
        let other = if taken { Some(self.take_a_device()?) } else { None };
        let mounted = run("mount", &["-o", "loop", paths[0], paths[1]]);
        if let Some(other) = other {
            run("losetup", &["--detach", &other])?;
        }
        mounted?;
        assert!(self.is_mounted(), "mount said that it is mounted");
        Ok(())
    }

    fn take_a_device(&self) -> Result<String, String> {
        let file = self.outside("other");
        let made = File::create(&file).and_then(|file| file.set_len(1024 * 1024));
        made.map_err(|e| e.to_string())?;
        let file = file.to_str().ok_or("temporary paths are UTF-8")?;
        let said = run("losetup", &["--find", "--show", file])?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    fn unmount(&self) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.is_mounted() {
            let top = self.top();
            let said = run("umount", &[top.to_str().unwrap_or_default()]);
            let busy = said.as_ref().err().filter(|_| Instant::now() > deadline);
            assert!(busy.is_none(), "it stays in use: {busy:?}");
            if said.is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Never the real disk.
    fn is_mounted(&self) -> bool {
        let device = |path: &Path| path.metadata().map(|found| found.dev());
        match (device(&self.top()), device(&self.home)) {
            (Ok(top), Ok(home)) => top != home,
            // One whose power was cut may not answer.
            (Err(_), _) => true,
            _ => false,
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if std::env::var_os("GITROLL_TEST_KEEP").is_some() {
            return;
        }
        crate::support::kill_everything_below(&self.top());
        self.unmount();
        fs::remove_dir_all(&self.home).ok();
    }
}

fn run(program: &str, args: &[&str]) -> Result<Output, String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new("env")
        .env("PATH", path)
        .arg(program)
        .args(args)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{program}: {said}"))
}
