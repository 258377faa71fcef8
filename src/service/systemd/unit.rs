//! What `systemctl show` says of a unit and what that means, and its files as `systemctl cat` prints them. Pure.

use std::time::Duration;

/// The properties that are asked for.
pub(super) const PROPERTIES: &str = "Id,LoadState,LoadError,ActiveState,SubState,Result,Type,NRestarts,MainPID,\
    ExecMainCode,ExecMainStatus,ExecMainStartTimestampMonotonic,CanReload,NeedDaemonReload,ControlGroup,\
    WorkingDirectory,RootDirectory,ExecStart,StandardOutput,StandardError,TimeoutStartUSec,TimeoutStopUSec,\
    FragmentPath,DropInPaths,RemainAfterExit,KillMode";

/// How the value of a command begins.
const COMMAND: &str = "ExecStart={ ";

/// A unit as systemd shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its whole name.
    pub(super) id: String,
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub(super) load: String,
    /// Why it could not be loaded.
    pub(super) load_error: String,
    /// `active`, `activating`, `deactivating`, `reloading`, `inactive`, `failed`.
    pub(super) active: String,
    /// `running`, `exited`, `auto-restart`, `start-pre` and many more.
    pub(super) sub: String,
    /// `success`, or why its last run was none: `exit-code`, `signal`, `timeout`, `start-limit-hit`.
    pub(super) result: String,
    /// `Type=`
    pub(super) kind: String,
    /// How often systemd itself started it again.
    pub(super) restarts: u64,
    /// Its main process, while it runs.
    pub(super) main: Option<u32>,
    /// How its main process ended: 1 exited, 2 killed, 3 killed and dumped.
    pub(super) ended: u32,
    /// With which code or signal.
    pub(super) status: u32,
    /// When its main process was last started, in microseconds since boot; 0 where it never was, or where
    /// systemd has forgotten.
    pub(super) started: u64,
    /// It knows how to reload.
    pub(super) can_reload: bool,
    /// Its file was changed and systemd has not read it again.
    pub(super) need_daemon_reload: bool,
    /// Its control group, below where those are mounted.
    pub(super) group: String,
    /// `WorkingDirectory=`; empty where it says none.
    pub(super) directory: String,
    /// `RootDirectory=`: its paths are not the host's then.
    pub(super) root: String,
    /// Its commands, as systemd shows them.
    pub(super) commands: String,
    /// The files that say so, separated by blanks.
    pub(super) files: String,
    /// `RemainAfterExit=yes`
    pub(super) remains: bool,
    /// `KillMode=`
    pub(super) kill_mode: String,
    /// Its output or what it complains goes to a file and not to the journal. Most versions of systemd do not
    /// say to which.
    pub(super) to_file: bool,
    /// How long it may take to start; `None` without an end.
    pub(super) start_limit: Option<Duration>,
    /// How long it may take to stop; `None` without an end.
    pub(super) stop_limit: Option<Duration>,
}

