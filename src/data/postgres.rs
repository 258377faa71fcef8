//! PostgreSQL: its own tools, told the address by their environment: no password is in an argument or in what is
//! printed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;

use super::place::Host;
use crate::config::{FilePlace, UrlSource};
use crate::model::{PostgresFacts, Redactor, dotenv};
use crate::system::process::Finished;
use crate::system::{files, random, secrets};

/// The address of a database, as its tools read it from their environment.
#[derive(Debug, Clone)]
pub(super) struct Address {
    variables: BTreeMap<&'static str, String>,
}

/// What the server says of a database.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Database {
    pub(super) database: String,
    pub(super) owner: String,
    pub(super) encoding: String,
    pub(super) collate: String,
    pub(super) ctype: String,
    pub(super) server: String,
    pub(super) bytes: u64,
}

impl Database {
    pub(super) fn facts(&self) -> PostgresFacts {
        PostgresFacts {
            database: self.database.clone(),
            owner: self.owner.clone(),
            encoding: self.encoding.clone(),
            collate: self.collate.clone(),
            ctype: self.ctype.clone(),
            server: self.server.clone(),
        }
    }
}

impl Address {
    /// Reads the address from where it is written.
    pub(super) fn read(host: &Host, source: &UrlSource) -> Result<Self, String> {
        let text = match (&source.file, &source.env) {
            (Some(file), Some(name)) => {
                let bytes = read(host, file)?;
                dotenv::values(&bytes)
                    .remove(name)
                    .ok_or_else(|| format!("{} does not set {name}", host.path(file).display()))?
            }
            (Some(file), None) => String::from_utf8_lossy(&read(host, file)?).trim().to_owned(),
            (None, Some(name)) => {
                std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
            }
            (None, None) => return Err("no address is named".to_owned()),
        };
        let address = Self::parse(&text)?;
        if let Some(password) = address.variables.get("PGPASSWORD") {
            secrets::hide(&Redactor::new([("PGPASSWORD", password)]));
        }
        Ok(address)
    }

