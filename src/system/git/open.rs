//! Opening a repository, and every reason not to.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use super::config::{self, Environment, declared_safe, parse};
use super::object::told;
use super::refs::Target;
use super::repository::{Git, OpenError};
use super::user_config::account_name;
use crate::model::RepoPath;
use crate::system::files;
use crate::system::process::Invocation;

/// Extensions that change nothing about what is read and written here.
const HARMLESS_EXTENSIONS: [&str; 6] =
    ["noop", "noop-v1", "preciousobjects", "worktreeconfig", "relativeworktrees", "partialclone"];

impl Git {
    /// Opens the repository at or above `dir`. `program` is the git command (absolute path), default the
    /// one on `PATH`.
    ///
    /// Refuses what gitroll could not keep its promise on; see [`OpenError`]. Never reads replace refs,
    /// never runs anything the repository's configuration names.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, program: Option<&Path>) -> Result<Self, OpenError> {
        Self::open_in(dir, program, Environment::of_process())
    }

    /// [`Git::open`] under an environment of the caller's choice.
    pub(super) fn open_in(
        dir: &Path,
        program: Option<&Path>,
        environment: Environment,
    ) -> Result<Self, OpenError> {
        let dir = dir.canonicalize().map_err(|e| broken(dir, &e))?;
        let found = locate(&dir)?;
        let common_dir = common_dir_of(&found.git_dir)?;
        check_extensions(&found.git_dir, &common_dir)?;
        let program = program.map_or_else(|| PathBuf::from("git"), Path::to_owned);
        check_owner(&found, &common_dir, &program, &environment)?;

        let opened =
            |place: &Path| gix::open_opts(place, options()).map_err(|e| broken(place, &told(&e)));
        let mut repo = opened(&found.git_dir)?;
        if let (None, Some(work_dir)) = (repo.workdir(), &found.work_dir) {
            // A git directory elsewhere (`git init --separate-git-dir`) does not say where its work tree is.
            repo = opened(&work_dir.join(".git"))?;
        }
        let Some(top) = repo.workdir().map(Path::to_owned) else {
            return Err(OpenError::Bare(found.git_dir));
        };
        let top = top.canonicalize().map_err(|e| broken(&top, &e))?;
        if !dir.starts_with(&top) {
            // `core.worktree` may name any directory of this machine; only the one asked for is meant.
            let problem = format!("its core.worktree is {}, which does not exist", top.display());
            return Err(broken(&dir, &problem));
        }
        refuse_incomplete(&repo, &top)?;
        let git = Self {
            git_dir: found.git_dir,
            common_dir,
            top,
            program,
            environment,
            settings: OnceCell::new(),
            repo,
        };
        git.check_head()?;
        Ok(git)
    }

    /// The repository of a submodule at `path`, where it is checked out.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn submodule(&self, path: &RepoPath) -> Result<Option<Self>, OpenError> {
        let dir = self.top.join(path.as_path());
        let obstacle = files::obstacle(&self.top, path.as_path()).is_some();
        if obstacle || dir.join(".git").symlink_metadata().is_err() {
            return Ok(None);
        }
        Self::open_in(&dir, Some(&self.program), self.environment.clone()).map(Some)
    }

    /// A HEAD that a power cut emptied makes every git command say "not a git repository".
    fn check_head(&self) -> Result<(), OpenError> {
        let path = self.git_dir.join("HEAD");
        match self.raw_ref("HEAD") {
            Ok(Some(Target::Broken(problem))) => Err(broken(&path, &problem)),
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(broken(&path, &"it is missing")),
            Err(e) => Err(broken(&path, &e)),
        }
    }
}

/// What is at or above a directory.
struct Found {
    git_dir: PathBuf,
    work_dir: Option<PathBuf>,
}

fn locate(dir: &Path) -> Result<Found, OpenError> {
    let absent =
        || match dir.ancestors().find(|above| above.join(".git").symlink_metadata().is_ok()) {
            // gix passes by what does not look like a repository, e.g. one whose HEAD a power cut emptied.
            Some(above) => broken(&above.join(".git"), &"this is not a complete git directory"),
            None => OpenError::NotARepository(dir.to_owned()),
        };
    let (path, _) = gix::discover::upwards(dir).map_err(|_| absent())?;
    let (git_dir, work_dir) = path.into_repository_and_work_tree_directories();
    if let Some(work_dir) = &work_dir
        && dir.ancestors().any(|above| {
            above.starts_with(work_dir)
                && above != work_dir
                && above.join(".git").symlink_metadata().is_ok()
        })
    {
        return Err(absent());
    }
    let git_dir = git_dir.canonicalize().map_err(|e| broken(&git_dir, &e))?;
    Ok(Found { git_dir, work_dir })
}

