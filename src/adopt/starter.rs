//! A starter `gitroll.toml` for what `gitroll init` found.
//!
//! What is known is written, what is not is a comment that says what to put there. Every value goes through
//! TOML quoting, so that no name found in a repository can become a key of the file.

use std::collections::BTreeSet;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use super::recipe::{Group, Run, beneath, within};
use super::stack::{Health, Package, Stack};
use crate::config::{self, ConfigError, UpstreamBranch, quote};
use crate::model::AppName;
use crate::service::{Pm2App, UnitApp};

/// Why a starter could not be made. Either is a bug of gitroll, not of the repository.
#[derive(Debug, thiserror::Error)]
pub enum StarterError {
    /// A template is broken.
    #[error("the starter file could not be rendered: {0}")]
    Template(#[from] Error),
    /// What was rendered is not a valid file.
    #[error("the starter file would not be valid: {}", .0.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(ConfigError),
}

/// The text of a `gitroll.toml` for `stack`. `upstream` is what `deploy` shall follow, where the
/// repository has such a branch; `local` are the patterns of tracked files that stay as they are on this host.
///
/// # Errors
/// See [`StarterError`]. The text returned has been read back by [`config::parse`].
pub fn render(
    name: &AppName,
    stack: &Stack,
    upstream: Option<&UpstreamBranch>,
    local: &[String],
) -> Result<String, StarterError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    environment.add_filter("toml", toml);
    environment.add_filter("key", key);
    let mut text = environment.render_str(&template(stack), facts(name, stack, upstream, local))?;
    // Sections that were left out leave their empty lines.
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    match config::parse(&text, "gitroll.toml") {
        Ok(_) => Ok(text),
        Err(error) => Err(StarterError::Invalid(error)),
    }
}

/// The sections that fit what was found.
fn template(stack: &Stack) -> String {
    let npm = stack.package.is_some() || !stack.below.is_empty();
    let mut sections = vec![include_str!("../../templates/head.toml.jinja")];
    if npm {
        sections.push(include_str!("../../templates/build-npm.toml.jinja"));
    }
    if !stack.groups.is_empty() {
        sections.push(include_str!("../../templates/build-groups.toml.jinja"));
    } else if !npm && stack.site.is_none() {
        sections.push(include_str!("../../templates/build-plain.toml.jinja"));
    }
    if !stack.pm2.is_empty() {
        sections.push(include_str!("../../templates/service-pm2.toml.jinja"));
    }
    if !stack.units.is_empty() {
        sections.push(include_str!("../../templates/service-systemd.toml.jinja"));
    }
    if stack.pm2.is_empty() && stack.units.is_empty() {
        let starts = !runs(stack).is_empty() || stack.package.is_some() && stack.site.is_none();
        sections.push(match (starts, &stack.site) {
            (true, _) => include_str!("../../templates/service-process.toml.jinja"),
            (false, Some(_)) => include_str!("../../templates/service-site.toml.jinja"),
            (false, None) => include_str!("../../templates/service-plain.toml.jinja"),
        });
    }
    sections.push(include_str!("../../templates/tail.toml.jinja"));
    sections.concat()
}

/// What gitroll itself would start.
fn runs(stack: &Stack) -> Vec<Run> {
    let start = stack.package.as_ref().and_then(|package| package.start.clone());
    match start {
        Some(start) if stack.runs.is_empty() => {
            let port = stack.port.as_ref().map(|port| port.number);
            let mut run = Run { name: "web".to_owned(), start, port, ..Run::default() };
            if let Some(port) = port {
                run.start.env.entry("PORT".to_owned()).or_insert_with(|| port.to_string());
            }
            vec![run]
        }
        _ => stack.runs.clone(),
    }
}

/// How many things that nobody can tell are named.
const MOST_UNKNOWN: usize = 12;

