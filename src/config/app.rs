//! The validated form of `gitroll.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher, GlobSet};

use super::data::{DataSource, Points, Settings};
use super::{
    Channel, Check, Contact, Flag, FlagSource, Flags, Links, Rule, Soak, Verify, WatchSettings,
};
use crate::model::{
    AppName, ApprovalLevel, CheckName, ComponentId, DataName, FlagChange, FlagName, FlagValue,
    GroupName, HookMoment, HookStep, RepoPath, ServiceName,
};

/// A whole `gitroll.toml`, checked. Durations are typed, paths stay inside the repository, names refer
/// to things that exist.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[app]`
    pub app: App,
    /// `[deploy]`
    pub deploy: Deploy,
    /// `[stable]`
    pub stable: Stable,
    /// `[[build]]`, in order.
    pub build: Vec<Build>,
    /// `[migrate]`
    pub migrate: Migrate,
    /// `[approvals]`
    pub approvals: Approvals,
    /// `[data.NAME]`, by name.
    pub data: Vec<DataSource>,
    /// `[settings.NAME]`, by name.
    pub settings: Vec<Settings>,
    /// `[points]`
    pub points: Points,
    /// `[service.NAME]`, every service after those it depends on.
    pub services: Vec<Service>,
    /// `[[check]]`, in order.
    pub checks: Vec<Check>,
    /// `[component.ID]`
    pub components: Vec<Component>,
    /// `[flags]`
    pub flags: Option<Flags>,
    /// `[[rule]]`, in order.
    pub rules: Vec<Rule>,
    /// `[watch]`
    pub watch: WatchSettings,
    /// `[soak]`
    pub soak: Soak,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[notify.NAME]`, in order.
    pub notify: Vec<Channel>,
    /// `[contacts]`, in order.
    pub contacts: Vec<Contact>,
    /// `[links]`
    pub links: Links,
    /// `[remote]`
    pub remote: Remote,
    /// `[run]`
    pub run: RunSettings,
    /// `[retention]`
    pub retention: Retention,
    /// `[rto]`
    pub rto: Rto,
}

impl Config {
    /// The services that are stopped while a database is replaced.
    pub fn services_of(&self, source: &DataSource) -> Vec<ServiceName> {
        match source.services.is_empty() {
            true => self.services.iter().map(|service| service.name.clone()).collect(),
            false => source.services.clone(),
        }
    }

    /// What shows, in the running app, that a flag has the value it is changed to.
    pub fn flag_verify(&self, change: &FlagChange) -> Option<&Verify> {
        let source = self.flags.as_ref()?.source(Some(&change.source))?;
        let sole = self.flags.as_ref().is_some_and(|flags| flags.sources.len() == 1);
        let mut declared = self.components.iter().filter_map(|c| c.flag.as_ref()).filter(|flag| {
            flag.name == change.name
                && flag.source.as_ref().map_or(sole, |name| *name == change.source)
        });
        let any = |verify: &&Verify| match verify {
            Verify::Environ => true,
            Verify::Ask { tells_value, .. } => *tells_value,
        };
        // A secret is compared by its digest: what means off is in the configuration, and none.
        let is = |text: &String| {
            let hidden = FlagValue::shown(&change.name, text.as_str().into());
            match &change.after {
                FlagValue::Absent => false,
                after => after.plain() == *text || *after == hidden,
            }
        };
        let own = declared.clone().find_map(|flag| {
            if is(&flag.off) {
                flag.verify.as_ref()
            } else if flag.on.as_ref().is_some_and(is) {
                flag.verify_on.as_ref().or(flag.verify.as_ref().filter(any))
            } else {
                flag.verify.as_ref().filter(any)
            }
        });
        let is_off = declared.any(|flag| is(&flag.off));
        own.or(source.verify.as_ref().filter(|verify| is_off || any(verify)))
    }

    /// The services that read a source.
    pub fn flag_readers(&self, source: &FlagSource) -> Vec<ServiceName> {
        if source.services.is_empty() {
            return self.services.iter().map(|service| service.name.clone()).collect();
        }
        source.services.clone()
    }

    /// The services that take a change of these flags of a source: those that read it; where it names none and only
    /// components with `services` declare the flags, theirs.
    pub fn flag_takers(&self, source: &FlagSource, names: &[&FlagName]) -> Vec<ServiceName> {
        let all = self.flag_readers(source);
        if !source.services.is_empty() {
            return all;
        }
        let mut touched = Vec::new();
        for name in names {
            let of = |component: &&Component| {
                let flags = self.flags.as_ref();
                component.flag.as_ref().is_some_and(|flag| {
                    let kept = flags.and_then(|flags| flags.source(flag.source.as_ref()));
                    flag.name == **name && kept.is_some_and(|kept| kept.name == source.name)
                })
            };
            let components: Vec<&Component> = self.components.iter().filter(of).collect();
            if components.is_empty() || components.iter().any(|c| c.services.is_empty()) {
                return all;
            }
            touched.extend(components.into_iter().flat_map(|component| &component.services));
        }
        all.iter().filter(|name| touched.contains(name)).cloned().collect()
    }

    /// The declared flags that a source keeps.
    pub fn declared_flags<'c>(
        &'c self,
        flags: &'c Flags,
        source: &'c FlagSource,
    ) -> impl Iterator<Item = &'c Flag> {
        self.components.iter().filter_map(|component| component.flag.as_ref()).filter(|flag| {
            flags.source(flag.source.as_ref()).is_some_and(|kept| kept.name == source.name)
        })
    }
}

/// `[app]`: what is deployed.
#[derive(Debug, Clone)]
pub struct App {
    /// `name`
    pub name: AppName,
    /// `layout`, default `in-place`.
    pub layout: Layout,
    /// `local`: globs of tracked files edited on the host, kept across swaps.
    pub local: Patterns,
    /// `version`: the version of this tree, where package.json does not say it.
    pub version: Option<String>,
    /// `prove`, default `strong`.
    pub prove: Prove,
}

/// How the app is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The git work tree is what serves.
    InPlace,
    /// `releases/<id>` and a `current` link.
    Releases,
}

/// Whether a proof needs a witness able to tell the intended version from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prove {
    /// It does.
    Strong,
    /// It does not: passing checks are enough. Must be asked for.
    Weak,
}

/// Globs over paths of the repository, with the text they were written as.
#[derive(Debug, Clone)]
pub struct Patterns {
    /// As written, in order.
    pub globs: Vec<String>,
    set: GlobSet,
}

/// `[deploy]`
#[derive(Debug, Clone)]
pub struct Deploy {
    /// `ref`, e.g. `origin/main`: what `deploy` without a revision fetches and takes.
    pub upstream: Option<UpstreamBranch>,
}

/// A branch of a remote, written `origin/main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamBranch {
    /// The remote.
    pub remote: String,
    /// The branch there.
    pub branch: String,
}

