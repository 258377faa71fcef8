//! Expected values and the placeholders in them.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::config::reader::{Item, all, nearest};
use crate::config::{Comparison, Expected};

/// The texts that are filled in when a check is asked.
const PLACEHOLDERS: [&str; 3] = ["version", "commit", "deployment"];

/// Those, and what is filled in besides where this stands.
pub(super) fn known(item: &Item<'_>) -> impl Iterator<Item = &'static str> {
    PLACEHOLDERS.into_iter().chain(item.filled().iter().copied())
}

/// A text that something must contain.
pub(super) fn text(item: &Item<'_>) -> Option<Expected> {
    let text = item.text()?;
    if text.is_empty() {
        item.add("is empty: everything holds the empty text");
        return None;
    }
    placeholders(item, text)?;
    Some(Expected { value: text.into(), comparison: Comparison::Filled })
}

/// JSON pointers and the values wanted there.
pub(super) fn json(item: &Item<'_>) -> Option<BTreeMap<String, Expected>> {
    let wanted = item.table("json")?.named().into_iter().map(|(pointer, value)| {
        let expected = json_value(&value, true);
        if !is_pointer(pointer) {
            value.add("is no JSON pointer: it begins with `/`, such as \"/status\"");
            return None;
        }
        Some((pointer.to_owned(), Expected { value: expected?, comparison: Comparison::Filled }))
    });
    all(wanted.collect::<Vec<_>>()).map(|wanted| wanted.into_iter().collect())
}

/// RFC 6901, without the empty pointer: `~` begins `~0` or `~1`.
pub(in crate::config::parse) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn json_value(item: &Item<'_>, top: bool) -> Option<serde_json::Value> {
    match item.value() {
        DeValue::String(_) => {
            let text = item.text()?;
            placeholders(item, text)?;
            if !top && known(item).any(|p| text.contains(&format!("{{{p}}}"))) {
                item.add("placeholders are filled only in a text that stands by itself");
                return None;
            }
            Some(text.into())
        }
        DeValue::Integer(integer) => {
            let (digits, radix) = (integer.as_str(), integer.radix());
            let number = i64::from_str_radix(digits, radix).map(serde_json::Value::from);
            let number = number.or_else(|_| u64::from_str_radix(digits, radix).map(Into::into));
            if number.is_err() {
                item.add("is too large a number");
            }
            number.ok()
        }
        DeValue::Float(float) => {
            let number = float.as_str().replace('_', "").parse().ok();
            let number = number.and_then(serde_json::Number::from_f64);
            if number.is_none() {
                item.add("is no number JSON can hold");
            }
            number.map(Into::into)
        }
        DeValue::Boolean(value) => Some((*value).into()),
        DeValue::Datetime(_) => item.wanted("a value JSON can hold"),
        DeValue::Array(_) => {
            let values = item.elements("an array")?;
            all(values.iter().map(|value| json_value(value, false))).map(Into::into)
        }
        DeValue::Table(_) => {
            let entries = item.table("json")?.named().into_iter();
            let entries =
                entries.map(|(name, value)| Some((name.to_owned(), json_value(&value, false)?)));
            let entries = all(entries.collect::<Vec<_>>())?;
            Some(serde_json::Value::Object(entries.into_iter().collect()))
        }
    }
}

/// Reports words in braces that are no placeholder. Braces around anything else are plain text.
pub(super) fn placeholders(item: &Item<'_>, text: &str) -> Option<()> {
    let mut fine = Some(());
    for (at, _) in text.match_indices('{') {
        let rest = &text[at + 1..];
        let Some((word, _)) = rest.split_once('}') else { break };
        let is_word = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_word && !word.is_empty() && !known(item).any(|known| known == word) {
            let hint = nearest(word, known(item));
            item.add(format_args!("{{{word}}} is no placeholder{hint}"));
            fine = None;
        }
    }
    fine
}
