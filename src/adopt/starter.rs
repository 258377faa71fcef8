//! A starter `gitroll.toml` for what `gitroll init` found.
//!
//! What is known is written, what is not is a comment that says what to put there. Every value goes through
//! TOML quoting, so that no name found in a repository can become a key of the file.

use std::collections::BTreeSet;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use super::stack::{LockFile, Stack};
use crate::config::{self, ConfigError, UpstreamBranch, quote};
use crate::model::AppName;
use crate::service::Pm2App;

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
    let mut text =
        environment.render_str(&Kind::of(stack).template(), facts(name, stack, upstream, local))?;
    // Sections that were left out leave their empty lines.
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    match config::parse(&text, "gitroll.toml") {
        Ok(_) => Ok(text),
        Err(error) => Err(StarterError::Invalid(error)),
    }
}

/// The starters there are.
#[derive(Clone, Copy)]
enum Kind {
    NpmPm2,
    NpmProcess,
    OtherPm2,
    Plain,
}

impl Kind {
    fn of(stack: &Stack) -> Self {
        match (&stack.package, stack.pm2.is_empty()) {
            (Some(_), false) => Kind::NpmPm2,
            (Some(_), true) => Kind::NpmProcess,
            (None, false) => Kind::OtherPm2,
            (None, true) => Kind::Plain,
        }
    }

    fn template(self) -> String {
        let npm = include_str!("../../templates/build-npm.toml.jinja");
        let plain = include_str!("../../templates/build-plain.toml.jinja");
        let pm2 = include_str!("../../templates/service-pm2.toml.jinja");
        let (build, service) = match self {
            Kind::NpmPm2 => (npm, pm2),
            Kind::NpmProcess => (npm, include_str!("../../templates/service-process.toml.jinja")),
            Kind::OtherPm2 => (plain, pm2),
            Kind::Plain => (plain, include_str!("../../templates/service-plain.toml.jinja")),
        };
        let head = include_str!("../../templates/head.toml.jinja");
        let tail = include_str!("../../templates/tail.toml.jinja");
        [head, build, service, tail].concat()
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
    let package = stack.package.clone().unwrap_or_default();
    let installs = package.dependencies && !package.vendored;
    let install = package.lock.filter(|_| installs).map(LockFile::install);
    let manager = package.lock.map_or("npm", |lock| lock.install()[0]);
    let start = package.start.clone().unwrap_or_default();
    let mut start_env: Vec<(String, String)> = start.env.into_iter().collect();
    if let Some(port) = &stack.port
        && !start_env.iter().any(|(name, _)| name == "PORT")
    {
        start_env.push(("PORT".to_owned(), port.number.to_string()));
    }
    let files = &package.files;
    let pm2: Vec<Value> = pm2_services(&stack.pm2)
        .into_iter()
        .map(|(key, app, namespace)| context! { key => key, name => app.name, namespace })
        .collect();
    context! {
        name => name.as_str(),
        local,
        has_package => stack.package.is_some(),
        upstream => upstream.map(|u| format!("{}/{}", u.remote, u.branch)),
        install,
        install_inputs => if files.reads_all { vec!["**".to_owned()] } else { files.inputs.clone() },
        reads_all => files.reads_all,
        installed => files.installed,
        may_install => files.may_install,
        dependencies => installs,
        build_script => package.build,
        build_command => [manager, "run", "build"],
        outputs => files.built,
        carry => files.carry,
        unknown => files.unknown.iter().take(MOST_UNKNOWN).collect::<Vec<_>>(),
        guessed => package.guessed,
        env_file => stack.env_file,
        pm2,
        start => start.command,
        start_env,
        port => stack.port.as_ref().map(|port| port.number),
        python => ["requirements.txt", "pyproject.toml", "Pipfile"]
            .iter()
            .any(|file| stack.others.iter().any(|other| other == file)),
        procfile => stack.procfile,
        health => health(stack),
        fronted => stack.fronted,
        listens => listens(stack),
        migrations => stack.migrations.as_ref().and_then(|path| path.as_path().to_str()),
    }
}

/// Where connections must be accepted: what the health URL asks directly needs no check of its own.
fn listens(stack: &Stack) -> Vec<Value> {
    let asked = stack.health.as_ref().filter(|_| !stack.fronted).and(stack.port.as_ref());
    let others =
        stack.listens.iter().filter(|at| asked.is_none_or(|port| port.number != at.port()));
    others.map(|at| context! { port => at.port(), at => at.to_string() }).collect()
}

fn health(stack: &Stack) -> Option<Value> {
    let health = stack.health.as_ref()?;
    // A value that itself looks like a placeholder cannot be expected word for word.
    let status = health.status.clone().filter(|(_, value)| !value.contains('{'));
    let version = health.version.clone().map(|pointer| (pointer, "{version}".to_owned()));
    let commit = health.commit.clone().map(|pointer| (pointer, "{commit}".to_owned()));
    let tells = version.is_some() || commit.is_some();
    let json: Vec<(String, String)> = [status, version, commit].into_iter().flatten().collect();
    Some(context! { url => health.url, json, tells })
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

/// The filter `toml`: a text as a TOML string, a list of texts as an array.
fn toml(value: &Value) -> Result<String, Error> {
    let text = |value: &Value| {
        value.as_str().map(quote).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, "only texts and lists of texts can be quoted")
        })
    };
    if value.kind() == ValueKind::Seq {
        let quoted: Result<Vec<String>, Error> = value.try_iter()?.map(|v| text(&v)).collect();
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
