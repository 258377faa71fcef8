//! The binding that `init` makes or renews, and what it asks for that.

use std::path::{Path, PathBuf};

use super::args::InitArgs;
use super::edited::{self, EditedFile};
use crate::adopt::stack::{Stack, WorkTree};
use crate::adopt::starter;
use crate::adopt::tree_mask::tree_mask;
use crate::check;
use crate::cli::failure::{Failure, Status};
use crate::config::{
    Binding, BindingPlaces, Config, Manager, Signing, SigningFormat, Tools, UpstreamBranch,
};
use crate::ledger;
use crate::model::{AppName, EnvironmentName, IdError, WriterId};
use crate::service::{self, Pm2App};
use crate::site::config_in_tree;
use crate::system::git::Git;
use crate::system::{files, process, random, umask, user};
use crate::ui::{self, Ui, escape};

/// What `init` is about to write.
pub(super) struct Prepared {
    pub(super) binding: Binding,
    pub(super) config_text: String,
    pub(super) wrote_config: bool,
    /// The patterns that are written to `[app] local` of the `gitroll.toml` that is there.
    pub(super) local_added: Vec<String>,
    pub(super) edited: Vec<EditedFile>,
}

/// Decides everything, asks what must be asked, writes nothing.
pub(super) fn prepare(
    git: &Git,
    ui: &Ui,
    args: &InitArgs,
    bound: Option<Binding>,
) -> Result<Prepared, Failure> {
    let path_variable = path_variable(bound.as_ref());
    let tools = tools(&path_variable);
    let account = user::Account::owner_of(git.top())
        .map_err(|e| Failure::unchanged(format!("{}: {e}", git.top().display())))?;
    let pm2_home = std::env::var_os("PM2_HOME")
        .map(PathBuf::from)
        .or_else(|| bound.as_ref().and_then(|b| b.pm2_home.clone()))
        .or_else(|| Some(account.home.join(".pm2")));
    let found = match (&tools.pm2, &pm2_home) {
        (Some(pm2), Some(home)) => service::running_pm2_apps(pm2, home),
        _ => Vec::new(),
    };
    let head = git.head()?.commit;
    let mut tracked_files: Vec<crate::model::RepoPath> =
        git.entries(&head)?.into_iter().map(|(path, _)| path).collect();
    tracked_files.sort();
    let tracked = |path: &crate::model::RepoPath| {
        // Between a directory and its files others may lie, such as `app.js` after `app`.
        let from = tracked_files.partition_point(|other| other < path);
        let near = |other: &&crate::model::RepoPath| other.as_bytes().starts_with(path.as_bytes());
        tracked_files[from..].iter().take_while(near).any(|other| other.starts_with(path))
    };
    let units = tools
        .systemctl
        .as_deref()
        .map(|tool| service::units_in(tool, git.top()))
        .unwrap_or_default();
    let has = |name: &str| process::find_program(Path::new(name), &path_variable).is_some();
    // Where git cannot say, nothing is known to be ignored.
    let ignored = git.ignored_there().unwrap_or_default();
    let around = WorkTree {
        top: git.top(),
        commit: Some(&head),
        tools: &tools,
        pm2: &found,
        units: &units,
        tracked: &tracked,
        files: &tracked_files,
        ignored: &ignored,
        has: &has,
    };
    let existing = read_config(git.top())?;
    let stack = Stack::detect(&around);
    if existing.is_none() {
        for warning in &stack.warnings {
            ui.say(&format!("warning: {}", escape(warning)));
        }
    }
    let first = bound.is_none();
    let mut binding = match bound {
        Some(binding) => binding,
        None => fresh(git, ui, args, &stack, existing.as_deref(), &account)?,
    };
    if binding.umask.is_none() {
        binding.umask = Some(tree_mask(git, &head));
    }
    umask::set(binding.umask());
    binding.tools = tools;
    binding.path_variable = path_variable;
    binding.pm2_home = pm2_home.filter(|_| binding.tools.pm2.is_some());
    if args.new_writer {
        let host = crate::engine::host_name(binding.writer.as_str()).to_owned();
        binding.writer = writer(&host)?;
        binding.chain = name(&random::hex_id())?;
    }
    let upstream = upstream(git);
    let configured =
        existing.as_deref().map(|text| crate::config::parse(text, "gitroll.toml")).transpose()?;
    if let Some(config) = &configured {
        binding.take_over = taken_over(ui, args, config, &stack.pm2, &found, &binding)?;
        let others = others_ports(ui, args, config, git.top(), &binding.take_over)?;
        binding.take_over.extend(others);
    }
    let edited = edited::decide(git, ui, args, &head, configured.as_ref(), first)?;
    let local = edited::local(&edited);
    let mut local_added = Vec::new();
    let (config_text, wrote_config) = match existing {
        Some(text) if local.is_empty() => (text, false),
        Some(text) => match edited::with_local(&text, &local) {
            Some(new) => {
                local_added = local;
                (new, true)
            }
            None => {
                ui.say(&edited::to_add(&local));
                (text, false)
            }
        },
        None => {
            let text = starter::render(&binding.app, &stack, upstream.as_ref(), &local)
                .map_err(|e| Failure::unchanged(e.to_string()))?;
            (text, true)
        }
    };
    Ok(Prepared { binding, config_text, wrote_config, local_added, edited })
}

