//! A PostgreSQL database that goes back: restored under a name of its own, checked there, then exchanged by two renames in
//! one transaction. What neither a dump nor a rename carries is carried: owner, encoding, locale, privileges, settings,
//! limit of connections, tablespace, comment.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

use super::place::Host;
use super::postgres::{Address, identifier, is_true, literal};
use crate::config::{DataEngine, DataSource};
use crate::model::{Digest, PostgresFacts};
use crate::system::failpoint;
use crate::system::text::plural;

/// How long sessions have to end once they are told to.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest name of a database, in bytes.
const LONGEST: usize = 63;

/// One database of one run.
#[derive(Debug, Clone)]
pub(super) struct Exchange<'a> {
    host: &'a Host,
    app: Address,
    admin: Address,
    /// A database that this is not about: one cannot rename what one is connected to.
    elsewhere: Address,
    live: String,
    mark: String,
}

/// What of a database is in the catalogs of its cluster, not in it.
#[derive(Debug, Clone, Default, Deserialize)]
struct Around {
    owner: String,
    encoding: String,
    collate: String,
    ctype: String,
    /// `c`, `i` (ICU) or `b`.
    provider: Option<String>,
    icu: Option<String>,
    /// `None`: the usual one, which only a superuser may name.
    tablespace: Option<String>,
    limit: i64,
    comment: Option<String>,
    /// `None`: the usual privileges. Each: grantee (empty: PUBLIC), privilege, with the right to grant it.
    acl: Option<Vec<(String, String, bool)>>,
    /// Role (empty: all) and `name=value`.
    settings: Vec<(String, String)>,
}

/// The database that a section declares, for one run.
pub(super) fn exchange<'a>(
    host: &'a Host,
    source: &DataSource,
    mark: &str,
) -> Result<Exchange<'a>, String> {
    let DataEngine::Postgres { url, admin_url, .. } = &source.engine else {
        return Err("it is not a PostgreSQL database".to_owned());
    };
    let app = Address::read(host, url)?;
    let live = app.database().to_owned();
    let admin = match admin_url {
        Some(admin) => Address::read(host, admin)?.at(&live),
        None => app.clone(),
    };
    let elsewhere = if live == "postgres" { "template1" } else { "postgres" };
    let elsewhere = admin.at(elsewhere);
    Ok(Exchange { host, app, admin, elsewhere, live, mark: mark.to_owned() })
}