fn common_dir_of(git_dir: &Path) -> Result<PathBuf, OpenError> {
    let named = git_dir.join("commondir");
    let common = match files::read_state(&named) {
        Ok(text) => git_dir
            .join(gix::path::from_bstr(text.trim_end().as_bstr()).map_err(|e| broken(&named, &e))?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => git_dir.to_owned(),
        Err(e) => return Err(broken(&named, &e)),
    };
    common.canonicalize().map_err(|e| broken(&common, &e))
}

/// Refuses formats under which gix would read something else than git does. Looks at the files themselves,
/// before anything interprets them.
fn check_extensions(git_dir: &Path, common_dir: &Path) -> Result<(), OpenError> {
    let mut files = vec![common_dir.join("config")];
    files.push(git_dir.join("config.worktree"));
    for file in files {
        let bytes = match files::read_state(&file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(broken(&file, &e)),
        };
        let metadata = gix::config::file::Metadata::from(gix::config::Source::Local);
        let config =
            gix::config::File::from_bytes_no_includes(&bytes, metadata, Default::default())
                .map_err(|e| broken(&file, &told(&e)))?;
        let refuse =
            |extension: String| Err(OpenError::Extension { path: git_dir.to_owned(), extension });
        if let Some(version) = config.string("core.repositoryformatversion")
            && !matches!(version.trim(), b"0" | b"1")
        {
            return refuse(format!("repositoryformatversion = {version}"));
        }
        for section in config.sections_by_name("extensions").into_iter().flatten() {
            for name in section.value_names() {
                let lower = name.to_ascii_lowercase();
                let value = section.value(&name).unwrap_or_default();
                let known = match lower.as_str() {
                    "refstorage" => value.eq_ignore_ascii_case(b"files"),
                    "objectformat" => {
                        matches!(value.to_ascii_lowercase().as_slice(), b"sha1" | b"sha256")
                    }
                    other => HARMLESS_EXTENSIONS.contains(&other),
                };
                if !known {
                    return refuse(format!("{lower} = {value}"));
                }
            }
        }
    }
    Ok(())
}

/// Git's own rule (another's repository only where the user declared it safe), and stricter in one point:
/// `sudo` alone does not let root write into the tree of the user behind it, whose app could then not read it.
fn check_owner(
    found: &Found,
    common_dir: &Path,
    program: &Path,
    environment: &Environment,
) -> Result<(), OpenError> {
    let us = rustix::process::geteuid().as_raw();
    let mut places = vec![found.git_dir.as_path(), common_dir];
    places.extend(found.work_dir.as_deref());
    for place in places {
        let owner = fs::metadata(place).map_err(|e| broken(place, &e))?.uid();
        if owner == us {
            continue;
        }
        let top = found.work_dir.as_deref().unwrap_or(&found.git_dir);
        let top = top.canonicalize().map_err(|e| broken(top, &e))?;
        if declared_safe_by_user(&top, program, environment) {
            return Ok(());
        }
        return Err(OpenError::ForeignOwner {
            path: place.to_owned(),
            owner: account_name(owner),
            user: account_name(us),
        });
    }
    Ok(())
}

/// [`declared_safe`], asked of git outside of any repository.
fn declared_safe_by_user(top: &Path, program: &Path, environment: &Environment) -> bool {
    let mut env = environment.for_git();
    // A place that is not a repository: only the user's and the system's files are read.
    env.insert("GIT_DIR".into(), "/dev/null".into());
    config::hand_over(environment.configuration(), &mut env);
    let args = ["config", "--list", "--show-scope", "-z"].map(Into::into).to_vec();
    match (Invocation { args, env, ..Invocation::new(program, Path::new("/")) }).run() {
        Ok(listed) if listed.success() => declared_safe(&parse(&listed.stdout), top),
        _ => false,
    }
}

fn refuse_incomplete(repo: &gix::Repository, top: &Path) -> Result<(), OpenError> {
    let config = repo.config_snapshot();
    if config.boolean("core.sparseCheckout") == Some(true) {
        return Err(OpenError::Sparse(top.to_owned()));
    }
    let promised =
        config.plumbing().sections_by_name("remote").into_iter().flatten().any(|remote| {
            let promisor = remote.value("promisor").is_some_and(|value| {
                gix::config::Boolean::try_from(value.as_bstr()).is_ok_and(|on| on.0)
            });
            promisor || remote.value("partialclonefilter").is_some()
        });
    if promised || config.string("extensions.partialClone").is_some() {
        return Err(OpenError::Partial(top.to_owned()));
    }
    Ok(())
}

/// How gix reads here: ownership was checked already, `GIT_*` variables of a calling hook do not turn us to
/// another place, objects are what they are.
fn options() -> gix::open::Options {
    let mut permissions = gix::open::Permissions::secure();
    permissions.env.git_prefix = gix::sec::Permission::Deny;
    permissions.env.objects = gix::sec::Permission::Deny;
    permissions.config.env = false;
    permissions.attributes = gix::open::permissions::Attributes::isolated();
    gix::open::Options::default()
        .with(gix::sec::Trust::Full)
        .permissions(permissions)
        .filter_config_section(|_| true)
        .open_path_as_is(true)
        .config_overrides([
            "core.useReplaceRefs=false",
            "core.attributesFile=/dev/null",
            "gitoxide.core.shallowFile=shallow",
            // A cache of who is whose parent: the commits themselves decide.
            "core.commitGraph=false",
        ])
}

fn broken(path: &Path, problem: &dyn std::fmt::Display) -> OpenError {
    OpenError::Broken { path: path.to_owned(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests;