/// The directories whose pm2 apps are this checkout's although they do not lie in it. A second checkout of an app has
/// the first one's gitroll.toml, and the names in it: only a person can tell whether it shall replace the first.
fn taken_over(
    ui: &Ui,
    args: &InitArgs,
    config: &Config,
    here: &[Pm2App],
    running: &[Pm2App],
    binding: &Binding,
) -> Result<Vec<PathBuf>, Failure> {
    let mut taken = binding.take_over.clone();
    for service in &config.services {
        let Manager::Pm2 { app: name, namespace, .. } = &service.manager else { continue };
        let meant = |app: &&Pm2App| {
            let theirs = app.namespace.as_deref().unwrap_or("default");
            app.name == *name && namespace.as_deref().is_none_or(|wanted| wanted == theirs)
        };
        if here.iter().any(|app| meant(&app)) {
            continue;
        }
        for app in running.iter().filter(meant) {
            let dir = app.cwd.canonicalize().unwrap_or_else(|_| app.cwd.clone());
            if taken.iter().any(|known| dir.starts_with(known)) || !dir.exists() {
                continue;
            }
            let (name, at) = (escape(name), escape(&dir.display().to_string()));
            let yes = args.take_over
                || !args.yes
                    && {
                        let text = format!(
                            "pm2 runs {name} in {at}, not here. Does it belong to this checkout, so that the \
                         next deploy moves it here?"
                        );
                        ui::confirm(ui, &text, false)?
                    };
            if yes {
                ui.say(&format!("{name} of {at}: the next deploy moves it here"));
                taken.push(dir);
            }
        }
    }
    Ok(taken)
}

/// The checkouts whose app has a port of this one's, for services that commands of the team's own run: those act by a pid
/// file or a name that both may share.
fn others_ports(
    ui: &Ui,
    args: &InitArgs,
    config: &Config,
    top: &Path,
    known: &[PathBuf],
) -> Result<Vec<PathBuf>, Failure> {
    let asked = check::asked_ports(&config.checks);
    let mut taken: Vec<PathBuf> = Vec::new();
    for service in &config.services {
        let Some(dir) = service::acts_on(top, service, &asked) else { continue };
        if known.iter().chain(&taken).any(|known| dir.starts_with(known)) {
            continue;
        }
        let (name, at) = (service.name.as_str(), escape(&dir.display().to_string()));
        let text = format!(
            "The app of {at} has the port of {name}, and the commands of {name} may stop it. Does this checkout replace it?"
        );
        if args.take_over || !args.yes && ui::confirm(ui, &text, false)? {
            ui.say(&format!("{name}: the next deploy replaces the app of {at}"));
            taken.push(dir);
        }
    }
    Ok(taken)
}