/// `[stable]`
#[derive(Debug, Clone)]
pub struct Stable {
    /// `pattern`, default `*-stable`: a glob over tag names.
    pub pattern: String,
    /// `min_served`, default 30 min.
    pub min_served: Duration,
}

/// `[[build]]`: a group of commands with the directories they make.
#[derive(Debug, Clone)]
pub struct Build {
    /// `name`
    pub name: GroupName,
    /// `run`: argument vectors, never shell text.
    pub run: Vec<Vec<String>>,
    /// `inputs`: globs over the tree, default all.
    pub inputs: Patterns,
    /// `outputs` without globs: directories (or files) it makes, relative to the top; untracked, disjoint.
    pub outputs: Vec<RepoPath>,
    /// `optional` without globs: further outputs, which may be absent.
    pub optional: Vec<RepoPath>,
    /// The globs of both.
    pub output_globs: Vec<OutputGlob>,
    /// `scratch`: what the commands write besides, and nothing that serves reads.
    pub scratch: Patterns,
    /// `carry`: untracked files of the live tree the build reads.
    pub carry: Vec<RepoPath>,
    /// `env`
    pub env: BTreeMap<String, String>,
    /// `timeout` of each command, default 15 min.
    pub timeout: Duration,
}

/// One name in every directory that matches, such as `packages/*/dist`.
#[derive(Debug, Clone)]
pub struct OutputGlob {
    /// As written.
    pub text: String,
    /// Whether there may be none.
    pub optional: bool,
    directories: GlobMatcher,
    name: String,
}

