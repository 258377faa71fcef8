//! Feature flags: values, and how one changes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, FlagName, FlagSourceName, IdError, Redactor};

/// What a flag is set to, as far as it may be written down.
///
/// Spelled `absent`, `sha256:…` or as compact JSON: `"false"` in a dotenv file, `false` or `0.01` in a JSON one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum FlagValue {
    /// The source does not have it.
    Absent,
    /// A scalar: text, number, boolean or null.
    Known(serde_json::Value),
    /// A secret by its name or by what it looks like: only what its JSON hashes to.
    Hidden(Digest),
}

impl FlagValue {
    /// The value, or its digest where `name` or the value itself looks like that of a secret.
    pub fn shown(name: &FlagName, value: serde_json::Value) -> Self {
        /// What a switch says is not a secret, whatever its name.
        const SWITCHES: [&str; 9] = ["", "true", "false", "on", "off", "yes", "no", "0", "1"];
        let switch = match &value {
            serde_json::Value::String(text) => SWITCHES.contains(&text.as_str()),
            serde_json::Value::Number(_) => false,
            _ => true,
        };
        let secret = value.as_str().is_some_and(super::is_secret_value);
        if secret || (super::looks_secret(name.as_str()) && !switch) {
            return Self::Hidden(Digest::of(value.to_string().as_bytes()));
        }
        Self::Known(value)
    }

    /// The text a person types and an environment holds: a JSON text without its quotes.
    pub fn plain(&self) -> String {
        match self {
            FlagValue::Known(serde_json::Value::String(text)) => text.clone(),
            other => other.to_string(),
        }
    }
}

impl Eq for FlagValue {}

impl fmt::Display for FlagValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlagValue::Absent => f.write_str("absent"),
            FlagValue::Known(value) => write!(f, "{value}"),
            FlagValue::Hidden(digest) => write!(f, "{digest}"),
        }
    }
}

impl FromStr for FlagValue {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "flag value",
            value: text.to_owned(),
            problem: "`absent`, `sha256:…` or a JSON scalar",
        };
        match text {
            "absent" => Ok(Self::Absent),
            digest if digest.starts_with("sha256:") => {
                digest.parse().map(Self::Hidden).map_err(|_| problem())
            }
            json => match serde_json::from_str(json) {
                Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => {
                    Err(problem())
                }
                Ok(value) => {
                    let value = Self::Known(value);
                    if value.to_string() == json { Ok(value) } else { Err(problem()) }
                }
            },
        }
    }
}

impl TryFrom<String> for FlagValue {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<FlagValue> for String {
    fn from(value: FlagValue) -> String {
        value.to_string()
    }
}

/// The true values of flags whose records hold only digests, by digest. Kept with a run, readable by its user
/// alone; never printed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HiddenFlags(BTreeMap<String, serde_json::Value>);

/// Never shows what it holds, not even when debugging.
impl fmt::Debug for HiddenFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HiddenFlags({})", self.0.len())
    }
}

impl Eq for HiddenFlags {}

impl HiddenFlags {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that hashes to a digest.
    pub fn value(&self, digest: &Digest) -> Option<&serde_json::Value> {
        self.0.get(&digest.to_string())
    }

    /// Takes these values out of text.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.0.values().map(|value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Under a name that says that it is a secret.
            ("SECRET", text)
        }))
    }

    /// Adds what another one holds.
    pub fn and(mut self, other: HiddenFlags) -> Self {
        self.0.extend(other.0);
        self
    }

    /// How a value may be written down; where that is a digest, the value is kept here.
    pub fn shown(&mut self, name: &FlagName, value: serde_json::Value) -> FlagValue {
        let shown = FlagValue::shown(name, value.clone());
        if let FlagValue::Hidden(digest) = &shown {
            self.0.insert(digest.to_string(), value);
        }
        shown
    }
}

/// A flag before and after an act. Written `<source> <name> <before> <after>` in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlagChange {
    /// Where it is kept.
    pub source: FlagSourceName,
    /// The flag.
    pub name: FlagName,
    /// Its value before.
    pub before: FlagValue,
    /// Its value after.
    pub after: FlagValue,
}

impl FlagChange {
    /// The way back.
    pub fn reversed(&self) -> Self {
        Self { before: self.after.clone(), after: self.before.clone(), ..self.clone() }
    }
}

impl fmt::Display for FlagChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.source, self.name, self.before, self.after)
    }
}

impl FromStr for FlagChange {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "flag change",
            value: text.to_owned(),
            problem: "`SOURCE NAME BEFORE AFTER`",
        };
        let mut words = text.splitn(3, ' ');
        let (Some(source), Some(name), Some(values)) = (words.next(), words.next(), words.next())
        else {
            return Err(problem());
        };
        let (before, after) = split_values(values).ok_or_else(problem)?;
        Ok(Self {
            source: source.parse()?,
            name: name.parse()?,
            before: before.parse()?,
            after: after.parse()?,
        })
    }
}

/// Two values beside each other: a JSON text may hold spaces.
fn split_values(values: &str) -> Option<(&str, &str)> {
    let cut = if values.starts_with('"') {
        let mut json = serde_json::Deserializer::from_str(values).into_iter::<serde_json::Value>();
        json.next()?.ok()?;
        json.byte_offset()
    } else {
        values.find(' ')?
    };
    let (before, after) = values.split_at_checked(cut)?;
    Some((before, after.strip_prefix(' ')?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back_as_they_were_written() {
        for text in [
            r#"file ENABLE_UPLOADS "true" "false""#,
            r#"file A absent "two words \"quoted\" ""#,
            r#"api USE_X 1 0.01"#,
            r#"config a.b.c null false"#,
        ] {
            let change: FlagChange = text.parse().unwrap();
            assert_eq!(change.to_string(), text);
            assert_eq!(change.reversed().reversed(), change);
        }
        let hidden = FlagValue::shown(&"API_TOKEN".parse().unwrap(), "canary".into());
        assert!(!hidden.to_string().contains("canary"));
        assert_eq!(hidden.to_string().parse::<FlagValue>().unwrap(), hidden);
    }

    #[test]
    fn a_value_that_is_a_secret_whatever_its_name_is_hidden() {
        let shown =
            |value: &str| FlagValue::shown(&"ENABLE_UPLOADS".parse().unwrap(), value.into());
        for secret in [
            "postgres://u:canaryPW77@h/db",
            "see https://ci:t0ken@host/x",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "ghp_0123456789abcdefABCDEF0123456789abcd",
            "sk_live_0123456789abcdefABCDEF",
            "AKIAIOSFODNN7EXAMPLE",
            "Bearer 0123456789abcdef",
            "Server=db;Password=canary;",
        ] {
            assert!(matches!(shown(secret), FlagValue::Hidden(_)), "{secret}");
        }
        for plain in [
            "true",
            "0.01",
            "parallel",
            "https://host/x@y",
            "sk-learn",
            "v1.2.3",
            "eyJ.a.b",
            "postgres",
            "npm_config_cache",
            "AKIA",
            "a/b:c@d",
        ] {
            assert!(matches!(shown(plain), FlagValue::Known(_)), "{plain}");
        }
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for text in [
            "",
            "file A",
            "file A 1",
            "file A [1] 2",
            "file A 1  2",
            "file A \"x\"2",
            "file A 1 2 3",
        ] {
            assert!(text.parse::<FlagChange>().is_err(), "{text}");
        }
    }
}