    /// An address such as `postgresql://user:password@host:5432/database?sslmode=require`. What is wrong with one is
    /// said without quoting it.
    fn parse(text: &str) -> Result<Self, String> {
        let rest =
            ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or("the address must begin with postgresql:// or postgres://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (user, place),
            None => ("", authority),
        };
        let mut variables = BTreeMap::new();
        let mut set = |name, value: &str| -> Result<(), String> {
            if !value.is_empty() {
                variables.insert(name, decoded(value)?);
            }
            Ok(())
        };
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        set("PGUSER", user)?;
        set("PGPASSWORD", password)?;
        set("PGDATABASE", database)?;
        // An IPv6 address has colons of its own, in brackets.
        let (name, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, port)) => (name, port.trim_start_matches(':')),
            None => place.rsplit_once(':').unwrap_or((place, "")),
        };
        set("PGHOST", name)?;
        set("PGPORT", port)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            const KNOWN: [(&str, &str); 14] = [
                ("host", "PGHOST"),
                ("port", "PGPORT"),
                ("user", "PGUSER"),
                ("password", "PGPASSWORD"),
                ("dbname", "PGDATABASE"),
                ("sslmode", "PGSSLMODE"),
                ("sslrootcert", "PGSSLROOTCERT"),
                ("sslcert", "PGSSLCERT"),
                ("sslkey", "PGSSLKEY"),
                ("connect_timeout", "PGCONNECT_TIMEOUT"),
                ("target_session_attrs", "PGTARGETSESSIONATTRS"),
                ("channel_binding", "PGCHANNELBINDING"),
                ("options", "PGOPTIONS"),
                ("gssencmode", "PGGSSENCMODE"),
            ];
            // Others are for the app's own driver (`schema`, `pool_timeout`).
            if let Some((_, name)) = KNOWN.iter().find(|(known, _)| *known == key) {
                set(name, value)?;
            }
        }
        if !variables.contains_key("PGDATABASE") {
            return Err("the address names no database".to_owned());
        }
        variables.entry("PGCONNECT_TIMEOUT").or_insert_with(|| "10".to_owned());
        variables.insert("PGAPPNAME", "gitroll".to_owned());
        Ok(Self { variables })
    }

    /// The same server and user, another database.
    fn at(&self, database: &str) -> Self {
        let mut other = self.clone();
        other.variables.insert("PGDATABASE", database.to_owned());
        other
    }

    /// The address in words, without the password.
    pub(super) fn shown(&self) -> String {
        let of = |name: &str| self.variables.get(name).map_or("", String::as_str);
        let place = match of("PGHOST") {
            "" => "the local server".to_owned(),
            host => format!("{host}{}", port(of("PGPORT"))),
        };
        format!("{} at {place}", of("PGDATABASE"))
    }

    fn database(&self) -> &str {
        self.variables.get("PGDATABASE").map_or("", String::as_str)
    }

    fn run(&self, host: &Host, program: &str, args: &[&str]) -> Result<Finished, String> {
        let mut tool = host.tool(program, args);
        for (name, value) in &self.variables {
            tool.env.insert(OsString::from(name), OsString::from(value));
        }
        // Nothing is asked for: there is nobody to answer.
        let finished = tool
            .run()
            .map_err(|error| format!("{error}: install postgresql-client, as new as the server"))?;
        match finished.problem(tool.limit) {
            None => Ok(finished),
            Some(problem) => {
                let said = String::from_utf8_lossy(&finished.stderr);
                let line = said.lines().map(str::trim).find(|line| !line.is_empty());
                let said = secrets::masked(line.unwrap_or(&problem));
                Err(format!(
                    "{program}: {}",
                    said.strip_prefix(&format!("{program}: ")).unwrap_or(&said)
                ))
            }
        }
    }

    /// What one statement answers, as psql prints it without decoration.
    fn ask(&self, host: &Host, statement: &str) -> Result<String, String> {
        let args = ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-c", statement];
        let finished = self.run(host, "psql", &args)?;
        Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }

    /// What the server says of the database.
    pub(super) fn describe(&self, host: &Host) -> Result<Database, String> {
        let answer = self.ask(
            host,
            "SELECT json_build_object('database', datname, 'owner', pg_get_userbyid(datdba), \
             'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype, \
             'server', split_part(current_setting('server_version'), ' ', 1), \
             'bytes', pg_database_size(oid)) FROM pg_database WHERE datname = current_database()",
        )?;
        serde_json::from_str(&answer).map_err(|error| format!("psql answered oddly: {error}"))
    }

    /// Dumps the database, uncompressed: a compressed dump has nothing in common with the next one. The archive's
    /// own list is read back.
    pub(super) fn dump(&self, host: &Host, to: &Path) -> Result<(), String> {
        let file = to.to_string_lossy();
        self.run(host, "pg_dump", &["-Fc", "-Z0", "-w", "-f", &file])?;
        list(host, to).map(|_| ())
    }

    /// Dumps roles and tablespaces; without the passwords of the roles where this user may not read them. What is good
    /// to know of it.
    pub(super) fn globals(&self, host: &Host, to: &Path) -> Vec<String> {
        let file = to.to_string_lossy();
        let database = self.database();
        let dump = |more: &[&str]| {
            let args = [&["-g", "-w", "-l", database, "-f", &file][..], more].concat();
            self.run(host, "pg_dumpall", &args)
        };
        match dump(&[]) {
            Ok(_) => Vec::new(),
            Err(_) => {
                match dump(&["--no-role-passwords"]) {
                    Ok(_) => {
                        vec!["roles are stored without their passwords: only a superuser can read them".to_owned()]
                    }
                    Err(why) => {
                        let _ = std::fs::remove_file(to);
                        vec![format!("roles and tablespaces are not stored: {why}")]
                    }
                }
            }
        }
    }

    /// Restores a dump into a new database beside the others, asks it, and removes it. What was wrong.
    pub(super) fn try_out(
        &self,
        host: &Host,
        dump: &Path,
        facts: Option<&PostgresFacts>,
        verify: &[String],
    ) -> Result<Vec<String>, String> {
        let name = format!("gitroll_verify_{}", random::suffix());
        let template = match facts {
            Some(facts) => format!(
                " ENCODING {} LC_COLLATE {} LC_CTYPE {}",
                literal(&facts.encoding),
                literal(&facts.collate),
                literal(&facts.ctype)
            ),
            None => String::new(),
        };
        let create = format!("CREATE DATABASE {} TEMPLATE template0{template}", identifier(&name));
        self.ask(host, &create)?;
        let scratch = self.at(&name);
        let tried = scratch.restored_faults(host, dump, verify);
        let drop = format!("DROP DATABASE {}", identifier(&name));
        let dropped = self.ask(host, &drop);
        let mut problems = tried;
        if let Err(why) = dropped {
            problems.push(format!("the database {name} was not removed: {why}"));
        }
        Ok(problems)
    }

    fn restored_faults(&self, host: &Host, dump: &Path, verify: &[String]) -> Vec<String> {
        let file = dump.to_string_lossy();
        let args =
            ["--exit-on-error", "--no-owner", "--no-acl", "-w", "-d", self.database(), &file];
        if let Err(why) = self.run(host, "pg_restore", &args) {
            return vec![why];
        }
        let mut problems = Vec::new();
        if let Err(why) = self.ask(host, "ANALYZE") {
            problems.push(why);
        }
        for query in verify {
            match self.ask(host, query) {
                Ok(answer) if is_true(&answer) => {}
                Ok(_) => problems.push(format!("verify: {query}: the answer is not true")),
                Err(why) => problems.push(format!("verify: {query}: {why}")),
            }
        }
        problems
    }
}

