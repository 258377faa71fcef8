//! PostgreSQL: its own tools, told the address by their environment: no password is in an argument or in what is
//! printed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::place::Host;
use super::schema::{self, AppliedTable, DownScript, TableContents};
use crate::config::{FilePlace, UrlSource};
use crate::model::{PostgresFacts, Redactor, RowsLost, dotenv};
use crate::system::process::Finished;
use crate::system::signals::Until;
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
    pub(super) fn at(&self, database: &str) -> Self {
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

    pub(super) fn database(&self) -> &str {
        self.variables.get("PGDATABASE").map_or("", String::as_str)
    }

    pub(super) fn run(
        &self,
        host: &Host,
        program: &str,
        args: &[&str],
    ) -> Result<Finished, String> {
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
                let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
                // pg_restore says first where it was.
                let fault = lines().find(|line| line.to_lowercase().contains("error:"));
                let said = secrets::masked(fault.or(lines().next()).unwrap_or(&problem));
                Err(format!(
                    "{program}: {}",
                    said.strip_prefix(&format!("{program}: ")).unwrap_or(&said)
                ))
            }
        }
    }

    /// What one statement of gitroll's own answers, as psql prints it without decoration. No name in it means what
    /// somebody put into a schema of the database.
    pub(super) fn ask(&self, host: &Host, statement: &str) -> Result<String, String> {
        self.answer(host, &["SET search_path = pg_catalog", statement])
    }

    /// What a query of the team's own answers, with the names of the app: only ever asked as the app's own role.
    pub(super) fn ask_for_app(&self, host: &Host, query: &str) -> Result<String, String> {
        self.answer(host, &[query])
    }

    fn answer(&self, host: &Host, statements: &[&str]) -> Result<String, String> {
        let mut args = vec!["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1"];
        args.extend(statements.iter().flat_map(|statement| ["-c", statement]));
        let finished = self.run(host, "psql", &args)?;
        Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }

    /// Whether another address is of the same role.
    pub(super) fn is_same_role(&self, other: &Self) -> bool {
        self.variables.get("PGUSER") == other.variables.get("PGUSER")
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

    /// Restores a dump into a new database beside the others, asks it as the role of `app`, and removes it. What was
    /// wrong.
    pub(super) fn try_out(
        &self,
        host: &Host,
        app: &Self,
        (dump, facts): (&Path, Option<&PostgresFacts>),
        verify: &[String],
    ) -> Result<Vec<String>, String> {
        let name = format!("gitroll_verify_{}", random::suffix());
        let same = self.is_same_role(app);
        let owner = facts.filter(|_| !same);
        let owner = owner.map(|facts| format!(" OWNER {}", identifier(&facts.owner)));
        let owner = owner.unwrap_or_default();
        let template = match facts {
            Some(facts) => format!(
                "{owner} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
                literal(&facts.encoding),
                literal(&facts.collate),
                literal(&facts.ctype)
            ),
            None => String::new(),
        };
        let create = format!("CREATE DATABASE {} TEMPLATE template0{template}", identifier(&name));
        self.ask(host, &create)?;
        let tried = self.at(&name).restored_faults(host, dump, (&app.at(&name), same), verify);
        let drop = format!("DROP DATABASE {}", identifier(&name));
        let dropped = self.ask(host, &drop);
        let mut problems = tried;
        if let Err(why) = dropped {
            problems.push(format!("the database {name} was not removed: {why}"));
        }
        Ok(problems)
    }

    fn restored_faults(
        &self,
        host: &Host,
        dump: &Path,
        (app, same): (&Self, bool),
        verify: &[String],
    ) -> Vec<String> {
        if let Err(why) = self.restore_into(host, dump, same) {
            return vec![why];
        }
        let mut problems = Vec::new();
        if let Err(why) = self.ask(host, "ANALYZE") {
            problems.push(why);
        }
        problems.extend(app.asked(host, verify));
        problems
    }

    /// The queries that do not answer true. The app's role asks: what they run is the app's.
    pub(super) fn asked(&self, host: &Host, verify: &[String]) -> Vec<String> {
        let fault = |query: &String| match self.ask_for_app(host, query) {
            Ok(answer) if is_true(&answer) => None,
            Ok(_) => Some(format!("verify: {query}: the answer is not true")),
            Err(why) => Some(format!("verify: {query}: {why}")),
        };
        verify.iter().filter_map(fault).collect()
    }

    /// Restores a dump into the database here, which is empty. What the app's role restores is its own; what another one
    /// restores belongs to whom it belonged: else its functions would be that other role's, with all its rights.
    fn restore_into(&self, host: &Host, dump: &Path, as_app: bool) -> Result<(), String> {
        let file = dump.to_string_lossy();
        let mut args = vec!["--exit-on-error", "-w", "-d", self.database()];
        if as_app {
            args.extend(["--no-owner", "--no-acl"]);
        }
        args.push(&file);
        self.run(host, "pg_restore", &args).map(drop)
    }
}

