//! The processes of a unit, by its control group, and whether it runs the live tree.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::system::files::resolved as real;
use crate::system::procs::{self, ProcessId, Ticks};
use crate::system::secrets;

use super::unit::{Definition, Unit};

/// Where control groups are mounted: all of them, or those of systemd only.
const MOUNTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];

/// How much of a command is told, in characters.
const SHOWN_COMMAND: usize = 100;

/// How deep groups lie in one another, at most.
const GROUP_DEPTH: usize = 16;

/// The processes that say which code a unit runs: its main process, and what is older than that in its
/// control group, for it was left over from an earlier start. What the main process started comes and goes
/// and is left out. If there is no main process, those that nobody in the group started.
pub(super) fn processes(unit: &Unit) -> Vec<ProcessId> {
    let members: Vec<ProcessId> =
        members(&unit.group).into_iter().filter_map(ProcessId::of).collect();
    let Some(main) = unit.main.and_then(ProcessId::of) else {
        let inside = |pid: Option<u32>| members.iter().any(|member| Some(member.pid) == pid);
        return members.iter().filter(|m| !inside(procs::parent(m.pid))).cloned().collect();
    };
    let older = members.into_iter().filter(|member| member.start_ticks < main.start_ticks);
    let mut all: Vec<ProcessId> = older.collect();
    all.push(main);
    all
}

/// What the main process started or left to itself in the unit's control group.
pub(super) fn helpers(unit: &Unit) -> Vec<u32> {
    let Some(main) = unit.main.and_then(ProcessId::of) else { return Vec::new() };
    let members = members(&unit.group).into_iter().filter_map(ProcessId::of);
    let young = members.filter(|m| m.pid != main.pid && m.start_ticks >= main.start_ticks);
    young.map(|member| member.pid).collect()
}

/// The processes in the unit's control group that are older than its main process, or continue although the unit does
/// not: a sentence each.
pub(super) fn left_over(unit: &Unit) -> Vec<String> {
    let main = unit.main.and_then(ProcessId::of);
    let members = members(&unit.group).into_iter().filter_map(ProcessId::of);
    let old = members.filter(|member| match &main {
        Some(main) => member.start_ticks < main.start_ticks,
        None => !unit.has_begun(),
    });
    let why = match unit.kill_mode.as_str() {
        "process" | "none" | "mixed" => format!(": KillMode={}", unit.kill_mode),
        _ => String::new(),
    };
    old.map(|process| {
        let words = procs::command_line(process.pid).unwrap_or_default();
        let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
        let command = secrets::cut(&words.join(" "), SHOWN_COMMAND);
        let how = match &main {
            Some(_) => "started before the main process",
            None => "is still running although the unit is not",
        };
        format!("process {} ({command}) {how}{why}", process.pid)
    })
    .collect()
}

/// The numbers of all processes in a group and those below it; none where it cannot be read.
fn members(group: &str) -> Vec<u32> {
    if group.is_empty() || group == "/" {
        return Vec::new();
    }
    let relative = group.trim_start_matches('/');
    let dirs = MOUNTS.iter().map(|mount| Path::new(mount).join(relative));
    let Some(dir) = dirs.into_iter().find(|dir| dir.is_dir()) else { return Vec::new() };
    let mut found = Vec::new();
    collect(&dir, GROUP_DEPTH, &mut found);
    found
}

fn collect(dir: &Path, depth: usize, found: &mut Vec<u32>) {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    // A process of another process namespace has the number 0 here.
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
    if depth == 0 {
        return;
    }
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let below: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    for dir in below {
        collect(&dir, depth - 1, found);
    }
}

/// Below these lie programs and settings of the machine.
const OF_THE_MACHINE: [&str; 11] = [
    "/etc",
    "/dev",
    "/proc",
    "/sys",
    "/run",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share",
    "/nix",
    "/snap",
];

/// A file that ends so is not a program.
const DATA: [&str; 14] = [
    "json", "conf", "cfg", "ini", "yaml", "yml", "toml", "env", "pem", "key", "crt", "log", "pid",
    "sock",
];

/// Where a unit runs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CodeOrigin {
    /// Its directory, or a path in its command, is in the tree.
    Tree,
    /// Nothing shows that it runs the tree, and it may: why.
    Unknown(String),
    /// It runs something else: what was found.
    Elsewhere(String),
}

/// Where the unit runs from: its process, and where that tells nothing its definition.
pub(super) fn running_from(unit: &Unit, top: &Path) -> CodeOrigin {
    let live = of_process(unit, top);
    live.filter(|(place, telling)| *telling || *place == CodeOrigin::Tree)
        .map_or_else(|| of_properties(unit, top), |(place, _)| place)
}