/// Makes the key where one is needed, trusts it, writes the binding; signs a probe with it first.
pub(super) fn save(
    git: &Git,
    ui: &Ui,
    args: &InitArgs,
    mut binding: Binding,
) -> Result<Binding, Failure> {
    let new = !binding.file().exists() || args.new_key || binding.signing.key.is_empty();
    if new {
        let home = user::Account::current().home;
        let own = match args.new_key {
            true => None,
            false => ledger::key::of_user(git, &binding.dir, Some(&home))
                .map_err(|e| Failure::unchanged(format!("{}: {e}", binding.dir.display())))?,
        };
        let usable = own.and_then(|signing| {
            ledger::key::adopt(git, &mut binding, signing).err().map_or(Some(()), |why| {
                ui.say(&format!(
                    "the key of your git configuration is not used: {}",
                    escape(&why.to_string())
                ));
                None
            })
        });
        if usable.is_none() {
            binding.signing = ledger::key::make(&binding)?;
            ledger::key::trust_own(&mut binding)?;
        }
    } else {
        ledger::key::trust_own(&mut binding)?;
    }
    ledger::probe_signing(git, &binding, None)?;
    binding.save().map_err(|e| {
        Failure::unchanged(format!("{}: {e}", binding.file().display()))
            .next("gitroll init without --system", "stores the binding in your own directory")
    })?;
    Ok(binding)
}

fn fresh(
    git: &Git,
    ui: &Ui,
    args: &InitArgs,
    stack: &Stack,
    existing: Option<&str>,
    account: &user::Account,
) -> Result<Binding, Failure> {
    let configured = existing
        .map(|text| crate::config::parse(text, "gitroll.toml"))
        .transpose()?
        .map(|config| config.app.name.to_string());
    let proposed = configured
        .clone()
        .or_else(|| stack.name.as_ref().map(AppName::to_string))
        .unwrap_or_else(|| "app".to_owned());
    let host = host_name();
    let said = ask(ui, args, &proposed, &host)?;
    let app: AppName = name(configured.as_deref().unwrap_or(&said.app))?;
    let environment: EnvironmentName = name(&said.environment)?;
    let writer = writer(&said.name)?;
    let dir =
        BindingPlaces::of_this_process().directory_for(&app, args.system).ok_or_else(|| {
            Failure::unchanged("HOME is not set, so there is no place for the binding")
                .next("gitroll init --system", "stores it in /etc/gitroll")
                .next("GITROLL_HOME=DIR gitroll init", "stores it in DIR")
        })?;
    let dir = free_directory(dir, git.top())?;
    Ok(Binding {
        dir,
        work_dir: work_dir(git.top(), &app, account),
        points: None,
        app,
        path: git.top().to_owned(),
        environment,
        writer,
        chain: name(&random::hex_id())?,
        run_as: account.name.clone(),
        umask: None,
        signing: Signing { format: SigningFormat::Ssh, key: String::new() },
        openpgp: Vec::new(),
        follow: Vec::new(),
        tools: Tools::default(),
        pm2_home: None,
        path_variable: String::new(),
        take_over: Vec::new(),
        pass: Vec::new(),
        distrust: None,
    })
}

/// A directory that no other checkout's binding is in: a second checkout of the same app gets `app-2`. `$GITROLL_HOME` is
/// the directory of one binding, which a second one would overwrite.
fn free_directory(dir: PathBuf, top: &Path) -> Result<PathBuf, Failure> {
    let Some(other) = bound_elsewhere(&dir, top) else { return Ok(dir) };
    if std::env::var_os("GITROLL_HOME").is_some() {
        let what = format!("{} holds the host binding of {other}", dir.display());
        let command = format!("GITROLL_HOME={}-2 gitroll init", dir.display());
        return Err(Failure::unchanged(what)
            .next(command, "stores this one beside it")
            .next("env -u GITROLL_HOME gitroll init", "stores it in your own directory"));
    }
    let free = (2..)
        .map(|n| PathBuf::from(format!("{}-{n}", dir.display())))
        .find(|dir| bound_elsewhere(dir, top).is_none());
    Ok(free.unwrap_or(dir))
}

