//! Remotes. The repository's configuration names where they are, never how they are reached.

use std::ffi::OsString;
use std::time::Duration;

use super::command::{Answer, Call};
use super::config::Origin;
use super::locks::LocksTaken;
use super::refs::RefEdit;
use super::repository::{Git, GitError};
use crate::model::Oid;
use crate::system::signals::{self, Until};

/// The first fetch of years of history over a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(600);

const PUSH_LIMIT: Duration = Duration::from_secs(120);

/// How long a remote may say nothing at all, in seconds, before it counts as away.
const SILENCE: &str = "15";

/// Said where a remote cannot be reached and the repository has a command of its own for that.
const IGNORED_SSH_COMMAND: &str = "gitroll does not run core.sshCommand of this repository's configuration: set it \
                                   in your own (git config --global core.sshCommand …) or set the key in ~/.ssh/config";

/// What a fetch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Tags (full names) that are others on the remote; the ones here were kept.
    pub moved_tags: Vec<String>,
    /// What git said of other refs that it could not write. Whether the one that was wanted is here, the ref itself
    /// tells.
    pub refused: Option<String>,
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// All refs are on the remote.
    Done,
    /// The remote has another history of one's own chain: the checkout was copied.
    Rejected(String),
    /// The remote could not be reached or refused.
    Failed(String),
}

impl Git {
    /// The names of the remotes.
    pub fn remotes(&self) -> Vec<String> {
        self.repo.remote_names().iter().map(ToString::to_string).collect()
    }

    /// Where a remote is, as the repository's configuration says it.
    pub fn remote_url(&self, remote: &str) -> Option<String> {
        self.settings().ok()?.last(&format!("remote.{remote}.url"), Origin::Repository)
    }

    /// The remote that a branch follows by the repository's configuration, and the branch there.
    ///
    /// # Errors
    /// `Command` when the configuration cannot be listed.
    pub fn upstream_of(&self, branch: &str) -> Result<Option<(String, String)>, GitError> {
        let settings = self.settings()?;
        let setting =
            |what: &str| settings.last(&format!("branch.{branch}.{what}"), Origin::Repository);
        let (Some(remote), Some(merge)) = (setting("remote"), setting("merge")) else {
            return Ok(None);
        };
        let branch = merge.strip_prefix("refs/heads/").map(str::to_owned);
        Ok(branch.filter(|_| self.remotes().contains(&remote)).map(|branch| (remote, branch)))
    }

    /// Fetches one branch of a remote, and all tags (never notes, never forced tags, nothing pruned). A tag that is
    /// another one on the remote stays as it is here and is named in the answer.
    ///
    /// # Errors
    /// `Command` with what git said, `TimedOut`.
    pub fn fetch_branch(&self, remote: &str, branch: &str) -> Result<Fetched, GitError> {
        self.fetch(
            remote,
            &[
                format!("+refs/heads/{branch}:refs/remotes/{remote}/{branch}"),
                "refs/tags/*:refs/tags/*".to_owned(),
            ],
        )
    }

    /// Fetches one tag of a remote, which is not moved where it is here already.
    ///
    /// # Errors
    /// As [`Git::fetch_branch`].
    pub fn fetch_tag(&self, remote: &str, tag: &str) -> Result<Fetched, GitError> {
        self.fetch(remote, &[format!("refs/tags/{tag}:refs/tags/{tag}")])
    }

    /// Fetches full ref names to the same names, without force: none is moved but forward. A clone whose history is cut off
    /// becomes a whole one.
    ///
    /// # Errors
    /// As [`Git::fetch_branch`].
    pub fn fetch_refs(&self, remote: &str, names: &[String]) -> Result<Fetched, GitError> {
        if names.is_empty() && !self.is_shallow() {
            return Ok(Fetched::default());
        }
        let mut refspecs: Vec<String> = names.iter().map(|name| format!("{name}:{name}")).collect();
        if refspecs.is_empty() {
            refspecs.push("HEAD".to_owned());
        }
        let more: &[&str] = if self.is_shallow() { &["--unshallow"] } else { &[] };
        self.fetch_with(remote, more, &refspecs)
    }

