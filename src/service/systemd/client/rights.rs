//! What this user may have systemd do, found out without having it done.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::super::super::ServiceError;
use super::super::sudo::needs_no_password;
use super::{Client, QUESTION, find_program, is_denied};

impl Client {
    /// Whether this user may do all this with the unit, found out without doing it.
    pub(in super::super) fn may_change(
        &self,
        name: &str,
        verbs: &[&str],
    ) -> Result<(), ServiceError> {
        if self.user || self.account.uid == 0 {
            return Ok(());
        }
        let Some(verb) = verbs.iter().find(|verb| !self.sudo_allows(&[verb, name])) else {
            return Ok(());
        };
        // It wants the same right as a restart, and touches nothing that runs.
        let finished = self.ask(&["reset-failed", name], QUESTION)?;
        let said = String::from_utf8_lossy(&finished.stderr);
        if is_denied(&said) { Err(self.denied(verb, name)) } else { Ok(()) }
    }

    /// Whether this user may have systemd read the changed file of a unit again, found out without doing so.
    pub(in super::super) fn may_daemon_reload(&self, name: &str) -> Result<(), ServiceError> {
        if self.user || self.account.uid == 0 || self.sudo_allows(&["daemon-reload"]) {
            return Ok(());
        }
        // Where there is no polkit nobody else may.
        let process = std::process::id().to_string();
        let action = "org.freedesktop.systemd1.reload-daemon";
        let args = ["--action-id", action, "--process", &process].map(Into::into);
        let path = &self.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let asked = find_program(Path::new("pkcheck"), &path.to_string_lossy())
            .and_then(|pkcheck| self.run(&pkcheck, args.into(), QUESTION).ok());
        if asked.is_some_and(|asked| asked.success()) {
            return Ok(());
        }
        Err(ServiceError::Unusable {
            problem: format!(
                "the file of {name} was changed, and {} may not have systemd read it (daemon-reload)",
                self.account.name
            ),
            hint:
                "sudo systemctl daemon-reload does it once; for always allow it by sudo or polkit \
                   (docs/guides/systemd.md)"
                    .into(),
            command: Some(self.as_root("daemon-reload")),
        })
    }

    /// Whether sudo runs systemctl with these words and asks for no password.
    pub(super) fn sudo_allows(&self, words: &[&str]) -> bool {
        let Some(sudo) = &self.sudo else { return false };
        let mut args: Vec<OsString> = vec!["-n".into(), "-l".into(), self.systemctl.clone().into()];
        args.extend(words.iter().map(Into::into));
        let list = || self.run(sudo, vec!["-n".into(), "-l".into()], QUESTION).ok();
        // That succeeds for a command that wants a password as well, where another one wants none.
        self.run(sudo, args, QUESTION).is_ok_and(|finished| finished.success())
            && list().is_some_and(|finished| {
                let list = String::from_utf8_lossy(&finished.stdout);
                finished.success() && needs_no_password(&list, &self.systemctl, words)
            })
    }
}
