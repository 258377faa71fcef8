//! How a directory of the repository is built and started, in whatever language: what goes into `[[build]]` and
//! `[service.…]` of a starter.

use std::collections::BTreeMap;

/// A start command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The argument vector.
    pub command: Vec<String>,
    /// Variables the script sets before it.
    pub env: BTreeMap<String, String>,
}

/// A `[[build]]`. All are texts as they stand in `gitroll.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What a person should know of it, a line each.
    pub notes: Vec<String>,
    /// Its commands.
    pub run: Vec<Vec<String>>,
    /// What it depends on; every tracked file where empty.
    pub inputs: Vec<String>,
    /// What it makes.
    pub outputs: Vec<String>,
    /// What it may make besides.
    pub optional: Vec<String>,
    /// What it leaves and nobody needs.
    pub scratch: Vec<String>,
    /// Untracked files that it reads.
    pub carry: Vec<String>,
    /// Variables for the commands.
    pub env: BTreeMap<String, String>,
}

/// A service that gitroll itself could start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// The name of the service.
    pub name: String,
    /// What a person should know of it, a line each.
    pub notes: Vec<String>,
    /// How it is started.
    pub start: Start,
    /// Where it will listen on loopback, as far as its files tell.
    pub port: Option<u16>,
}

/// What the files of a language tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    /// In this order.
    pub groups: Vec<Group>,
    /// How it is started, where that is known.
    pub run: Option<Run>,
    /// What a person should know, a sentence each.
    pub warnings: Vec<String>,
}

impl Group {
    /// The same in a directory of the repository.
    pub(super) fn below(mut self, dir: &str) -> Self {
        if dir.is_empty() {
            return self;
        }
        let inside = |paths: Vec<String>| paths.into_iter().map(|p| beneath(dir, &p)).collect();
        self.name = format!("{dir}-{}", self.name).replace('/', "-");
        self.run = self.run.into_iter().map(|command| within(dir, &command, false)).collect();
        // Without inputs it depends on all of its own directory, and on nothing else.
        self.inputs = match self.inputs.is_empty() {
            true => vec![format!("{dir}/**")],
            false => inside(self.inputs),
        };
        self.outputs = inside(self.outputs);
        self.optional = inside(self.optional);
        self.scratch = inside(self.scratch);
        self.carry = inside(self.carry);
        self
    }
}

impl Run {
    /// The same in a directory of the repository, which names it.
    pub(super) fn below(mut self, dir: &str) -> Self {
        if !dir.is_empty() {
            self.start.command = within(dir, &self.start.command, true);
            let last = dir.rsplit('/').next().unwrap_or(dir);
            self.name =
                if self.name == "web" { last.to_owned() } else { format!("{last}-{}", self.name) };
        }
        self
    }
}

/// A path of a directory as one of the repository. One that leads out of the directory is made plain.
pub(super) fn beneath(dir: &str, path: &str) -> String {
    if dir.is_empty() {
        return path.to_owned();
    }
    let mut above = dir;
    let mut path = path;
    while let Some(rest) = path.strip_prefix("../") {
        above = above.rsplit_once('/').map_or("", |(above, _)| above);
        path = rest;
    }
    if above.is_empty() { path.to_owned() } else { format!("{above}/{path}") }
}

/// A command in a directory. A service becomes what the shell was: nothing is between gitroll and it.
pub(super) fn within(dir: &str, command: &[String], service: bool) -> Vec<String> {
    if dir.is_empty() {
        return command.to_vec();
    }
    let script = match command {
        [shell, flag, script] if shell == "sh" && flag == "-c" => script.clone(),
        _ if service => format!("exec {}", spelled(command)),
        _ => spelled(command),
    };
    words(&["sh", "-c", &format!("cd {dir} && {script}")])
}

/// A command as a shell reads it.
pub(super) fn spelled(command: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    let quoted = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Texts of one's own.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A variable of one's own.
pub(super) fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
