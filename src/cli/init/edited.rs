//! Tracked files that were edited on this host, and what becomes of each.

use globset::escape as literally;
use schemars::JsonSchema;
use serde::Serialize;
use toml::de::DeTable;

use super::args::InitArgs;
use crate::cli::failure::Failure;
use crate::config::{self, Config, quote};
use crate::model::{Oid, RepoPath, TreeMode};
use crate::system::git::Git;
use crate::ui::{Ui, escape, plural, question};

/// With more edited files nobody wants to be asked for each.
const MOST_QUESTIONS: usize = 20;
const SHOWN: usize = 20;

/// A tracked file that was edited on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EditedFile {
    /// Its path; bytes that are no plain text as `%XX`.
    pub path: String,
    /// What happens to it.
    pub becomes: Becomes,
    /// Its pattern for `[app] local`.
    #[serde(skip)]
    pub(super) pattern: Option<String>,
}

/// What happens to an edited file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Becomes {
    /// Every deployment keeps it, once `[app] local` of gitroll.toml lists it.
    Local,
    /// It stays as it is now; the first deploy that changes it saves it elsewhere.
    Save,
}

/// Finds them, and decides for each that `[app] local` does not name yet: asks, where a person sets this
/// checkout up on a terminal.
pub(super) fn decide(
    git: &Git,
    ui: &Ui,
    args: &InitArgs,
    head: &Oid,
    existing: Option<&Config>,
    first: bool,
) -> Result<Vec<EditedFile>, Failure> {
    let marked = git.marked_files();
    let declared = |path: &RepoPath| {
        marked.contains(path) || existing.is_some_and(|c| c.app.local.matches(path))
    };
    let edited = git.edited(head)?;
    let own = |path: &RepoPath| {
        git.entry(head, path)
            .is_ok_and(|entry| entry.is_some_and(|e| e.mode != TreeMode::Submodule))
    };
    let (edited, in_submodules): (Vec<RepoPath>, Vec<RepoPath>) = edited.into_iter().partition(own);
    for path in &in_submodules {
        let path = escape(&path.to_string());
        ui.say(&format!(
            "edited   {path}  in a submodule: a deploy refuses until it is as committed"
        ));
    }
    let (here, gone): (Vec<RepoPath>, Vec<RepoPath>) = edited
        .into_iter()
        .filter(|path| !declared(path) && path.as_bytes() != b"gitroll.toml")
        .partition(|path| git.top().join(path.as_path()).symlink_metadata().is_ok());
    let asks = first && !args.yes && here.len() <= MOST_QUESTIONS;
    let mut edited = Vec::new();
    for path in &here {
        let pattern = pattern_of(path);
        let proposed = match &pattern {
            Some(_) if is_config_like(path) => Becomes::Local,
            _ => Becomes::Save,
        };
        let becomes = if asks && pattern.is_some() { ask(ui, path, proposed)? } else { proposed };
        edited.push(EditedFile { path: path.to_string(), becomes, pattern });
    }
    tell(ui, &edited, &gone);
    Ok(edited)
}

/// The patterns of the files that shall stay.
pub(super) fn local(edited: &[EditedFile]) -> Vec<String> {
    let stays = edited.iter().filter(|file| file.becomes == Becomes::Local);
    stays.filter_map(|file| file.pattern.clone()).collect()
}

fn ask(ui: &Ui, path: &RepoPath, proposed: Becomes) -> Result<Becomes, Failure> {
    let text = format!(
        "{} was edited here: local (keep it here) or save (the first deploy saves it elsewhere)?",
        escape(&path.to_string())
    );
    let default = match proposed {
        Becomes::Local => "local",
        Becomes::Save => "save",
    };
    loop {
        match question(ui, &text, default)?.to_ascii_lowercase().as_str() {
            "local" | "l" => return Ok(Becomes::Local),
            "save" | "s" => return Ok(Becomes::Save),
            _ => ui.cry("Please answer local or save."),
        }
    }
}

/// What holds a host's settings rather than the app's code, by its name.
fn is_config_like(path: &RepoPath) -> bool {
    const EXTENSIONS: [&str; 6] = ["json", "yml", "yaml", "toml", "ini", "conf"];
    // Edited by a tool rather than for a host: keeping these would keep old dependencies.
    const MADE_BY_TOOLS: [&str; 4] =
        ["package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml"];
    let path = path.as_path();
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let below_config = path.parent().is_some_and(|dir| dir.iter().any(|part| part == "config"));
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    !MADE_BY_TOOLS.contains(&name.as_str())
        && (below_config
            || name.contains(".env")
            || extension.is_some_and(|extension| EXTENSIONS.contains(&extension)))
}

/// A pattern for `[app] local` that matches this path literally; `None` if gitroll.toml cannot say it.
fn pattern_of(path: &RepoPath) -> Option<String> {
    let pattern = literally(path.as_path().to_str()?);
    let text = format!("[app]\nname = \"app\"\nlocal = [{}]\n", quote(&pattern));
    let config = config::parse(&text, "gitroll.toml").ok()?;
    config.app.local.matches(path).then_some(pattern)
}