fn facts(
    name: &AppName,
    stack: &Stack,
    upstream: Option<&UpstreamBranch>,
    local: &[String],
) -> Value {
    let top = stack.package.iter().map(|package| ("", package));
    let below = stack.below.iter().map(|(dir, package)| (dir.as_str(), package));
    let packages: Vec<Value> =
        top.chain(below).map(|(dir, p)| package_facts(dir, p, stack)).collect();
    let groups: Vec<Value> = stack.groups.iter().map(group_facts).collect();
    let runs = runs(stack);
    let listed: Vec<Value> = runs.iter().map(run_facts).collect();
    let pm2: Vec<Value> = pm2_services(&stack.pm2)
        .into_iter()
        .map(|(key, app, namespace)| context! { key => key, name => app.name, namespace })
        .collect();
    let taken: BTreeSet<String> =
        pm2_services(&stack.pm2).into_iter().map(|(key, ..)| key).collect();
    let site = stack.site.as_ref();
    context! {
        name => name.as_str(),
        local,
        has_package => stack.package.is_some(),
        weak => site.is_some_and(|site| site.url.is_some()),
        upstream => upstream.map(|u| format!("{}/{}", u.remote, u.branch)),
        packages,
        groups,
        env_file => stack.env_file,
        env_path => beneath(stack.env_dir.as_deref().unwrap_or_default(), ".env"),
        pm2,
        units => unit_facts(&stack.units, taken),
        runs => listed,
        ecosystem => stack.ecosystem,
        port => stack.port.as_ref().map(|port| port.number),
        port_known => stack.port.is_some(),
        python => ["requirements.txt", "pyproject.toml", "Pipfile"]
            .iter()
            .any(|file| stack.others.iter().any(|other| other == file)),
        procfile => stack.procfile,
        site => site.map(|site| {
            let page = beneath(&site.root, "index.html");
            context! { root => site.root, url => site.url, page }
        }),
        health => health(stack.health.as_ref()).or_else(|| expected(stack)),
        unasked => stack.route.as_ref().filter(|_| stack.health.is_none()).map(|route| &route.file),
        fronted => stack.fronted || site.is_some(),
        public => stack.public,
        listens => listens(stack, &runs),
        migrations => stack.migrations,
    }
}

/// The two groups of a package.json.
fn package_facts(dir: &str, package: &Package, stack: &Stack) -> Value {
    let named = |name: &str| {
        if dir.is_empty() { name.to_owned() } else { format!("{dir}-{name}").replace('/', "-") }
    };
    let inside =
        |paths: &[String]| -> Vec<String> { paths.iter().map(|path| beneath(dir, path)).collect() };
    let installs = package.dependencies && !package.vendored;
    let files = &package.files;
    let manager = package.manager();
    let install = package.lock.filter(|_| installs).map(|lock| {
        let rest = lock.install()[1..].iter().map(|word| (*word).to_owned());
        within(dir, &manager.iter().cloned().chain(rest).collect::<Vec<_>>(), false)
    });
    let build = [manager, vec!["run".to_owned(), "build".to_owned()]].concat();
    let all = if dir.is_empty() { "**".to_owned() } else { format!("{dir}/**") };
    context! {
        dir,
        deps_name => named("deps"),
        app_name => named("app"),
        install,
        install_inputs => if files.reads_all { vec![all.clone()] } else { inside(&files.inputs) },
        install_env => package.install_env.iter().collect::<Vec<_>>(),
        reads_all => files.reads_all,
        installed => inside(&files.installed),
        may_install => inside(&files.may_install),
        dependencies => installs,
        build_script => package.build,
        build_command => within(dir, &build, false),
        build_inputs => (!dir.is_empty()).then_some(vec![all]),
        outputs => inside(&files.built),
        carry => inside(&files.carry),
        unknown => files.unknown.iter().take(MOST_UNKNOWN).map(|path| beneath(dir, path)).collect::<Vec<_>>(),
        guessed => package.guessed,
        env_file => stack.env_file && stack.env_dir.as_deref().unwrap_or_default() == dir,
    }
}

fn group_facts(group: &Group) -> Value {
    context! {
        name => group.name,
        notes => group.notes,
        run => group.run,
        inputs => group.inputs,
        outputs => group.outputs,
        optional => group.optional,
        scratch => group.scratch,
        carry => group.carry,
        env => group.env.iter().collect::<Vec<_>>(),
    }
}

fn run_facts(run: &Run) -> Value {
    context! {
        key => service_name(&run.name),
        notes => run.notes.iter().map(|note| plain_line(note)).collect::<Vec<_>>(),
        command => run.start.command,
        env => run.start.env.iter().collect::<Vec<_>>(),
    }
}

/// Without what would end a comment.
fn plain_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn unit_facts(units: &[UnitApp], mut taken: BTreeSet<String>) -> Vec<Value> {
    let mut all = Vec::new();
    for unit in units {
        let plain = service_name(unit.name.trim_end_matches('@'));
        let mut numbered =
            std::iter::once(plain.clone()).chain((2..).map(|n| format!("{plain}-{n}")));
        let key = numbered.find(|key| !taken.contains(key)).unwrap_or(plain);
        taken.insert(key.clone());
        all.push(context! {
            key,
            name => unit.name,
            instances => unit.instances,
            user => unit.user,
            up => unit.up,
        });
    }
    all
}

