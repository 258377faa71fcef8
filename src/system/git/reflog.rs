//! Where HEAD has been, by its reflog.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use jiff::Timestamp;

use crate::model::Oid;

use super::{Git, GitError};

/// Only the end of a longer reflog is read.
const MOST_BYTES: u64 = 16 << 20;

/// One line of HEAD's reflog: it came to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadMove {
    /// The commit; whether it is still here was not looked at.
    pub commit: Oid,
    /// When, to the second, by the clock of that time.
    pub at: Timestamp,
    /// The name that was checked out, as it was typed, where the line says one; escape before printing.
    pub name: Option<String>,
}

impl Git {
    /// Where HEAD of this work tree has been, oldest first; `None` when there is no reflog. Lines that are
    /// none are left out; of a very long reflog only the end is read.
    ///
    /// # Errors
    /// `Io`, also where the reflog is not a plain file.
    pub fn head_moves(&self) -> Result<Option<Vec<HeadMove>>, GitError> {
        let path = self.git_dir.join("logs/HEAD");
        let failed = |source| GitError::Io { path: path.clone(), source };
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(failed(io::Error::other("it is not a plain file")));
        }
        let begin = meta.len().saturating_sub(MOST_BYTES);
        file.seek(SeekFrom::Start(begin)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let mut lines = bytes.split(|b| *b == b'\n');
        if begin > 0 {
            // The line that was cut.
            lines.next();
        }
        let digits = self.repo.object_hash().len_in_hex();
        let moves: Vec<HeadMove> = lines.filter_map(|line| parse(line, digits)).collect();
        // Git leaves an empty file behind `reflog expire --all`: that is no more than none.
        Ok((!moves.is_empty()).then_some(moves))
    }
}

/// `<old> <new> <name> <<mail>> <seconds> <zone>\t<message>`
fn parse(line: &[u8], digits: usize) -> Option<HeadMove> {
    let tab = line.iter().position(|b| *b == b'\t');
    let (head, message) = match tab {
        Some(tab) => (&line[..tab], &line[tab + 1..]),
        None => (line, &[][..]),
    };
    let head = String::from_utf8_lossy(head);
    let mut ids = head.splitn(3, ' ');
    let (_old, new, rest) = (ids.next()?, ids.next()?, ids.next()?);
    let commit: Oid = new.parse().ok().filter(|_| new.len() == digits)?;
    let (_, when) = rest.rsplit_once("> ")?;
    let seconds = when.split(' ').next()?;
    let plain = (1..=12).contains(&seconds.len()) && seconds.bytes().all(|b| b.is_ascii_digit());
    let at = Timestamp::from_second(seconds.parse().ok().filter(|_| plain)?).ok()?;
    let zero = commit.as_str().bytes().all(|b| b == b'0');
    (!zero).then(|| HeadMove { commit, at, name: name_in(message) })
}

/// The name in `checkout: moving from main to v1.2.0`, or in `reset: moving to v1.2.0`.
fn name_in(message: &[u8]) -> Option<String> {
    let message = std::str::from_utf8(message).ok()?;
    let name = match message.strip_prefix("checkout: moving from ") {
        Some(moving) => moving.rsplit_once(" to ")?.1,
        None => message.strip_prefix("reset: moving to ")?,
    };
    (!name.is_empty() && name.len() <= 256).then(|| name.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;

    #[test]
    fn a_reflog_tells_where_head_has_been_and_by_which_name() {
        let repo = Repo::new();
        let first = repo.id("HEAD");
        repo.git(&["tag", "v1-stable"]);
        let second = repo.commit("second");
        repo.git(&["checkout", "-q", "v1-stable"]);
        repo.git(&["reset", "-q", "--hard", "main"]);
        let moves = repo.open().head_moves().unwrap().unwrap();
        let seen: Vec<_> = moves.iter().map(|m| (&m.commit, m.name.as_deref())).collect();
        assert_eq!(
            seen,
            [(&first, None), (&second, None), (&first, Some("v1-stable")), (&second, Some("main"))]
        );
        assert_eq!(moves[0].at, "2026-01-02T03:04:05Z".parse().unwrap());
    }

    #[test]
    fn no_reflog_and_an_empty_one_tell_nothing() {
        let repo = Repo::new();
        let log = repo.top.join(".git/logs/HEAD");
        std::fs::write(&log, "").unwrap();
        assert_eq!(repo.open().head_moves().unwrap(), None);
        std::fs::remove_file(&log).unwrap();
        assert_eq!(repo.open().head_moves().unwrap(), None);
    }

    #[test]
    fn lines_of_any_bytes_are_left_out_and_a_link_is_not_followed() {
        let repo = Repo::new();
        let log = repo.top.join(".git/logs/HEAD");
        let mut bytes = b"\xff\xfe\0 not a line\n\n".to_vec();
        let id = repo.id("HEAD");
        for line in [
            format!("{id} {id} A <a@b> 99999999999999999999 +0000\tcheckout: moving from a to b"),
            format!(
                "{id} {} A <a@b> 1767603600 +0000\tcheckout: moving from a to b",
                "0".repeat(40)
            ),
            format!("{id} {id} A <a@b> -5 +0000\tx"),
            format!("{id} {id} > <a@b> > 1767603600 +0000\tcheckout: moving from a to \u{1b}[2Jb"),
            format!("{id} short A <a@b> 1767603600 +0000"),
            format!("{id} {id} A <a@b> 1767603660 +0000"),
        ] {
            bytes.extend(line.into_bytes());
            bytes.push(b'\n');
        }
        std::fs::write(&log, bytes).unwrap();
        let moves = repo.open().head_moves().unwrap().unwrap();
        let seen: Vec<_> = moves.iter().map(|m| (m.at.as_second(), m.name.as_deref())).collect();
        assert_eq!(seen, [(1_767_603_600, Some("\u{1b}[2Jb")), (1_767_603_660, None)]);

        let elsewhere = repo.dir.path().join("elsewhere");
        std::fs::rename(&log, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
        assert!(repo.open().head_moves().is_err());
    }
}