impl Unit {
    /// Reads the properties of one unit or several, which an empty line separates.
    pub(super) fn parse_all(text: &str) -> Vec<Self> {
        let mut blocks: Vec<Vec<String>> = vec![Vec::new()];
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.to_owned();
            // An argument may have lines of its own, also empty ones, and one that looks like a property.
            while line.starts_with(COMMAND) && !is_whole(&line) {
                let Some(more) = lines.next() else { break };
                line = format!("{line}\n{more}");
            }
            match blocks.last_mut() {
                Some(block) if !line.is_empty() => block.push(line),
                _ => blocks.push(Vec::new()),
            }
        }
        let blocks = blocks.iter().filter(|block| !block.is_empty());
        blocks.map(|block| Self::parse(block)).collect()
    }

    /// The commands that start it, each with its arguments, as systemd shows them: without quotes.
    pub(super) fn argv(&self) -> impl Iterator<Item = &str> {
        self.commands.split("argv[]=").skip(1).map(|rest| {
            rest.split_once(" ; ignore_errors=").map_or(rest, |(arguments, _)| arguments)
        })
    }

    fn parse(lines: &[String]) -> Self {
        let mut unit = Self::default();
        for (name, value) in lines.iter().filter_map(|line| line.split_once('=')) {
            let text = || value.to_owned();
            match name {
                "Id" => unit.id = text(),
                "LoadState" => unit.load = text(),
                "LoadError" => unit.load_error = sentence(value),
                "ActiveState" => unit.active = text(),
                "SubState" => unit.sub = text(),
                "Result" => unit.result = text(),
                "Type" => unit.kind = text(),
                "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
                "MainPID" => unit.main = value.parse().ok().filter(|pid| *pid > 0),
                "ExecMainCode" => unit.ended = value.parse().unwrap_or(0),
                "ExecMainStatus" => unit.status = value.parse().unwrap_or(0),
                "ExecMainStartTimestampMonotonic" => unit.started = value.parse().unwrap_or(0),
                "CanReload" => unit.can_reload = value == "yes",
                "NeedDaemonReload" => unit.need_daemon_reload = value == "yes",
                "ControlGroup" => unit.group = text(),
                // A directory that need not be there begins with a `!`.
                "WorkingDirectory" => {
                    unit.directory = value.trim_start_matches(['!', '-']).to_owned()
                }
                "RootDirectory" => unit.root = text(),
                "FragmentPath" | "DropInPaths" => unit.files = format!("{} {value}", unit.files),
                "RemainAfterExit" => unit.remains = value == "yes",
                "KillMode" => unit.kill_mode = text(),
                // One line for each of its commands.
                "ExecStart" => unit.commands = format!("{}{value}\n", unit.commands),
                "StandardOutput" | "StandardError" => {
                    let kind = value.split(':').next().unwrap_or_default();
                    unit.to_file |= matches!(kind, "file" | "append" | "truncate");
                }
                "TimeoutStartUSec" => unit.start_limit = timespan(value),
                "TimeoutStopUSec" => unit.stop_limit = timespan(value),
                _ => {}
            }
        }
        unit
    }

    /// Whether it does what it is there for: it runs, or is meant to end and ended well.
    pub(super) fn up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing") || self.ended_well()
    }

    /// Whether it is meant to end and ended well: no process serves.
    pub(super) fn ended_well(&self) -> bool {
        let over = match self.active.as_str() {
            "active" => self.sub == "exited" && self.main.is_none(),
            // Whether it ever ran is forgotten with it, as soon as nothing refers to it.
            "inactive" => self.kind == "oneshot",
            _ => false,
        };
        over && self.result == "success"
    }

    /// Whether nobody will start it again by itself.
    pub(super) fn given_up(&self) -> bool {
        // A later systemd passes through these on its way to the next start.
        let goes_on = self.sub.ends_with("-before-auto-restart");
        !goes_on && (self.active == "failed" || (self.active == "inactive" && !self.up()))
    }

    /// Whether anything of it runs, or is about to.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// How it is, in a word, with why where it is not up.
    pub(super) fn word(&self) -> String {
        let word = match self.active.as_str() {
            "active" => return self.sub.clone(),
            "inactive" if self.up() && self.started > 0 => return "exited".to_owned(),
            "inactive" if self.up() => return self.active.clone(),
            "reloading" | "refreshing" => return self.active.clone(),
            "activating" if self.sub == "auto-restart" => "auto-restart",
            "activating" => "starting",
            "deactivating" => "stopping",
            "" => "unknown",
            other => other,
        };
        self.reason().map_or_else(|| word.to_owned(), |reason| format!("{word}: {reason}"))
    }

    /// Why it is not up, as far as it tells.
    fn reason(&self) -> Option<String> {
        let signal = |number: u32| format!("killed by signal {number}");
        Some(match self.result.as_str() {
            "success" | "" if self.ended == 1 && self.active != "activating" => {
                format!("it ended with exit code {}", self.status)
            }
            "success" | "" => return None,
            "exit-code" if self.ended == 1 => format!("exit code {}", self.status),
            "exit-code" => "one of its commands failed".to_owned(),
            "signal" | "core-dump" if self.ended >= 2 => signal(self.status),
            "timeout" => match self.start_limit {
                Some(limit) if self.kind.starts_with("notify") => {
                    format!("it was not ready within {} s", limit.as_secs())
                }
                _ => "it took too long".to_owned(),
            },
            "start-limit-hit" => "it was started too often (start limit)".to_owned(),
            "oom-kill" => "killed, out of memory".to_owned(),
            "watchdog" => "its own watchdog stopped it".to_owned(),
            "protocol" => "it ended before it was ready".to_owned(),
            other => other.to_owned(),
        })
    }

    /// How long a change of it may take, waiting included.
    pub(super) fn limit(&self) -> Duration {
        const ENDLESS: Duration = Duration::from_secs(600);
        const MARGIN: Duration = Duration::from_secs(5);
        let both = self.start_limit.zip(self.stop_limit);
        both.map_or(ENDLESS, |(start, stop)| (start + stop + MARGIN).min(2 * ENDLESS))
    }
}

/// Whether the value of a command ends here.
fn is_whole(line: &str) -> bool {
    // Systemd 252 and later show `status=0/0`; all of them close the bracket.
    line.ends_with(" }") && line.contains(" ; status=")
}

/// What is between quotes after the name of a D-Bus error.
fn sentence(value: &str) -> String {
    let quoted = value.split_once('"').map(|(_, rest)| rest.trim_end_matches('"'));
    quoted.unwrap_or(value).trim().to_owned()
}

/// A time as systemd shows it, `1min 30s`; `None` for `infinity`.
fn timespan(value: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    for part in value.split_whitespace() {
        let cut = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = part.split_at(cut);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 7.0 * 86_400.0,
            _ => return None,
        };
        whole += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    }
    Some(whole)
}

/// What the unit's files say, in the order in which systemd reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// Section, key, value.
    said: Vec<(String, String, String)>,
}

