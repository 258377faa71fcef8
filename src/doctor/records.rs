//! Records: whether they can be signed, are believed, are complete; runs, locks, clock, remote.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::examination::{Examination, INIT, on_path, quoted};
use crate::config::SigningFormat;
use crate::engine::{self, AtWork, Lock};
use crate::ledger::{self, LedgerError};
use crate::model::Oid;
use crate::plan::PlanError;
use crate::plan::facts::Facts;
use crate::plan::preflight;
use crate::site::{Site, hooks};
use crate::system::files;

/// How long the remote may take to answer: a good day's look is not worth more.
const REMOTE_LIMIT: Duration = Duration::from_secs(5);

/// How far another host's clock may go before.
const TOLERANCE: Duration = Duration::from_secs(300);

/// No trust file is larger.
const MOST_TRUST: u64 = 16 << 20;

const FETCH: &str = "git fetch origin 'refs/gitroll/*:refs/gitroll/*'";

/// Signs for a trial, without asking, and looks whether this host itself would believe it.
pub(super) fn signing(site: &Site, found: &mut Examination) {
    let binding = &site.binding;
    let trust = binding.trust_file();
    let needed = binding.openpgp.is_empty();
    match files::read_plain(&trust, MOST_TRUST) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !needed => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!(
                "{} is missing: no record is trusted; add the keys of other hosts again",
                trust.display()
            );
            found.problem("trust", what, Some(INIT.to_owned()));
        }
        Err(error) => {
            let fix = quoted(&binding.run_as)
                .and_then(|owner| on_path(&format!("sudo chown {owner}"), &trust));
            found.problem("trust", format!("{}: {error}", trust.display()), fix);
        }
        Ok(_) => {}
    }
    match ledger::probe_signing(&site.git, binding, None) {
        Ok(()) => found.fine("signing", format!("{} signs without a prompt", binding.signing.key)),
        Err(LedgerError::Untrusted { problem, .. }) => {
            let what = format!("this host's own key is not trusted: {problem}");
            found.problem("trust", what, Some(INIT.to_owned()));
        }
        Err(error) => found.problem("signing", error.to_string(), new_key(site)),
    }
    found.fine("trust", trust.display().to_string());
}

/// A key of the host's own. One that is there is used again, so one that cannot sign is saved.
fn new_key(site: &Site) -> Option<String> {
    let make = format!("{INIT} --new-key");
    let own = site.binding.dir.join("key");
    let is_own = site.binding.signing.format == SigningFormat::Ssh && own.exists();
    if !is_own {
        return Some(make);
    }
    use std::os::unix::fs::MetadataExt as _;
    if own.metadata().is_ok_and(|at| at.mode() & 0o077 != 0) {
        // ssh-keygen signs with no key that others may read.
        return on_path("chmod 600", &own);
    }
    let (from, to) = (own.display().to_string(), own.with_extension("old").display().to_string());
    Some(format!("mv {} {} && {make}", quoted(&from)?, quoted(&to)?))
}

/// Lock files that a killed git left. Those of a killed command of ours the next one removes by itself.
pub(super) fn locks(site: &Site, found: &mut Examination) {
    let killed = AtWork::killed(site);
    if let Some(killed) = killed.as_ref().filter(|killed| killed.leaves_something(site)) {
        let what = match killed.ended {
            true => format!("gitroll {} left files behind", killed.command),
            false => {
                format!("gitroll {}, or a git command that it started, was killed", killed.command)
            }
        };
        let what = format!("{what}; the next changing command cleans up");
        found.warning("locks", what, None);
    }
    let ours = killed.map(|_| site.git.stale_files().locks).unwrap_or_default();
    for path in preflight::stale_locks(site) {
        if ours.contains(&path) {
            continue;
        }
        let what = format!(
            "{} is in the way; if no git command is running here, a killed command left it",
            path.display()
        );
        found.problem("locks", what, on_path("rm", &path));
    }
}

