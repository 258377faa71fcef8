//! Running one build group in its stage and keeping what it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::baked::Moved;
use super::beside::{self, Around, Before, Beside};
use super::error::BuildError;
use super::key::{carried, io_at};
use super::made::Made;
use super::runtime::Toolchain;
use super::store::Depth;
use super::store::Store;
use crate::config::Binding;
use crate::model::{BuildKey, BuildStep, Digest, Redactor, RepoPath, TreeEntry, dotenv};
use crate::system::files::{self, Beneath, DirEntryAt, FileKind};
use crate::system::git::{Git, ThrowAway};
use crate::system::process::{Finished, Invocation, ProcessError, telling_lines};
use crate::system::secrets;
use crate::system::signals::Until;
use crate::system::user::Account;
use crate::system::{environment, orphans};

/// How many lines of a failed and of a successful command are worth telling.
const LINES: (usize, usize) = (20, 5);

/// What a build made besides its outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Built {
    /// The telling lines of the output, secrets removed.
    pub lines: Vec<String>,
    /// What a person should know before the outputs serve.
    pub warnings: Vec<String>,
}

/// Builds one group in `stage` (the commit checked out whole) and moves its outputs into the store.
/// `git` is the app's, its tree read for carried files and for artifacts that serve now and are needed.
/// `extra` goes into the environment beside the group's own (`GITROLL_VERSION` and the like).
///
/// Git answers there as in the live tree, by a repository that is taken away before the outputs are. In the outputs the
/// stage's path is replaced by the live one where that is safe, and told where it is not.
///
/// The outputs appear in the store under their key all at once and durably, or not at all. Where the key
/// is there already, what is there stays.
///
/// `told` gets each command and each line of its output while it runs, secrets removed.
///
/// What the commands wrote beside the outputs, and the live tree has in another version, makes the build fail
/// unless `step` lets it, and so does what they wrote into files of the commit, or beside the stage; `tracked` are
/// those files, sorted.
///
/// # Errors
/// See [`BuildError`]; the stage is then worthless, the live tree untouched.
pub fn build(
    binding: &Binding,
    store: &Store,
    step: &BuildStep,
    (stage, tracked): (&Path, &[(RepoPath, TreeEntry)]),
    git: &Git,
    extra: &BTreeMap<String, String>,
    told: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let live = git.top();
    // As programs see it that ask where they are.
    let stage = &stage.canonicalize().map_err(|e| io_at(stage, e))?;
    let inside = Beneath::open(stage).map_err(|e| io_at(stage, e))?;
    let passed = environment::for_builds(&binding.pass);
    let redactor = carry(step, &inside, live)?.and(secrets_of(&passed));
    for (output, key) in &step.needs {
        if store.was_absent(key, output).map_err(|e| io_at(&store.dir, e))? {
            continue;
        }
        provide(store, key, output, &inside, live)?;
    }
    let repositories = ThrowAway::of(stage);
    repositories.lay().map_err(|e| io_at(stage, e))?;
    let mut environment = environment_of(binding, step, extra);
    for (name, value) in passed {
        environment.entry(name).or_insert(value);
    }
    environment.insert("PWD".into(), stage.into());
    let above = stage.parent().unwrap_or(stage);
    environment.insert("GIT_CEILING_DIRECTORIES".into(), above.into());
    let mut built = Built::default();
    let before = Before::of(&inside, tracked);
    let around = Around::of(stage).map_err(|e| io_at(above, e))?;
    for argv in &step.run {
        let Some((program, args)) = argv.split_first() else {
            continue;
        };
        let mut command = Invocation::new(program, stage);
        command.args = args.iter().map(OsString::from).collect();
        command.env = environment.clone();
        command.limit = step.limit();
        command.until = Until::Stopped;
        built.lines.extend(run(&command, &redactor.text(&argv.join(" ")), &redactor, told)?);
    }
    repositories.take_away().map_err(|e| io_at(stage, e))?;
    if let Some(around) = around {
        let names = around.take_away().map_err(|e| io_at(above, e))?;
        if !names.is_empty() && !step.undeclared {
            return Err(BuildError::Outside { group: step.group.clone(), names });
        }
        built.warnings.extend(told_outside(step, &names));
    }
    let rewritten = before.rewritten(step, git, &inside)?;
    if !rewritten.is_empty() && !step.undeclared {
        return Err(BuildError::Tracked { group: step.group.clone(), paths: rewritten });
    }
    let beside = beside::look(step, tracked, &inside, live).map_err(|(path, e)| io_at(&path, e))?;
    if !beside.differing.is_empty() && !step.undeclared {
        let group = step.group.clone();
        return Err(BuildError::Undeclared { group, paths: beside.differing });
    }
    built.warnings.extend(told_of(step, &beside, &rewritten));
    let toolchain = Toolchain::of(binding, stage);
    built.warnings.extend(keep(store, step, (&inside, live), &toolchain, beside.files)?);
    Ok(built)
}

