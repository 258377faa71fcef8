//! The text of `host.toml`, both ways. Documented in `docs/host-binding.md`.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{Binding, BindingError, FILE, Signing, SigningFormat, Tools};
use crate::config::quote::quote;
use crate::config::reader::{Item, Report, Table, all, or, quoted};

/// The version of the format this program reads and writes.
const VERSION: u64 = 1;

/// Reads the text of the `host.toml` in `dir`.
pub(super) fn read(text: &str, dir: &Path) -> Result<Binding, BindingError> {
    let invalid = |problem| BindingError::Invalid { path: dir.join(FILE), problem };
    let report = Report::new(text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            report.add(&error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
            return Err(invalid(told(&report)));
        }
    };
    let root = Table::root(&report, document.get_ref(), "the file");
    let binding = version(&root).and_then(|()| binding(&root, dir));
    let problems = told(&report);
    binding.filter(|_| problems.is_empty()).ok_or_else(|| invalid(problems))
}

pub(super) fn told(report: &Report<'_>) -> String {
    let told = report.problems().into_iter();
    told.map(|p| format!("line {}, column {}: {}", p.line, p.column, p.message))
        .collect::<Vec<_>>()
        .join("; ")
}

/// A file of another version is not examined any further: its other keys mean other things.
fn version(root: &Table<'_>) -> Option<()> {
    let item = root.need("version")?;
    let version = item.number(1..=u64::from(u32::MAX))?;
    if version != VERSION {
        item.add(format_args!(
            "version {version} is not supported: this gitroll reads version {VERSION}: update gitroll"
        ));
        return None;
    }
    Some(())
}

fn binding(root: &Table<'_>, dir: &Path) -> Option<Binding> {
    let app = root.need("app").and_then(|item| item.id());
    let path = root.need("path").and_then(|item| absolute(&item));
    let environment = root.need("environment").and_then(|item| item.id());
    let writer = root.need("writer").and_then(|item| item.id());
    let chain = root.need("chain").and_then(|item| item.id());
    let run_as = root.need("run_as").and_then(|item| user(&item));
    let umask = or(root.get("umask"), || None, |item| mask(&item).map(Some));
    let work_dir = root.need("work_dir").and_then(|item| {
        let work_dir = absolute(&item)?;
        if path.as_ref().is_some_and(|path| work_dir.starts_with(path)) {
            item.add("must lie outside the work tree");
            return None;
        }
        Some(work_dir)
    });
    let points = or(
        root.get("points"),
        || None,
        |item| {
            let points = absolute(&item)?;
            if path.as_ref().is_some_and(|path| points.starts_with(path)) {
                item.add("must lie outside the work tree");
                return None;
            }
            Some(Some(points))
        },
    );
    let signing = root.need("signing").and_then(|item| signing(&item));
    let trust = or(root.get("trust"), Default::default, |item| {
        let table = item.table("[trust]")?;
        let follow = or(table.get("follow"), Vec::new, |item| {
            all(item.elements("an array of fingerprints")?.iter().map(followed))
        });
        let keys = or(table.get("openpgp"), Vec::new, |item| {
            all(item.elements("an array of fingerprints")?.iter().map(fingerprint))
        });
        table.finish();
        Some((keys?, follow?))
    });
    let pass = or(root.get("build"), Vec::new, |item| {
        let table = item.table("[build]")?;
        let pass = or(table.get("pass"), Vec::new, |item| {
            all(item.elements("an array of names")?.iter().map(variable))
        });
        table.finish();
        pass
    });
    let tools = root.need("tools").and_then(|item| tools(&item));
    let take_over = or(root.get("take_over"), Vec::new, |item| {
        all(item.elements("an array of absolute paths")?.iter().map(absolute))
    });
    root.finish();
    let (tools, path_variable, pm2_home) = tools?;
    let (openpgp, follow): (Vec<String>, Vec<String>) = trust?;
    Some(Binding {
        dir: dir.to_owned(),
        app: app?,
        path: path?,
        environment: environment?,
        writer: writer?,
        chain: chain?,
        run_as: run_as?,
        umask: umask?,
        work_dir: work_dir?,
        points: points?,
        signing: signing?,
        openpgp,
        follow,
        tools,
        pm2_home,
        path_variable,
        take_over: take_over?,
        pass: pass?,
        distrust: None,
    })
}

