//! ssh-keygen and gpg: how they are run. They never ask, and read no setting of the repository.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use crate::config::Binding;
use crate::system::process::{Finished, Invocation, ProcessError};

/// Both are done within milliseconds; a program that waits for a person is ended.
const LIMIT: Duration = Duration::from_secs(10);

/// What the programs may see of this process's environment.
const PASSED_ON: [&str; 4] = ["HOME", "GNUPGHOME", "TZ", "TMPDIR"];

/// A program that signs and verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    SshKeygen,
    Gpg,
}

impl Program {
    /// One run of it, not yet started. Its directory is that of the binding, so that nothing in the
    /// repository can be taken for a file of its own.
    pub fn prepare<A: AsRef<OsStr>>(self, binding: &Binding, args: &[A]) -> Invocation {
        let (given, name) = match self {
            Program::SshKeygen => (&binding.tools.ssh_keygen, "ssh-keygen"),
            Program::Gpg => (&binding.tools.gpg, "gpg"),
        };
        let program = given.as_deref().unwrap_or(Path::new(name));
        let mut invocation = Invocation::new(program, &binding.dir);
        invocation.args = args.iter().map(|arg| arg.as_ref().to_owned()).collect();
        invocation.limit = LIMIT;
        let mut set = |name: &str, value: OsString| invocation.env.insert(name.into(), value);
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                set(name, value);
            }
        }
        set("PATH", binding.path_variable.clone().into());
        set("LC_ALL", "C".into());
        set("SSH_ASKPASS_REQUIRE", "never".into());
        invocation
    }
}

/// Why a program did not even come to an answer, for a person.
pub(super) fn no_answer(result: &Result<Finished, ProcessError>) -> Option<String> {
    match result {
        Err(error) => Some(error.to_string()),
        Ok(finished) if finished.timed_out => Some(format!(
            "it did not end within {} s: was it waiting for a person?",
            LIMIT.as_secs()
        )),
        Ok(_) => None,
    }
}