/// Where a start of the unit would run from by its definition; `text` is its files where systemd has not read
/// them again.
pub(super) fn defined_from(unit: &Unit, files: Option<&Definition>, top: &Path) -> CodeOrigin {
    let place = match files {
        _ if !is_on_host(unit) => return CodeOrigin::Tree,
        Some(files) => {
            let commands = files.all("Service", "ExecStart");
            let commands: Vec<Vec<OsString>> = commands
                .iter()
                .map(|c| parts(c.trim_start_matches(['@', '-', ':', '+', '!'])))
                .collect();
            let directory = files.last("Service", "WorkingDirectory").unwrap_or_default();
            best(&commands, Path::new(directory.trim_start_matches(['!', '-'])), top)
        }
        None => of_properties(unit, top),
    };
    // A wrapper, or a program that goes to the tree by itself: its process shows it.
    let may = match &place {
        CodeOrigin::Tree => false,
        CodeOrigin::Unknown(_) => true,
        CodeOrigin::Elsewhere(_) => matches!(unit.directory.as_str(), "" | "/"),
    };
    match of_process(unit, top).filter(|_| may && files.is_none() && started_by_these_files(unit)) {
        Some((CodeOrigin::Tree, _)) => CodeOrigin::Tree,
        _ => place,
    }
}

/// Whether the main process was started after the unit's files were last written.
fn started_by_these_files(unit: &Unit) -> bool {
    let main = unit.main.and_then(ProcessId::of);
    let age = main.map(|main| Ticks(main.start_ticks).ago());
    let Some(started) = age.and_then(|age| SystemTime::now().checked_sub(age)) else {
        return false;
    };
    let written = |file: &str| std::fs::metadata(file).and_then(|file| file.modified()).ok();
    unit.files.split_whitespace().filter_map(written).all(|written| written <= started)
}

/// The place of the main process, and whether its own command tells it.
fn of_process(unit: &Unit, top: &Path) -> Option<(CodeOrigin, bool)> {
    let main = unit.main.filter(|_| is_on_host(unit))?;
    let directory = procs::working_directory(main)?;
    let words = procs::command_line(main).unwrap_or_default();
    let words: Vec<OsString> =
        words.into_iter().flat_map(|word| parts(&word.to_string_lossy())).collect();
    let script = outside(&words, &directory, &real(top)).is_some();
    Some((judge(&words, &directory, top), script || directory != Path::new("/")))
}

fn of_properties(unit: &Unit, top: &Path) -> CodeOrigin {
    if !is_on_host(unit) {
        return CodeOrigin::Tree;
    }
    let commands: Vec<Vec<OsString>> = unit.argv().map(parts).collect();
    best(&commands, Path::new(&unit.directory), top)
}

/// Of several commands the one that is in the tree counts.
fn best(commands: &[Vec<OsString>], directory: &Path, top: &Path) -> CodeOrigin {
    // `~` is the home of a user who is not known here.
    let home = directory.starts_with("~");
    let places = commands.iter().map(|words| judge(words, directory, top));
    let place = places.reduce(|best, next| if best == CodeOrigin::Tree { best } else { next });
    let place = place.unwrap_or_else(|| judge(&[], directory, top));
    match place {
        CodeOrigin::Elsewhere(what) if home => CodeOrigin::Unknown(what),
        place => place,
    }
}

/// Whether its paths are the host's.
fn is_on_host(unit: &Unit) -> bool {
    matches!(unit.root.as_str(), "" | "/")
}

fn judge(words: &[OsString], directory: &Path, top: &Path) -> CodeOrigin {
    let top = real(top);
    let inside = |word: &str| word.starts_with('/') && real(Path::new(word)).starts_with(&top);
    // Also `--config=/srv/app/x`.
    let named = words.iter().map(|word| word.to_string_lossy());
    if named.into_iter().any(|word| inside(&word) || word.split('=').skip(1).any(inside)) {
        return CodeOrigin::Tree;
    }
    let in_tree = directory.is_absolute() && real(directory).starts_with(&top);
    let none = directory.as_os_str().is_empty() || directory == Path::new("/");
    let shown = top.display();
    match outside(words, directory, &top) {
        // It may be a wrapper, or another copy of the app.
        Some(script) if in_tree => {
            CodeOrigin::Unknown(format!("runs {}, which is not in {shown}", script.display()))
        }
        Some(script) if none => {
            CodeOrigin::Elsewhere(format!("runs {}, which is not in {shown}", script.display()))
        }
        None if in_tree => CodeOrigin::Tree,
        None if none => CodeOrigin::Unknown(format!(
            "sets no WorkingDirectory: nothing shows that it runs {shown}"
        )),
        Some(_) | None => {
            CodeOrigin::Elsewhere(format!("runs in {}, not in {shown}", directory.display()))
        }
    }
}