impl Exchange<'_> {
    /// Where what was live is kept.
    pub(super) fn before(&self) -> String {
        self.named("before")
    }

    fn new_name(&self) -> String {
        self.named("new")
    }

    fn undone(&self) -> String {
        self.named("undone")
    }

    fn named(&self, which: &str) -> String {
        named(&self.live, which, &self.mark)
    }

    fn ask(&self, statement: &str) -> Result<String, String> {
        self.elsewhere.ask(self.host, statement)
    }

    fn exists(&self, name: &str) -> Result<bool, String> {
        let query = format!("SELECT count(*) FROM pg_database WHERE datname = {}", literal(name));
        Ok(self.ask(&query)? != "0")
    }

    /// Renames databases, all of them or none, with nobody in them. `done` looks whether that happened: an answer may
    /// be lost on its way.
    fn rename(
        &self,
        names: &[&str],
        statement: &str,
        done: impl Fn() -> Result<bool, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            self.empty(names, begun)?;
            let Err(why) = self.ask(statement) else { return Ok(()) };
            if done()? {
                return Ok(());
            }
            // One that was about to begin as the others were ended.
            if begun.elapsed() > PATIENCE || self.end_sessions(names)? == 0 {
                return Err(why);
            }
        }
    }

    /// Ends all sessions of databases, and waits until there are none.
    fn empty(&self, names: &[&str], begun: Instant) -> Result<(), String> {
        loop {
            let left = self.end_sessions(names)?;
            if left == 0 {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let (left, names) = (plural(left, "session"), names.join(", "));
                let most = PATIENCE.as_secs();
                return Err(format!("{left} of {names} did not end within {most} s"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// How many sessions there were. Workers of the server itself leave when it asks them to, and no role but a superuser
    /// may end them.
    fn end_sessions(&self, names: &[&str]) -> Result<usize, String> {
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        let answer = self.ask(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN ({}) \
             AND usesysid IS NOT NULL",
            names.join(", ")
        ))?;
        answer.parse().map_err(|_| "psql answered oddly: no number of sessions".to_owned())
    }

    /// Lets sessions into each of these databases that is there.
    fn open(&self, names: &[&str]) -> Result<(), String> {
        for name in names {
            if self.exists(name)? {
                self.allow(name, true)?;
            }
        }
        Ok(())
    }

    fn allow(&self, name: &str, whether: bool) -> Result<(), String> {
        let name = identifier(name);
        self.ask(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {whether}")).map(drop)
    }

    /// Why this could not be exchanged, found while everything runs: rights that are missing, and what stays with the
    /// database that leaves. An empty list: nothing is known to be in the way.
    pub(super) fn problems(&self) -> Result<Vec<String>, String> {
        let live = literal(&self.live);
        let answer = self.ask(&format!(
            "SELECT json_build_object(
               'super', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
               'creates', (SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user),
               'owns', coalesce((SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = {live}), true),
               'ends', pg_has_role('pg_signal_backend', 'USAGE'),
               'others', (SELECT count(*) FROM pg_stat_activity
                          WHERE datname = {live} AND usename <> current_user),
               'slots', coalesce((SELECT string_agg(slot_name, ', ') FROM pg_replication_slots
                                  WHERE database = {live}), ''),
               'prepared', (SELECT count(*) FROM pg_prepared_xacts WHERE database = {live}),
               'cron', coalesce(current_setting('cron.database_name', true), '') = {live},
               'role', current_user)"
        ))?;
        let found: serde_json::Value = serde_json::from_str(&answer).map_err(|e| e.to_string())?;
        let is = |key: &str| found[key].as_bool().unwrap_or(false);
        let role = found["role"].as_str().unwrap_or("the role");
        let (live, mut problems) = (&self.live, Vec::new());
        if !is("super") {
            if !is("creates") {
                problems.push(format!(
                    "{role} may not create databases: name one that may in admin_url"
                ));
            }
            if !is("owns") {
                problems.push(format!("{role} is not the owner of {live}, and may not rename it: name one that may in admin_url"));
            }
            if !is("ends") && found["others"].as_u64().unwrap_or(0) > 0 {
                problems.push(format!(
                    "{role} may not end the sessions of others: GRANT pg_signal_backend TO {}",
                    identifier(role)
                ));
            }
        }
        match found["slots"].as_str().unwrap_or_default() {
            "" => {}
            slots => problems.push(format!(
                "replication slots would stay with the old database: drop them first, and create them again afterwards: {slots}"
            )),
        }
        if found["prepared"].as_u64().unwrap_or(0) > 0 {
            problems
                .push(format!("{live} has prepared transactions: commit or roll them back first"));
        }
        if is("cron") {
            problems.push(format!("pg_cron runs in {live}: it would stay with the old database"));
        }
        // Only a superuser may read the list of subscriptions.
        let subscriptions = format!(
            "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = {}",
            literal(live)
        );
        if self.ask(&subscriptions).is_ok_and(|count| count != "0") {
            problems.push(format!("{live} has subscriptions: drop or disable them first"));
        }
        Ok(problems)
    }

    /// Restores a dump under a new name, carries over what surrounds the live database, analyses it and asks it.
    pub(super) fn restore(
        &self,
        dump: &Path,
        facts: Option<&PostgresFacts>,
        verify: &[String],
    ) -> Result<(), String> {
        let new = self.new_name();
        self.discard()?;
        let around = self.around(facts)?;
        self.ask(&create(&new, &around))?;
        let at = self.admin.at(&new);
        let file = dump.to_string_lossy();
        at.run(self.host, "pg_restore", &["--exit-on-error", "-w", "-d", &new, &file])?;
        at.ask(self.host, "ANALYZE")?;
        for statement in carried(&new, &around) {
            self.ask(&statement)?;
        }
        // What is in it may be anybody's: it is asked with the rights of the app, and no others.
        let app = self.app.at(&new);
        for query in verify {
            let answer = app
                .ask_for_app(self.host, query)
                .map_err(|why| format!("verify: {query}: {why}"))?;
            if !is_true(&answer) {
                return Err(format!("verify: {query}: the answer is not true"));
            }
        }
        let limit =
            format!("ALTER DATABASE {} CONNECTION LIMIT {}", identifier(&new), around.limit);
        self.ask(&limit).map(drop)
    }

    /// What surrounds the live database; where there is none, what the point says of it.
    fn around(&self, facts: Option<&PostgresFacts>) -> Result<Around, String> {
        let live = literal(&self.live);
        let answer = self.ask(&format!(
            "SELECT json_build_object(
               'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
               'collate', d.datcollate, 'ctype', d.datctype,
               'provider', to_jsonb(d) ->> 'datlocprovider',
               'icu', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
               'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace
                              AND spcname <> 'pg_default'),
               'limit', d.datconnlimit, 'comment', shobj_description(d.oid, 'pg_database'),
               'acl', CASE WHEN d.datacl IS NOT NULL THEN coalesce(
                 (SELECT json_agg(json_build_array(
                    CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END,
                    a.privilege_type, a.is_grantable)) FROM aclexplode(d.datacl) a), '[]'::json) END,
               'settings', coalesce((SELECT json_agg(json_build_array(
                    CASE WHEN s.setrole = 0 THEN '' ELSE pg_get_userbyid(s.setrole) END, c))
                  FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = d.oid), '[]'::json))
             FROM pg_database d WHERE d.datname = {live}"
        ))?;
        if answer.is_empty() {
            let facts =
                facts.ok_or("the database is missing, and the point does not describe it")?;
            return Ok(Around {
                owner: facts.owner.clone(),
                encoding: facts.encoding.clone(),
                collate: facts.collate.clone(),
                ctype: facts.ctype.clone(),
                limit: -1,
                ..Around::default()
            });
        }
        serde_json::from_str(&answer).map_err(|error| format!("psql answered oddly: {error}"))
    }

    /// The rows that a query counts in what is live and in what was restored.
    pub(super) fn rows(
        &self,
        query: &str,
        since: Timestamp,
    ) -> (Result<u64, String>, Result<u64, String>) {
        let count = |database: &str| rows_at(self.host, &self.app.at(database), query, since);
        (count(&self.live), count(&self.new_name()))
    }

    /// Exchanges the two by name, in one transaction.
    pub(super) fn swap(&self) -> Result<(), String> {
        let (new, before) = (self.new_name(), self.before());
        if self.exists(&new)? {
            let exchanged = self.exchange_for(&new, &before);
            // Whatever came of it: nobody is barred from what is live.
            let opened = self.open(&[&self.live, &before]);
            return exchanged.and(opened);
        }
        if !self.exists(&self.live)? {
            return Err(format!("there is no database {}, and none that was restored", self.live));
        }
        self.open(&[&self.live, &before])
    }

    fn exchange_for(&self, new: &str, before: &str) -> Result<(), String> {
        let there = self.exists(&self.live)?;
        if there {
            self.allow(&self.live, false)?;
        }
        pass("swap aside before")?;
        let aside = rename(&self.live, before);
        let aside = if there { aside.as_str() } else { "" };
        let statement = format!("{aside}{}", rename(new, &self.live));
        self.rename(&[&self.live, new], &statement, || Ok(!self.exists(new)?))?;
        pass("swap in place")
    }

    /// Puts back what was live. What had been brought back is kept under a name of its own.
    pub(super) fn back(&self) -> Result<(), String> {
        let (before, undone) = (self.before(), self.undone());
        if self.exists(&before)? {
            let returned = self.return_before(&before, &undone);
            let opened = self.open(&[&self.live, &undone]);
            returned.and(opened)?;
        }
        self.discard()?;
        self.open(&[&self.live])
    }

    fn return_before(&self, before: &str, undone: &str) -> Result<(), String> {
        let there = self.exists(&self.live)?;
        if there {
            self.allow(&self.live, false)?;
        }
        pass("swap undone before")?;
        let aside = rename(&self.live, undone);
        let aside = if there { aside.as_str() } else { "" };
        let statement = format!("{aside}{}", rename(before, &self.live));
        self.rename(&[&self.live, before], &statement, || Ok(!self.exists(before)?))?;
        pass("swap undone after")
    }

    /// Removes what was restored and never was live.
    pub(super) fn discard(&self) -> Result<(), String> {
        let new = self.new_name();
        if !self.exists(&new)? {
            return Ok(());
        }
        // A tool that outlived the process which started it may still write to it.
        self.allow(&new, false)?;
        self.empty(&[&new], Instant::now())?;
        self.ask(&format!("DROP DATABASE IF EXISTS {}", identifier(&new))).map(drop)
    }

    /// What this run keeps under names of its own, each with its bytes.
    pub(super) fn put_aside(&self) -> Result<Vec<(String, u64)>, String> {
        let mut found = Vec::new();
        for name in [self.before(), self.undone()] {
            let query = "SELECT pg_database_size(oid) FROM pg_database WHERE datname = ";
            let bytes = self.ask(&format!("{query}{}", literal(&name)))?;
            if let Ok(bytes) = bytes.parse() {
                found.push((name, bytes));
            }
        }
        Ok(found)
    }

    /// Drops it.
    pub(super) fn remove_aside(&self) -> Result<(), String> {
        for name in [self.before(), self.undone()] {
            if self.exists(&name)? {
                self.allow(&name, false)?;
                self.empty(&[&name], Instant::now())?;
                self.ask(&format!("DROP DATABASE IF EXISTS {}", identifier(&name)))?;
            }
        }
        Ok(())
    }
}

/// `app_before_20261130_k3f9`; of a long name its beginning, and what tells it from others that begin so.
fn named(live: &str, which: &str, mark: &str) -> String {
    let mut end = format!("_{which}_{mark}");
    if live.len() + end.len() > LONGEST {
        let digest: String = Digest::of(live.as_bytes()).hex().chars().take(8).collect();
        end = format!("_{digest}{end}");
    }
    let mut most = LONGEST.saturating_sub(end.len()).min(live.len());
    while !live.is_char_boundary(most) {
        most -= 1;
    }
    format!("{}{end}", &live[..most])
}

/// The rows that a query counts at an address.
pub(super) fn rows_at(
    host: &Host,
    address: &Address,
    query: &str,
    since: Timestamp,
) -> Result<u64, String> {
    let answer = address.ask_for_app(host, &with_since(query, since))?;
    answer.parse().map_err(|_| format!("{query}: the answer is not a number"))
}

/// The query with `:since` as a moment. A cast (`::since`) and a longer name are left as they are.
fn with_since(query: &str, since: Timestamp) -> String {
    const WORD: &str = ":since";
    let mut text = String::new();
    let mut rest = query;
    while let Some(at) = rest.find(WORD) {
        let (before, after) = (&rest[..at], &rest[at + WORD.len()..]);
        let longer = after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        text.push_str(before);
        match longer || before.ends_with(':') {
            true => text.push_str(WORD),
            false => text.push_str(&format!("'{since}'::timestamptz")),
        }
        rest = after;
    }
    text + rest
}

fn rename(from: &str, to: &str) -> String {
    format!("ALTER DATABASE {} RENAME TO {}; ", identifier(from), identifier(to))
}

fn create(new: &str, around: &Around) -> String {
    let icu = match (around.provider.as_deref(), &around.icu) {
        (Some("i"), Some(locale)) => {
            format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(locale))
        }
        _ => String::new(),
    };
    let tablespace = around.tablespace.as_ref();
    let tablespace = tablespace.map(|name| format!(" TABLESPACE {}", identifier(name)));
    format!(
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}{icu}{}",
        identifier(new),
        identifier(&around.owner),
        literal(&around.encoding),
        literal(&around.collate),
        literal(&around.ctype),
        tablespace.unwrap_or_default()
    )
}

