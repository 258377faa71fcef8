//! The files of a unit, as `systemctl cat` prints them. Pure.

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
