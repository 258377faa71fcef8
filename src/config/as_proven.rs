//! The accepted `gitroll.toml` with the checks asked as another one asks them: a release is asked what it can answer.
//!
//! Text in and text out, so that what a proof went by is on record as a file like any other.

use toml::{Table, Value};

/// The keys that say what is asked, one of them in each check.
const KINDS: [&str; 6] = ["http", "tcp", "command", "log", "file", "metric"];
/// What of a check belongs to the question and its answer. The other keys say where it is asked, how often and for
/// how long, and what depends on it.
const QUESTION: [&str; 3] = ["expect", "env", "redirects"];

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsProven {
    /// The whole `gitroll.toml`.
    pub text: String,
    /// The checks that are asked another way than the accepted file says, by the names they have there.
    pub changed: Vec<String>,
    /// The checks that only the accepted file has. They stand in the text, and are not asked.
    pub only_accepted: Vec<String>,
    /// The checks that only the other file has.
    pub only_proven: Vec<String>,
}

/// Why the accepted checks are asked as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchanged {
    /// Both files ask the same.
    Same,
    /// No check of one is a check of the other.
    NoneInCommon,
}

/// The accepted file, each check in it asked as the check of the same name in `proven` is: path, expectation, command.
/// Host, port and everything else stay the accepted ones, but for a port of which `in_code(accepted, proven)` says that
/// the release's own code chooses it. Where no name is in both, a check of the same kind at the same address is the same
/// check.
///
/// # Errors
/// That nothing is to be changed, and why; a text that is not TOML counts as one without checks.
pub fn as_proven(
    accepted: &str,
    proven: &str,
    in_code: impl Fn(&str, &str) -> bool,
) -> Result<AsProven, Unchanged> {
    let mut whole: Table = accepted.parse().unwrap_or_default();
    let other: Table = proven.parse().unwrap_or_default();
    let ours = checks(&whole);
    let theirs: Vec<Table> = checks(&other).into_iter().filter(is_asked).collect();
    let mut pairs = pairs(&ours, &theirs, |a, b| name(a) == name(b));
    if pairs.iter().all(Option::is_none) {
        pairs = self::pairs(&ours, &theirs, |a, b| {
            is_asked(a) && kind(a) == kind(b) && address(a) == address(b)
        });
    }
    if pairs.iter().all(Option::is_none) {
        return Err(if ours.is_empty() && theirs.is_empty() {
            Unchanged::Same
        } else {
            Unchanged::NoneInCommon
        });
    }
    let mut found = AsProven {
        text: String::new(),
        changed: Vec::new(),
        only_accepted: Vec::new(),
        only_proven: Vec::new(),
    };
    let mut merged = Vec::new();
    for (check, pair) in ours.iter().zip(&pairs) {
        let mut asked = check.clone();
        match pair {
            Some(place) => asked = merge(check, &theirs[*place], &in_code),
            None => drop(asked.insert("asked".to_owned(), Value::Boolean(false))),
        }
        if asked != *check {
            let list = if pair.is_some() { &mut found.changed } else { &mut found.only_accepted };
            list.push(name(check));
        }
        merged.push(asked);
    }
    let paired = |place: usize| pairs.contains(&Some(place));
    let alone = theirs.iter().enumerate().filter(|(place, _)| !paired(*place));
    found.only_proven = alone.map(|(_, check)| name(check)).collect();
    if merged == ours && found.only_proven.is_empty() {
        return Err(Unchanged::Same);
    }
    let merged = Value::Array(merged.into_iter().map(Value::Table).collect());
    whole.insert("check".to_owned(), merged.clone());
    found.text = with_checks(accepted, &whole, merged);
    Ok(found)
}

fn checks(file: &Table) -> Vec<Table> {
    let list = file.get("check").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_table).cloned().collect()
}

fn is_asked(check: &Table) -> bool {
    check.get("asked").and_then(Value::as_bool) != Some(false)
}