/// What is said of what was written beside the outputs and does not make the build fail.
fn told_of(step: &BuildStep, beside: &Beside, rewritten: &[RepoPath]) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(names) = names(rewritten) {
        let group = &step.group;
        warnings.push(format!(
            "{names}: build {group} wrote a different version, but git tracks it: the committed version stays"
        ));
    }
    if let Some(names) = names(&beside.differing) {
        warnings.push(format!(
            "{names}: build {} wrote a different version, but it is not one of its outputs: the live version stays",
            step.group
        ));
    }
    if let Some(names) = names(&beside.missing) {
        warnings.push(format!(
            "build {} also wrote {names}, which is not one of its outputs: not deployed (add it to `outputs`, \
             or to `scratch` if the running app does not read it)",
            step.group
        ));
    }
    warnings
}

/// What is said of what was written beside the stage and does not make the build fail.
fn told_outside(step: &BuildStep, names: &[String]) -> Option<String> {
    let names: Vec<String> = names.iter().map(|name| format!("../{name}")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{}: build {} wrote it outside the repository: not deployed",
            names.join(", "),
            step.group
        )
    })
}

/// The first few; `None` if there are none.
fn names(paths: &[RepoPath]) -> Option<String> {
    const SHOWN: usize = 3;
    let shown: Vec<String> = paths.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = paths.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| shown.join(", ") + &more)
}

/// What of the passed variables must not be told.
fn secrets_of(passed: &BTreeMap<OsString, OsString>) -> Redactor {
    let texts = passed.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    // A key that looks like one whatever the variable is called.
    Redactor::new(
        texts
            .filter(|(name, _)| environment::holds_a_secret(name))
            .map(|(_, value)| ("TOKEN", value)),
    )
}

/// Copies the carried files into the stage; knows their secrets afterwards.
fn carry(step: &BuildStep, stage: &Beneath, live: &Path) -> Result<Redactor, BuildError> {
    let mut redactor = Redactor::default();
    for path in &step.carry {
        let from = carried(live, path)?;
        let copy = || -> io::Result<Vec<u8>> {
            let to = stage.entry_with_parents(path)?;
            to.remove_tree()?;
            files::copy_file(&from.real_path(), &to.real_path())?;
            match stage.read_plain(path, dotenv::MOST_BYTES) {
                // What is so large is not an environment file.
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Vec::new()),
                read => read,
            }
        };
        let bytes = copy().map_err(|e| io_at(from.path(), e))?;
        redactor = redactor.and(Redactor::of_dotenv(&bytes));
    }
    secrets::hide(&redactor);
    Ok(redactor)
}

