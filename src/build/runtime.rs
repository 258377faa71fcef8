//! What runs what a build made: the versions that a native module was compiled for.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::BuildError;
use super::key;
use crate::config::Binding;
use crate::system::files;
use crate::system::process::Invocation;
use crate::system::user::Account;

/// The most that is read of a `pyvenv.cfg`, which is a few lines.
const MOST_BYTES: u64 = 1 << 20;

/// What something was built with, or what a host has for it. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// `node --version`, e.g. `v20.11.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Node's `NODE_MODULE_VERSION`, e.g. `115`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abi: Option<String>,
    /// `glibc 2.36` or `musl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The version of Python of a virtual environment, e.g. `3.11.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Its interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<PathBuf>,
}

/// The runtimes of this host, each asked for once and only when it is needed.
#[derive(Debug, Clone)]
pub struct Toolchain {
    path_variable: String,
    home: PathBuf,
    node: Option<PathBuf>,
    dir: PathBuf,
    version: OnceCell<String>,
    internals: OnceCell<(Option<String>, Option<String>)>,
}

/// What node says of itself; the report is made without asking name servers.
const ASK: &str = "process.report.excludeNetwork = true; const {glibcVersionRuntime: g} = \
     process.report.getReport().header; \
     console.log(process.versions.modules + ' ' + (g ? 'glibc ' + g : 'musl'))";

impl Toolchain {
    /// Those of a binding, as they are found from `dir`.
    pub fn of(binding: &Binding, dir: &Path) -> Self {
        Self {
            path_variable: binding.path_variable.clone(),
            home: Account::named(&binding.run_as).unwrap_or_else(Account::current).home,
            node: binding.tools.node.clone(),
            dir: dir.to_owned(),
            version: OnceCell::new(),
            internals: OnceCell::new(),
        }
    }

    /// What `node --version` says; empty if there is no node.
    ///
    /// # Errors
    /// When node is there and cannot say.
    pub fn node(&self) -> Result<&str, BuildError> {
        if self.version.get().is_none() {
            let said = key::node_version(self.node.as_deref(), &self.environment(), &self.dir)?;
            let _ = self.version.set(said);
        }
        Ok(self.version.get().map_or("", String::as_str))
    }

    /// What this host has where something was built with `built`.
    fn now(&self, built: &Runtime) -> Runtime {
        let mut now = Runtime::default();
        if built.node.is_some() {
            now.node = self.node().ok().map(str::to_owned).filter(|node| !node.is_empty());
        }
        if now.node.is_some() && (built.abi.is_some() || built.libc.is_some()) {
            (now.abi, now.libc) = self.internals.get_or_init(|| self.ask()).clone();
        }
        if let (Some(_), Some(program)) = (&built.python, &built.interpreter) {
            let said = self.said(program.clone(), &["--version"]);
            let version = said.as_deref().and_then(|text| text.strip_prefix("Python "));
            now.python = Some(version.unwrap_or("none").to_owned());
        }
        now
    }

    /// What `outputs` were just built with. Where all of them are virtual environments of Python, node has no part
    /// in it.
    pub(super) fn building(&self, outputs: &[PathBuf]) -> Runtime {
        let mut runtime = Runtime::default();
        let mut environments = 0;
        for output in outputs {
            let Ok(bytes) = files::read_plain(&output.join("pyvenv.cfg"), MOST_BYTES) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            environments += 1;
            let value = |name: &str| {
                let mut pairs = text.lines().filter_map(|line| line.split_once('='));
                pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
            };
            runtime.python = value("version").or_else(|| value("version_info"));
            runtime.interpreter = value("executable")
                .map(PathBuf::from)
                .or_else(|| value("home").map(|home| Path::new(&home).join("python3")));
        }
        if environments < outputs.len() || outputs.is_empty() {
            runtime.node = self.node().ok().map(str::to_owned).filter(|node| !node.is_empty());
            if runtime.node.is_some() {
                (runtime.abi, runtime.libc) = self.internals.get_or_init(|| self.ask()).clone();
            }
        }
        runtime
    }

