//! Everything that would make tonight's `back` fail, found on a good day: findings, each with the command
//! that fixes it. Looks and changes nothing.

mod channels;
mod examination;
mod flags;
mod host;
mod points;
mod records;
mod serving;
mod way_back;

pub use examination::{Examination, Finding, Level, quoted};

use crate::config::{Binding, BindingError};
use crate::plan::preflight;
use crate::site::{Observed, Site};
use crate::system::git::Git;

/// Looks at a checkout and its host. Where one thing hides the next (no binding, no records), it ends with
/// what can be said until then.
pub fn examine(git: Git, binding: Result<Binding, BindingError>, actor: String) -> Examination {
    let mut found = Examination::default();
    host::hooks(&git, &mut found);
    let binding = match binding {
        Ok(binding) => binding,
        Err(error) => {
            host::no_binding(git.top(), &error, &mut found);
            return in_order(found);
        }
    };
    let bound = host::binding(&binding, &mut found);
    if !bound {
        return in_order(found);
    }
    let site = Site::new(git, binding, actor);
    host::git(&site, &mut found);
    host::state(&site, &mut found);
    records::signing(&site, &mut found);
    records::locks(&site, &mut found);
    records::runs(&site, &mut found);
    let Some(facts) = records::chains(&site, &mut found) else { return in_order(found) };
    records::clock(&site, &facts, &mut found);
    records::roles(&site, &mut found);
    records::remote(&site, &facts, &mut found);
    let config = &facts.accepted.config;
    let observed = Observed::now(&site, config, &facts.serving, &facts.deployment(&site));
    serving::configuration(&site, &facts, &mut found);
    serving::tree(&site, &facts, &mut found);
    for (path, error) in site.unread_environment(config) {
        found.warning("secrets", preflight::not_hidden(&path, &error), None);
    }
    serving::services(&site, config, &facts.serving, &observed, &mut found);
    way_back::examine(&site, &facts, &mut found);
    serving::logs(&site, config, &facts.serving, &observed, &mut found);
    serving::checks(config, &observed, &mut found);
    flags::examine(&site, &facts, &mut found);
    points::examine(&site, &mut found);
    channels::examine(&site, config, &mut found);
    in_order(found)
}

/// The order in which things are fixed: what is first may be why the next is wrong.
fn in_order(mut found: Examination) -> Examination {
    const ORDER: [&str; 23] = [
        "binding", "tools", "git", "identity", "state", "trust", "signing", "roles", "locks",
        "runs", "records", "guard", "clock", "config", "services", "checks", "flags", "tree",
        "target", "stable", "points", "notify", "disk",
    ];
    let place = |finding: &Finding| {
        ORDER.iter().position(|subject| *subject == finding.subject).unwrap_or(ORDER.len())
    };
    found.findings.sort_by_key(place);
    found
}