fn name(check: &Table) -> String {
    check.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn kind(check: &Table) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| check.contains_key(*kind))
}

/// For each of ours the place of its counterpart among theirs; none has two.
fn pairs(
    ours: &[Table],
    theirs: &[Table],
    same: impl Fn(&Table, &Table) -> bool,
) -> Vec<Option<usize>> {
    let mut taken = vec![false; theirs.len()];
    let one = |check: &Table| {
        let mut free = theirs.iter().enumerate().filter(|(place, _)| !taken[*place]);
        let place = free.find(|(_, other)| same(check, other)).map(|(place, _)| place)?;
        taken[place] = true;
        Some(place)
    };
    ours.iter().map(one).collect()
}

/// Our check, asked as theirs.
fn merge(ours: &Table, theirs: &Table, in_code: &impl Fn(&str, &str) -> bool) -> Table {
    let (kind, before) = (kind(theirs), kind(ours));
    let mut merged = if kind == before { ours.clone() } else { theirs.clone() };
    merged.remove("asked");
    for key in ["name", "critical", "group"] {
        merged.remove(key);
        merged.extend(ours.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    for key in QUESTION.into_iter().chain(kind) {
        merged.remove(key);
        merged.extend(theirs.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    if let (Some(kind), Some(at)) = (kind, address(ours)) {
        if let Some(theirs) = address(theirs)
            && theirs.moves_only_the_port(&at).is_some_and(|(now, then)| in_code(now, then))
        {
            return merged;
        }
        if let Some(place) = merged.get_mut(kind) {
            move_to(place, &at);
        }
    } else if let Some(service) = ours.get("log").and_then(|log| log.get("service"))
        && let Some(log) = merged.get_mut("log").and_then(Value::as_table_mut)
        && log.contains_key("service")
    {
        log.insert("service".to_owned(), service.clone());
    }
    merged
}

/// Where something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    /// `None` for a plain connection.
    scheme: Option<String>,
    /// `host:port`
    place: String,
}

impl Address {
    /// The port of `accepted` and its own, where they differ and the host is the same.
    fn moves_only_the_port<'a>(&'a self, accepted: &'a Self) -> Option<(&'a str, &'a str)> {
        let (host, then) = self.place.rsplit_once(':')?;
        let (accepted_host, now) = accepted.place.rsplit_once(':')?;
        let is_port = |text: &str| text.parse::<u16>().is_ok();
        let moved = host == accepted_host && now != then && is_port(now) && is_port(then);
        moved.then_some((now, then))
    }
}

fn address(check: &Table) -> Option<Address> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match (kind(check)?, check.get(kind(check)?)?) {
        ("tcp", value) => Some(Address { scheme: None, place: text(value)? }),
        ("http", value) => of_url(&text(value)?),
        ("metric", value) => of_url(&text(value.get("prometheus").or(value.get("http"))?)?),
        _ => None,
    }
}

fn of_url(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let place = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    Some(Address { scheme: Some(scheme.to_ascii_lowercase()), place: place.to_owned() })
}

/// Puts what is asked at another address; path and query stay.
fn move_to(asked: &mut Value, at: &Address) {
    match asked {
        Value::Table(metric) => {
            for key in ["prometheus", "http"] {
                if let Some(url) = metric.get_mut(key) {
                    move_to(url, at);
                }
            }
        }
        Value::String(text) => match text.split_once("://") {
            Some((scheme, rest)) => {
                let path = &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..];
                let scheme = at.scheme.as_deref().unwrap_or(scheme);
                *text = format!("{scheme}://{}{path}", at.place);
            }
            None => {
                let port = if at.scheme.as_deref() == Some("https") { 443 } else { 80 };
                let named =
                    at.place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                let bare = at.scheme.is_some() && !named;
                *text = if bare { format!("{}:{port}", at.place) } else { at.place.clone() };
            }
        },
        _ => {}
    }
}

