//! The host: its binding, git, gitroll's own directory, hooks.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::examination::{Examination, INIT, on_path, quoted};
use crate::config::{Binding, BindingError, SigningFormat};
use crate::site::hooks::{self, HookState};
use crate::site::{Site, exposed};
use crate::system::files;
use crate::system::git::Git;
use crate::system::user::Account;

/// Hooks that a plain `git checkout` runs.
const CHECKOUT_HOOKS: [&str; 3] = ["post-checkout", "post-index-change", "reference-transaction"];

/// Why there is no binding to work with.
pub(super) fn no_binding(top: &Path, error: &BindingError, found: &mut Examination) {
    match error {
        BindingError::Unbound { elsewhere } => {
            let mut what = error.to_string();
            for path in elsewhere {
                what.push_str(&format!("; bound here: {}", path.display()));
            }
            found.problem("binding", what, Some("gitroll init".to_owned()));
        }
        BindingError::Unsafe { path, problem } => {
            let fix = own(path).and_then(|dir| {
                let theirs = path.symlink_metadata().is_ok_and(|at| !is_ours(at.uid()));
                match path.symlink_metadata() {
                    Ok(at) if at.is_symlink() => None,
                    _ if theirs => {
                        let owner = quoted(&owner_of(top))?;
                        on_path(&format!("sudo chown -R {owner}"), &dir)
                    }
                    _ => on_path("chmod -R go-w", &dir),
                }
            });
            found.problem("binding", format!("{}: {problem}", path.display()), fix);
        }
        BindingError::Invalid { path, problem } => {
            let fix = on_path("${EDITOR:-vi}", path);
            found.problem("binding", format!("{}: {problem}", path.display()), fix);
        }
    }
}

/// Whether the rest can be looked at: the right user, and the tools that are always needed.
pub(super) fn binding(binding: &Binding, found: &mut Examination) -> bool {
    let current = Account::current();
    if current.name != binding.run_as {
        let what = format!(
            "user {} runs this app and you are {}: files that you own would break it",
            binding.run_as, current.name
        );
        let fix = quoted(&binding.run_as).map(|owner| format!("sudo -u {owner} gitroll doctor"));
        found.problem("binding", what, fix);
        return false;
    }
    if let Some(error) = &binding.distrust {
        no_binding(&binding.path, error, found);
    }
    found.fine("binding", format!("{} in {}", binding.environment, binding.dir.display()));
    let signing = match binding.signing.format {
        SigningFormat::Ssh => ("ssh-keygen", &binding.tools.ssh_keygen),
        SigningFormat::OpenPgp => ("gpg", &binding.tools.gpg),
    };
    let mut complete = true;
    for (name, tool) in [("git", &binding.tools.git), signing] {
        if let Some(path) = tool.as_ref().filter(|path| !path.is_file()) {
            let what = format!("{name} is gone: {}", path.display());
            found.problem("tools", what, Some(INIT.to_owned()));
            complete = false;
        }
    }
    for (name, tool) in
        [("node", &binding.tools.node), ("npm", &binding.tools.npm), ("pm2", &binding.tools.pm2)]
    {
        if let Some(path) = tool.as_ref().filter(|path| !path.is_file()) {
            let what = format!("{name} has moved: {}", path.display());
            found.warning("tools", what, Some(INIT.to_owned()));
        }
    }
    complete
}

/// The version of git, and who its records name.
pub(super) fn git(site: &Site, found: &mut Examination) {
    match site.git.version() {
        Err(error) => found.problem("git", error.to_string(), Some(INIT.to_owned())),
        Ok(said) => match numbers(&said) {
            Some(version) if version < (2, 39) => {
                let what = format!("{said} is too old: 2.39 is needed");
                found.problem("git", what, Some("sudo apt-get install git".to_owned()));
            }
            // gitroll reads them itself; only what a person types by hand differs.
            Some(version) if version < (2, 41) => {
                found.fine("git", format!("{said} (git tag --format=… of trailers needs 2.41)"));
            }
            _ => found.fine("git", said),
        },
    }
    if site.git.is_shallow() {
        let what = "this clone is shallow: gitroll cannot tell whether a commit contains a held one, and deploy \
                    refuses it";
        found.warning("git", what, Some("git fetch --unshallow".to_owned()));
    }
    for unfinished in site.git.unfinished() {
        let kind = unfinished.kind;
        let what = format!(
            "git is in the middle of {kind}: deploy is refused until it is finished; back still works"
        );
        found.warning("git", what, Some(kind.abort().to_owned()));
    }
    let declared = |key| site.git.user_setting(key).is_some();
    let person = site.person();
    if !declared("user.name") || !declared("user.email") {
        let fix = quoted(&person.name).zip(quoted(&person.email)).map(|(name, email)| {
            format!(
                "git config --global user.name {name} && git config --global user.email {email}"
            )
        });
        let what =
            format!("git has no user.name here: records use {} <{}>", person.name, person.email);
        found.warning("identity", what, fix);
    }
}

