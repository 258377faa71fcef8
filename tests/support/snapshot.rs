//! Snapshots without what differs from run to run.

use super::TestEnvironment;

/// Settings for `insta` that hide the host's directory, object ids, run ids, writer suffixes, ports, pids,
/// moments and durations:
///
/// ```ignore
/// snapshots(&host).bind(|| insta::assert_snapshot!(answer.transcript()));
/// ```
pub fn snapshots(host: &TestEnvironment) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(super::project().join("tests/snapshots"));
    settings.set_prepend_module_to_snapshot(true);
    settings.set_omit_expression(true);
    let root = host.root().to_str().expect("temporary paths are UTF-8");
    settings.add_filter(&literal(root), "[host]");
    settings.add_filter(&literal(super::project().to_str().unwrap_or("?")), "[project]");
    for (pattern, shown) in [
        (r"\b\d{8}-\d{6}-[0-9a-z]{4}\b", "[run]"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "[moment]"),
        (r"\bsha256:[0-9a-f]{64}\b", "[digest]"),
        (r"\b[0-9a-f]{64}\b", "[digest]"),
        (r"\b[0-9a-f]{40}\b", "[commit]"),
        (r"\bSHA256:[A-Za-z0-9+/]{43}\b", "[fingerprint]"),
        (r"\b(127\.0\.0\.1|localhost):\d{2,5}\b", "$1:[port]"),
        (r"\b(web-1|laptop|ci)\.[0-9a-z]{4}\b", "$1.[suffix]"),
        (r"\bpid \d+\b", "pid [pid]"),
        (r"\b(today|yesterday|Mon|Tue|Wed|Thu|Fri|Sat|Sun)? *\b\d\d:\d\d(:\d\d)?\b", "[moment]"),
        (r"\b\d+(\.\d+)? ?(ms|µs|s|min|m|h|d)\b", "[time]"),
        // Last: seven digits are an object id only where nothing above took them.
        (r"\b[0-9a-f]{7}\b", "[id]"),
    ] {
        settings.add_filter(pattern, shown);
    }
    settings
}

/// The text as a pattern for exactly that text.
fn literal(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_';
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!(r"\{c}") }).collect()
}
