//! Whether a unit runs the live tree.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::system::procs::{self, ProcessId, Ticks};

use super::definition::Definition;
use super::unit::Unit;

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

/// A file that ends so is no program.
const DATA: [&str; 14] = [
    "json", "conf", "cfg", "ini", "yaml", "yml", "toml", "env", "pem", "key", "crt", "log", "pid",
    "sock",
];

/// Where a unit runs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Its directory, or a path in its command, is in the tree.
    Tree,
    /// Nothing shows that it runs the tree, and it may: why.
    Unknown(String),
    /// It runs something else: what was found.
    Elsewhere(String),
}

/// Where the unit runs from: its process, and where that tells nothing its definition.
pub(super) fn running(unit: &Unit, top: &Path) -> Place {
    let live = of_process(unit, top);
    live.filter(|(place, telling)| *telling || *place == Place::Tree)
        .map_or_else(|| of_properties(unit, top), |(place, _)| place)
}

/// Where a start of the unit would run from by its definition; `text` is its files where systemd has not read
/// them again.
pub(super) fn defined(unit: &Unit, files: Option<&Definition>, top: &Path) -> Place {
    let place = match files {
        _ if !is_on_host(unit) => return Place::Tree,
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
        Place::Tree => false,
        Place::Unknown(_) => true,
        Place::Elsewhere(_) => matches!(unit.directory.as_str(), "" | "/"),
    };
    match of_process(unit, top).filter(|_| may && files.is_none() && started_by_these_files(unit)) {
        Some((Place::Tree, _)) => Place::Tree,
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
fn of_process(unit: &Unit, top: &Path) -> Option<(Place, bool)> {
    let main = unit.main.filter(|_| is_on_host(unit))?;
    let directory = procs::working_directory(main)?;
    let words = procs::command_line(main).unwrap_or_default();
    let words: Vec<OsString> =
        words.into_iter().flat_map(|word| parts(&word.to_string_lossy())).collect();
    let script = outside(&words, &directory, &real(top)).is_some();
    Some((judge(&words, &directory, top), script || directory != Path::new("/")))
}

fn of_properties(unit: &Unit, top: &Path) -> Place {
    if !is_on_host(unit) {
        return Place::Tree;
    }
    let commands: Vec<Vec<OsString>> = unit.argv().map(parts).collect();
    best(&commands, Path::new(&unit.directory), top)
}

/// Of several commands the one that is in the tree counts.
fn best(commands: &[Vec<OsString>], directory: &Path, top: &Path) -> Place {
    // `~` is the home of a user who is not known here.
    let home = directory.starts_with("~");
    let places = commands.iter().map(|words| judge(words, directory, top));
    let place = places.reduce(|best, next| if best == Place::Tree { best } else { next });
    let place = place.unwrap_or_else(|| judge(&[], directory, top));
    match place {
        Place::Elsewhere(what) if home => Place::Unknown(what),
        place => place,
    }
}

/// Whether its paths are the host's.
fn is_on_host(unit: &Unit) -> bool {
    matches!(unit.root.as_str(), "" | "/")
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn judge(words: &[OsString], directory: &Path, top: &Path) -> Place {
    let top = real(top);
    let inside = |word: &str| word.starts_with('/') && real(Path::new(word)).starts_with(&top);
    // Also `--config=/srv/app/x`.
    let named = words.iter().map(|word| word.to_string_lossy());
    if named.into_iter().any(|word| inside(&word) || word.split('=').skip(1).any(inside)) {
        return Place::Tree;
    }
    let in_tree = directory.is_absolute() && real(directory).starts_with(&top);
    let none = directory.as_os_str().is_empty() || directory == Path::new("/");
    let shown = top.display();
    match outside(words, directory, &top) {
        // It may be a wrapper, or another copy of the app.
        Some(script) if in_tree => {
            Place::Unknown(format!("runs {}, which is not in {shown}", script.display()))
        }
        Some(script) if none => {
            Place::Elsewhere(format!("runs {}, which is not in {shown}", script.display()))
        }
        None if in_tree => Place::Tree,
        None if none => {
            Place::Unknown(format!("says no WorkingDirectory: nothing shows that it runs {shown}"))
        }
        Some(_) | None => {
            Place::Elsewhere(format!("runs in {}, not in {shown}", directory.display()))
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

/// Whether a file of a command is no script of anybody's app: settings, what belongs to the machine or to the
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
                Place::Tree => "tree",
                Place::Unknown(_) => "unknown",
                Place::Elsewhere(_) => "elsewhere",
            };
            assert_eq!(found, wanted, "{command} in {}", directory.display());
        }
    }
}