/// Runs that are not over, journals that cannot be read, records that wait to be signed.
pub(super) fn runs(site: &Site, found: &mut Examination) {
    match (engine::open_runs(site), Lock::holder(&site.state())) {
        (_, Some(held)) if held.process.as_ref().is_some_and(|p| p.pid != std::process::id()) => {
            let what = format!("gitroll {} by {} is running now", held.command, held.who());
            found.warning("runs", what, None);
        }
        (Err(error), _) => {
            let fix = error.damaged_run().and_then(|run| {
                let (run, state) = (run.display().to_string(), site.state());
                let state = state.display().to_string();
                Some(format!("mv {} {}", quoted(&run)?, quoted(&state)?))
            });
            found.problem("runs", error.to_string(), fix);
        }
        (Ok(runs), _) => {
            for run in runs {
                let other = match run.course() {
                    engine::Course::Proven => "observed serving, only its record is missing",
                    engine::Course::Back => "it is going back; gitroll abort does the same",
                    _ => "gitroll abort restores what served before",
                };
                let what = format!("a run is open: {} to {}; {other}", run.plan.event, run.plan.to);
                found.problem("runs", what, Some("gitroll resume".to_owned()));
            }
        }
    }
    let queued = engine::queued(site).len();
    if queued > 0 {
        let what = format!("records that are not signed yet: {queued}; the next change signs them");
        found.warning("runs", what, Some(INIT.to_owned()));
    }
    found.fine("runs", "none open");
}

/// Reads what the chains say; nothing where the own one cannot be used.
pub(super) fn chains(site: &Site, found: &mut Examination) -> Option<Facts> {
    let facts = match Facts::gather(site) {
        Ok(facts) => facts,
        Err(error) => {
            let fix = match &error {
                PlanError::Ledger(why) => mended_by(site, why),
                PlanError::NoChain(_) => fetched(site),
                PlanError::Git(_) => Some("git fsck".to_owned()),
                _ => None,
            };
            found.problem("records", error.to_string(), fix);
            return None;
        }
    };
    if let Some(dispute) = &facts.ledger.dispute {
        let what = format!(
            "this host's own records cannot be verified now: {}; known up to #{}, which it verified before",
            dispute.why, dispute.until
        );
        found.problem("records", what, mended_by(site, &dispute.why));
    }
    for (chain, why) in &facts.ledger.refused {
        found.warning("records", format!("{chain} is rejected: {why}"), None);
    }
    for missing in engine::unprojected(site) {
        found.warning("records", missing, Some("gitroll fsck".to_owned()));
    }
    found.fine("records", format!("{} of this host, all valid", facts.own(site).len()));
    Some(facts)
}

fn mended_by(site: &Site, why: &LedgerError) -> Option<String> {
    match why {
        LedgerError::Rewritten { .. } => Some("gitroll fsck --repair".to_owned()),
        LedgerError::Missing { .. } => fetched(site),
        LedgerError::Untrusted { .. } => Some(INIT.to_owned()),
        LedgerError::Malformed { .. } | LedgerError::Broken { .. } => fetched(site),
        _ => Some("git fsck".to_owned()),
    }
}

fn fetched(site: &Site) -> Option<String> {
    let remote = site.git.remotes().iter().any(|name| name == "origin");
    let new = format!("{INIT} --new-writer");
    Some(if remote { FETCH.to_owned() } else { new })
}

/// The clock against the records: one that went back makes what served last look like what comes.
pub(super) fn clock(site: &Site, facts: &Facts, found: &mut Examination) {
    let last = facts.own(site).last().map(|entry| entry.tagger.time);
    let others = facts.ledger.chains.values().filter(|c| c.writer != site.binding.writer);
    let others: Vec<(String, Timestamp)> = others
        .filter_map(|c| Some((c.writer.to_string(), c.entries.last()?.tagger.time)))
        .collect();
    judge_clock(facts.now, last, &others, found);
    found.fine("clock", format!("{} UTC", facts.now.strftime("%Y-%m-%d %H:%M")));
}

fn judge_clock(
    now: Timestamp,
    last: Option<Timestamp>,
    others: &[(String, Timestamp)],
    found: &mut Examination,
) {
    let set = || Some("sudo timedatectl set-ntp true".to_owned());
    if let Some(last) = last.filter(|last| *last > now) {
        let what = format!("this host's clock says {now}, but its own last record is from {last}");
        found.problem("clock", what, set());
    }
    for (writer, last) in others {
        if last.duration_since(now).as_secs() > TOLERANCE.as_secs() as i64 {
            let what =
                format!("the last record of {writer} is from {last}, which is in the future");
            found.warning("clock", what, set());
        }
    }
}