/// The statements that give a database what surrounds another.
fn carried(new: &str, around: &Around) -> Vec<String> {
    let new = identifier(new);
    let mut statements = Vec::new();
    if let Some(acl) = &around.acl {
        // Of a new database everybody may connect.
        statements.push(format!("REVOKE ALL ON DATABASE {new} FROM PUBLIC"));
        for (grantee, privilege, grantable) in acl {
            let to = if grantee.is_empty() { "PUBLIC".to_owned() } else { identifier(grantee) };
            let option = if *grantable { " WITH GRANT OPTION" } else { "" };
            statements.push(format!("GRANT {privilege} ON DATABASE {new} TO {to}{option}"));
        }
    }
    for (role, setting) in &around.settings {
        let Some((name, value)) = setting.split_once('=') else { continue };
        // The server keeps these as lists of quoted names.
        const LISTS: [&str; 6] = [
            "search_path",
            "temp_tablespaces",
            "local_preload_libraries",
            "session_preload_libraries",
            "shared_preload_libraries",
            "unix_socket_directories",
        ];
        let value = match LISTS.contains(&name) && !value.is_empty() {
            true => value.to_owned(),
            false => literal(value),
        };
        // A name may be of two parts: shop.region.
        let name: Vec<String> = name.split('.').map(identifier).collect();
        let name = name.join(".");
        statements.push(match role.is_empty() {
            true => format!("ALTER DATABASE {new} SET {name} TO {value}"),
            false => {
                format!("ALTER ROLE {} IN DATABASE {new} SET {name} TO {value}", identifier(role))
            }
        });
    }
    if let Some(comment) = &around.comment {
        statements.push(format!("COMMENT ON DATABASE {new} IS {}", literal(comment)));
    }
    statements
}

fn pass(what: &str) -> Result<(), String> {
    failpoint::pass(what).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_with_long_names_that_begin_alike_never_get_the_same_name() {
        let live = |end: char| format!("{}{end}", "ä".repeat(24));
        let names = ['a', 'b'].map(|end| named(&live(end), "before", "20261130_k3f9"));
        assert_ne!(names[0], names[1]);
        assert!(names.iter().all(|name| name.len() <= LONGEST && name.ends_with("20261130_k3f9")));
        assert_eq!(named("shop", "new", "20261130_k3f9"), "shop_new_20261130_k3f9");
    }

    #[test]
    fn since_is_a_moment_and_a_cast_is_none() {
        let since = Timestamp::UNIX_EPOCH;
        let query = "SELECT count(*) FROM t WHERE a > :since AND b::since AND :sincere";
        let wanted = "SELECT count(*) FROM t WHERE a > '1970-01-01T00:00:00Z'::timestamptz AND b::since AND :sincere";
        assert_eq!(with_since(query, since), wanted);
    }
}
