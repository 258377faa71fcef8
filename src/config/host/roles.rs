//! `roles.toml` beside the trust file: which key may do what, and up to which record a revoked key counts. Documented in
//! `docs/trust.md`.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::config::quote::quote;
use crate::config::reader::{Item, Report, Table, all, or};
use crate::model::{EnvironmentName, Event, RevokedKey, WriterId};

/// How OpenPGP keys are named here, all of them together.
pub const OPENPGP: &str = "openpgp";

/// Who may do what. Without any key in it every trusted key may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// The role that an act needs, where it is not the one of its own name.
    needs: BTreeMap<String, String>,
    keys: Vec<KeyRoles>,
    /// Keys that count only up to some record.
    pub revoked: Vec<RevokedKey>,
}

/// What one key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyRoles {
    /// `SHA256:…`, or [`OPENPGP`].
    fingerprint: String,
    roles: Vec<String>,
    /// Empty: all.
    environments: Vec<EnvironmentName>,
    /// Names of writers, each possibly with `*` at its end. Empty: all.
    writers: Vec<String>,
}

impl KeyRoles {
    fn covers(&self, environment: Option<&EnvironmentName>, writer: Option<&WriterId>) -> bool {
        let is_of = |pattern: &String, writer: &WriterId| match pattern.strip_suffix('*') {
            Some(start) => writer.as_str().starts_with(start),
            None => writer.as_str() == pattern,
        };
        environment.is_none_or(|e| self.environments.is_empty() || self.environments.contains(e))
            && writer
                .is_none_or(|w| self.writers.is_empty() || self.writers.iter().any(|p| is_of(p, w)))
    }
}

impl Roles {
    /// Reads the text of a `roles.toml`.
    ///
    /// # Errors
    /// Every problem with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let report = Report::new(text);
        let document = match DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                report.add(&error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
                return Err(report.on_one_line());
            }
        };
        let root = Table::root(&report, document.get_ref(), "the file");
        let needs = or(root.get("needs"), BTreeMap::new, |item| {
            let named = item.table("[needs]")?.named();
            let each = named.into_iter().map(|(act, role)| Some((act.to_owned(), word(&role)?)));
            Some(all(each)?.into_iter().collect())
        });
        let keys = or(root.get("key"), Vec::new, |item| all(item.tables()?.iter().map(key)));
        let revoked =
            or(root.get("revoked"), Vec::new, |item| all(item.tables()?.iter().map(revoked)));
        root.finish();
        let problems = report.on_one_line();
        match (needs, keys, revoked) {
            (Some(needs), Some(keys), Some(revoked)) if problems.is_empty() => {
                Ok(Self { needs, keys, revoked })
            }
            _ => Err(problems),
        }
    }

    /// Whether it says what each key may do.
    pub fn are_given(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The role that a key lacks for an act; `None` if it may do it. Where the environment or the writer is not known, it
    /// does not limit.
    pub fn lacks(
        &self,
        fingerprint: &str,
        event: &Event,
        environment: Option<&EnvironmentName>,
        writer: Option<&WriterId>,
    ) -> Option<&str> {
        let needed = self.needs.get(event.as_str()).map(String::as_str).or(usual(event))?;
        let mut own = self.keys.iter().filter(|key| key.fingerprint == fingerprint);
        let has = own.any(|key| {
            key.roles.iter().any(|role| role == needed) && key.covers(environment, writer)
        });
        (self.are_given() && !has).then_some(needed)
    }

    /// The keys that it gives roles to.
    pub fn fingerprints(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.fingerprint.as_str())
    }

    /// Whether a key has a role in an environment. Without any key in the file each has all.
    pub fn has(
        &self,
        fingerprint: &str,
        role: &str,
        environment: &EnvironmentName,
        writer: &WriterId,
    ) -> bool {
        let mut own = self.keys.iter().filter(|key| key.fingerprint == fingerprint);
        let has = own.any(|key| {
            key.roles.iter().any(|other| other == role)
                && key.covers(Some(environment), Some(writer))
        });
        has || !self.are_given()
    }

    /// The roles of a key, for people.
    pub fn of(&self, fingerprint: &str) -> Vec<&str> {
        let own = self.keys.iter().filter(|key| key.fingerprint == fingerprint);
        own.flat_map(|key| key.roles.iter().map(String::as_str)).collect()
    }
}

/// The role that an act needs where the file says nothing else. What only states what is there needs none. What an
/// approval counts for is judged by the roles that its request names.
fn usual(event: &Event) -> Option<&'static str> {
    match event {
        Event::Deploy => Some("deploy"),
        Event::Back | Event::Component | Event::Migrate => Some("back"),
        Event::Flags => Some("flags"),
        Event::Promote => Some("promote"),
        Event::Mark | Event::Hold | Event::Lift => Some("mark"),
        Event::Point => Some("point"),
        Event::Drill => Some("drill"),
        Event::Trust => Some("trust"),
        _ => None,
    }
}

/// The text of a `[[revoked]]` table.
pub fn revoked_text(key: &RevokedKey) -> String {
    let digest = key.digest.map(|digest| format!("digest = {}\n", quote(&digest.to_string())));
    format!(
        "\n[[revoked]]\nfingerprint = {}\nwriter = {}\nlast = {}\n{}",
        quote(&key.fingerprint),
        quote(key.writer.as_str()),
        key.last,
        digest.unwrap_or_default()
    )
}