impl OutputGlob {
    /// `name` in each of `directories`.
    pub fn new(text: String, optional: bool, directories: GlobMatcher, name: String) -> Self {
        Self { text, optional, directories, name }
    }

    /// The output in `directory`, where that matches.
    pub fn below(&self, directory: &RepoPath) -> Option<RepoPath> {
        let matches = self.directories.is_match(directory.as_path());
        matches.then(|| directory.join(self.name.as_bytes()).ok()).flatten()
    }

    /// Whether `path` is such an output.
    pub fn is_match(&self, path: &RepoPath) -> bool {
        path.parent().is_some_and(|directory| self.below(&directory).as_ref() == Some(path))
    }
}

/// `[approvals]`: the roles that must approve an act, each by a person of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    /// By what is asked for.
    pub roles: BTreeMap<ApprovalLevel, Vec<String>>,
    /// `valid`: for how long a request is open.
    pub valid: Duration,
}

impl Approvals {
    /// The roles for one level.
    pub fn roles(&self, level: ApprovalLevel) -> &[String] {
        self.roles.get(&level).map_or(&[], Vec::as_slice)
    }
}

/// `[migrate]`
#[derive(Debug, Clone)]
pub struct Migrate {
    /// `data`: the database that they change.
    pub data: Option<DataName>,
    /// `paths`: globs of migrations.
    pub paths: Patterns,
    /// `down`: how one is taken back.
    pub down: Option<DownWay>,
    /// `old_code_ok`: versions of before a migration are known to work on the schema of after it.
    pub old_code_ok: bool,
}

/// How a migration is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownWay {
    /// The path of a script with SQL, in the tree that has the migration.
    Script(PathTemplate),
    /// An argument vector, run once for each migration, the newest first.
    Command(Vec<String>),
}

/// A path in the tree in which `{number}` and `{name}` stand for those of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(String);

impl PathTemplate {
    /// Takes a text that names the migration and is a path in the tree once it does.
    pub fn new(text: &str) -> Option<Self> {
        let template = Self(text.to_owned());
        let names = text.contains(NUMBER) || text.contains(NAME);
        (names && RepoPath::new(template.filled("1", "1_a")).is_ok()).then_some(template)
    }

    /// The path for one migration; `None` where its name has no number and one is asked for.
    pub fn of(&self, name: &str) -> Option<RepoPath> {
        let number = migration_number(name);
        if number.is_empty() && self.0.contains(NUMBER) {
            return None;
        }
        RepoPath::new(self.filled(number, name)).ok()
    }