    /// Fetches what one ref of a remote points to, without a ref of its own here.
    ///
    /// # Errors
    /// As [`Git::fetch_branch`].
    pub fn fetch_objects(&self, remote: &str, name: &str) -> Result<Fetched, GitError> {
        self.fetch_with(remote, &[], &[name.to_owned()])
    }

    fn fetch(&self, remote: &str, refspecs: &[String]) -> Result<Fetched, GitError> {
        self.fetch_with(remote, &[], refspecs)
    }

    fn fetch_with(
        &self,
        remote: &str,
        more: &[&str],
        refspecs: &[String],
    ) -> Result<Fetched, GitError> {
        let answer = self
            .remote_call("fetch", remote)?
            .args(more)
            .args([
                "--no-progress",
                "--no-auto-maintenance",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
                "--no-tags",
                "--no-prune",
                "--no-prune-tags",
                // Without it the refspecs of the configuration would be applied as well, forced ones too.
                "--refmap=",
                "--upload-pack=git-upload-pack",
                "--",
                remote,
            ])
            .args(refspecs)
            .limit(FETCH_LIMIT)
            .takes(LocksTaken { locks: Vec::new(), fetches: true })
            .run()?;
        let (moved_tags, other) = rejections(&answer);
        // git exits with 1 where it could not write some ref, although it has fetched all the rest.
        match answer.code {
            Some(0) => Ok(Fetched { moved_tags, refused: None }),
            Some(1) => Ok(Fetched { moved_tags, refused: other.then(|| answer.problem()) }),
            _ => Err(self.unreached("fetch", answer.problem())),
        }
    }

