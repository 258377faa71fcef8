//! Users: who we are, who owns the tree, becoming that user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Numeric id.
    pub uid: u32,
    /// Numeric id of its primary group.
    pub gid: u32,
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
}

impl Account {
    /// The name of a user by number; the number itself where it has none.
    pub fn name_of(uid: u32) -> String {
        Self::of(uid).name
    }

    /// The account this process runs as: its effective user. A number without an entry gets the number
    /// as its name and `/` as its home.
    pub fn current() -> Self {
        Self::of(rustix::process::geteuid().as_raw())
    }

    /// The account that owns `path`; a number without an entry gets the number as its name.
    ///
    /// # Errors
    /// When `path` cannot be looked at.
    pub fn owner_of(path: &Path) -> std::io::Result<Self> {
        Ok(Self::of(std::fs::metadata(path)?.uid()))
    }

    /// The accounts of this machine's own list.
    pub fn local() -> Vec<Self> {
        let local = std::fs::read("/etc/passwd").unwrap_or_default();
        local.split(|b| *b == b'\n').filter_map(account).collect()
    }

    /// The account with this name.
    pub fn named(name: &str) -> Option<Self> {
        if !is_name(name) {
            return None;
        }
        look_up(name, |account| account.name == name)
    }

    fn of(uid: u32) -> Self {
        look_up(&uid.to_string(), |account| account.uid == uid).unwrap_or_else(|| Self {
            uid,
            gid: uid,
            name: uid.to_string(),
            home: PathBuf::from("/"),
        })
    }
}

/// The groups that this process may give its files to; `None` if that is any group.
pub fn groups_to_give() -> Option<Vec<u32>> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let own = rustix::process::getegid().as_raw();
    let others = rustix::process::getgroups().unwrap_or_default();
    Some(others.into_iter().map(|group| group.as_raw()).chain([own]).collect())
}

/// The person behind this process: `GITROLL_ACTOR` where a trusted parent set it, the login behind
/// `sudo`, else the current account's name.
///
/// This is information for the record, not proof of anything: whoever runs the command sets the
/// environment. What proves is the signature.
pub fn actor() -> String {
    person(|name| std::env::var(name).ok()).unwrap_or_else(|| Account::current().name)
}

fn person(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let plain = |text: &String| {
        let text = text.trim();
        !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control)
    };
    ["GITROLL_ACTOR", "SUDO_USER"]
        .into_iter()
        .find_map(|name| variable(name).filter(plain))
        .map(|text| text.trim().to_owned())
}

/// Looks in `/etc/passwd`, and where the account is kept elsewhere (LDAP, systemd) asks `getent` for `key`.
fn look_up(key: &str, wanted: impl Fn(&Account) -> bool) -> Option<Account> {
    let local = std::fs::read("/etc/passwd").unwrap_or_default();
    find(&local, &wanted).or_else(|| find(&getent(key)?, &wanted))
}

fn find(passwd: &[u8], wanted: impl Fn(&Account) -> bool) -> Option<Account> {
    passwd.split(|b| *b == b'\n').filter_map(account).find(wanted)
}

/// One line of passwd(5): `name:password:uid:gid:gecos:home:shell`.
fn account(line: &[u8]) -> Option<Account> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
    let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
    let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
    let number = |field| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    let (uid, gid) = (number(uid)?, number(gid)?);
    let home = PathBuf::from(OsStr::from_bytes(if home.is_empty() { b"/" } else { home }));
    Some(Account { uid, gid, name: name.to_owned(), home })
}

fn is_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == ':' || c == '/';
    !name.is_empty()
        && name.len() <= 256
        && !name.starts_with(['-', '+', '#'])
        && !name.contains(odd)
}

fn getent(key: &str) -> Option<Vec<u8>> {
    // By its absolute path: looking up who we are must not depend on the caller's PATH.
    let program = ["/usr/bin/getent", "/bin/getent"].into_iter().find(|p| Path::new(p).exists())?;
    let output = Command::new(program)
        .args(["--", "passwd", key])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# a comment\nbroken\n\
        +::::::\nbad:x:minus:0::/:\ndeploy:x:1001:1001:A, B:/home/deploy:/bin/sh\n\
        nohome:x:1002:1002:::\n\xff\xfe:x:1003:1:::\nlate:x:1001:1:::";

    fn named(name: &str) -> Option<(u32, PathBuf)> {
        find(PASSWD, |account| account.name == name).map(|account| (account.uid, account.home))
    }

    #[test]
    fn accounts_are_read_past_broken_lines() {
        assert_eq!(named("deploy"), Some((1001, "/home/deploy".into())));
        assert_eq!(named("nohome"), Some((1002, "/".into())));
        assert_eq!(named("bad"), None);
        assert_eq!(named("broken"), None);
        let first = find(PASSWD, |account| account.uid == 1001).unwrap();
        assert_eq!(first.name, "deploy");
    }

    #[test]
    fn the_current_account_owns_what_it_makes() {
        let dir = tempfile::tempdir().unwrap();
        let me = Account::current();
        assert_eq!(Account::owner_of(dir.path()).unwrap(), me);
        assert_eq!(me.uid, rustix::process::geteuid().as_raw());
        assert!(Account::owner_of(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn names_and_numbers_lead_to_the_same_account() {
        let root = Account::named("root").unwrap();
        assert_eq!((root.uid, Account::of(0)), (0, root));
        assert_eq!(Account::named("no-such-user-here"), None);
        assert_eq!(Account::named("--help"), None);
        assert_eq!(Account::named("0"), None);
        assert_eq!(Account::of(3_999_999_999).name, "3999999999");
    }

    #[test]
    fn the_person_is_told_by_the_parent_then_by_sudo() {
        let told = |set: &[(&str, &str)]| {
            person(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let both = [("SUDO_USER", "ana"), ("GITROLL_ACTOR", "ben ")];
        assert_eq!(told(&both).as_deref(), Some("ben"));
        assert_eq!(told(&both[..1]).as_deref(), Some("ana"));
        assert_eq!(told(&[("GITROLL_ACTOR", "x\nGitroll-To: y"), both[0]]).as_deref(), Some("ana"));
        assert_eq!(told(&[("SUDO_USER", " ")]), None);
    }
}
