//! What a flag is set to, secrets included: made to be compared and kept, never to be shown as it is.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{FlagName, FlagValue, IdError};

/// What a flag is set to. Shown only by [`Value::shown`], which hides secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Value {
    /// The source does not have it.
    Absent,
    /// A scalar: text, number, boolean or null.
    Known(Json),
}

/// Never shows what it holds: the name that tells whether it is a secret is not here.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Value::Absent => "Absent",
            Value::Known(_) => "Known(…)",
        })
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Value::Known(Json::String(text.into()))
    }

    /// As it may be written down and shown: the value of a flag with a secret's name as its digest.
    pub fn shown(&self, name: &FlagName) -> FlagValue {
        match self {
            Value::Absent => FlagValue::Absent,
            Value::Known(value) => FlagValue::shown(name, value.clone()),
        }
    }

    /// Whether both say the same: `1` is `1.0`, the text `1` is neither.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Known(Json::Number(a)), Value::Known(Json::Number(b))) => {
                a == b || a.as_f64() == b.as_f64()
            }
            _ => self == other,
        }
    }

    /// The text that an environment or an argument holds: a JSON text without its quotes, nothing for an
    /// absent one.
    pub fn plain(&self) -> Option<String> {
        match self {
            Value::Absent => None,
            Value::Known(Json::String(text)) => Some(text.clone()),
            Value::Known(other) => Some(other.to_string()),
        }
    }
}

/// As [`FlagValue`] is spelled, but with the true value of a secret.
impl From<Value> for String {
    fn from(value: Value) -> String {
        match value {
            Value::Absent => FlagValue::Absent.to_string(),
            Value::Known(json) => json.to_string(),
        }
    }
}

impl TryFrom<String> for Value {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        match text.parse()? {
            FlagValue::Absent => Ok(Value::Absent),
            FlagValue::Known(json) => Ok(Value::Known(json)),
            FlagValue::Hidden(_) => Err(IdError {
                kind: "flag value",
                value: text,
                problem: "`absent` or a JSON scalar",
            }),
        }
    }
}

/// A person's `text` in the place of `found`, in a source whose values have types.
///
/// A text stays a text whatever it says. If there is none yet, or something else than a text, `true`,
/// `false`, numbers, `null` and quoted texts are what JSON calls them.
pub(super) fn typed(found: &Value, text: &str) -> Result<Json, String> {
    let scalar =
        serde_json::from_str(text).ok().filter(|json: &Json| !json.is_object() && !json.is_array());
    let what = match found {
        Value::Known(Json::String(_)) => return Ok(Json::String(text.to_owned())),
        Value::Absent => {
            return Ok(scalar
                .filter(|json| json.is_boolean() || json.is_number())
                .unwrap_or_else(|| Json::String(text.to_owned())));
        }
        Value::Known(Json::Bool(_)) => "true or false",
        Value::Known(Json::Number(_)) => "a number",
        Value::Known(_) => "null",
    };
    // `off` in the place of `true` would be a text, and most programs call a text true.
    scalar.ok_or_else(|| {
        format!("is {what} in its source, but the new value is not: use true, false, a number, or a string in double quotes")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_person_types_becomes_what_the_source_holds() {
        let known = |json| Value::Known(json);
        let table = [
            (known(json!("true")), "false", json!("false")),
            (known(json!("1")), "", json!("")),
            (known(json!(true)), "false", json!(false)),
            (known(json!(true)), "0", json!(0)),
            (known(json!(true)), "\"off\"", json!("off")),
            (known(json!(0.5)), "0.01", json!(0.01)),
            (known(json!(0.5)), "false", json!(false)),
            (known(json!(null)), "true", json!(true)),
            (Value::Absent, "true", json!(true)),
            (Value::Absent, "12", json!(12)),
            (Value::Absent, "007", json!("007")),
            (Value::Absent, "null", json!("null")),
            (Value::Absent, "off", json!("off")),
            (Value::Absent, "\"x\"", json!("\"x\"")),
            (Value::Absent, "[1]", json!("[1]")),
        ];
        for (found, text, wanted) in table {
            assert_eq!(typed(&found, text).unwrap(), wanted, "{} {text}", String::from(found));
        }
        for (found, text) in
            [(json!(true), "off"), (json!(1), "1%"), (json!(null), "x"), (json!(true), "")]
        {
            assert!(typed(&known(found), text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_kept_whole_and_debugged_without() {
        for value in [
            Value::Absent,
            Value::Known(json!(null)),
            Value::text("absent"),
            Value::text("sha256:x"),
            Value::text("ca\"nary\n"),
            Value::Known(json!(0.01)),
        ] {
            let kept = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), value);
            assert!(!format!("{value:?}").contains("nary"));
        }
        assert!(Value::Known(json!(1)).same(&Value::Known(json!(1.0))));
        assert!(!Value::Known(json!(1)).same(&Value::text("1")));
    }
}
