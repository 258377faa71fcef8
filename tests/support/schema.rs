//! Whether a JSON value is what a schema says. Knows exactly the words that `docs/schema` uses and refuses
//! any other, so that nothing passes unlooked at.

use serde_json::{Map, Value};

/// Words that say something to people only, or about the schema itself.
const TELLING: [&str; 6] = ["$schema", "$defs", "title", "description", "format", "default"];

/// What does not fit, a line each with the place in the value; empty when all does. A field the schema
/// does not know counts as not fitting: what is printed must be described.
pub fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { root: schema, found: &mut found }.value(schema, value, "$", &[]);
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    /// `beside`: fields that a schema around this one describes.
    fn value(&mut self, schema: &Value, value: &Value, at: &str, beside: &[String]) {
        let Some(schema) = schema.as_object() else {
            if *schema == Value::Bool(false) {
                self.misfit(at, "nothing may be here");
            }
            return;
        };
        for (word, wanted) in schema {
            match word.as_str() {
                "$ref" => {
                    let target = self.target(wanted);
                    self.value(&target, value, at, beside);
                }
                "type" if !is_of(wanted, value) => self.misfit(at, &format!("is no {wanted}")),
                "const" if wanted != value => self.misfit(at, &format!("is not {wanted}")),
                "enum" if !array(wanted).contains(value) => {
                    self.misfit(at, &format!("is none of {wanted}"));
                }
                "minimum" if value.is_number() && value.as_f64() < wanted.as_f64() => {
                    self.misfit(at, &format!("is below {wanted}"));
                }
                "maximum" if value.is_number() && value.as_f64() > wanted.as_f64() => {
                    self.misfit(at, &format!("is above {wanted}"));
                }
                "oneOf" | "anyOf" => self.one_of(schema, array(wanted), value, at, beside),
                "allOf" => array(wanted).iter().for_each(|s| self.value(s, value, at, beside)),
                "required" => self.required(wanted, value, at),
                "properties" | "additionalProperties" | "items" | "prefixItems" => {}
                "minItems" | "maxItems" | "type" | "const" | "enum" | "minimum" | "maximum" => {}
                word if TELLING.contains(&word) => {}
                word => self.misfit(at, &format!("the validator does not know {word:?}")),
            }
        }
        self.fields(schema, value, at, beside);
        self.elements(schema, value, at);
    }

    fn fields(&mut self, schema: &Map<String, Value>, value: &Value, at: &str, beside: &[String]) {
        let Some(fields) = value.as_object() else { return };
        let known = schema.get("properties").and_then(Value::as_object);
        let more = schema.get("additionalProperties");
        if known.is_none() && more.is_none() {
            return;
        }
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            match (known.and_then(|k| k.get(name)), more) {
                (Some(schema), _) => self.value(schema, field, &at, &[]),
                (None, Some(schema @ Value::Object(_))) => self.value(schema, field, &at, &[]),
                (None, Some(Value::Bool(true))) => {}
                // The fields of one variant stand beside those common to all.
                (None, _) if beside.contains(name) || alternatives(schema) => {}
                (None, _) => self.misfit(&at, "is not in the schema"),
            }
        }
    }

    fn elements(&mut self, schema: &Map<String, Value>, value: &Value, at: &str) {
        let Some(elements) = value.as_array() else { return };
        let first = schema.get("prefixItems").map(array).unwrap_or_default();
        for (index, element) in elements.iter().enumerate() {
            let wanted = first.get(index).or(schema.get("items"));
            if let Some(wanted) = wanted {
                self.value(wanted, element, &format!("{at}[{index}]"), &[]);
            }
        }
        let count = |word: &str| schema.get(word).and_then(Value::as_u64);
        let length = elements.len() as u64;
        if count("minItems").is_some_and(|least| length < least)
            || count("maxItems").is_some_and(|most| length > most)
        {
            self.misfit(at, &format!("has {length} elements"));
        }
    }

    fn one_of(
        &mut self,
        schema: &Map<String, Value>,
        choices: &[Value],
        value: &Value,
        at: &str,
        beside: &[String],
    ) {
        let mut common: Vec<String> = beside.to_vec();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            common.extend(properties.keys().cloned());
        }
        let mut reasons = Vec::new();
        for choice in choices {
            let mut found = Vec::new();
            Check { root: self.root, found: &mut found }.value(choice, value, at, &common);
            if found.is_empty() {
                return;
            }
            reasons.extend(found);
        }
        self.misfit(at, &format!("fits no alternative: {}", reasons.join("; ")));
    }

    fn required(&mut self, names: &Value, value: &Value, at: &str) {
        let Some(fields) = value.as_object() else { return };
        for name in array(names).iter().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.misfit(at, &format!("lacks {name}"));
            }
        }
    }

    fn target(&mut self, reference: &Value) -> Value {
        let path = reference.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or("?");
        self.root.pointer(path).cloned().unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn misfit(&mut self, at: &str, why: &str) {
        self.found.push(format!("{at} {why}"));
    }
}

fn alternatives(schema: &Map<String, Value>) -> bool {
    schema.contains_key("oneOf") || schema.contains_key("anyOf") || schema.contains_key("allOf")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => false,
    };
    match wanted {
        Value::String(name) => is(name),
        names => array(names).iter().filter_map(Value::as_str).any(is),
    }
}
