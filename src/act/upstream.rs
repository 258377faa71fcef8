//! What a revision means on its remote: asked before a deploy, within bounded time, while others may act here.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::caller::{Caller, Notice};
use super::failure::Failure;
use super::session::Session;
use crate::engine;
use crate::model::{Narration, Oid, Seq};
use crate::plan::facts::Facts;
use crate::site::Site;
use crate::system::git::GitError;
use crate::system::text::quoted;

/// A remote that has not answered a question about a few refs by then counts as away.
const ASK_LIMIT: Duration = Duration::from_secs(20);

const STEP: &str = "fetch";

/// What a remote said of a revision.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    /// The commit that the remote's branch is at. `None`: what is here counts.
    pub commit: Option<Oid>,
    /// What a person should know who relies on it.
    pub warnings: Vec<String>,
}

/// Asks the remote that knows `rev` (a tag or branch as typed; `[deploy] ref` where nothing was typed) and fetches
/// what it stands for. Names that can only mean something here are not asked about.
///
/// # Errors
/// When `[deploy] ref` cannot be had, a branch is gone on its remote, a tag or branch is another one here than there.
pub(super) fn ask(caller: &Caller, rev: Option<&str>) -> Result<Upstream, Failure> {
    let session = Session::look(caller)?;
    session.must_be_owner()?;
    let remotes = session.site.git.remotes();
    // The way on from an open run leads elsewhere, and is told without any network.
    if !engine::open_runs(&session.site)?.is_empty() {
        return Ok(Upstream::default());
    }
    let facts = Facts::gather(&session.site)?;
    let asking =
        Asking { caller, site: &session.site, facts: &facts, remotes, began: Cell::default() };
    let found = match rev {
        None => asking.newest(),
        Some(rev) => asking.named(rev),
    };
    if let Some(began) = asking.began.get() {
        if found.is_ok() {
            let took = began.elapsed();
            caller.tell(Notice::Step(Narration::Done { step: STEP.into(), took }));
        }
        caller.tell(Notice::StepsEnd);
    }
    found
}

struct Asking<'a> {
    caller: &'a Caller,
    site: &'a Site,
    facts: &'a Facts,
    remotes: Vec<String>,
    /// When a remote was first asked.
    began: Cell<Option<Instant>>,
}

