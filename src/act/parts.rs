//! How the parts of the app stand beside the release: components whose files are another's, flags that are off.

use schemars::JsonSchema;
use serde::Serialize;

use crate::component::{self, Content};
use crate::config::{Component, FlagSource, FlagSourceKind};
use crate::flag::{self, Value};
use crate::model::{ComponentId, Event, FlagName, Oid, Outcome, Seq, Served};
use crate::plan::facts::Facts;
use crate::site::Site;
use crate::system::git::GitError;

/// More components than this were never taken back one after the other: a chain of commits that continues is not a release's.
const MOST: usize = 200;

/// One component beside the release that serves.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Part {
    /// The component.
    pub component: ComponentId,
    /// The release that serves otherwise, where the component's files are not as in it.
    pub not_as_in: Option<Served>,
    /// The component's flag.
    pub flag: Option<FlagName>,
    /// Whether the flag is off by its declared value; absent if that is not known without asking the app.
    pub flag_off: Option<bool>,
    /// The last record that changed its files or its flag here.
    pub record: Option<Seq>,
}

impl Part {
    /// Whether it is as the release has it.
    pub fn is_as_released(&self) -> bool {
        self.not_as_in.is_none() && self.flag_off != Some(true)
    }

    /// How it differs from the release, in words; `None` if it does not.
    pub fn words(&self) -> Option<String> {
        let files = self.not_as_in.as_ref().map(|release| format!("not as in {}", release.name));
        let off = self.flag.as_ref().filter(|_| self.flag_off == Some(true));
        let flag = off.map(|name| format!("{name} is off"));
        let words: Vec<String> = files.into_iter().chain(flag).collect();
        let record = self.record.map(|seq| format!(" (#{seq})")).unwrap_or_default();
        (!words.is_empty()).then(|| format!("{}{record}", words.join(", ")))
    }
}

/// Every declared component, in the order of gitroll.toml.
///
/// # Errors
/// When git cannot read what serves.
pub fn parts(site: &Site, facts: &Facts) -> Result<Vec<Part>, GitError> {
    let components = &facts.accepted.config.components;
    if components.is_empty() {
        return Ok(Vec::new());
    }
    let release = release(site, facts)?;
    components.iter().map(|component| part(site, facts, component, release.as_ref())).collect()
}

fn part(
    site: &Site,
    facts: &Facts,
    component: &Component,
    release: Option<&Served>,
) -> Result<Part, GitError> {
    let differs = |release: &Served| -> Result<bool, GitError> {
        let now = Content::of(&site.git, &facts.serving.commit, component)?;
        Ok(now != Content::of(&site.git, &release.commit, component)?)
    };
    let not_as_in = match release {
        Some(release) if differs(release)? => Some(release.clone()),
        _ => None,
    };
    let changed = facts.own(site).iter().rev().find(|entry| {
        let record = &entry.record;
        let flag = component.flag.as_ref();
        let files = record.event == Event::Component && record.components.contains(&component.id);
        let flags = record.flags.iter().any(|change| flag.is_some_and(|f| f.name == change.name));
        record.outcome == Outcome::Succeeded && (files || flags)
    });
    let mut part = Part {
        component: component.id.clone(),
        not_as_in,
        flag: component.flag.as_ref().map(|flag| flag.name.clone()),
        flag_off: flag_off(site, facts, component),
        record: None,
    };
    part.record = changed.map(|entry| entry.record.seq).filter(|_| !part.is_as_released());
    Ok(part)
}

/// What serves without the components that were taken back one by one: the revision that a person deployed. `None`
/// where that is what serves.
fn release(site: &Site, facts: &Facts) -> Result<Option<Served>, GitError> {
    let mut at: Oid = facts.serving.commit.clone();
    for _ in 0..MOST {
        match component::synthesised(&site.git.commit(&at)?) {
            Some(made) if site.git.has(&made.base) => at = made.base,
            _ => break,
        }
    }
    if at == facts.serving.commit {
        return Ok(None);
    }
    facts.names.served(&site.git, &at, None).map(Some)
}

/// Whether the flag is off: by its file, else by the last record that set it. An API or a command is not asked: it may be
/// down with the app, and who looks at night must not wait for it.
fn flag_off(site: &Site, facts: &Facts, component: &Component) -> Option<bool> {
    let declared = component.flag.as_ref()?;
    let source = facts.accepted.config.flags.as_ref()?.source(declared.source.as_ref())?;
    if let FlagSource {
        kind: FlagSourceKind::Dotenv(_) | FlagSourceKind::Document { .. }, ..
    } = source
    {
        let host = site.host(&facts.serving, "");
        let found = flag::read(&host, source, std::slice::from_ref(&declared.name)).ok()?;
        let found = found.get(&declared.name).cloned().unwrap_or(Value::Absent);
        return Some(found.plain().as_ref() == Some(&declared.off));
    }
    let set = facts.own(site).iter().rev().filter(|e| e.record.outcome == Outcome::Succeeded);
    let mut changes = set.flat_map(|entry| &entry.record.flags);
    let last = changes.find(|change| change.name == declared.name)?;
    Some(last.after.plain() == declared.off)
}