impl Definition {
    /// Reads the files of one unit.
    pub(super) fn parse(text: &str) -> Self {
        let mut said = Vec::new();
        let mut section = String::new();
        let mut whole = String::new();
        for line in text.lines() {
            let line = line.trim();
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(begin) = line.strip_suffix('\\') {
                whole = format!("{whole}{begin} ");
                continue;
            }
            let line = std::mem::take(&mut whole) + line;
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once('=') {
                said.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self { said }
    }

    /// The values of a key of which there may be several; an empty one forgets those before it.
    pub(super) fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values: Vec<&str> = Vec::new();
        for (_, _, value) in self.said.iter().filter(|(s, k, _)| s == section && k == key) {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value);
            }
        }
        values
    }

    /// The value of a key of which the last one counts.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).pop()
    }

    /// What must hold or the unit is not run although its start succeeds: `ConditionPathExists=/x`.
    pub(super) fn conditions(&self) -> Vec<String> {
        let keys = self.said.iter().filter(|(section, key, value)| {
            let condition = section == "Unit" && key.starts_with("Condition");
            (condition || (section == "Service" && key == "ExecCondition")) && !value.is_empty()
        });
        keys.map(|(_, key, value)| format!("{key}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        Unit::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn how_a_unit_is() {
        let table = [
            ("ActiveState=active SubState=running Result=success MainPID=7", true, "running"),
            ("ActiveState=active SubState=exited Result=success MainPID=0", true, "exited"),
            ("ActiveState=reloading SubState=reload MainPID=7", true, "reloading"),
            (
                "ActiveState=failed Result=exit-code ExecMainCode=1 ExecMainStatus=3",
                false,
                "failed: exit code 3",
            ),
            (
                "ActiveState=failed Result=signal ExecMainCode=2 ExecMainStatus=9",
                false,
                "failed: killed by signal 9",
            ),
            (
                "ActiveState=failed Result=start-limit-hit",
                false,
                "failed: it was started too often (start limit)",
            ),
            (
                "ActiveState=activating SubState=auto-restart Result=exit-code ExecMainCode=1 ExecMainStatus=1",
                false,
                "auto-restart: exit code 1",
            ),
            ("ActiveState=activating SubState=start Result=success", false, "starting"),
            ("ActiveState=inactive SubState=dead Result=success", false, "inactive"),
            (
                "ActiveState=inactive Type=simple Result=success ExecMainCode=1 ExecMainStatus=0 \
                ExecMainStartTimestampMonotonic=9",
                false,
                "inactive: it ended with exit code 0",
            ),
            (
                "ActiveState=inactive Type=oneshot Result=success ExecMainStartTimestampMonotonic=9",
                true,
                "exited",
            ),
            (
                "ActiveState=inactive Type=oneshot Result=success ExecMainStartTimestampMonotonic=0",
                true,
                "inactive",
            ),
            (
                "ActiveState=failed Result=timeout Type=notify TimeoutStartUSec=2s",
                false,
                "failed: it was not ready within 2 s",
            ),
            ("", false, "unknown"),
        ];
        for (text, up, word) in table {
            assert_eq!((unit(text).up(), unit(text).word().as_str()), (up, word), "{text}");
        }
    }

    #[test]
    fn several_units_are_told_apart_and_commands_are_put_together() {
        let units = Unit::parse_all(
            "Id=a\nExecStart={ argv[]=one ; ignore_errors=no ; status=0/0 }\n\
                ExecStart={ argv[]=two\n\nId=c\nend ; ignore_errors=no ; status=0/0 }\n\nId=b\nNRestarts=4\n",
        );
        assert_eq!((units.len(), units[0].id.as_str()), (2, "a"));
        assert_eq!(units[0].argv().collect::<Vec<_>>(), ["one", "two\n\nId=c\nend"]);
        assert_eq!((units[1].id.as_str(), units[1].restarts), ("b", 4));
    }

    #[test]
    fn times_are_read_as_systemd_writes_them() {
        assert_eq!(timespan("1min 30s"), Some(Duration::from_secs(90)));
        assert_eq!(timespan("1.500s"), Some(Duration::from_millis(1500)));
        assert_eq!(timespan("infinity"), None);
        let unit = unit("TimeoutStartUSec=infinity TimeoutStopUSec=5s");
        assert_eq!(unit.limit(), Duration::from_secs(600));
    }

    #[test]
    fn files_are_read_as_systemd_reads_them() {
        let text = "# /units/a.service\n[Unit]\nConditionPathExists=/x\n[Service]\nExecStart=/bin/a \\\n  b\n\
            # /units/a.service.d/more.conf\n[Service]\nExecStart=\nExecStart=/bin/c\nStandardOutput=append:/a\n\
            ; StandardOutput=file:/b\n";
        let read = Definition::parse(text);
        assert_eq!(read.all("Service", "ExecStart"), ["/bin/c"]);
        assert_eq!(read.last("Service", "StandardOutput"), Some("append:/a"));
        assert_eq!(read.conditions(), ["ConditionPathExists=/x"]);
        let begin = Definition::parse("[Service]\nExecStart=/bin/a \\\n  b\n");
        assert_eq!(begin.all("Service", "ExecStart"), ["/bin/a  b"]);
    }
}