/// gitroll's own directory and the tree: writable by us, by nobody else.
pub(super) fn state(site: &Site, found: &mut Examination) {
    let state = site.state();
    match exposed(&state) {
        Ok(None) => {}
        Ok(Some((path, problem))) => {
            let at = path.symlink_metadata();
            let fix = match &at {
                Ok(at) if at.is_symlink() => None,
                Ok(at) if !is_ours(at.uid()) => quoted(&site.binding.run_as)
                    .and_then(|owner| on_path(&format!("sudo chown -R {owner}"), &state)),
                _ => on_path("chmod -R go-w", &state),
            };
            found.problem("state", format!("{}: {problem}", path.display()), fix);
        }
        Err((path, error)) => {
            found.problem("state", format!("{}: {error}", path.display()), None);
        }
    }
    for (what, path) in [("the app's tree", site.top()), ("the git directory", site.git.git_dir())]
    {
        if let Err(error) = files::probe_writable(path) {
            let fix = writable_again(site, path, &error);
            let what = format!("{what} cannot be written: {}: {error}", path.display());
            found.problem("state", what, fix);
        }
    }
    // What was saved there may be an `.env`.
    let open = state.symlink_metadata().is_ok_and(|at| at.mode() & 0o077 != 0);
    if open {
        let what = format!("others can read {}, which contains saved files", state.display());
        found.warning("state", what, on_path("chmod go-rwx", &state));
    }
    found.fine("state", format!("{}, private", state.display()));
}

/// The command that gives what is below `path` to the app's user; for a read-only file system no owner
/// helps, and the command shows which one it is.
pub(super) fn writable_again(site: &Site, path: &Path, error: &std::io::Error) -> Option<String> {
    if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
        return on_path("findmnt -T", path);
    }
    let owner = quoted(&site.binding.run_as)?;
    on_path(&format!("sudo chown -R {owner}"), path)
}

/// Hooks that a plain git runs at a checkout. gitroll runs none; a person who checks out by hand does.
pub(super) fn hooks(git: &Git, found: &mut Examination) {
    let (dir, configured) = git.hooks_dir();
    let installed = hooks::installed(&git.state_dir());
    let behind = installed.as_ref().and_then(|installed| installed.behind.clone());
    let dir = behind.map_or(dir, |behind| behind.dir);
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|at| at.is_file() && at.permissions().mode() & 0o111 != 0)
    };
    for name in CHECKOUT_HOOKS {
        let path = dir.join(name);
        // husky keeps an entry for every hook in `_`, each only calling the file above it.
        let called = !dir.ends_with("_") || dir.with_file_name(name).exists();
        let only_ours = installed.as_ref().is_some_and(|installed| {
            installed.hooks().any(|hook| hook.path == path && hook.state() == HookState::Alone)
        });
        let path = if dir.ends_with("_") { dir.with_file_name(name) } else { path };
        if called && runs(&path) && !only_ours {
            let fix = if configured {
                Some("git config --unset core.hooksPath".to_owned())
            } else {
                on_path("chmod -x", &path)
            };
            let what = format!("a git checkout by hand runs {}; gitroll does not", path.display());
            found.warning("hooks", what, fix);
        }
    }
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == Account::current().uid
}

fn owner_of(top: &Path) -> String {
    Account::owner_of(top).map_or_else(|_| Account::current().name, |owner| owner.name)
}

/// The directory of a binding's file, or the directory itself.
fn own(path: &Path) -> Option<std::path::PathBuf> {
    if path.is_dir() { Some(path.to_owned()) } else { path.parent().map(Path::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_git_is_read_whatever_follows_it() {
        for (said, wanted) in [
            ("2.47.3", Some((2, 47))),
            ("2.39.5 (Apple Git-154)", Some((2, 39))),
            ("3.0.0.rc1.12.gabc", Some((3, 0))),
            ("unknown", None),
        ] {
            assert_eq!(numbers(said), wanted, "{said}");
        }
    }
}