/// In the directory that scripts are run in: the process of the server and the transaction, as psql wrote them.
const TRANSACTION: &str = "transaction";
/// How long a session of the server has to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What takes down-scripts: how long a lock is waited for, where the app should be down.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '30s';";

/// The tables of the app, as catalogue rows: no system schema, no table of an extension.
const OWN_TABLES: &str = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%' \
     AND n.nspname <> 'information_schema' AND NOT EXISTS \
     (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// What is in the tables at one moment.
#[derive(Debug, Clone, Default, Deserialize)]
struct TableCounts {
    /// Rows by table.
    #[serde(default)]
    rows: BTreeMap<String, u64>,
}

impl Address {
    /// Runs scripts with psql, each line of their errors fatal, all in one transaction. What they lost, in rows.
    pub(super) fn run_scripts(
        &self,
        host: &Host,
        scratch: &Path,
        scripts: &[DownScript],
    ) -> Result<RowsLost, String> {
        let transaction = scratch.join(TRANSACTION);
        let scratch = scratch.join("psql");
        files::make_private_dir(&scratch)
            .map_err(|error| format!("{}: {error}", scratch.display()))?;
        forget(&transaction)?;
        refuse_commands(scripts)?;
        let counts = format!(
            "SELECT json_build_object('rows', coalesce(json_object_agg(format('%I.%I', n.nspname, c.relname), \
             (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', n.nspname, c.relname), \
             false, true, '')))[1]::text::bigint), '{{}}'::json)) FROM {OWN_TABLES} \
             AND has_table_privilege(c.oid, 'SELECT');"
        );
        // Written before anything is changed: what came of it can be asked for, whatever becomes of psql.
        let noted = literal(&transaction.to_string_lossy().replace('\\', "\\\\"));
        let begin = format!(
            "{LOCK_TIMEOUT}\nSELECT txid_current() AS gitroll_began \\gset\n\
             SELECT pg_backend_pid() || ' ' || txid_current() \\g {noted}\n{counts}\n"
        );
        // Another transaction by now: a script ended the one that it was given.
        let end = format!(
            "SELECT CASE WHEN txid_current() = :gitroll_began THEN 1 END AS gitroll_same \\gset\n\
             \\if :{{?gitroll_same}}\n\\else\n\\set gitroll_same 0\n\\endif\n\
             SELECT 1 / (:'gitroll_same' = '1')::int AS gitroll_ended_no_transaction \\gset\n{counts}\n"
        );
        let write = |name: &str, text: &str| {
            let path = scratch.join(name);
            files::write_durably(&path, text.as_bytes(), 0o600)
                .map(|()| path.to_string_lossy().into_owned())
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let (begin, end) = (write("begin.sql", &begin)?, write("end.sql", &end)?);
        let written = schema::write_scripts(&scratch, scripts)?;
        let mut args =
            vec!["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "--single-transaction"];
        let all = std::iter::once(&begin).chain(&written).chain([&end]);
        args.extend(all.flat_map(|path| ["-f", path.as_str()]));
        let finished = self.run(host, "psql", &args);
        drop(std::fs::remove_dir_all(&scratch));
        let finished = finished.map_err(|why| {
            if why.contains("division by zero") && why.contains("end.sql") {
                return "a script ends the transaction: leave out BEGIN, COMMIT and ROLLBACK"
                    .to_owned();
            }
            // Of the script as it is in the tree, not of the file that psql read.
            written
                .iter()
                .zip(scripts)
                .fold(why, |why, (written, script)| why.replace(written.as_str(), &script.path))
        })?;
        let output = String::from_utf8_lossy(&finished.stdout).into_owned();
        let mut lines = output.lines().filter(|line| line.starts_with("{\"rows\""));
        let counts = |line: Option<&str>| -> Result<TableCounts, String> {
            let line = line.ok_or("psql did not answer what is in the tables")?;
            serde_json::from_str(line).map_err(|error| format!("psql answered oddly: {error}"))
        };
        let (before, after) = (counts(lines.next())?, counts(lines.next_back())?);
        let contents = |counts: TableCounts| -> Vec<TableContents> {
            let tables = counts.rows.into_iter();
            tables.map(|(table, rows)| TableContents { table, rows, columns: Vec::new() }).collect()
        };
        let (before, after) = (contents(before), contents(after));
        Ok(schema::lost(&before, &after))
    }

    /// Whether the scripts that were run in `scratch` left nothing: their transaction never began, or the server says
    /// that it was rolled back. A session that still works on it is ended first.
    pub(super) fn is_rolled_back(&self, host: &Host, scratch: &Path) -> bool {
        // Who stops a run waits for this answer.
        let host = &Host { until: Until::Left, ..host.clone() };
        let Ok(noted) = self.end_noted(host, scratch) else { return false };
        let Some((_, transaction)) = noted else { return true };
        let status = self.ask(host, &format!("SELECT txid_status({transaction})"));
        status.is_ok_and(|status| status == "aborted")
    }

    /// Ends the session of scripts that were run in `scratch`, if one still works on them.
    pub(super) fn end_scripts(&self, host: &Host, scratch: &Path) -> Result<(), String> {
        self.end_noted(host, scratch).map(drop)
    }

    /// The process of the server and the transaction that are noted in `scratch`; the process is gone.
    fn end_noted(&self, host: &Host, scratch: &Path) -> Result<Option<(u32, u64)>, String> {
        let path = scratch.join(TRANSACTION);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let noted = text.trim().split_once(' ');
        let noted = noted.and_then(|(pid, id)| Some((pid.parse().ok()?, id.parse().ok()?)));
        let (pid, id): (u32, u64) =
            noted.ok_or_else(|| format!("{} is not whole", path.display()))?;
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE pid = {pid} AND datname = current_database() AND application_name = 'gitroll'"
        );
        let begun = Instant::now();
        while self.ask(host, &end)? != "0" {
            if begun.elapsed() > PATIENCE {
                return Err(format!("the session {pid} of the server does not end"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Some((pid, id)))
    }

    /// Tries scripts out on the schema alone, in a database of its own that is removed again, and counts what they
    /// would take away in the database itself.
    pub(super) fn rehearse(
        &self,
        host: &Host,
        admin: &Address,
        scratch: &Path,
        scripts: &[DownScript],
    ) -> Result<RowsLost, String> {
        let dump = scratch.join("schema.dump");
        let file = dump.to_string_lossy().into_owned();
        self.run(host, "pg_dump", &["-Fc", "-s", "-w", "-f", &file])?;
        let name = format!("gitroll_try_{}", random::suffix());
        let same = admin.is_same_role(self);
        let owner = match same {
            true => String::new(),
            false => format!(" OWNER {}", identifier(&self.describe(host)?.owner)),
        };
        let create = format!("CREATE DATABASE {}{owner} TEMPLATE template0", identifier(&name));
        admin.ask(host, &create)?;
        // What a script does it does with the rights of the app, here as there.
        let restored = admin.at(&name).restore_into(host, &dump, same);
        let tried = restored.and_then(|()| self.at(&name).tried(host, scratch, scripts));
        let dropped = admin.ask(host, &format!("DROP DATABASE {}", identifier(&name)));
        let (before, after) = tried?;
        dropped.map_err(|why| format!("the database {name} was not removed: {why}"))?;
        let mut found = Vec::new();
        for (table, columns) in &before {
            let now = after.get(table);
            let gone = columns.iter().filter(|name| now.is_some_and(|now| !now.contains(name)));
            let gone: Vec<&String> = gone.collect();
            if now.is_some() && gone.is_empty() {
                continue;
            }
            let counts = gone.iter().map(|name| format!(", count({})", identifier(name)));
            let counts = counts.collect::<String>();
            let answer = self.ask(host, &format!("SELECT count(*){counts} FROM {table}"))?;
            let mut numbers = answer.split('|').map(|number| number.trim().parse().unwrap_or(0));
            let rows: u64 = numbers.next().unwrap_or(0);
            let columns = gone.into_iter().cloned().zip(numbers).collect();
            found.push(TableContents { table: table.clone(), rows, columns });
        }
        let stays = |was: &TableContents| {
            let columns = after.get(&was.table)?.iter().map(|name| (name.clone(), 0)).collect();
            Some(TableContents { columns, ..was.clone() })
        };
        let after: Vec<_> = found.iter().filter_map(stays).collect();
        let mut lost = schema::lost(&found, &after);
        lost.uncounted = Some("rows that a statement deletes are counted as it runs".to_owned())
            .filter(|_| {
                scripts.iter().any(|script| {
                    let text = String::from_utf8_lossy(&script.text).to_lowercase();
                    ["delete", "truncate", "do "].iter().any(|word| text.contains(word))
                })
            });
        Ok(lost)
    }

    /// The tables with their columns before and after the scripts, in an empty database with that schema.
    fn tried(
        &self,
        host: &Host,
        scratch: &Path,
        scripts: &[DownScript],
    ) -> Result<(TableColumns, TableColumns), String> {
        let before = self.columns(host)?;
        self.run_scripts(host, scratch, scripts)?;
        Ok((before, self.columns(host)?))
    }

    fn columns(&self, host: &Host) -> Result<TableColumns, String> {
        let query = format!(
            "SELECT coalesce(json_object_agg(format('%I.%I', n.nspname, c.relname), (SELECT \
             coalesce(json_agg(a.attname), '[]'::json) FROM pg_attribute a WHERE a.attrelid = c.oid AND \
             a.attnum > 0 AND NOT a.attisdropped)), '{{}}'::json) FROM {OWN_TABLES}"
        );
        let answer = self.ask(host, &query)?;
        serde_json::from_str(&answer).map_err(|error| format!("psql answered oddly: {error}"))
    }

    /// Puts a dump of this database back into it, in one transaction: what is there is dropped first, whether the dump
    /// has it or not. Extensions stay.
    pub(super) fn put_back(&self, host: &Host, dump: &Path, scratch: &Path) -> Result<(), String> {
        let file = dump.to_string_lossy().into_owned();
        let listed = list(host, dump)?;
        // An app may seldom drop extensions, and no migration is taken back by that.
        let kept = listed.lines().filter(|line| !line.contains(" EXTENSION "));
        let wanted = scratch.join("wanted.list");
        let script = scratch.join("put-back.sql");
        let drops = scratch.join("drops.sql");
        let write = |path: &Path, text: &str| {
            files::write_durably(path, text.as_bytes(), 0o600)
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        write(&wanted, &kept.map(|line| format!("{line}\n")).collect::<String>())?;
        let (wanted, script) =
            (wanted.to_string_lossy().into_owned(), script.to_string_lossy().into_owned());
        self.run(
            host,
            "pg_restore",
            &["--clean", "--if-exists", "-L", &wanted, "-f", &script, &file],
        )?;
        let query = "SELECT coalesce(string_agg(format('DROP %s IF EXISTS %I.%I CASCADE;', CASE c.relkind \
             WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' \
             WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, n.nspname, c.relname), E'\\n' \
             ORDER BY c.relkind = 'S', c.oid), '') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname NOT LIKE 'pg\\_%' \
             AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d \
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";
        let dropped = self.ask(host, query)?;
        write(&drops, &format!("{LOCK_TIMEOUT}\n{dropped}\n"))?;
        let drops = drops.to_string_lossy().into_owned();
        let args = [
            "-X",
            "-q",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "--single-transaction",
            "-f",
            &drops,
            "-f",
            &script,
        ];
        self.run(host, "psql", &args)?;
        for path in [&wanted, &script, &drops] {
            drop(std::fs::remove_file(path));
        }
        // It is put back, whatever comes of this.
        if let Err(why) = self.ask(host, "ANALYZE") {
            tracing::warn!("{why}");
        }
        Ok(())
    }

    /// What a common tool notes there of the migrations it applied.
    pub(super) fn applied(&self, host: &Host) -> Result<Option<AppliedTable>, String> {
        for (table, query) in schema::TABLES {
            let columns = format!(
                "SELECT coalesce(string_agg(attname, ' '), '') FROM pg_attribute \
                 WHERE attrelid = to_regclass({}) AND attnum > 0",
                literal(table)
            );
            let columns = self.ask_for_app(host, &columns)?;
            if columns.is_empty() || columns.split(' ').any(|name| name == schema::ONE_ROW) {
                continue;
            }
            let listed = self.ask_for_app(host, query)?.lines().map(str::to_owned).collect();
            return Ok(Some(AppliedTable { table: table.to_owned(), listed }));
        }
        Ok(None)
    }
}

/// Tables by their full names, each with its columns.
type TableColumns = BTreeMap<String, Vec<String>>;

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

/// Refuses scripts that are not SQL alone.
pub(super) fn refuse_commands(scripts: &[DownScript]) -> Result<(), String> {
    let mut found = scripts.iter().filter_map(|script| {
        let line = schema::psql_command(&script.text)?;
        Some(format!("{}: line {line} has a command of psql, and only SQL is run", script.path))
    });
    found.next().map_or(Ok(()), Err)
}

fn forget(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
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

pub(super) fn is_true(answer: &str) -> bool {
    match answer {
        "t" => true,
        number => number.parse::<f64>().is_ok_and(|number| number != 0.0),
    }
}

/// Written so that the server takes it for a name, whatever it holds.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn literal(text: &str) -> String {
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
