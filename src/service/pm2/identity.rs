//! Which of pm2's apps is meant: those of a name (and namespace) that run in this tree. A name alone tells nothing,
//! since one pm2 runs the apps of every checkout of its user.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::super::state::{Host, ServiceError};
use super::app::{Instance, resolved, runs_a_program};
use crate::config::{Manager, Service};

/// An app of gitroll.toml, in one tree.
#[derive(Debug, Clone)]
pub(super) struct App<'h> {
    pub(super) name: &'h str,
    namespace: Option<&'h str>,
    top: PathBuf,
    take_over: &'h [PathBuf],
}

/// What pm2 lists of an app, and who else there is.
#[derive(Debug)]
pub(super) struct Found {
    /// The instances of this tree, at least one.
    pub(super) own: Vec<Instance>,
    /// Other apps of that name, in other trees or namespaces.
    pub(super) namesakes: Vec<Instance>,
}

impl<'h> App<'h> {
    pub(super) fn of(host: &'h Host<'_>, service: &'h Service) -> Self {
        let (name, namespace) = match &service.manager {
            Manager::Pm2 { app, namespace, .. } => (app.as_str(), namespace.as_deref()),
            _ => (service.name.as_str(), None),
        };
        Self { name, namespace, top: resolved(&host.top), take_over: &host.binding.take_over }
    }

    /// Its instances among all that pm2 lists.
    ///
    /// # Errors
    /// `Unknown`; `Unusable` where only another tree has such an app, or this one has two.
    pub(super) fn among(&self, all: Vec<Instance>) -> Result<Found, ServiceError> {
        let mut known: Vec<String> = all.iter().map(|instance| instance.name.clone()).collect();
        let (named, mut namesakes): (Vec<_>, Vec<_>) =
            all.into_iter().filter(|i| i.name == self.name).partition(|i| self.is_named(i));
        let (mut own, elsewhere): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|instance| self.runs_here(instance));
        let (moving, strangers): (Vec<_>, Vec<_>) =
            elsewhere.into_iter().partition(|i| own.is_empty() && self.may_take(i));
        own.extend(moving);
        namesakes.extend(strangers);
        if own.is_empty() {
            return Err(match namesakes.first() {
                Some(stranger) => self.another_trees(stranger),
                None => {
                    known.sort();
                    known.dedup();
                    let name = self.name.to_owned();
                    ServiceError::Unknown { manager: "pm2".to_owned(), name, known }
                }
            });
        }
        self.one_app(&own)?;
        Ok(Found { own, namesakes })
    }

    /// Those that `pm2 save` kept, as far as they are this tree's.
    pub(super) fn saved(&self, all: Vec<Instance>) -> Vec<Instance> {
        let ours = |i: &Instance| {
            i.name == self.name && self.is_named(i) && (self.runs_here(i) || self.may_take(i))
        };
        all.into_iter().filter(ours).collect()
    }

    /// Whether a directory is of this tree, and of no checkout that is in it.
    pub(super) fn is_here(&self, dir: &Path) -> bool {
        let dir = resolved(dir);
        let below = dir.ancestors().take_while(|dir| *dir != self.top);
        dir.starts_with(&self.top) && !below.into_iter().any(|dir| dir.join(".git").is_dir())
    }

    /// Whether an entry of a process file is this app.
    pub(super) fn is_declared(&self, entry: &Map<String, Value>) -> bool {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let namespace = text("namespace");
        text("name") == Some(self.name)
            && self.namespace.is_none_or(|own| namespace.is_none_or(|theirs| theirs == own))
    }

    fn is_named(&self, instance: &Instance) -> bool {
        self.namespace.is_none_or(|namespace| instance.namespace() == namespace)
    }

    pub(super) fn runs_here(&self, instance: &Instance) -> bool {
        let interpreter = instance.settings.get("exec_interpreter");
        let of_the_tree = || {
            !runs_a_program(interpreter, &instance.script, &self.top)
                && self.is_here(&instance.script)
        };
        self.is_here(&instance.cwd) || of_the_tree()
    }

    /// A person said so, or there is nothing left to run where it ran.
    fn may_take(&self, instance: &Instance) -> bool {
        let from = resolved(&instance.cwd);
        !instance.cwd.exists() || self.take_over.iter().any(|dir| from.starts_with(resolved(dir)))
    }

    fn another_trees(&self, stranger: &Instance) -> ServiceError {
        let (name, dir) = (self.name, stranger.cwd.display());
        let top = self.top.display();
        let other = self.namespace.filter(|namespace| stranger.namespace() != *namespace);
        let problem = match other {
            Some(_) => {
                let theirs = stranger.namespace();
                format!("pm2 runs {name:?} in {dir}, in the namespace {theirs:?}: another app")
            }
            None => {
                format!("pm2 runs {name:?} in {dir}, not in {top}: it belongs to another checkout")
            }
        };
        ServiceError::Unusable {
            problem,
            hint: format!(
                "start this checkout's app in {top} under a different name, and put that name in \
                 gitroll.toml; gitroll init --take-over moves the other app here"
            ),
            command: None,
        }
    }

    /// Two apps may share a name; then nothing tells which one is meant.
    fn one_app(&self, own: &[Instance]) -> Result<(), ServiceError> {
        let Some(first) = own.first() else { return Ok(()) };
        let name = self.name;
        if let Some(other) = own.iter().find(|one| one.namespace() != first.namespace()) {
            let (one, other) = (first.namespace(), other.namespace());
            return Err(ServiceError::Unusable {
                problem: format!(
                    "pm2 runs two apps {name:?} in this tree, in the namespaces {one:?} and {other:?}"
                ),
                hint: format!("set namespace = {one:?} in gitroll.toml, or rename one of them"),
                command: None,
            });
        }
        let place = |one: &Instance| (one.cwd.clone(), one.script.clone());
        if let Some(other) = own.iter().find(|one| place(one) != place(first)) {
            let of = |one: &Instance| format!("{} in {}", one.script.display(), one.cwd.display());
            return Err(ServiceError::Unusable {
                problem: format!(
                    "pm2 runs two apps {name:?} in this tree: {} and {}",
                    of(first),
                    of(other)
                ),
                hint:
                    "delete one of them by its id with pm2 delete, and start it under another name"
                        .into(),
                command: None,
            });
        }
        Ok(())
    }
}