/// Whether the remote answers, has all records and what others rely on, and what of it is protected there as far as that
/// can be seen. Nobody is asked for a password.
pub(super) fn remote(site: &Site, facts: &Facts, found: &mut Examination) {
    let remote = &facts.accepted.config.remote;
    if !site.git.remotes().contains(&remote.name) {
        let what = format!("there is no remote {}: records stay on this host", remote.name);
        if remote.required {
            found.problem("remote", what, None);
        } else {
            found.fine("remote", what);
        }
        return;
    }
    let asked =
        [format!("{}*", ledger::chain_prefix(&site.binding.environment)), "refs/tags/*".to_owned()];
    match site.git.remote_refs_like(&remote.name, &asked, REMOTE_LIMIT) {
        Err(error) => {
            let fix = quoted(&remote.name).map(|name| format!("git ls-remote {name}"));
            let what = format!("{} does not answer: {error}", remote.name);
            if remote.required {
                found.problem("remote", what, fix);
            } else {
                found.warning("remote", what, fix);
            }
        }
        Ok(there) => {
            has_records(site, facts, &there, found);
            keeps_tags(site, facts, &there, found);
            found.fine("remote", format!("{} answers and has every record", remote.name));
            protection(site, facts, found);
        }
    }
}

/// The refs of a remote.
type There = [(String, Oid)];

/// Whether the remote has this host's records, and all of other hosts' that were seen here.
fn has_records(site: &Site, facts: &Facts, there: &There, found: &mut Examination) {
    let remote = &facts.accepted.config.remote.name;
    let head = |name: &str| there.iter().find(|(n, _)| n == name).map(|(_, head)| head);
    let chain_of = |writer| ledger::chain_ref(&site.binding.environment, writer);
    let own = facts.own(site);
    let position = |head: &Oid| own.iter().position(|entry| entry.commit == *head);
    match head(&chain_of(&site.binding.writer)) {
        Some(head) if position(head).is_none() => {
            let what = format!(
                "{remote} has records of this host that are not here: this checkout was restored from an older copy, or \
                 copied"
            );
            found.warning("remote", what, Some(format!("{INIT} --new-writer")));
        }
        head => {
            let waiting = own.len() - head.and_then(position).map_or(0, |position| position + 1);
            if waiting > 0 {
                let what = format!("records that are not on {remote}: {waiting}");
                found.warning("remote", what, Some("gitroll sync".to_owned()));
            }
        }
    }
    for chain in facts.ledger.chains.values().filter(|chain| chain.writer != site.binding.writer) {
        let Some(last) = chain.entries.last() else { continue };
        let lost = match head(&chain_of(&chain.writer)) {
            None => "no records",
            Some(head) if chain.entries.iter().any(|entry| entry.commit == *head) => {
                if *head == last.commit { continue } else { "fewer records" }
            }
            // What is not here yet continues it, or not: sync says which.
            Some(_) => continue,
        };
        let what =
            format!("{remote} has {lost} of {} than are here: someone removed them", chain.writer);
        found.warning("remote", what, Some("gitroll fsck".to_owned()));
    }
}

/// Whether the remote's stable tags are those that were promoted.
fn keeps_tags(site: &Site, facts: &Facts, there: &There, found: &mut Examination) {
    let remote = &facts.accepted.config.remote.name;
    let (mut moved, mut missing) = (Vec::new(), Vec::new());
    for promotion in facts.history.promotions() {
        let tag = &promotion.tag;
        match there.iter().find(|(name, _)| *name == tag.name) {
            Some((_, id)) if *id == tag.id => {}
            Some(_) => moved.push(tag.short()),
            None if site
                .git
                .find_ref(&tag.name)
                .is_ok_and(|here| here.as_ref() == Some(&tag.id)) =>
            {
                missing.push(tag.short());
            }
            None => {}
        }
    }
    if !moved.is_empty() {
        let what = format!(
            "on {remote}, someone moved {}: it is not what was promoted, and other hosts refuse it",
            moved.join(", ")
        );
        found.warning("remote", what, Some("gitroll fsck".to_owned()));
    }
    if !missing.is_empty() {
        let what = format!("stable tags that are not on {remote}: {}", missing.join(", "));
        found.warning("remote", what, Some("gitroll sync".to_owned()));
    }
}