/// Copies an earlier group's output into the stage. It is never moved: the store and what serves keep
/// theirs, whatever the build does to the copy.
fn provide(
    store: &Store,
    key: &BuildKey,
    output: &RepoPath,
    stage: &Beneath,
    live: &Path,
) -> Result<(), BuildError> {
    let to = stage.path().join(output.as_path());
    let from = source(store, key, output, live).map_err(|e| io_at(&to, e))?;
    let from = from.ok_or_else(|| BuildError::NeedGone(output.clone()))?;
    let copy = || -> io::Result<()> {
        let spot = stage.entry_with_parents(output)?;
        spot.remove_tree()?;
        from.copy(&spot)?;
        // Else `venv/bin/pip` here would write to the live environment.
        Moved { from: live, to: stage.path() }.apply(&spot)
    };
    copy().map_err(|e| io_at(&to, e))
}

fn source(
    store: &Store,
    key: &BuildKey,
    output: &RepoPath,
    live: &Path,
) -> io::Result<Option<DirEntryAt>> {
    if store.keeps(key, output, Depth::Deep)? {
        return store.spot(key, output).map(Some);
    }
    let serves = store
        .live(live, std::slice::from_ref(output), Depth::Deep)?
        .iter()
        .any(|artifact| artifact.known && artifact.key == *key);
    if serves { Beneath::open(live)?.entry(output) } else { Ok(None) }
}

/// Exactly this, so that a build by cron, by sudo and by hand is the same build.
fn environment_of(
    binding: &Binding,
    step: &BuildStep,
    extra: &BTreeMap<String, String>,
) -> BTreeMap<OsString, OsString> {
    let user = Account::named(&binding.run_as).unwrap_or_else(Account::current);
    let mut environment: BTreeMap<OsString, OsString> = [
        ("PATH", binding.path_variable.as_str()),
        ("USER", user.name.as_str()),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
        ("CI", "true"),
        ("npm_config_update_notifier", "false"),
        ("npm_config_fund", "false"),
        ("npm_config_audit", "false"),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.into()))
    .collect();
    environment.insert("HOME".into(), user.home.into());
    environment.insert(orphans::CALL_VARIABLE.into(), orphans::call_id().into());
    for (name, value) in step.env.iter().chain(extra) {
        environment.insert(name.into(), value.into());
    }
    environment
}

fn run(
    command: &Invocation,
    shown: &str,
    redactor: &Redactor,
    told: &mut dyn FnMut(&str),
) -> Result<Vec<String>, BuildError> {
    /// A whole script in a message hides what became of it.
    const SHOWN: usize = 80;
    let short = match shown.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.to_owned(),
    };
    let failed = |how: String, lines| BuildError::Command { command: short.clone(), how, lines };
    told(&format!("$ {shown}"));
    let mut streams = [LineBuffer::default(), LineBuffer::default()];
    let finished = command.run_told(&mut |error, bytes| {
        streams[usize::from(error)].push(bytes, &mut |line| told(&redactor.output(line)));
    });
    for stream in &mut streams {
        stream.end(&mut |line| told(&redactor.output(line)));
    }
    let finished = finished.map_err(|error| match error {
        ProcessError::NotFound { .. } => failed("was not found".to_owned(), Vec::new()),
        ProcessError::Start { source, .. } => {
            failed(format!("could not be started: {source}"), Vec::new())
        }
    })?;
    // Redacted before lines are chosen: a secret that spans lines would not be found in a choice of them.
    let output = [finished.stdout.as_slice(), b"\n", finished.stderr.as_slice()].concat();
    let output = redactor.output(&output);
    if finished.success() {
        return Ok(telling_lines(output.as_bytes(), LINES.1));
    }
    Err(failed(ending(&finished, command.limit), telling_lines(output.as_bytes(), LINES.0)))
}

/// A stream cut into lines. What is overwritten on its line by carriage returns was for a terminal: its last state is told.
#[derive(Debug, Default)]
struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// A line that never ends is told in pieces.
    const LONGEST: usize = 64 * 1024;

    fn push(&mut self, bytes: &[u8], told: &mut dyn FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.0.len() > Self::LONGEST {
                self.end(told);
            }
        }
    }

    fn end(&mut self, told: &mut dyn FnMut(&[u8])) {
        let line = std::mem::take(&mut self.0);
        let line = line.trim_ascii_end();
        if !line.is_empty() {
            told(line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line));
        }
    }
}