impl Found {
    /// The commands that do `verb` to each instance and to nothing else: pm2 takes a name for the apps of every
    /// namespace and directory, so only numbers name these.
    ///
    /// # Errors
    /// Where pm2 tells no number.
    pub(super) fn commands(&self, verb: &str) -> Result<Vec<Vec<String>>, ServiceError> {
        let ids: Option<Vec<String>> =
            self.own.iter().map(|instance| instance.id.map(|id| id.to_string())).collect();
        let ids = ids.ok_or_else(|| ServiceError::Failed {
            command: "pm2 jlist".to_owned(),
            problem: "does not show the process id of each process".to_owned(),
        })?;
        // Reload takes one at a time.
        if verb == "reload" {
            return Ok(ids.into_iter().map(|id| vec![verb.to_owned(), id]).collect());
        }
        Ok(vec![std::iter::once(verb.to_owned()).chain(ids).collect()])
    }

    /// That nothing of that name would be in the way of an app that is restarted: pm2 does whatever a definition
    /// says to every app that has its name.
    ///
    /// # Errors
    /// `Unusable`.
    pub(super) fn nobody_shares_the_name(&self) -> Result<(), ServiceError> {
        self.namesakes.first().map_or(Ok(()), |other| Err(shared_name(other)))
    }
}

/// Why an app cannot be started from a definition beside `other`.
pub(super) fn shared_name(other: &Instance) -> ServiceError {
    ServiceError::Unusable {
        problem: format!(
            "it must be restarted, and pm2 would also start {:?} in {}, which has the same name",
            other.name,
            other.cwd.display()
        ),
        hint: "rename one of them in pm2, then in gitroll.toml".into(),
        command: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::app::parse;
    use super::*;
    use serde_json::json;

    fn listed(id: u32, namespace: &str, cwd: &Path, script: &Path) -> Value {
        json!({ "pid": 1, "pm2_env": { "name": "web", "pm_id": id, "namespace": namespace, "pm_cwd": cwd,
            "pm_exec_path": script, "status": "online", "exec_interpreter": "node", "env": {} } })
    }

    #[test]
    fn an_app_is_told_by_name_namespace_and_tree() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        for tree in [&here, &there, &here.join("nested")] {
            std::fs::create_dir_all(tree.join(".git")).unwrap();
            std::fs::write(tree.join("x.js"), "").unwrap();
        }
        let app = |namespace| App { name: "web", namespace, top: resolved(&here), take_over: &[] };
        let among = |app: App<'_>, listed: &[Value]| {
            let found = app.among(parse(Value::from(listed).to_string().as_bytes()).unwrap());
            found.map(|f| f.own.iter().filter_map(|i| i.id).collect::<Vec<_>>())
        };
        let own = listed(0, "a", &here, &here.join("x.js"));
        let other = listed(1, "b", &there, &there.join("x.js"));
        let nested = listed(2, "a", &here.join("nested"), &here.join("nested/x.js"));
        let second = listed(3, "b", &here, &here.join("x.js"));
        let from_root = listed(4, "a", Path::new("/"), &here.join("x.js"));
        let gone = listed(5, "a", &dir.path().join("gone"), &dir.path().join("gone/x.js"));
        assert_eq!(among(app(None), &[own.clone(), other.clone(), nested.clone()]).unwrap(), [0]);
        assert_eq!(among(app(None), &[other.clone(), from_root]).unwrap(), [4]);
        assert_eq!(among(app(None), &[gone]).unwrap(), [5], "nobody can miss it there");
        assert_eq!(among(app(Some("b")), &[own.clone(), second.clone()]).unwrap(), [3]);
        for (found, says) in [
            (among(app(None), &[other.clone(), nested]), "another checkout"),
            (among(app(None), &[own.clone(), second]), "in the namespaces \"a\" and \"b\""),
            (
                among(app(Some("c")), std::slice::from_ref(&own)),
                "in the namespace \"a\": another app",
            ),
            (among(app(None), &[]), "pm2 has no \"web\""),
        ] {
            let told = found.unwrap_err().to_string();
            assert!(told.contains(says), "{told}");
        }
        let taken = [there.clone()];
        let app = App { take_over: &taken, ..app(None) };
        assert_eq!(among(app.clone(), std::slice::from_ref(&other)).unwrap(), [1]);
        assert_eq!(among(app, &[own, other]).unwrap(), [0], "there is one here already");
    }
}