/// The list of what is in an archive: it is whole as far as that.
pub(super) fn list(host: &Host, dump: &Path) -> Result<String, String> {
    let tool = host.tool("pg_restore", &["-l", &dump.to_string_lossy()]);
    let finished = tool.run().map_err(|error| error.to_string())?;
    match finished.problem(tool.limit) {
        None => Ok(String::from_utf8_lossy(&finished.stdout).into_owned()),
        Some(problem) => {
            let said = String::from_utf8_lossy(&finished.stderr);
            let line = said.lines().map(str::trim).find(|line| !line.is_empty());
            Err(line.map_or(problem, secrets::masked))
        }
    }
}

fn read(host: &Host, file: &FilePlace) -> Result<Vec<u8>, String> {
    let path = host.path(file);
    files::read_plain(&path, dotenv::MOST_BYTES)
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn port(port: &str) -> String {
    if port.is_empty() { String::new() } else { format!(":{port}") }
}

fn is_true(answer: &str) -> bool {
    match answer {
        "t" => true,
        number => number.parse::<f64>().is_ok_and(|number| number != 0.0),
    }
}

/// Written so that the server takes it for a name, whatever it holds.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "the address has a % that is not followed by two hexadecimal digits".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(wrong)?, rest.next().ok_or_else(wrong)?];
        let digits = std::str::from_utf8(&digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| "the address is not UTF-8".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_as_libpq_does() {
        let of = |text: &str| {
            let mut variables = Address::parse(text).unwrap().variables;
            variables.remove("PGAPPNAME");
            variables.remove("PGCONNECT_TIMEOUT");
            variables.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            of("postgresql://app:p%40ss%2Fw@db.example:5433/shop?sslmode=require&pool=5"),
            "PGDATABASE=shop PGHOST=db.example PGPASSWORD=p@ss/w PGPORT=5433 PGSSLMODE=require PGUSER=app"
        );
        assert_eq!(of("postgres://[::1]:5432/a%22b"), "PGDATABASE=a\"b PGHOST=::1 PGPORT=5432");
        assert_eq!(
            of("postgresql:///shop?host=/run/postgresql&user=app"),
            "PGDATABASE=shop PGHOST=/run/postgresql PGUSER=app"
        );
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_its_password() {
        for text in
            ["mysql://u:hunter2@h/d", "postgres://u:hunter2@h", "postgres://u:hunter2%4@h/d"]
        {
            let problem = Address::parse(text).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        let shown = Address::parse("postgres://u:hunter2@h:1/d").unwrap().shown();
        assert_eq!(shown, "d at h:1");
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
    }
}
