//! From lines of shell that deploy by hand to lines that let gitroll do it. Pure.

use super::app::App;
use super::command::{Parsed, Part};
use super::shell::split;

/// How the lines of one place are written again.
#[derive(Debug, Clone, Copy)]
pub(super) struct RewriteOptions<'a> {
    pub(super) app: &'a App,
    /// gitroll as it must be called there.
    pub(super) program: &'a str,
    /// Nobody reads what it says: cron mails it.
    pub(super) quiet: bool,
    /// The checkout must be named: nothing else says where it works.
    pub(super) names_dir: bool,
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// It has nothing to do with deploying.
    Same,
    /// It becomes another line.
    Line(String),
    /// It goes: what it did is done by a line before it.
    Gone,
}

/// Writes the lines of one sequence of commands (a script, a step of a job, a line of cron) again.
///
/// One `gitroll deploy` is where the first command of the deploy stood; what is not part of a deploy
/// stays as and where it is.
pub(super) fn rewrite(lines: &[&str], options: RewriteOptions<'_>) -> Vec<Rewritten> {
    let parsed: Vec<Vec<Parsed<'_>>> = lines
        .iter()
        .map(|line| split(line).into_iter().map(|c| Parsed::of(c, options.app)).collect())
        .collect();
    let parts: Vec<&Part> = parsed.iter().flatten().map(|command| &command.part).collect();
    let target = Target::of(&parts, options.app);
    let mut writer = Writer {
        options,
        fetch: target.as_ref().is_some_and(|t| t.revision.is_some() && !t.pulls),
        command: command(&parts, target, options),
        done: false,
    };
    parsed.into_iter().map(|line| writer.line(line)).collect()
}

/// Where a sequence moves the tree.
struct Target {
    /// As [`Part::Move`] has it.
    revision: Option<String>,
    dir: Option<String>,
    /// It brings the revision itself.
    pulls: bool,
}

impl Target {
    fn of(parts: &[&Part], app: &App) -> Option<Self> {
        let moves = parts.iter().filter_map(|part| match part {
            Part::Move { revision, dir, pulls } => Some((revision, dir, *pulls)),
            _ => None,
        });
        let dir = moves.clone().find_map(|(_, dir, _)| dir.clone());
        let (_, _, last_pulls) = moves.clone().next_back()?;
        let Some((revision, _, pulls)) = moves.rev().find(|(name, ..)| name.is_some()) else {
            return Some(Self { revision: None, dir, pulls: last_pulls });
        };
        let mut revision = revision.clone();
        if last_pulls && !pulls {
            // `git checkout release && git pull`: the branch as its remote has it.
            let remote = app.upstream.as_ref().map_or("origin", |upstream| &upstream.remote);
            revision = revision.map(|branch| format!("{remote}/{branch}"));
        }
        Some(Self { revision, dir, pulls: last_pulls })
    }
}

/// The one command that does what the sequence does; `None` if that is not a deploy.
fn command(parts: &[&Part], target: Option<Target>, options: RewriteOptions<'_>) -> Option<String> {
    let app = options.app;
    let entered = parts.iter().any(|part| matches!(part, Part::Enter(_)));
    let named = target.as_ref().and_then(|target| target.dir.clone());
    let named = named.or_else(|| (options.names_dir && !entered).then(|| app.spelled_top()));
    let named: Vec<String> = named.into_iter().flat_map(|dir| ["-C".to_owned(), dir]).collect();
    let mut words = Vec::new();
    if let Some(Target { revision: Some(revision), pulls: true, .. }) = &target {
        // `gitroll deploy REV` takes what is there already.
        let remote = revision.split('/').next().unwrap_or_default();
        words.push("git".to_owned());
        words.extend(named.iter().cloned());
        words.extend(["fetch", remote, "&&"].map(str::to_owned));
    }
    words.push(options.program.to_owned());
    words.extend(named);
    let reloaded = parts.iter().find_map(|part| match part {
        Part::Reload(name) => Some(name),
        _ => None,
    });
    let builds = parts.iter().any(|part| matches!(part, Part::Accompany | Part::Fetch));
    if parts.contains(&&Part::Remote) {
        let there = format!("cd {} && gitroll deploy --yes", app.spelled_top());
        return Some(format!("ssh {}@{} '{there}'", app.user, app.host));
    }
    match (target, reloaded) {
        (Some(target), _) => {
            words.push("deploy".to_owned());
            words.extend(target.revision);
            words.push("--yes".to_owned());
        }
        (None, Some(_)) if builds => words.extend(["deploy", "--yes"].map(str::to_owned)),
        // Nothing new comes: a restart in the night must not become a deploy in the night.
        (None, Some(name)) => {
            words.extend(["service", "restart"].map(str::to_owned));
            words.extend(app.service_of(name));
        }
        (None, None) => return None,
    }
    words.extend(options.quiet.then(|| "--quiet".to_owned()));
    Some(words.join(" "))
}

