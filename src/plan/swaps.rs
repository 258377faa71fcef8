//! Whether what is to change places can be renamed at all, tried where it is before anything is changed.

use std::io;
use std::path::Path;

use super::problem::Problem;
use crate::model::{Plan, RepoPath};
use crate::site::Site;
use crate::system::files::{self, Beneath, Swapping};

/// Tries every swap of a plan. One that takes two steps is only said.
pub fn check(site: &Site, plan: &mut Plan, problems: &mut Vec<Problem>) {
    let mounts = files::mounts_below(site.top()).unwrap_or_default();
    for artifact in &plan.activation.artifacts {
        match output(site, &artifact.output, &mounts) {
            Ok(warning) => plan.warnings.extend(warning),
            Err(problem) => problems.push(problem),
        }
    }
    let kept = |path: &RepoPath| plan.activation.kept.iter().any(|keep| keep.path == *path);
    let changed = plan.activation.changes.iter().map(|change| &change.path);
    for path in changed.filter(|path| !kept(path)) {
        if mounts.iter().any(|mount| mount == path.as_path()) {
            problems.push(Problem::new(
                format!("{path} is a mount point: it cannot be replaced"),
                "list it under `local` in [app] to keep the mount, or unmount it",
            ));
        }
    }
    for save in &plan.activation.saves {
        if let Some(mount) = mounts.iter().find(|mount| mount.starts_with(save.path.as_path())) {
            problems.push(Problem::new(
                format!(
                    "{} is in the way of the target and cannot be saved elsewhere: {} is a mount point",
                    save.path,
                    mount.display()
                ),
                "unmount it, or list it under `local` in [app]",
            ));
        }
    }
}

/// Whether what is at an output can change places with what was built: what a person should know of it.
///
/// # Errors
/// Why it cannot.
pub fn output(
    site: &Site,
    output: &RepoPath,
    mounts: &[impl AsRef<Path>],
) -> Result<Option<String>, Problem> {
    let inside = mounts.iter().map(AsRef::as_ref).find(|m| m.starts_with(output.as_path()));
    if let Some(mount) = inside {
        let what = if mount == output.as_path() {
            format!("the build output {output} is a mount point and cannot be replaced")
        } else {
            let mount = mount.display();
            format!(
                "{mount} is a mount point in the build output {output}: it would move away with the output"
            )
        };
        let hint = format!(
            "mount the parent directory instead, or move the mount out of {output}; or remove {output} from \
             `outputs`"
        );
        return Err(Problem::new(what, hint));
    }
    let top = Beneath::open(site.top()).map_err(|error| cannot(output, &error))?;
    let spot = match top.entry(output) {
        Ok(Some(spot)) => spot,
        // Nothing is there, or a link, which is told elsewhere.
        Ok(None) => return Ok(None),
        Err(error) if files::is_symbolic_link_error(&error) => return Ok(None),
        Err(error) => return Err(cannot(output, &error)),
    };
    match spot.find() {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(None),
        Err(error) => return Err(cannot(output, &error)),
    }
    match spot.try_swap(&site.state()) {
        Ok(Swapping::AtOnce) => Ok(None),
        Ok(Swapping::InTwoSteps) => Ok(Some(format!(
            "{output} is replaced in two steps on this file system: for a moment it does not exist"
        ))),
        Err(error) => Err(cannot(output, &error)),
    }
}

fn cannot(output: &RepoPath, error: &io::Error) -> Problem {
    let what = format!("the build output {output} cannot be renamed: {error}");
    match error.kind() {
        io::ErrorKind::CrossesDevices => Problem::new(
            format!("{what}: it is in a lower layer of an overlay file system"),
            format!("copy it once: mv {output} {output}.copy && mv {output}.copy {output}"),
        ),
        io::ErrorKind::PermissionDenied => {
            Problem::new(what, "check its owner (ls -ld) and its attributes (lsattr -d)")
        }
        _ => Problem::new(what, "replace it with a directory that belongs to the app"),
    }
}