/// `text`, a `gitroll.toml`, with these patterns in `[app] local` too, and every other byte as it was. `None` where there is
/// no table to write into, such as `app = { … }`.
pub(super) fn with_local(text: &str, patterns: &[String]) -> Option<String> {
    let written = listed(patterns);
    let document = DeTable::parse(text).ok()?;
    let app = document.get_ref().get("app")?.get_ref().as_table()?;
    let (at, inserted) = match app.get("local") {
        Some(local) => {
            let more = if local.get_ref().as_array()?.is_empty() { "" } else { ", " };
            (local.span().start + 1, format!("{written}{more}"))
        }
        None => {
            let header = |line: &&str| {
                let bare = line.split('#').next().unwrap_or_default();
                bare.chars().filter(|c| !c.is_whitespace()).eq("[app]".chars())
            };
            let mut end = 0;
            let mut lines = text.split_inclusive('\n').inspect(|line| end += line.len());
            lines.find(header)?;
            let before = if text[..end].ends_with('\n') { "" } else { "\n" };
            (end, format!("{before}local = [{written}]\n"))
        }
    };
    let new = format!("{}{inserted}{}", &text[..at], &text[at..]);
    only_adds(text, &new, patterns).then_some(new)
}

/// Whether `new` is valid and differs from `old` by these patterns alone: the header of the table may have been a line of a
/// text.
fn only_adds(old: &str, new: &str, patterns: &[String]) -> bool {
    let without = |text: &str| {
        let mut table: toml::Table = text.parse().ok()?;
        let local = table.get_mut("app")?.as_table_mut()?.remove("local");
        let list = local.map_or(Some(Vec::new()), |local| local.as_array().cloned())?;
        Some((table, list))
    };
    let (Some((before, had)), Some((after, has))) = (without(old), without(new)) else {
        return false;
    };
    let wanted: Vec<toml::Value> =
        patterns.iter().map(|pattern| pattern.as_str().into()).chain(had).collect();
    before == after && has == wanted && config::parse(new, "gitroll.toml").is_ok()
}

/// That the patterns were written into the `gitroll.toml` that was there.
pub(super) fn added(patterns: &[String]) -> String {
    let patterns = listed(patterns);
    format!("wrote {patterns} to `local` in gitroll.toml: commit it before the next deploy")
}

/// That a person must write them there.
pub(super) fn to_add(patterns: &[String]) -> String {
    format!("missing  add to `local` in gitroll.toml, under [app]:  {}", listed(patterns))
}

fn listed(patterns: &[String]) -> String {
    patterns.iter().map(|pattern| quote(pattern)).collect::<Vec<_>>().join(", ")
}

fn tell(ui: &Ui, edited: &[EditedFile], gone: &[RepoPath]) {
    for file in edited.iter().take(SHOWN) {
        let what = match file.becomes {
            Becomes::Local => "local: every deploy keeps it",
            Becomes::Save => {
                "save: the first deploy that changes it moves it to .git/gitroll/saved"
            }
        };
        ui.say(&format!("edited   {}  {what}", escape(&file.path)));
    }
    if edited.len() > SHOWN {
        ui.say(&format!("edited   {} more", plural(edited.len() - SHOWN, "file")));
    }
    for path in gone.iter().take(SHOWN) {
        let path = escape(&path.to_string());
        ui.say(&format!("edited   {path}  deleted here: the first deploy restores it"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_and_code_is_put_aside() {
        let path = |text: &str| RepoPath::new(text).unwrap();
        for settings in
            ["config/host.json", "app/config/db.js", "a.yml", ".env", ".env.production", "x.INI"]
        {
            assert!(is_config_like(&path(settings)), "{settings}");
        }
        for code in ["server.js", "package.json", "web/package-lock.json", "myconfig/a.js", "env"] {
            assert!(!is_config_like(&path(code)), "{code}");
        }
    }

    #[test]
    fn a_name_made_of_pattern_signs_stands_for_itself_alone() {
        let path = RepoPath::new("config/[a]{b,c}*?\"\\.json").unwrap();
        if let Some(pattern) = pattern_of(&path) {
            let text = format!("[app]\nname = \"a\"\nlocal = [{}]\n", quote(&pattern));
            let local = config::parse(&text, "gitroll.toml").unwrap().app.local;
            assert!(local.matches(&path));
            assert!(!local.matches(&RepoPath::new("config/abxx\"\\.json").unwrap()));
        }
        assert_eq!(pattern_of(&RepoPath::new(b"config/\xff.json".to_vec()).unwrap()), None);
        let plain = RepoPath::new("config/host.json").unwrap();
        assert_eq!(pattern_of(&plain).as_deref(), Some("config/host.json"));
    }

    #[test]
    fn patterns_are_written_into_a_gitroll_toml_that_is_there() {
        let new = ["config/a \"b\".json".to_owned(), "c.yml".to_owned()];
        for (text, wanted) in [
            (
                "[app]\nname = \"a\"\n",
                "[app]\nlocal = [\"config/a \\\"b\\\".json\", \"c.yml\"]\nname = \"a\"\n",
            ),
            (
                "[app] # x\nname = \"a\"",
                "[app] # x\nlocal = [\"config/a \\\"b\\\".json\", \"c.yml\"]\nname = \"a\"",
            ),
            (
                "[app]\nname = \"a\"\nlocal = [ # kept\n  \"x\",\n]\n",
                "[app]\nname = \"a\"\nlocal = [\"config/a \\\"b\\\".json\", \"c.yml\",  # kept\n  \"x\",\n]\n",
            ),
            (
                "[app]\nlocal = []\nname = \"a\"\n",
                "[app]\nlocal = [\"config/a \\\"b\\\".json\", \"c.yml\"]\nname = \"a\"\n",
            ),
        ] {
            assert_eq!(with_local(text, &new).as_deref(), Some(wanted), "{text}");
        }
        for text in ["app = { name = \"a\" }\n", "app.name = \"a\"\n"] {
            assert_eq!(with_local(text, &new), None, "{text}");
        }
    }
}