    /// Removes what is left of branches that `remote` has no longer and that stand in the way of `branch`'s
    /// remote-tracking ref: `feature` where `feature/x` is wanted, or the other way round. The names removed.
    ///
    /// # Errors
    /// `Command`, `TimedOut`, `Ref`.
    pub fn clear_the_way(
        &self,
        remote: &str,
        branch: &str,
        limit: Duration,
    ) -> Result<Vec<String>, GitError> {
        let prefix = format!("refs/remotes/{remote}/");
        let wanted = format!("{prefix}{branch}");
        let beneath = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        };
        let in_the_way = self.refs(&prefix)?.into_iter();
        let in_the_way: Vec<_> = in_the_way
            .filter(|found| beneath(&found.name, &wanted) || beneath(&wanted, &found.name))
            .collect();
        let upstream = |name: &str| format!("refs/heads/{}", &name[prefix.len()..]);
        let asked: Vec<String> = in_the_way.iter().map(|found| upstream(&found.name)).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let there = self.remote_refs(remote, &asked, limit)?;
        let gone = in_the_way.into_iter();
        let gone: Vec<_> = gone
            .filter(|found| there.iter().all(|(name, _)| *name != upstream(&found.name)))
            .collect();
        let edits = gone.iter().map(|found| RefEdit {
            name: found.name.clone(),
            new: None,
            old: Some(found.id.clone()),
        });
        self.update_refs(&edits.collect::<Vec<_>>(), "gitroll: gone on the remote")?;
        Ok(gone.into_iter().map(|found| found.name).collect())
    }

    /// Pushes full ref names to the same names, atomically, without force.
    ///
    /// # Errors
    /// `Command` when git cannot be run or `remote` is not configured; what the remote says is not an error.
    pub fn push(&self, remote: &str, refs: &[String]) -> Result<Pushed, GitError> {
        if refs.is_empty() {
            return Ok(Pushed::Done);
        }
        let heard = signals::times_heard();
        let call = self
            .remote_call("push", remote)?
            .args([
                "--porcelain",
                "--no-progress",
                "--atomic",
                "--no-verify",
                "--no-signed",
                "--no-follow-tags",
                "--recurse-submodules=no",
                "--receive-pack=git-receive-pack",
                "--",
                remote,
            ])
            .args(refs.iter().map(|name| format!("{name}:{name}")))
            // What is published serves and is recorded already: nobody needs to wait for it.
            .until(Until::HeardMore(heard))
            .limit(PUSH_LIMIT);
        let answer = match call.run() {
            Err(GitError::TimedOut { seconds, .. }) => {
                return Ok(Pushed::Failed(format!("{remote} did not answer within {seconds} s")));
            }
            Err(_) if signals::times_heard() > heard => {
                return Ok(Pushed::Failed("it was stopped".to_owned()));
            }
            other => other?,
        };
        if answer.code == Some(0) {
            return Ok(Pushed::Done);
        }
        Ok(rejected(&answer).unwrap_or_else(|| {
            Pushed::Failed(match self.unreached("push", answer.problem()) {
                GitError::Command { problem, .. } => problem,
                other => other.to_string(),
            })
        }))
    }

    /// What `name` (a full ref) points to on a remote, asked within `limit`.
    ///
    /// # Errors
    /// `Command` with what git said, `TimedOut`.
    pub fn remote_ref(
        &self,
        remote: &str,
        name: &str,
        limit: Duration,
    ) -> Result<Option<Oid>, GitError> {
        let found = self.remote_refs(remote, &[name.to_owned()], limit)?;
        Ok(found.into_iter().next().map(|(_, id)| id))
    }

    /// Which of `names` (full refs) a remote has, and what they point to, asked within `limit`.
    ///
    /// # Errors
    /// As [`Git::remote_ref`].
    pub fn remote_refs(
        &self,
        remote: &str,
        names: &[String],
        limit: Duration,
    ) -> Result<Vec<(String, Oid)>, GitError> {
        let found = self.remote_refs_like(remote, names, limit)?.into_iter();
        Ok(found.filter(|(found, _)| names.contains(found)).collect())
    }

    /// The refs of a remote that match any of these patterns (`refs/tags/*`), and what they point to, asked within `limit`.
    ///
    /// # Errors
    /// As [`Git::remote_ref`].
    pub fn remote_refs_like(
        &self,
        remote: &str,
        patterns: &[String],
        limit: Duration,
    ) -> Result<Vec<(String, Oid)>, GitError> {
        let answer = self
            .remote_call("ls-remote", remote)?
            .args(["--refs", "--upload-pack=git-upload-pack", "--", remote])
            .args(patterns)
            .limit(limit)
            .run()?;
        if answer.code != Some(0) {
            return Err(self.unreached("ls-remote", answer.problem()));
        }
        let text = String::from_utf8_lossy(&answer.stdout);
        let found = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(found.filter_map(|(id, name)| Some((name.to_owned(), id.parse().ok()?))).collect())
    }

    /// A remote command that failed; where the repository names its own way of reaching remotes, with a word that
    /// it was not gone.
    fn unreached(&self, verb: &str, problem: String) -> GitError {
        let ignored = self
            .settings()
            .is_ok_and(|settings| settings.last("core.sshCommand", Origin::Repository).is_some());
        let problem = match ignored {
            true => format!("{problem}; {IGNORED_SSH_COMMAND}"),
            false => problem,
        };
        GitError::Command { verb: verb.to_owned(), problem }
    }

    /// A command that reaches a remote: only here may git see the agent, the proxies and the user's own
    /// credential helpers, and only plain protocols.
    fn remote_call(&self, verb: &'static str, remote: &str) -> Result<Call<'_>, GitError> {
        if !self.remotes().iter().any(|known| known == remote) || remote.starts_with('-') {
            return Err(GitError::Command {
                verb: verb.to_owned(),
                problem: format!("there is no remote {remote:?} here"),
            });
        }
        let settings = self.settings()?;
        let ssh = self
            .environment
            .get("GIT_SSH_COMMAND")
            .map(OsString::from)
            .or_else(|| settings.last("core.sshCommand", Origin::User).map(OsString::from))
            // Nobody is there to answer a question, or waits for a host that says nothing.
            .unwrap_or_else(|| {
                let alive = "-o ServerAliveInterval=5 -o ServerAliveCountMax=3";
                format!("ssh -o BatchMode=yes -o ConnectTimeout={SILENCE} {alive}").into()
            });
        let mut call = self
            .call(verb)
            .envs(self.environment.for_network())
            .env("GIT_SSH_COMMAND", ssh)
            .config(format!("remote.{remote}.mirror"), "false")
            .config("credential.interactive", "false")
            .config("http.lowSpeedLimit", "1")
            .config("http.lowSpeedTime", SILENCE)
            // An empty value takes back every helper named so far, the repository's among them.
            .config("credential.helper", "");
        for (key, value) in settings.of_user(is_credential_helper) {
            call = call.config(key, value);
        }
        Ok(call.durable())
    }
}