/// The accepted text with other checks: everything else stays as it was written, where that can be told from its
/// lines.
fn with_checks(accepted: &str, whole: &Table, checks: Value) -> String {
    let checks = Table::from_iter([("check".to_owned(), checks)]);
    let written = |table: &Table| toml::to_string(table).unwrap_or_default();
    let text = format!("{}\n\n{}", without_checks(accepted).trim_end(), written(&checks));
    if text.parse::<Table>().is_ok_and(|read| read == *whole) { text } else { written(whole) }
}

fn without_checks(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with('[') {
            let header: String =
                start.chars().filter(|c| !c.is_whitespace() && *c != '[').collect();
            inside = header.starts_with("check]") || header.starts_with("check.");
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{CheckKind, parse};

    #[test]
    fn a_port_that_the_code_chooses_is_the_one_of_the_proof() {
        let file = |port: u16| {
            format!("[[check]]\nname = \"api\"\nhttp = \"http://127.0.0.1:{port}/health\"\n")
        };
        let other_host = file(3000).replace("127.0.0.1", "localhost");
        for (proven, in_code, port) in
            [(file(3000), true, 3000), (file(3000), false, 4000), (other_host, true, 4000)]
        {
            let asked = as_proven(&file(4000), &proven, |now, then| {
                assert_eq!((now, then), ("4000", "3000"));
                in_code
            });
            let text = asked.map_or(file(4000), |asked| asked.text);
            assert!(text.contains(&format!("http://127.0.0.1:{port}/health")), "{text}");
        }
    }

    const ACCEPTED: &str = "# the shop\n[app]\nname = \"shop\"\n\n[[check]]\nname = \"api\"\n\
        http = \"http://127.0.0.1:3000/healthz?full=1\"\ncritical = false\npasses = 7\n\
        [check.expect]\nstatus = 204\n\n[[check]]\nname = \"cache\"\ntcp = \"127.0.0.1:6379\"\nown = false\n\n\
        [service.web]\nmanager = \"pm2\"  # by name\n\n[component.QW-001]\npaths = [\"a\"]\nchecks = [\"cache\"]\n";
    const PROVEN: &str = "[app]\nname = \"shop\"\n[[check]]\nname = \"api\"\n\
        http = \"http://10.0.0.9:4000/api/health\"\nexpect = { json = { \"/version\" = \"{version}\" } }\n\
        passes = 2\n[[check]]\nname = \"db\"\ntcp = \"127.0.0.1:5432\"\n";

    #[test]
    fn a_release_is_asked_its_own_path_and_expectation_where_the_accepted_file_says_it_is() {
        let merged = as_proven(ACCEPTED, PROVEN, |_, _| false).unwrap();
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(merged.changed, names(&["api"]));
        assert_eq!(merged.only_accepted, names(&["cache"]));
        assert_eq!(merged.only_proven, names(&["db"]));
        assert!(merged.text.starts_with("# the shop\n") && merged.text.contains("# by name"));
        let config = parse(&merged.text, "merged").unwrap();
        let [check] = config.checks.as_slice() else { panic!("{}", merged.text) };
        let CheckKind::Http(http) = &check.kind else { panic!("{}", merged.text) };
        assert_eq!(http.url, "http://127.0.0.1:3000/api/health");
        assert_eq!(
            (http.status, http.json.len(), check.passes, check.critical),
            (200, 1, 7, false)
        );
        // There and back again.
        let back = as_proven(&merged.text, ACCEPTED, |_, _| false).unwrap();
        assert_eq!(back.changed, names(&["api", "cache"]));
        let table = |text: &str| text.parse::<Table>().unwrap();
        assert_eq!(table(&back.text), table(ACCEPTED));
        assert_eq!(as_proven(ACCEPTED, ACCEPTED, |_, _| false), Err(Unchanged::Same));
    }

    #[test]
    fn what_is_asked_moves_to_the_accepted_place_whatever_kind_it_is() {
        let file =
            |check: &str| format!("[app]\nname = \"shop\"\n[[check]]\nname = \"api\"\n{check}\n");
        for (accepted, proven, wanted) in [
            ("http = \"https://h/x\"", "http = \"http://o:1/y?z\"", "http = \"https://h/y?z\""),
            ("http = \"http://h:3/x\"", "http = \"http://o:1\"", "http = \"http://h:3\""),
            (
                "tcp = \"h:1\"",
                "tcp = \"o:2\"\nexpect = { banner = \"x\" }",
                "tcp = \"h:1\"\nexpect = { banner = \"x\" }",
            ),
            ("http = \"http://h/x\"", "tcp = \"o:2\"", "tcp = \"h:80\""),
            ("tcp = \"h:1\"", "http = \"http://o:2/x\"", "http = \"http://h:1/x\""),
            (
                "command = [\"a\"]\nrun_timeout = \"9s\"",
                "command = [\"b\"]\nenv = { X = \"1\" }",
                "command = [\"b\"]\nrun_timeout = \"9s\"\nenv = { X = \"1\" }",
            ),
            ("http = \"http://h/x\"\nredirects = 2", "command = [\"b\"]", "command = [\"b\"]"),
            (
                "metric = { http = \"http://h:1/m\", pointer = \"/a\" }\nexpect = { below = 1 }",
                "metric = { prometheus = \"http://o:2/n\", name = \"q\" }\nexpect = { below = 2 }",
                "metric = { prometheus = \"http://h:1/n\", name = \"q\" }\nexpect = { below = 2 }",
            ),
            (
                "log = { service = \"web\" }\nexpect = { must = \"a\" }",
                "log = { service = \"app\" }\nexpect = { must = \"b\" }",
                "log = { service = \"web\" }\nexpect = { must = \"b\" }",
            ),
        ] {
            let merged = as_proven(&file(accepted), &file(proven), |_, _| false).unwrap();
            let table = |text: &str| text.parse::<Table>().unwrap();
            assert_eq!(table(&merged.text), table(&file(wanted)), "{accepted}");
        }
    }

    #[test]
    fn a_check_that_was_renamed_is_known_by_its_address_and_one_that_was_replaced_is_not() {
        let file = |name: &str, at: &str| {
            format!(
                "check = [{{ name = \"{name}\", http = \"http://{at}/{name}\" }}]\n[app]\nname = \"shop\"\n"
            )
        };
        let merged = as_proven(&file("health", "h:1"), &file("api", "h:1"), |_, _| false).unwrap();
        assert_eq!(merged.changed, ["health"]);
        let config = parse(&merged.text, "merged").unwrap();
        assert_eq!(config.checks[0].name.as_str(), "health");
        let CheckKind::Http(http) = &config.checks[0].kind else { panic!("{}", merged.text) };
        assert_eq!(http.url, "http://h:1/api");
        for (accepted, proven) in [
            (file("health", "h:1"), file("api", "h:2")),
            (file("a", "h:1"), String::new()),
            (String::new(), file("a", "h:1")),
        ] {
            assert_eq!(as_proven(&accepted, &proven, |_, _| false), Err(Unchanged::NoneInCommon));
        }
    }

    #[test]
    fn a_line_that_only_looks_like_a_check_loses_nothing() {
        let accepted = format!(
            "{ACCEPTED}\n[component.QW-002]\npaths = [\"b\"]\nafter = '''\n[[check]]\n'''\n"
        );
        let merged = as_proven(&accepted, PROVEN, |_, _| false).unwrap();
        let read: Table = merged.text.parse().unwrap();
        assert_eq!(read["component"], accepted.parse::<Table>().unwrap()["component"]);
        assert_eq!(read["check"].as_array().map(Vec::len), Some(2));
    }
}