fn absolute(item: &Item<'_>) -> Option<PathBuf> {
    let text = item.line()?;
    if !is_absolute(text) {
        item.add(format_args!("{} must be an absolute path without `..`", quoted(text)));
        return None;
    }
    Some(PathBuf::from(text))
}

fn is_absolute(text: &str) -> bool {
    text.starts_with('/') && !text.split('/').any(|part| part == "..")
}

fn followed(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if !text.starts_with("SHA256:") {
        item.add("must be SHA256:… as `gitroll trust list` shows it");
        return None;
    }
    Some(text.to_owned())
}

fn user(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if text.starts_with('-') || text.contains([':', '/']) || text.contains(char::is_whitespace) {
        item.add(format_args!("{} is not a user name", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

/// Octal digits, as umask(1) takes them. One that keeps the owner out would make the app unreadable for itself,
/// one that lets others write would give it to everybody.
fn mask(item: &Item<'_>) -> Option<u32> {
    let text = item.line()?;
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let mask = u32::from_str_radix(text, 8).ok().filter(|_| digits);
    match mask {
        Some(mask) if mask & !0o077 == 0 && mask & 0o002 != 0 => Some(mask),
        Some(mask) if mask & !0o077 != 0 => {
            item.add(format_args!("{} would lock out the app's own user", quoted(text)));
            None
        }
        Some(_) => {
            item.add(format_args!("{} would let everyone write the app's files", quoted(text)));
            None
        }
        None => {
            item.add(format_args!("{} is not a mask such as \"022\"", quoted(text)));
            None
        }
    }
}

fn variable(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let taken = ["GIT_", "GITROLL_"].iter().any(|prefix| text.starts_with(prefix));
    if taken || text.is_empty() || text.contains('=') || text.contains(char::is_whitespace) {
        item.add(format_args!("{} is not a variable that builds may see", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

fn fingerprint(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    if text.len() != 40 || !text.bytes().all(hex) {
        item.add(format_args!(
            "{} is not an OpenPGP fingerprint: 40 upper-case hex digits without spaces",
            quoted(text)
        ));
        return None;
    }
    Some(text.to_owned())
}

fn signing(item: &Item<'_>) -> Option<Signing> {
    let table = item.table("[signing]")?;
    let formats = [("ssh", SigningFormat::Ssh), ("openpgp", SigningFormat::OpenPgp)];
    let format = table.need("format").and_then(|item| item.word(&formats));
    let key = table.need("key").and_then(|item| match format {
        Some(SigningFormat::OpenPgp) => fingerprint(&item),
        Some(SigningFormat::Ssh) => absolute(&item).and_then(|_| item.line().map(str::to_owned)),
        None => None,
    });
    table.finish();
    Some(Signing { format: format?, key: key? })
}

fn tools(item: &Item<'_>) -> Option<(Tools, String, Option<PathBuf>)> {
    let table = item.table("[tools]")?;
    let tool = |key| or(table.get(key), || None, |item| absolute(&item).map(Some));
    let [git, node, npm, pm2] = ["git", "node", "npm", "pm2"].map(tool);
    let [ssh_keygen, gpg, pm2_home] = ["ssh_keygen", "gpg", "pm2_home"].map(tool);
    let [systemctl, journalctl] = ["systemctl", "journalctl"].map(tool);
    let path_variable = table.need("path").and_then(|item| {
        let text = item.line()?;
        // An empty or relative part would look for programs where the command happens to run.
        if !text.split(':').all(is_absolute) {
            item.add("every part between colons must be an absolute path");
            return None;
        }
        Some(text.to_owned())
    });
    table.finish();
    let tools = Tools {
        git: git?,
        node: node?,
        npm: npm?,
        pm2: pm2?,
        ssh_keygen: ssh_keygen?,
        gpg: gpg?,
        systemctl: systemctl?,
        journalctl: journalctl?,
    };
    Some((tools, path_variable?, pm2_home?))
}

/// The text of a binding, with comments.
///
/// # Errors
/// A sentence when a path is not UTF-8, which TOML cannot hold.
pub(super) fn write(binding: &Binding) -> Result<String, String> {
    let path = |path: &Path| match path.to_str() {
        Some(text) => Ok(quote(text)),
        None => Err(format!("{} is not UTF-8 and cannot be kept in {FILE}", path.display())),
    };
    let tool = |name: &str, tool: &Option<PathBuf>| -> Result<String, String> {
        match tool {
            Some(tool) => Ok(format!("{name} = {}\n", path(tool)?)),
            None => Ok(format!("# {name} = \"/…\"  was not found when this was written\n")),
        }
    };
    let format = match binding.signing.format {
        SigningFormat::Ssh => "ssh",
        SigningFormat::OpenPgp => "openpgp",
    };
    let tools = [
        tool("git", &binding.tools.git)?,
        tool("node", &binding.tools.node)?,
        tool("npm", &binding.tools.npm)?,
        tool("pm2", &binding.tools.pm2)?,
        tool("ssh_keygen", &binding.tools.ssh_keygen)?,
        tool("gpg", &binding.tools.gpg)?,
        tool("systemctl", &binding.tools.systemctl)?,
        tool("journalctl", &binding.tools.journalctl)?,
    ]
    .concat();
    let pm2_home = match &binding.pm2_home {
        Some(home) => format!("pm2_home = {}\n", path(home)?),
        None => "# pm2_home = \"/home/deploy/.pm2\"\n".to_owned(),
    };
    let umask = match binding.umask {
        Some(mask) => format!("umask = {}\n", quote(&format!("{mask:03o}"))),
        None => "# umask = \"022\"\n".to_owned(),
    };
    let points = match &binding.points {
        Some(dir) => format!("points = {}\n", path(dir)?),
        None => String::new(),
    };
    let take_over: Result<Vec<String>, String> =
        binding.take_over.iter().map(|dir| path(dir)).collect();
    let take_over = match take_over?.join(", ") {
        none if none.is_empty() => none,
        dirs => format!(
            "# pm2 apps that run in these directories belong to this checkout: the next reload moves them here.\n\
             take_over = [{dirs}]\n"
        ),
    };
    let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
    let pass = match binding.pass.as_slice() {
        [] => "# pass = [\"ACME_TOKEN\"]\n".to_owned(),
        names => format!("pass = [{}]\n", list(names)),
    };
    let openpgp: Vec<String> = binding.openpgp.iter().map(|key| quote(key)).collect();
    let follow = match binding.follow.as_slice() {
        [] => "# follow = [\"SHA256:…\"]\n".to_owned(),
        keys => format!("follow = [{}]\n", list(keys)),
    };
    Ok(format!(
        "\
# Binds one checkout on this host to an environment. Written by `gitroll init`.
# The repository cannot change this file. Keep it writable only by root or its owner.
version = {VERSION}

app = {app}
# The top of the work tree this binding is for.
path = {top}
environment = {environment}
# The writer of the records. A copied checkout needs its own: `gitroll init --new-writer`.
writer = {writer}
chain = {chain}
# The owner of the work tree. If root starts gitroll, it switches to this user.
run_as = {run_as}
# The mask for new files, whoever runs the command. A file that replaces another file keeps that file's permissions.
{umask}\
# Builds are staged here: outside the work tree, on the same file system if possible.
work_dir = {work_dir}
{points}{take_over}
[signing]
# \"ssh\" (key: path of a key file; of a .pub file, the private key beside it or the agent's) or \"openpgp\" (key: a fingerprint).
format = {format}
key = {key}

[trust]
# Trusted OpenPGP keys, by full fingerprint. Trusted ssh keys are in the file `trust` beside this one.
openpgp = [{openpgp}]
# Keys whose trust records this host applies by itself (`gitroll sync`), by fingerprint.
{follow}
[build]
# Variables of the caller that builds see in addition to those for proxies, certificates and registries.
{pass}
[tools]
{tools}{pm2_home}# PATH for builds and services.
path = {path_variable}
",
        app = quote(binding.app.as_str()),
        top = path(&binding.path)?,
        environment = quote(binding.environment.as_str()),
        writer = quote(binding.writer.as_str()),
        chain = quote(binding.chain.as_str()),
        run_as = quote(&binding.run_as),
        work_dir = path(&binding.work_dir)?,
        format = quote(format),
        key = quote(&binding.signing.key),
        openpgp = openpgp.join(", "),
        path_variable = quote(&binding.path_variable),
    ))
}
