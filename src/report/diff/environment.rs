//! The names of the variables in `.env`, then and since. Never their values.

use std::io::{self, ErrorKind};
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::dotenv;
use crate::system::files;

/// No environment file is larger.
const LARGEST: u64 = 1 << 20;

/// Names that were added and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EnvironmentChange {
    /// Variables that were not there before.
    pub added: Vec<String>,
    /// Variables that are gone.
    pub removed: Vec<String>,
    /// No variable is left: the file is gone, is empty or cannot be read.
    pub emptied: bool,
}

impl EnvironmentChange {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Forgets every variable but this one.
    pub(super) fn keep(&mut self, name: Option<&str>) {
        self.added.retain(|key| Some(key.as_str()) == name);
        self.removed.retain(|key| Some(key.as_str()) == name);
    }
}

/// What differs between two lists of names.
pub(super) fn change(before: &[String], after: &[String]) -> EnvironmentChange {
    let missing_in = |names: &[String], other: &[String]| {
        names.iter().filter(|name| !other.contains(name)).cloned().collect::<Vec<_>>()
    };
    EnvironmentChange {
        added: missing_in(after, before),
        removed: missing_in(before, after),
        emptied: after.is_empty() && !before.is_empty(),
    }
}

/// The names of the variables in the live `.env`, none if there is no such file.
///
/// # Errors
/// When it cannot be read, is not a regular file of this tree, or is larger than 1 MiB.
pub fn live_keys(top: &Path) -> io::Result<Vec<String>> {
    let refused = |why: &str| Err(io::Error::other(why.to_owned()));
    let path = match top.join(".env").canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !path.starts_with(top) {
        return refused("it is a link that points out of the tree");
    }
    match files::read_plain(&path, LARGEST) {
        Ok(bytes) => Ok(dotenv::names(&bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
            refused("it is not a regular file of at most 1 MiB")
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_came_and_went_are_told() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let change = super::change(&names("A B"), &names("B C"));
        assert_eq!((change.added, change.removed), (names("C"), names("A")));
        assert!(super::change(&names("A"), &[]).emptied);
    }

    #[test]
    fn only_a_plain_file_of_the_tree_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("app");
        std::fs::create_dir(&top).unwrap();
        assert_eq!(live_keys(&top).unwrap(), Vec::<String>::new());
        std::fs::write(top.join(".env"), "B=1\nexport A=2\n").unwrap();
        assert_eq!(live_keys(&top).unwrap(), ["A", "B"]);
        std::fs::remove_file(top.join(".env")).unwrap();
        std::fs::write(dir.path().join("outside"), "SECRET=1\n").unwrap();
        std::os::unix::fs::symlink("../outside", top.join(".env")).unwrap();
        assert!(live_keys(&top).is_err());
        std::fs::remove_file(top.join(".env")).unwrap();
        std::fs::create_dir(top.join(".env")).unwrap();
        assert!(live_keys(&top).is_err());
    }
}