struct Writer<'a> {
    options: RewriteOptions<'a>,
    /// What is written in place of the deploy.
    command: Option<String>,
    /// A revision is named: what brings it stays.
    fetch: bool,
    /// It was written already.
    done: bool,
}

impl Writer<'_> {
    fn line(&mut self, commands: Vec<Parsed<'_>>) -> Rewritten {
        let redirections = commands
            .iter()
            .rev()
            .filter(|c| self.deploys(&c.part))
            .map(|c| c.redirections.as_str());
        let redirections = redirections.clone().find(|r| !r.is_empty()).unwrap_or("").to_owned();
        let mut out = String::new();
        let mut changed = false;
        // Whether the command before this one is gone, or only its output mattered.
        let mut gone = false;
        for command in commands {
            let joined = command.command.joined;
            let of_the_one_before = joined.starts_with('|');
            let sieves = command.part == Part::Sieve && joined == "|" && changed;
            if (gone && of_the_one_before && !self.deploys(&command.part)) || sieves {
                changed = true;
                continue;
            }
            let text = match self.text(&command, &redirections) {
                Rewritten::Same => command.command.text.to_owned(),
                Rewritten::Line(text) => {
                    changed = true;
                    text
                }
                Rewritten::Gone => String::new(),
            };
            gone = text.is_empty();
            if gone {
                changed = true;
                continue;
            }
            if !out.is_empty() {
                out.push_str(if joined == ";" { "" } else { " " });
                out.push_str(joined);
                out.push(' ');
            }
            out.push_str(&text);
        }
        match (changed, out.is_empty()) {
            (false, _) => Rewritten::Same,
            (true, true) => Rewritten::Gone,
            (true, false) => Rewritten::Line(out.replace(" && true)", ")")),
        }
    }

    fn deploys(&self, part: &Part) -> bool {
        self.command.is_some()
            && match part {
                Part::Move { .. } | Part::Reload(_) | Part::Remote | Part::Accompany => true,
                Part::Fetch => !self.fetch,
                Part::Enter(_) | Part::Sieve | Part::Other => false,
            }
    }

    fn text(&mut self, command: &Parsed<'_>, redirections: &str) -> Rewritten {
        if let Some((at, inner)) = command.nested {
            return self.nested(command.command.text, at, inner);
        }
        if !self.deploys(&command.part) {
            return Rewritten::Same;
        }
        let Some(wanted) = self.command.as_ref().filter(|_| !self.done) else {
            let Parsed { opening, closing, .. } = command;
            // `then` and `(` want a command.
            return match opening.is_empty() && closing.is_empty() {
                true => Rewritten::Gone,
                false => Rewritten::Line(format!("{opening}true{closing}")),
            };
        };
        self.done = true;
        let space = if redirections.is_empty() { "" } else { " " };
        Rewritten::Line(format!(
            "{}{wanted}{space}{redirections}{}",
            command.before, command.closing
        ))
    }

    /// Shell text in quotes is a sequence of its own, often on another host.
    fn nested(&self, text: &str, at: usize, inner: &str) -> Rewritten {
        let remote = text.contains("ssh ");
        let program = if remote { "gitroll" } else { self.options.program };
        match rewrite(&[inner], RewriteOptions { program, ..self.options }).pop() {
            Some(Rewritten::Line(new)) => {
                Rewritten::Line(format!("{}{new}{}", &text[..at], &text[at + inner.len()..]))
            }
            _ => Rewritten::Same,
        }
    }
}
