//! Prometheus' text format, as far as one metric is looked for in it. Pure.

use std::collections::BTreeMap;

/// The values of all series of this name that have these labels, and maybe more.
///
/// # Errors
/// A line of this name that is not in the format, in words.
pub(super) fn series(
    page: &str,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<f64>, String> {
    let mut found = Vec::new();
    for line in page.lines().map(str::trim) {
        let Some(rest) = line.strip_prefix(name) else { continue };
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "_:".contains(c)) {
            continue;
        }
        let Some((has, value)) = sample(rest.trim_start()) else {
            return Err(format!("a line of {name} cannot be read"));
        };
        if labels.iter().all(|(name, value)| has.get(name) == Some(value)) {
            found.push(value);
        }
    }
    Ok(found)
}

/// What follows the name: labels, a value, maybe a time.
fn sample(rest: &str) -> Option<(BTreeMap<String, String>, f64)> {
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((labels, value))
}

/// `a="x",b="y"}` and what follows.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = text(after.trim_start().strip_prefix('"')?)?;
        labels.insert(name.trim().to_owned(), value);
        rest = after;
    }
}

/// A text up to its closing quote, and what follows.
fn text(rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &rest[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = r#"
# HELP http_errors_total Errors.
# TYPE http_errors_total counter
http_errors_total{code="500",path="/a\"b,}"} 3 1395066363000
http_errors_total{code="502", path="/"} 4e0
http_errors_total_more 9
queue_length 7
 spaced 1.5
weird NaN
top +Inf
broken{a="b 1
"#;

    #[test]
    fn a_metric_is_found_by_its_whole_name_and_its_labels() {
        let none = BTreeMap::new();
        let label = |name: &str, value: &str| BTreeMap::from([(name.into(), value.into())]);
        let of = |name: &str| series(PAGE, name, &none).unwrap();
        assert_eq!(of("http_errors_total"), [3.0, 4.0]);
        assert_eq!(series(PAGE, "http_errors_total", &label("code", "502")).unwrap(), [4.0]);
        assert_eq!(series(PAGE, "http_errors_total", &label("path", "/a\"b,}")).unwrap(), [3.0]);
        assert!(series(PAGE, "http_errors_total", &label("code", "404")).unwrap().is_empty());
        assert_eq!(of("queue_length"), [7.0]);
        assert_eq!(of("spaced"), [1.5]);
        assert!(of("weird")[0].is_nan());
        assert_eq!(of("top"), [f64::INFINITY]);
        assert!(of("http_errors").is_empty());
        assert!(series(PAGE, "broken", &none).is_err());
    }

    proptest! {
        #[test]
        fn no_page_makes_reading_fail_badly(page in "(x|[ -~é\n]){0,80}") {
            let _ = series(&page, "x", &BTreeMap::new());
        }
    }
}