/// What a new `roles.toml` begins with.
pub const HEAD: &str = "\
# Which trusted key may do what, and up to which record a revoked key counts. Keep it writable only by root or its owner.
# Without a [[key]] every key in the trust file may do everything. See docs/trust.md.
#
# [[key]]
# fingerprint = \"SHA256:…\"        # as `gitroll trust list` shows it
# roles = [\"deploy\", \"back\"]
# environments = [\"production\"]   # default: all
# writers = [\"ci.*\"]              # default: all
";

fn word(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        item.add("must be letters, digits, - and _, at most 64");
        return None;
    }
    Some(text.to_owned())
}

fn fingerprint(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if !text.starts_with("SHA256:") && text != OPENPGP {
        item.add("must be SHA256:… as `gitroll trust list` shows it, or \"openpgp\"");
        return None;
    }
    Some(text.to_owned())
}

fn key(table: &Table<'_>) -> Option<KeyRoles> {
    let fingerprint = table.need("fingerprint").and_then(|item| fingerprint(&item));
    let roles = table
        .need("roles")
        .and_then(|item| all(item.elements("an array of roles")?.iter().map(word)));
    let environments = or(table.get("environments"), Vec::new, |item| {
        all(item.elements("an array of environments")?.iter().map(|item| item.id()))
    });
    let writers = or(table.get("writers"), Vec::new, |item| {
        let items = item.elements("an array of writers")?;
        all(items.iter().map(|item| item.line().map(str::to_owned)))
    });
    table.finish();
    Some(KeyRoles {
        fingerprint: fingerprint?,
        roles: roles?,
        environments: environments?,
        writers: writers?,
    })
}

fn revoked(table: &Table<'_>) -> Option<RevokedKey> {
    let fingerprint = table.need("fingerprint").and_then(|item| fingerprint(&item));
    let writer = table.need("writer").and_then(|item| item.id());
    let last = table.need("last").and_then(|item| item.number(0..=999_999_999));
    let digest = or(table.get("digest"), || None, |item| item.id().map(Some));
    table.finish();
    Some(RevokedKey { fingerprint: fingerprint?, writer: writer?, last: last?, digest: digest? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[needs]
promote = "manager"

[[key]]
fingerprint = "SHA256:ci"
roles = ["deploy"]
environments = ["production"]
writers = ["ci.*"]

[[key]]
fingerprint = "SHA256:ana"
roles = ["deploy", "back", "manager"]

[[revoked]]
fingerprint = "SHA256:old"
writer = "web-1.k3f9"
last = 42
"#;

    #[test]
    fn a_key_may_do_what_its_roles_say_where_they_say_it() {
        let roles = Roles::parse(FILE).unwrap_or_else(|problem| panic!("{problem}"));
        let lacks = |key: &str, event: Event, environment: &str, writer: &str| {
            let (environment, writer) = (environment.parse().ok(), writer.parse().ok());
            roles.lacks(key, &event, environment.as_ref(), writer.as_ref()).map(str::to_owned)
        };
        assert_eq!(lacks("SHA256:ci", Event::Deploy, "production", "ci.ab12"), None);
        assert_eq!(lacks("SHA256:ci", Event::Moved, "staging", "web-1.k3f9"), None);
        let deploy = Some("deploy".to_owned());
        assert_eq!(lacks("SHA256:ci", Event::Deploy, "staging", "ci.ab12"), deploy);
        assert_eq!(lacks("SHA256:ci", Event::Deploy, "production", "web-1.k3f9"), deploy);
        let manager = Some("manager".to_owned());
        assert_eq!(lacks("SHA256:ci", Event::Promote, "production", "ci.ab12"), manager);
        assert_eq!(lacks("SHA256:ana", Event::Promote, "staging", "x.k3f9"), None);
        assert_eq!(lacks("SHA256:nobody", Event::Deploy, "staging", "x.k3f9"), deploy);
        assert_eq!(roles.revoked[0].last, 42);
    }

    #[test]
    fn without_a_key_in_it_everyone_may_do_everything() {
        for text in ["", HEAD] {
            let roles = Roles::parse(text).unwrap_or_else(|problem| panic!("{problem}"));
            assert!(!roles.are_given());
            assert_eq!(roles.lacks("SHA256:x", &Event::Promote, None, None), None);
        }
    }

    #[test]
    fn a_revocation_that_is_written_reads_back() {
        let roles = Roles::parse(FILE).unwrap_or_else(|problem| panic!("{problem}"));
        let written = format!("{HEAD}{}", revoked_text(&roles.revoked[0]));
        let again = Roles::parse(&written).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(again.revoked, roles.revoked);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, wanted) in [
            ("roles = [\"deploy\"]", "roles = \"deploy\"", "an array of roles"),
            ("SHA256:ci", "MD5:ci", "must be SHA256:"),
            ("last = 42", "last = -1", "line"),
            ("writers", "writer", "did you mean \"writers\"?"),
            ("[needs]", "[needs", "not TOML"),
        ] {
            let text = FILE.replacen(from, to, 1);
            let problem = Roles::parse(&text).expect_err(to);
            assert!(problem.starts_with("line ") && problem.contains(wanted), "{to}: {problem}");
        }
    }

    #[test]
    fn no_damaged_file_makes_it_panic_or_fail_without_a_reason() {
        crate::model::mutated::each("roles", |bytes| {
            let problem = Roles::parse(&String::from_utf8_lossy(bytes)).err();
            assert!(problem.is_none_or(|problem| problem.starts_with("line ")));
        });
    }
}