/// The checkout that a binding in this directory belongs to, where it is not the one at `top`.
fn bound_elsewhere(dir: &Path, top: &Path) -> Option<String> {
    const MOST_BINDING: u64 = 64 << 10;
    let path = dir.join("host.toml");
    if !path.exists() {
        return None;
    }
    let bytes = files::read_plain(&path, MOST_BINDING).unwrap_or_default();
    let table: toml::Table = String::from_utf8_lossy(&bytes).parse().unwrap_or_default();
    let bound = table.get("path").and_then(toml::Value::as_str);
    match bound {
        Some(bound) if Path::new(bound) == top => None,
        Some(bound) => Some(escape(bound).to_string()),
        None => Some("another checkout".to_owned()),
    }
}

fn writer(host: &str) -> Result<WriterId, Failure> {
    let plain: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    let plain = plain.trim_matches('-').chars().take(40).collect::<String>();
    let plain = if plain.is_empty() { "host".to_owned() } else { plain };
    name(&format!("{plain}.{}", random::suffix()))
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|text| text.trim().to_owned())
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "host".to_owned())
}

/// Where stages lie: beside the app, where its user may write there; else in that user's state directory.
/// Never inside the app, where node would find the app's own modules.
fn work_dir(top: &Path, app: &AppName, account: &user::Account) -> PathBuf {
    if let (Some(parent), Some(own)) = (top.parent(), top.file_name())
        && files::probe_writable(parent).is_ok()
    {
        return parent.join(format!(".{}.gitroll", own.to_string_lossy()));
    }
    account.home.join(".local/state/gitroll").join(app.as_str())
}

fn path_variable(bound: Option<&Binding>) -> String {
    let now = std::env::var("PATH").unwrap_or_default();
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    match (now.is_empty(), bound) {
        (false, _) => now,
        (true, Some(binding)) => binding.path_variable.clone(),
        (true, None) => usual.to_owned(),
    }
}

fn tools(path_variable: &str) -> Tools {
    let find = |name: &str| process::find_program(Path::new(name), path_variable);
    Tools {
        git: find("git"),
        node: find("node"),
        npm: find("npm"),
        pm2: find("pm2"),
        ssh_keygen: find("ssh-keygen"),
        gpg: find("gpg"),
        systemctl: find("systemctl"),
        journalctl: find("journalctl"),
    }
}

fn upstream(git: &Git) -> Option<UpstreamBranch> {
    let remotes = git.remotes();
    let remote = remotes.iter().find(|name| *name == "origin").or_else(|| remotes.first())?;
    let branch = git
        .head()
        .ok()
        .and_then(|head| Some(head.branch?.strip_prefix("refs/heads/")?.to_owned()))
        .unwrap_or_else(|| "main".to_owned());
    Some(UpstreamBranch { remote: remote.clone(), branch })
}

fn read_config(top: &Path) -> Result<Option<String>, Failure> {
    config_in_tree(top).map_err(|error| {
        Failure::unchanged(format!("{}: {error}", top.join("gitroll.toml").display()))
            .detail("it must be a regular file that belongs to the app")
    })
}

/// What a person said, or the defaults.
struct Said {
    app: String,
    environment: String,
    name: String,
}

/// Asks what was not given on the command line; with `--yes` accepts the defaults.
fn ask(ui: &Ui, args: &InitArgs, app: &str, host: &str) -> Result<Said, Failure> {
    let said = |given: &Option<String>,
                text: &str,
                default: &str,
                validate: fn(&str) -> Result<(), String>|
     -> Result<String, Failure> {
        match given {
            Some(given) => Ok(given.clone()),
            None if args.yes => Ok(default.to_owned()),
            None => ui::input(ui, text, default, validate).map_err(|error| {
                Failure::from(error)
                    .next("gitroll init --yes --environment NAME", "accepts the defaults")
            }),
        }
    };
    Ok(Said {
        app: said(&None, "Name of the app?", app, is::<AppName>)?,
        environment: said(&args.environment, "Environment?", "production", is::<EnvironmentName>)?,
        name: said(&args.name, "Name of this host in records?", host, |_| Ok(()))?,
    })
}

fn is<T: std::str::FromStr<Err = IdError>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

/// A name as the program needs it, or a usage error.
fn name<T: std::str::FromStr<Err = IdError>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|e: IdError| Failure::new(Status::Usage, e.to_string()))
}