    /// Whether `path` may be such a script.
    pub fn matches(&self, path: &RepoPath) -> bool {
        let glob = self.0.replace(NUMBER, "[0-9]*").replace(NAME, "*");
        let glob = GlobBuilder::new(&glob).literal_separator(true).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(path.as_path()))
    }

    fn filled(&self, number: &str, name: &str) -> String {
        self.0.replace(NUMBER, number).replace(NAME, name)
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in a `down` for the digits that a migration's name begins with.
pub const NUMBER: &str = "{number}";
/// What stands in a `down` for a migration's name.
pub const NAME: &str = "{name}";

/// The digits that a migration's name begins with.
pub fn migration_number(name: &str) -> &str {
    let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    &name[..end]
}

/// `[service.NAME]`
#[derive(Debug, Clone)]
pub struct Service {
    /// The NAME.
    pub name: ServiceName,
    /// `manager` and what belongs to it.
    pub manager: Manager,
    /// `depends_on`
    pub depends_on: Vec<ServiceName>,
    /// `quiesce`: it is down while files change, default false.
    pub quiesce: bool,
    /// `ports` that it listens on; `None` if that is not said: those that it listened on before.
    pub ports: Option<Vec<u16>>,
}

/// Who runs a service.
#[derive(Debug, Clone)]
pub enum Manager {
    /// gitroll's own: one process in a session of its own.
    Process {
        /// `command`
        command: Vec<String>,
        /// `env`: exactly this, and `GITROLL_*`, `PATH`, `HOME`.
        env: BTreeMap<String, String>,
        /// `log`, relative to the top; default `<name>.log` in gitroll's state directory.
        log: Option<RepoPath>,
        /// `stop_timeout` between TERM and KILL, default 10 s.
        stop_timeout: Duration,
    },
    /// pm2.
    Pm2 {
        /// `name`: the pm2 app's name, whatever it is: pm2 is never called with it.
        app: String,
        /// `namespace`, where apps of that name run in this tree in several.
        namespace: Option<String>,
        /// `ecosystem`: the process file that it is started from.
        ecosystem: EcosystemFile,
    },
    /// systemd.
    Systemd {
        /// `name`: the unit; a template such as `app@` where there are `instances`.
        unit: String,
        /// `scope`
        scope: Scope,
        /// `instances` of a template, in the order in which they are reloaded.
        instances: Vec<String>,
        /// `reload`: where the unit can reload it is reloaded, not restarted. Default false.
        reload: bool,
    },
    /// Commands of the team's own.
    Command {
        /// `start`
        start: Vec<String>,
        /// `stop`
        stop: Vec<String>,
        /// `reload`; `stop` and `start` where absent.
        reload: Option<Vec<String>>,
        /// `status`: exit 0 means running.
        status: Vec<String>,
        /// `timeout` of each command, default 60 s.
        timeout: Duration,
        /// `idempotent`: whether a command that was interrupted may simply be run again.
        idempotent: bool,
    },
}

/// Where the definition of an app that pm2 runs is kept in the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EcosystemFile {
    /// The file, of those that pm2 would read by their names, that names the app.
    #[default]
    Found,
    /// This one.
    Named(RepoPath),
    /// None: what pm2 was started with by hand stays.
    Ignored,
}

impl Manager {
    /// The units of a service of systemd, whole names in the order in which they are reloaded; none under
    /// another manager.
    pub fn units(&self) -> Vec<String> {
        let Manager::Systemd { unit, instances, .. } = self else { return Vec::new() };
        let stem = unit.strip_suffix(".service").unwrap_or(unit);
        if instances.is_empty() {
            return vec![format!("{stem}.service")];
        }
        instances.iter().map(|instance| format!("{stem}{instance}.service")).collect()
    }
}

/// Whose systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The system's.
    System,
    /// The user's.
    User,
}

/// `[component.ID]`
#[derive(Debug, Clone)]
pub struct Component {
    /// The ID.
    pub id: ComponentId,
    /// `title`
    pub title: Option<String>,
    /// `paths`
    pub paths: Patterns,
    /// `flag`
    pub flag: Option<Flag>,
    /// `services` it touches; all where empty.
    pub services: Vec<ServiceName>,
    /// `checks` that tell whether it works; all where empty.
    pub checks: Vec<CheckName>,
    /// `after`: how the app behaves once the component was restored or switched off.
    pub after: Option<String>,
    /// `symptoms` that would mean that this did not help.
    pub symptoms: Vec<String>,
}

/// `[hooks]`: commands of the team's own at certain moments of a run.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// `before_deploy` and the other moments: argument vectors, never shell text.
    pub commands: BTreeMap<HookMoment, Vec<Vec<String>>>,
    /// `timeout` of each command, default 60 s.
    pub timeout: Duration,
    /// `idempotent`: the moments whose commands may simply be run again where they were interrupted.
    pub idempotent: BTreeSet<HookMoment>,
}

impl Default for Hooks {
    fn default() -> Self {
        let timeout = Duration::from_secs(60);
        Self { commands: BTreeMap::new(), timeout, idempotent: BTreeSet::new() }
    }
}