/// Where connections must be accepted: what the health URL asks directly needs no check of its own.
fn listens(stack: &Stack, runs: &[Run]) -> Vec<Value> {
    let asked = health(stack.health.as_ref()).or_else(|| expected(stack));
    let asked = asked.filter(|_| !stack.fronted).and(stack.port.as_ref()).map(|port| port.number);
    let seen = stack.listens.iter().map(|at| (at.port(), at.to_string()));
    // Of what does not run yet only its files tell.
    let told = runs.iter().filter(|_| stack.listens.is_empty()).filter_map(|run| run.port);
    let told = told.map(|port| (port, format!("127.0.0.1:{port}")));
    let mut ports = BTreeSet::new();
    let others = seen.chain(told).filter(|(port, _)| Some(*port) != asked && ports.insert(*port));
    others
        .map(|(port, at)| context! { port, at, health => health(stack.healths.get(&port)) })
        .collect()
}

/// The path that the sources name, and the page of a site, where nothing runs that could be asked.
fn expected(stack: &Stack) -> Option<Value> {
    let none: Vec<(String, String)> = Vec::new();
    let page = || stack.site.as_ref().and_then(|site| site.url.clone());
    let path = || {
        let (route, port) = (stack.route.as_ref()?, stack.port.as_ref()?);
        Some(format!("http://127.0.0.1:{}{}", port.number, route.path))
    };
    let url = page().or_else(path)?;
    Some(context! { url, json => none, tells => false, catch_all => false })
}

fn health(health: Option<&Health>) -> Option<Value> {
    let health = health?;
    // A value that itself looks like a placeholder cannot be expected word for word.
    let status = health.status.clone().filter(|(_, value)| !value.contains('{'));
    let version = health.version.clone().map(|pointer| (pointer, "{version}".to_owned()));
    let commit = health.commit.clone().map(|pointer| (pointer, "{commit}".to_owned()));
    let tells = version.is_some() || commit.is_some();
    let json: Vec<(String, String)> = [status, version, commit].into_iter().flatten().collect();
    Some(context! { url => health.url, json, tells, catch_all => health.catch_all })
}

/// Each app with a service name made of its own (`@acme/web`: `web`) that no other has, and its namespace where that
/// alone tells it from another one.
fn pm2_services(apps: &[Pm2App]) -> Vec<(String, &Pm2App, Option<String>)> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let named = |app: &'_ Pm2App| {
        let shared = apps.iter().filter(|other: &&Pm2App| other.name == app.name).count() > 1;
        shared.then(|| app.namespace.clone().unwrap_or_else(|| "default".to_owned()))
    };
    let mut services = Vec::new();
    for app in apps {
        let namespace = named(app);
        let plain = service_name(&app.name);
        let full = service_name(&app.name.replace(['@', '/'], "-"));
        let other =
            namespace.as_ref().map(|namespace| service_name(&format!("{plain}-{namespace}")));
        let numbered = (2..).map(|n| format!("{plain}-{n}"));
        let mut free = [plain.clone(), full].into_iter().chain(other).chain(numbered);
        let key = free.find(|key| !taken.contains(key)).unwrap_or(plain);
        taken.insert(key.clone());
        services.push((key, app, namespace));
    }
    services
}

fn service_name(app: &str) -> String {
    let name = app.rsplit('/').find(|part| !part.is_empty()).unwrap_or(app);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).take(60).collect();
    match name.trim_matches(|c: char| !c.is_ascii_alphanumeric()) {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}

/// The filter `toml`: a text as a TOML string, a list as an array.
fn toml(value: &Value) -> Result<String, Error> {
    let text = |value: &Value| {
        value.as_str().map(quote).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, "only texts and lists of texts can be quoted")
        })
    };
    if value.kind() == ValueKind::Seq {
        let quoted: Result<Vec<String>, Error> = value.try_iter()?.map(|v| toml(&v)).collect();
        return Ok(format!("[{}]", quoted?.join(", ")));
    }
    text(value)
}

/// The filter `key`: a text as a TOML key, quoted only where it must be.
fn key(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !text.is_empty() && text.bytes().all(bare) { text.to_owned() } else { quote(text) }
}

#[cfg(test)]
mod tests;