/// Who keeps people from moving and deleting these refs on the remote, as far as can be seen from here.
fn protection(site: &Site, facts: &Facts, found: &mut Examination) {
    let remote = &facts.accepted.config.remote.name;
    let Some(url) = site.git.remote_url(remote) else { return };
    let path = url.strip_prefix("file://").unwrap_or(&url);
    if path.starts_with('/') {
        let dir = Path::new(path);
        let dir = if dir.join("HEAD").exists() { dir.to_owned() } else { dir.join(".git") };
        if hooks::Server::at(&dir).is_some_and(|server| server.is_guarded()) {
            found.fine(
                "guard",
                format!("gitroll's guard protects stable tags and records in {path}"),
            );
        } else {
            let what = format!(
                "nothing in {path} protects stable tags and records: anyone who pushes can move them"
            );
            let trust = quoted(&site.binding.trust_file().display().to_string());
            let fix = trust.and_then(|trust| {
                on_path(&format!("gitroll hooks install --server --trust {trust} -C"), &dir)
            });
            found.warning("guard", what, fix);
        }
        return;
    }
    let what = match forge(&url) {
        Some((forge, rules)) => format!(
            "{forge} protects *-stable and gitroll/** if its {rules} say so, which cannot be seen from here, and cannot \
             protect refs/gitroll/*: every host notices a history that was rewritten"
        ),
        None => format!(
            "whether {remote} protects stable tags and records cannot be seen from here: it does with gitroll hooks \
             install --server"
        ),
    };
    found.fine("guard", what);
}

/// A forge that runs no hooks of its users, and what its rules for tags are called.
fn forge(url: &str) -> Option<(&'static str, &'static str)> {
    const FORGES: [(&str, &str); 3] = [
        ("github.com", "tag rulesets"),
        ("gitlab.com", "protected tags"),
        ("bitbucket.org", "branch and tag permissions"),
    ];
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    FORGES.into_iter().find(|(forge, _)| *forge == host)
}

/// Whether `roles.toml` gives this host's key what it does here, and names only keys that are trusted.
pub(super) fn roles(site: &Site, found: &mut Examination) {
    let list = Some("gitroll trust list".to_owned());
    match ledger::key::examine_roles(&site.binding) {
        Err(error) => found.problem("roles", error.to_string(), None),
        Ok(None) => found.fine(
            "roles",
            "there is no [[key]] in roles.toml: every trusted key may do everything",
        ),
        Ok(Some(state)) => {
            for (lacks, what) in &state.lacking {
                let what = format!("this host's key does not have the role {lacks}: {what}");
                found.warning("roles", what, list.clone());
            }
            for (role, act) in &state.nobody {
                found.warning(
                    "roles",
                    format!("no trusted key has the role {role}: nobody can {act}"),
                    list.clone(),
                );
            }
            for key in &state.unknown {
                let what = format!("roles.toml gives roles to {key}, which is not a trusted key");
                found.warning("roles", what, list.clone());
            }
            found.fine("roles", "roles.toml gives this host's key what it needs");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_forge_is_known_by_the_host_of_its_address() {
        for (url, wanted) in [
            ("git@github.com:team/shop.git", Some("github.com")),
            ("ssh://git@gitlab.com:22/team/shop.git", Some("gitlab.com")),
            ("https://github.com/team/shop", Some("github.com")),
            ("https://github.com.example.org/shop", None),
            ("deploy@git.example.org:github.com/shop.git", None),
            ("host:shop.git", None),
        ] {
            assert_eq!(forge(url).map(|(name, _)| name), wanted, "{url}");
        }
    }

    #[test]
    fn a_clock_that_went_back_is_a_problem_and_another_hosts_future_a_warning() {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        for (last, other, wanted) in [
            (Some(999), 1_000, vec![]),
            (Some(1_001), 1_000, vec![Level::Problem]),
            (None, 1_300, vec![]),
            (None, 1_301, vec![Level::Warning]),
            (Some(2_000), 2_000, vec![Level::Problem, Level::Warning]),
        ] {
            let mut found = Examination::default();
            let others = [("web-2.k3f9".to_owned(), at(other))];
            judge_clock(at(1_000), last.map(at), &others, &mut found);
            let levels: Vec<Level> = found.findings.iter().map(|f| f.level).collect();
            assert_eq!(levels, wanted, "{last:?} {other}");
        }
    }
}