impl Hooks {
    /// The commands of a moment in their order.
    pub fn at(&self, moment: HookMoment) -> Vec<HookStep> {
        let commands = self.commands.get(&moment).map_or(&[][..], Vec::as_slice);
        let step = |(index, run): (usize, &Vec<String>)| HookStep {
            moment,
            number: index + 1,
            of: commands.len(),
            run: run.clone(),
            limit_seconds: self.timeout.as_secs(),
            idempotent: self.idempotent.contains(&moment),
        };
        commands.iter().enumerate().map(step).collect()
    }
}

/// `[remote]`
#[derive(Debug, Clone)]
pub struct Remote {
    /// `name`, default `origin`.
    pub name: String,
    /// `required`: an unpublished record makes the exit code 30.
    pub required: bool,
    /// `push_tags`: push record tags too (they may trigger CI). Default false.
    pub push_tags: bool,
}

/// `[run]`
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// `watchdog`: how long after it began to touch what serves a run whose process died is finished by
    /// itself, default 5 min; `None` is off.
    pub watchdog: Option<Duration>,
}

/// `[retention]`: how much of the past is kept on this host. What a way back needs stays whatever it says, and
/// no record is ever removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// `runs`: the latest whose plan and journal are kept, default 50.
    pub runs: usize,
    /// `saved`: how long files that were saved are kept after their run is not, default 90 days.
    pub saved: Duration,
    /// `data`: after how long `gitroll saved remove --expired` removes what rollbacks of data replaced; never where absent.
    pub data: Option<Duration>,
    /// `artifacts`: the latest deployments whose artifacts are kept, default 20; as many promoted ones besides.
    pub artifacts: usize,
    /// `copies`: what serves is kept a second time, so that an install by hand does not destroy it. Default true.
    pub copies: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            runs: 50,
            saved: Duration::from_secs(90 * 24 * 60 * 60),
            data: None,
            artifacts: 20,
            copies: true,
        }
    }
}

/// `[rto]`: the times promised, shown against the measured ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rto {
    /// `flags`
    pub flags: Option<Duration>,
    /// `code`
    pub code: Option<Duration>,
    /// `full`
    pub full: Option<Duration>,
}

impl Patterns {
    /// Globs made ready, with `set` built from `globs`.
    pub fn new(globs: Vec<String>, set: GlobSet) -> Self {
        Self { globs, set }
    }

    /// Whether a path matches one of them. A pattern that names a directory matches what is below.
    pub fn matches(&self, path: &RepoPath) -> bool {
        self.set.is_match(path.as_path())
    }

    /// As [`Self::matches`]; a file that is where `dir/**` means a directory is covered too.
    pub fn covers(&self, path: &RepoPath) -> bool {
        let whole = |glob: &String| {
            let glob = glob.strip_prefix("./").unwrap_or(glob);
            let directory = glob.strip_suffix("/**").or_else(|| glob.strip_suffix('/'));
            directory.is_some_and(|directory| directory.as_bytes() == path.as_bytes())
        };
        self.matches(path) || self.globs.iter().any(whole)
    }

    /// The directories or files below which everything is that can match, none inside of another. None at
    /// all where that is the whole tree.
    pub fn roots(&self) -> Vec<RepoPath> {
        let plain = |part: &&str| !part.contains(['*', '?', '[', ']', '{', '}', '\\']);
        let mut roots: Vec<RepoPath> = Vec::new();
        for glob in &self.globs {
            let glob = glob.strip_prefix("./").unwrap_or(glob).trim_end_matches('/');
            let parts: Vec<&str> = glob.split('/').take_while(plain).collect();
            let Ok(root) = RepoPath::new(parts.join("/")) else { return Vec::new() };
            roots.push(root);
        }
        roots.sort();
        let mut outer: Vec<RepoPath> = Vec::new();
        for root in roots {
            if !outer.iter().any(|other| root.starts_with(other)) {
                outer.push(root);
            }
        }
        outer
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }
}