/// The file outside of the tree that a command runs, where it names one and none of the tree's.
fn outside(words: &[OsString], directory: &Path, top: &Path) -> Option<PathBuf> {
    let program = PathBuf::from(words.first()?);
    let shell = program.file_name().is_some_and(|name| name.to_string_lossy().ends_with("sh"));
    let mut of_option = false;
    let mut text = false;
    let mut found: Option<PathBuf> = None;
    for (at, word) in words.iter().enumerate() {
        let option = word.to_string_lossy().starts_with('-');
        // All that follows is a text of which one word is as good as the other.
        text |= shell && option && word.to_string_lossy().ends_with('c');
        // What follows an option may belong to it, and the program is what reads the script.
        let loose = at == 0 || of_option || text;
        of_option = option;
        let path = directory.join(word);
        if option || !path.is_absolute() || !path.is_file() || is_no_script(&path, &program, at) {
            continue;
        }
        match (real(&path).starts_with(top), loose) {
            (true, _) => return None,
            (false, false) => return found.or(Some(path)),
            (false, true) => found = found.or(Some(path)),
        }
    }
    found
}

/// Whether a file of a command is not a script of anyone's app: settings, what belongs to the machine or to the
/// interpreter itself.
fn is_no_script(path: &Path, program: &Path, at: usize) -> bool {
    let data = path.extension().is_some_and(|end| DATA.iter().any(|data| *data == end));
    let programs = |dir: Option<&Path>| {
        dir.and_then(Path::file_name).is_some_and(|name| name == "bin" || name == "sbin")
    };
    let machine = OF_THE_MACHINE.iter().any(|dir| path.starts_with(dir))
        || ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
            .iter()
            .any(|dir| path.starts_with(dir));
    let home = program.parent().filter(|dir| programs(Some(dir)));
    let beside = home.is_some_and(|bin| path.parent() == Some(bin))
        || home.and_then(Path::parent).is_some_and(|prefix| path.starts_with(prefix.join("lib")));
    data || machine || (at == 0 && programs(path.parent())) || (at > 0 && beside)
}

/// The parts of a command's text that may name a file.
fn parts(text: &str) -> Vec<OsString> {
    let cut = |c: char| c.is_whitespace() || ";&|()'\"".contains(c);
    let parts = text.split(cut).filter(|part| !part.is_empty());
    parts.map(|part| OsString::from_vec(part.as_bytes().to_vec())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_may_be_believed_of_a_command() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for file in [
            "app/server.js",
            "app/package.json",
            "old/abs.py",
            "old/bin/www",
            "old/shop.json",
            "venv/bin/python3",
            "venv/bin/gunicorn",
            "wrap/hook.js",
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let (top, here) = (root.join("app"), root.display().to_string());
        let table = [
            // What a unit in the tree may well say.
            ("app", "/usr/bin/node server.js", "tree"),
            ("app", "/usr/bin/env node server.js", "tree"),
            ("app", "/bin/bash -lc 'source R/old/abs.py && node server.js'", "tree"),
            ("app", "/usr/bin/node --require R/wrap/hook.js server.js", "tree"),
            ("app", "/usr/bin/shopd /etc/passwd R/old/shop.json", "tree"),
            ("app", "R/venv/bin/python3 R/venv/bin/gunicorn shop:app", "tree"),
            ("app", "R/venv/bin/gunicorn shop:app", "tree"),
            // Code of elsewhere in the tree's directory: a wrapper, or another copy.
            ("app", "/usr/bin/python3 R/old/abs.py 43002", "unknown"),
            ("app", "/usr/bin/python3 -u R/old/abs.py 43002", "unknown"),
            ("app", "/usr/bin/node R/old/bin/www", "unknown"),
            ("app", "R/old/abs.py", "unknown"),
            // No directory.
            ("", "/usr/bin/node R/app/server.js", "tree"),
            ("", "/bin/bash -lc 'cd R/app && node server.js'", "tree"),
            ("", "/usr/bin/node --root=R/app", "tree"),
            ("/", "/usr/bin/python3 R/old/abs.py 43002", "elsewhere"),
            ("", "/usr/bin/python3 R/old/abs.py 43002", "elsewhere"),
            ("", "/usr/local/bin/shopd", "unknown"),
            // Another one.
            ("old", "/usr/bin/python3 abs.py", "elsewhere"),
            ("old", "/usr/bin/node R/app/server.js", "tree"),
        ];
        for (directory, command, wanted) in table {
            let words = parts(&command.replace('R', &here));
            let directory = match directory {
                "" | "/" => PathBuf::from(directory),
                below => root.join(below),
            };
            let found = match judge(&words, &directory, &top) {
                CodeOrigin::Tree => "tree",
                CodeOrigin::Unknown(_) => "unknown",
                CodeOrigin::Elsewhere(_) => "elsewhere",
            };
            assert_eq!(found, wanted, "{command} in {}", directory.display());
        }
    }
}