impl Asking<'_> {
    /// The newest of `[deploy] ref`, where HEAD was not moved by hand.
    fn newest(&self) -> Result<Upstream, Failure> {
        let Some(upstream) = &self.facts.accepted.config.deploy.upstream else {
            return Ok(Upstream::default());
        };
        if self.facts.by_hand() {
            return Ok(Upstream::default());
        }
        let name = format!("{}/{}", upstream.remote, upstream.branch);
        if !self.remotes.contains(&upstream.remote) {
            return Err(Failure::unchanged(format!("there is no remote {}", upstream.remote))
                .detail(format!("[deploy] ref is {name:?}"))
                .next(self.without_fetching(&name), "deploys what is already here"));
        }
        match self.branch_there(&upstream.remote, &upstream.branch) {
            Ok(there) => self.fetch(&upstream.remote, &upstream.branch, there),
            Err(error) => Err(Failure::from(error).nothing_changed().next(
                self.without_fetching(&name),
                "deploys what is already here, without fetching",
            )),
        }
    }

    /// The command that deploys a remote's branch as it was fetched last, or what is checked out.
    fn without_fetching(&self, name: &str) -> String {
        let fetched = format!("refs/remotes/{name}");
        let there = matches!(self.site.git.find_ref(&fetched), Ok(Some(_)));
        let rev = quoted(&fetched).filter(|_| there);
        format!("gitroll deploy {}", rev.as_deref().unwrap_or("HEAD"))
    }

    fn named(&self, rev: &str) -> Result<Upstream, Failure> {
        let git = &self.site.git;
        let cut = [rev.find('~'), rev.find('^'), rev.find("@{")].into_iter().flatten().min();
        let (base, way) = rev.split_at(cut.unwrap_or(rev.len()));
        // What no ref may be called is not handed to git either.
        let odd = |c: char| c.is_control() || c.is_whitespace() || ":*?[\\".contains(c);
        let here_only = base.is_empty()
            || base.starts_with('-')
            || base.contains(odd)
            || base.starts_with("refs/")
            || ["HEAD", "ORIG_HEAD", "@"].contains(&base)
            || self.remotes.is_empty()
            || Seq::typed(base).is_some_and(|seq| self.has_record(seq));
        if here_only {
            return Ok(Upstream::default());
        }
        if let Some((remote, branch)) = self.split(base) {
            let found = self.of_remote(remote, branch)?;
            return Ok(if way.is_empty() { found } else { Upstream { commit: None, ..found } });
        }
        if base.len() >= 4 && base.bytes().all(|b| b.is_ascii_hexdigit()) && !self.is_ref(base)? {
            return self.of_id(base);
        }
        // A way through history begins at what is here.
        if !way.is_empty() {
            return Ok(Upstream::default());
        }
        let follows = git.upstream_of(base)?;
        let Some((remote, branch)) =
            follows.clone().or_else(|| Some((self.default_remote()?, base.to_owned())))
        else {
            return Ok(Upstream::default());
        };
        self.tag_or_branch(base, &remote, &branch, follows.is_some())
    }

    fn has_record(&self, seq: Seq) -> bool {
        self.facts.own(self.site).iter().any(|entry| entry.record.seq == seq)
    }

    fn is_ref(&self, name: &str) -> Result<bool, Failure> {
        let find = |kind: &str| self.site.git.find_ref(&format!("refs/{kind}/{name}"));
        Ok(find("tags")?.is_some() || find("heads")?.is_some())
    }

    /// `origin/main` as the remote and its branch.
    fn split<'n>(&self, name: &'n str) -> Option<(&str, &'n str)> {
        let of = |remote: &String| name.strip_prefix(remote.as_str())?.strip_prefix('/');
        let mut found =
            self.remotes.iter().filter_map(|remote| Some((remote.as_str(), of(remote)?)));
        found.find(|(_, branch)| !branch.is_empty())
    }

    fn default_remote(&self) -> Option<String> {
        let upstream = self.facts.accepted.config.deploy.upstream.as_ref();
        let configured = upstream.map(|upstream| upstream.remote.clone());
        let known = configured.filter(|remote| self.remotes.contains(remote));
        let origin = || self.remotes.iter().find(|remote| *remote == "origin").cloned();
        let only = || match self.remotes.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        known.or_else(origin).or_else(only)
    }

    /// A branch named with its remote: as it is there; where the remote is away, as it was last seen.
    fn of_remote(&self, remote: &str, branch: &str) -> Result<Upstream, Failure> {
        let error = match self.branch_there(remote, branch) {
            Ok(there) => return self.fetch(remote, branch, there),
            Err(error) => error,
        };
        match self.site.git.find_ref(&tracking(remote, branch))? {
            Some(_) => Ok(away(remote, &format!("{remote}/{branch}"), &error)),
            None => Err(Failure::from(error).nothing_changed()),
        }
    }

    /// An id that may only be on a remote yet.
    fn of_id(&self, id: &str) -> Result<Upstream, Failure> {
        let git = &self.site.git;
        let unknown = matches!(git.resolve(id), Err(GitError::Unknown { .. }));
        let Some(remote) = self.default_remote().filter(|_| unknown) else {
            return Ok(Upstream::default());
        };
        let upstream = self.facts.accepted.config.deploy.upstream.as_ref();
        let branch = upstream.filter(|upstream| upstream.remote == remote);
        let fetched = self.step(|| match branch {
            Some(upstream) => git.fetch_branch(&remote, &upstream.branch),
            None => git.fetch_branch(&remote, "*"),
        });
        match fetched {
            Ok(_) => Ok(Upstream::default()),
            Err(error) => Ok(away(&remote, id, &error)),
        }
    }

    /// A plain name: the tag of that name, here or on the remote, else the branch with what it follows.
    fn tag_or_branch(
        &self,
        name: &str,
        remote: &str,
        branch: &str,
        follows: bool,
    ) -> Result<Upstream, Failure> {
        let git = &self.site.git;
        let (tag, head) = (format!("refs/tags/{name}"), format!("refs/heads/{branch}"));
        let asked = self.step(|| git.remote_refs(remote, &[tag.clone(), head.clone()], ASK_LIMIT));
        let there = match asked {
            Ok(there) => there,
            Err(error) if git.resolve(name).is_ok() => return Ok(away(remote, name, &error)),
            Err(error) => {
                let message =
                    format!("{name:?} does not name a commit here, and {remote} does not answer");
                return Err(Failure::unchanged(message)
                    .detail(error.to_string())
                    .nothing_changed()
                    .next("gitroll targets", "shows the targets here"));
            }
        };
        let on_remote =
            |full: &str| there.iter().find(|(name, _)| name == full).map(|(_, id)| id.clone());
        match (git.find_ref(&tag)?, on_remote(&tag)) {
            (Some(here), Some(there)) if here != there => Err(Failure::refused(format!(
                "the tag {name} here differs from the one on {remote}"
            ))
            .detail(format!("here  {}", self.commit_of(&tag, &here)))
            .detail(format!("{remote}  {}", there.short()))
            .next(format!("git fetch --force {remote} tag {name}"), "fetches the remote's tag")
            .next(format!("gitroll deploy {tag}"), "deploys the one here")),
            (Some(_), _) => self.only_a_tag(name, remote, branch, on_remote(&head)),
            (None, Some(there)) => {
                let fetched = self.step(|| git.fetch_tag(remote, name))?;
                if git.find_ref(&tag)?.as_ref() == Some(&there) {
                    return self.only_a_tag(name, remote, branch, on_remote(&head));
                }
                let why = fetched.refused.unwrap_or_else(|| "it moved meanwhile".to_owned());
                Err(Failure::unchanged(format!(
                    "the tag {name} cannot be fetched from {remote}: {why}"
                ))
                .nothing_changed()
                .next(format!("git fetch {remote} tag {name}"), "shows details"))
            }
            (None, None) => self.branch(name, remote, branch, on_remote(&head), follows),
        }
    }

    /// The tag `name`, unless a branch of that name on the remote, at `there`, is another commit.
    fn only_a_tag(
        &self,
        name: &str,
        remote: &str,
        branch: &str,
        there: Option<Oid>,
    ) -> Result<Upstream, Failure> {
        let tag = format!("refs/tags/{name}");
        let Some(there) = there else { return Ok(Upstream::default()) };
        let tagged = self.site.git.resolve(&tag)?;
        if tagged == there {
            return Ok(Upstream::default());
        }
        let shown = format!("{remote}/{branch}");
        Err(Failure::refused(format!("{name} is both a tag and a branch of {remote}"))
            .detail(format!("{tag}  {}", tagged.short()))
            .detail(format!("{shown}  {}", there.short()))
            .nothing_changed()
            .next(format!("gitroll deploy {shown}"), "deploys the branch")
            .next(format!("gitroll deploy {tag}"), "deploys the tag"))
    }

    /// The branch `name` here with `branch` of `remote`, which is at `there`.
    fn branch(
        &self,
        name: &str,
        remote: &str,
        branch: &str,
        there: Option<Oid>,
        follows: bool,
    ) -> Result<Upstream, Failure> {
        let git = &self.site.git;
        let here = git.find_ref(&format!("refs/heads/{name}"))?;
        if there.is_none() && !follows {
            return Ok(Upstream::default());
        }
        let mut found = self.fetch(remote, branch, there)?;
        let (Some(here), Some(there)) = (here, found.commit.clone()) else { return Ok(found) };
        let shown = format!("{remote}/{branch}");
        if git.contains(&there, &here)? {
            if here != there {
                self.caller.info(format!("{name} here is behind {shown}, which is deployed"));
            }
            return Ok(found);
        }
        if !git.contains(&here, &there)? {
            let message = format!("{name} here and {shown} have diverged");
            return Err(Failure::refused(message)
                .next(format!("gitroll deploy {shown}"), "deploys the remote's")
                .next(format!("gitroll deploy refs/heads/{name}"), "deploys the one here"));
        }
        let more = git.distance(&there, &here)?;
        found.warnings.push(format!("deploying {name} as it is here: {more} ahead of {shown}"));
        found.commit = None;
        Ok(found)
    }

    fn branch_there(&self, remote: &str, branch: &str) -> Result<Option<Oid>, GitError> {
        let name = format!("refs/heads/{branch}");
        self.step(|| self.site.git.remote_ref(remote, &name, ASK_LIMIT))
    }

    /// Fetches a branch that is at `there`. That it came is told by the ref here, not by git's exit code.
    fn fetch(&self, remote: &str, branch: &str, there: Option<Oid>) -> Result<Upstream, Failure> {
        let git = &self.site.git;
        let mut there = there.ok_or_else(|| self.gone(remote, branch))?;
        let here = tracking(remote, branch);
        let mut fetched = self.step(|| git.fetch_branch(remote, branch))?;
        if git.find_ref(&here)?.as_ref() != Some(&there) {
            let removed = self.step(|| git.clear_the_way(remote, branch, ASK_LIMIT))?;
            for name in &removed {
                let name = name.trim_start_matches("refs/remotes/");
                self.caller.info(format!(
                    "{name} was removed: it no longer exists on {remote} and was in the way"
                ));
            }
            // Or it moved on between question and fetch.
            fetched = self.step(|| git.fetch_branch(remote, branch))?;
            let again = self.branch_there(remote, branch)?;
            there = again.ok_or_else(|| self.gone(remote, branch))?;
        }
        if git.find_ref(&here)?.as_ref() != Some(&there) {
            let why = fetched.refused.unwrap_or_else(|| "it keeps moving".to_owned());
            return Err(Failure::unchanged(format!("{remote}/{branch} cannot be fetched: {why}"))
                .nothing_changed()
                .next(format!("git remote prune {remote}"), "removes what is gone there")
                .next(format!("git fetch {remote}"), "shows details"));
        }
        Ok(Upstream { commit: Some(there), warnings: moved(remote, &fetched.moved_tags) })
    }

    fn gone(&self, remote: &str, branch: &str) -> Failure {
        let last = tracking(remote, branch);
        let known = matches!(self.site.git.find_ref(&last), Ok(Some(_)));
        let what = if known { "no longer has a branch" } else { "has no branch" };
        let failure = Failure::unchanged(format!("{remote} {what} {branch}"))
            .nothing_changed()
            .next(format!("git ls-remote --heads {remote}"), "shows its branches");
        match known {
            true => failure.next(format!("gitroll deploy {last}"), "deploys it as last seen"),
            false => failure,
        }
    }

    fn commit_of(&self, full_name: &str, id: &Oid) -> String {
        let commit = self.site.git.resolve(full_name);
        commit.as_ref().unwrap_or(id).short().to_owned()
    }

    /// Something that is asked of a remote: all of it is one step for who watches.
    fn step<T>(&self, work: impl FnOnce() -> Result<T, GitError>) -> Result<T, GitError> {
        if self.began.get().is_none() {
            self.began.set(Some(Instant::now()));
            self.caller.tell(Notice::Step(Narration::Begin { step: STEP.into() }));
        }
        work()
    }
}

fn tracking(remote: &str, branch: &str) -> String {
    format!("refs/remotes/{remote}/{branch}")
}

/// A remote that is away: what is here counts, and that is said.
fn away(remote: &str, name: &str, error: &GitError) -> Upstream {
    let warning = format!("{remote} does not answer; using {name} as last seen here: {error}");
    Upstream { commit: None, warnings: vec![warning] }
}

fn moved(remote: &str, tags: &[String]) -> Vec<String> {
    const NAMED: usize = 3;
    let mut shown: Vec<&str> =
        tags.iter().take(NAMED).map(|tag| tag.trim_start_matches("refs/tags/")).collect();
    let more = tags.len().saturating_sub(NAMED).to_string();
    if tags.len() > NAMED {
        shown.extend(["and", &more, "more"]);
    }
    match shown.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "tags that differ on {remote} are left unchanged here: {}",
            shown.join(" ")
        )],
    }
}