    /// Version managers put something in node's place that looks at home.
    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let home = self.home.clone().into_os_string();
        BTreeMap::from([("PATH".into(), self.path_variable.clone().into()), ("HOME".into(), home)])
    }

    fn ask(&self) -> (Option<String>, Option<String>) {
        let program = self.node.clone().unwrap_or_else(|| PathBuf::from("node"));
        let said = self.said(program, &["-e", ASK]).unwrap_or_default();
        let (abi, libc) = said.split_once(' ').unwrap_or_default();
        let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        (known(abi), known(libc))
    }

    fn said(&self, program: PathBuf, args: &[&str]) -> Option<String> {
        let mut command = Invocation::new(program, &self.dir);
        command.args = args.iter().map(Into::into).collect();
        command.env = self.environment();
        let finished = command.run().ok().filter(|finished| finished.success())?;
        Some(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }
}

impl Runtime {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Why something built with this does not run on this host; `None` if it does, or if nothing is known.
    pub fn unfit_for(&self, host: &Toolchain) -> Option<String> {
        self.unfit(&host.now(self))
    }

    /// Why something built with this does not run with `now`; `None` if it does, or if that is not known.
    fn unfit(&self, now: &Self) -> Option<String> {
        let differs = |a: &Option<String>, b: &Option<String>, cut: fn(&str) -> &str| {
            a.as_deref().zip(b.as_deref()).is_some_and(|(a, b)| cut(a) != cut(b))
        };
        let told = |what: &str, was: &Option<String>, is: &Option<String>| {
            let [was, is] = [was, is].map(|text| text.clone().unwrap_or_default());
            let [was, is] = [was, is].map(|text| text.trim_start_matches('v').to_owned());
            Some(format!("built for {what} {was}, this host has {is}"))
        };
        if differs(&self.node, &now.node, major) {
            return told("node", &self.node, &now.node);
        }
        if differs(&self.abi, &now.abi, whole) {
            return told("node's ABI", &self.abi, &now.abi);
        }
        if differs(&self.python, &now.python, minor) {
            return told("python", &self.python, &now.python);
        }
        if differs(&self.libc, &now.libc, kind) || older(&now.libc, &self.libc) {
            return told("the C library", &self.libc, &now.libc);
        }
        None
    }
}

fn whole(text: &str) -> &str {
    text
}

/// `v20` of `v20.11.1`
fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

/// `3.11` of `3.11.2`
fn minor(version: &str) -> &str {
    match version.match_indices('.').nth(1) {
        Some((end, _)) => version.get(..end).unwrap_or(version),
        None => version,
    }
}

/// `glibc` of `glibc 2.36`
fn kind(libc: &str) -> &str {
    libc.split(' ').next().unwrap_or(libc)
}

/// Whether a library is older than the one that something was linked with.
fn older(now: &Option<String>, then: &Option<String>) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let version = text.split(' ').nth(1).unwrap_or_default();
        version.split('.').filter_map(|part| part.parse().ok()).collect()
    };
    now.as_deref().zip(then.as_deref()).is_some_and(|(now, then)| numbers(now) < numbers(then))
}

#[cfg(test)]
mod tests {
    use super::Runtime;

    #[test]
    fn what_was_built_for_another_major_version_does_not_fit_and_what_is_unknown_does() {
        let of = |node: &str, abi: &str, libc: &str, python: &str| {
            let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let [node, abi, libc, python] = [node, abi, libc, python].map(known);
            Runtime { node, abi, libc, python, interpreter: None }
        };
        let host = of("v20.11.1", "115", "glibc 2.36", "3.11.2");
        for (built, why) in [
            (of("v18.0.0", "108", "", ""), Some("node 18.0.0, this host has 20.11.1")),
            (of("v20.1.0", "116", "", ""), Some("node's ABI 116")),
            (of("v20.1.0", "115", "glibc 2.31", "3.11.9"), None),
            (of("v20.1.0", "115", "glibc 2.39", ""), Some("the C library glibc 2.39")),
            (of("v20.1.0", "115", "musl", ""), Some("the C library musl")),
            (of("", "", "", "3.9.1"), Some("python 3.9.1")),
            (of("", "", "", ""), None),
        ] {
            let unfit = built.unfit(&host);
            assert_eq!(unfit.is_some(), why.is_some(), "{built:?}: {unfit:?}");
            assert!(unfit.unwrap_or_default().contains(why.unwrap_or_default()));
        }
    }
}