fn is_credential_helper(key: &[u8]) -> bool {
    key.starts_with(b"credential.") && key.ends_with(b".helper")
}

/// The tags that were not moved, and whether anything else was refused as well.
fn rejections(answer: &Answer) -> (Vec<String>, bool) {
    let mut moved = Vec::new();
    let mut other = false;
    for line in answer.stderr.lines().map(str::trim_start) {
        if line.starts_with("! ") {
            // ` ! [rejected]        v1         -> v1  (would clobber existing tag)`
            let name = line.split_once("-> ").and_then(|(_, rest)| rest.split_whitespace().next());
            match name {
                Some(name) if line.ends_with("(would clobber existing tag)") => {
                    let name = name.strip_prefix("refs/tags/").unwrap_or(name);
                    moved.push(format!("refs/tags/{name}"));
                }
                _ => other = true,
            }
        } else if line.starts_with("fatal:") || line.starts_with("error:") {
            other = true;
        }
    }
    (moved, other)
}

/// Reads `git push --porcelain`: `!<TAB>from:to<TAB>[rejected] (why)`.
fn rejected(answer: &Answer) -> Option<Pushed> {
    let text = String::from_utf8_lossy(&answer.stdout);
    text.lines().find_map(|line| {
        let mut fields = line.strip_prefix("!\t")?.split('\t');
        let name = fields.next()?.split(':').next_back()?.to_owned();
        let why = fields.next()?;
        let ours = ["non-fast-forward", "fetch first", "already exists", "needs force"];
        (why.starts_with("[rejected]") && ours.iter().any(|reason| why.contains(reason))).then(
            || Pushed::Rejected(format!("{name}: the remote has a different history ({why})")),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::super::{GitError, Pushed};
    use super::Fetched;

    /// A repository with a bare `origin` that has its `main`.
    fn with_origin() -> Repo {
        let repo = Repo::new();
        repo.git(&["clone", "-q", "--bare", ".", "../origin.git"]);
        repo.git(&["remote", "add", "origin", "../origin.git"]);
        repo
    }

    #[test]
    fn a_fetch_brings_branches_and_tags_and_nothing_else() {
        let repo = with_origin();
        let first = repo.id("HEAD");
        repo.git(&["--git-dir=../origin.git", "tag", "-a", "-m", "x", "v1", "main"]);
        repo.git(&["--git-dir=../origin.git", "update-ref", "refs/notes/x", first.as_str()]);
        repo.git(&[
            "--git-dir=../origin.git",
            "update-ref",
            "refs/gitroll/a/ledger/b",
            first.as_str(),
        ]);
        repo.git(&["config", "--add", "remote.origin.fetch", "+refs/notes/*:refs/notes/*"]);
        repo.git(&["config", "--add", "remote.origin.fetch", "+refs/heads/*:refs/copied/*"]);
        repo.git(&["config", "remote.origin.prune", "true"]);
        repo.git(&["update-ref", "refs/remotes/origin/stale", first.as_str()]);
        let git = repo.open();
        assert_eq!(git.remotes(), ["origin"]);
        assert_eq!(git.fetch_branch("origin", "main").unwrap(), Fetched::default());
        let refs = repo.git(&["for-each-ref", "--format=%(refname)"]);
        assert_eq!(
            refs.lines().collect::<Vec<_>>(),
            [
                "refs/heads/main",
                "refs/remotes/origin/main",
                "refs/remotes/origin/stale",
                "refs/tags/v1",
            ]
        );
        assert!(!repo.top.join(".git/FETCH_HEAD").exists());
    }

    #[test]
    fn a_tag_that_moved_on_the_remote_is_reported_and_stays_and_the_branches_come() {
        let repo = with_origin();
        let first = repo.id("HEAD");
        repo.git(&["tag", "v1"]);
        let second = repo.commit("second");
        repo.git(&["push", "-q", "origin", "main", "HEAD:refs/tags/v1", "HEAD:refs/tags/v2"]);
        repo.git(&["update-ref", "-d", "refs/remotes/origin/main"]);
        repo.git(&["config", "--add", "remote.origin.fetch", "+refs/tags/*:refs/tags/*"]);
        let git = repo.open();
        assert_eq!(git.fetch_branch("origin", "main").unwrap().moved_tags, ["refs/tags/v1"]);
        assert_eq!(git.find_ref("refs/tags/v1").unwrap(), Some(first));
        assert_eq!(git.find_ref("refs/tags/v2").unwrap(), Some(second.clone()));
        assert_eq!(git.find_ref("refs/remotes/origin/main").unwrap(), Some(second));
    }

    #[test]
    fn a_remote_that_is_away_is_an_error_in_gits_words() {
        let repo = with_origin();
        std::fs::remove_dir_all(repo.dir.path().join("origin.git")).unwrap();
        let git = repo.open();
        let error = git.fetch_branch("origin", "main").unwrap_err().to_string();
        assert!(error.starts_with("git fetch: ") && error.contains("origin.git"), "{error}");
        assert!(matches!(
            git.push("origin", &["refs/heads/main".to_owned()]).unwrap(),
            Pushed::Failed(_)
        ));
        for odd in ["nope", "--upload-pack=x", "../origin.git", ""] {
            assert!(
                matches!(git.fetch_branch(odd, "main"), Err(GitError::Command { .. })),
                "{odd}"
            );
        }
    }

    #[test]
    fn a_push_is_all_or_nothing_and_tells_a_copied_checkout_from_an_outage() {
        let repo = with_origin();
        let first = repo.id("HEAD");
        let chain = "refs/gitroll/production/ledger/w".to_owned();
        let tag = "refs/tags/v1-stable".to_owned();
        repo.git(&["update-ref", &chain, first.as_str()]);
        repo.git(&["update-ref", &tag, first.as_str()]);
        // A mirror would delete on the remote what is not here.
        repo.git(&["config", "remote.origin.mirror", "true"]);
        let git = repo.open();
        assert_eq!(git.push("origin", &[chain.clone(), tag.clone()]).unwrap(), Pushed::Done);
        assert_eq!(git.push("origin", &[chain.clone(), tag.clone()]).unwrap(), Pushed::Done);

        // Another checkout with the same writer went on differently.
        repo.git(&["checkout", "-q", "--orphan", "other"]);
        let other = repo.commit("another history");
        repo.git(&["update-ref", &chain, other.as_str()]);
        repo.git(&["update-ref", "refs/tags/v2-stable", first.as_str()]);
        let refs = [chain.clone(), "refs/tags/v2-stable".to_owned()];
        match git.push("origin", &refs).unwrap() {
            Pushed::Rejected(why) => assert!(why.contains(&chain), "{why}"),
            other => panic!("{other:?}"),
        }
        let there = repo.git(&["--git-dir=../origin.git", "for-each-ref", "--format=%(refname)"]);
        assert!(!there.contains("v2-stable"), "only a part of the push arrived: {there}");
        assert!(matches!(
            git.push("origin", &["refs/tags/absent".to_owned()]).unwrap(),
            Pushed::Failed(_)
        ));
    }
}