fn ending(finished: &Finished, limit: Duration) -> String {
    if finished.interrupted {
        return "was ended".to_owned();
    }
    match (finished.timed_out, finished.code, finished.signal) {
        (true, ..) => format!("did not end within {} s", limit.as_secs()),
        (_, Some(code), _) => format!("exited with {code}"),
        (_, None, Some(signal)) => format!("was ended by signal {signal}"),
        (_, None, None) => "ended without an exit code".to_owned(),
    }
}

/// Moves the outputs into the store, and notes there how they were made; returns what is to be said of them.
fn keep(
    store: &Store,
    step: &BuildStep,
    (stage, live): (&Beneath, &Path),
    toolchain: &Toolchain,
    beside: BTreeMap<RepoPath, Digest>,
) -> Result<Vec<String>, BuildError> {
    let moved = Moved { from: stage.path(), to: live };
    let mut made = Vec::new();
    let mut warnings = Vec::new();
    let mut absent = BTreeSet::new();
    for output in step.all_outputs() {
        let path = stage.path().join(output.as_path());
        let spot = match stage.entry(output) {
            Err(error)
                if step.optional.contains(output) && files::is_symbolic_link_error(&error) =>
            {
                None
            }
            spot => spot.map_err(|e| io_at(&path, e))?,
        };
        let found = match &spot {
            Some(spot) => spot.find().map_err(|e| io_at(&path, e))?.map(|found| found.kind),
            None => None,
        };
        match (spot, found) {
            (Some(spot), Some(FileKind::Directory | FileKind::File)) => made.push((output, spot)),
            (_, None) if step.optional.contains(output) => {
                absent.insert(output.clone());
            }
            (_, None) => return Err(BuildError::NoOutput(output.to_string())),
            (_, Some(_)) => {
                let problem =
                    "the build produced something other than a directory or a regular file";
                return Err(io_at(&path, io::Error::other(problem)));
            }
        }
    }
    for choice in &step.at_least_one {
        if choice.paths.iter().all(|path| absent.contains(path)) {
            return Err(BuildError::NoOutput(choice.glob.clone()));
        }
    }
    for (output, spot) in &made {
        let named = moved.apply(spot).and_then(|()| moved.named_in(spot));
        warnings.extend(baked(output, &named.map_err(|e| io_at(spot.path(), e))?));
    }
    let places: Vec<PathBuf> = made.iter().map(|(_, spot)| spot.path().to_owned()).collect();
    let outputs = made.iter().map(|(output, _)| (*output).clone()).collect();
    let known = Made::new(outputs, absent, toolchain.building(&places), beside);
    let noted = store.note_made(&step.key, &known);
    noted
        .and_then(|()| store_outputs(store, &step.key, &made))
        .map_err(|e| io_at(&store.dir, e))?;
    Ok(warnings)
}

/// What is said of an output with files that name the stage.
fn baked(output: &RepoPath, files: &[PathBuf]) -> Option<String> {
    const SHOWN: usize = 3;
    let name = |file: &PathBuf| match file.as_os_str().is_empty() {
        true => output.to_string(),
        false => format!("{output}/{}", file.display()),
    };
    let shown = files.iter().take(SHOWN).map(name).collect::<Vec<_>>().join(", ");
    let more = match files.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!files.is_empty()).then(|| {
        format!("contains the path of its build directory, which does not exist at run time: {shown}{more}")
    })
}

fn store_outputs(
    store: &Store,
    key: &BuildKey,
    made: &[(&RepoPath, DirEntryAt)],
) -> io::Result<()> {
    let incoming = store.incoming(key)?;
    let inside = Beneath::open(&incoming)?;
    for (output, from) in made {
        let to = inside.entry_with_parents(output)?;
        match from.rename_to_free(&to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => from.copy(&to)?,
            renamed => renamed?,
        }
    }
    store.accept(key, &incoming, made.iter().map(|(output, _)| *output))
}
