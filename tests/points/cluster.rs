//! A PostgreSQL cluster of a test's own: no port, a socket in the test's directory, ended with it.

use std::path::PathBuf;

use crate::support::*;

/// A running cluster with a superuser `boss` and a user `app` who may create databases.
pub struct Cluster<'h> {
    host: &'h TestEnvironment,
    dir: PathBuf,
}

impl<'h> Cluster<'h> {
    /// Makes and starts it.
    #[track_caller]
    pub fn start(host: &'h TestEnvironment) -> Self {
        let dir = host.path("pg");
        std::fs::create_dir_all(dir.join("sock")).expect("it can be made");
        let cluster = Self { host, dir };
        if rustix::process::geteuid().is_root() {
            host.run("chown", &["-R", "postgres:", &cluster.place("")]).exit(0);
            // Its own user has to get there.
            for above in cluster.dir.ancestors().skip(1).take_while(|dir| dir.starts_with("/tmp/"))
            {
                if above.starts_with(host.root()) || above.join("log").exists() {
                    host.run("chmod", &["a+x", &above.display().to_string()]).exit(0);
                }
            }
            host.run("chmod", &["a+x", &host.root().display().to_string()]).exit(0);
        }
        let data = cluster.place("data");
        let initdb = "-U boss -A trust -E UTF8 --locale=C.UTF-8 --no-sync";
        cluster
            .tool("initdb", &[&["-D", &data][..], &initdb.split(' ').collect::<Vec<_>>()].concat());
        let options = format!(
            "-k {} -c listen_addresses= -c fsync=off -c wal_level=logical",
            cluster.place("sock")
        );
        let log = cluster.place("data/log");
        cluster.tool("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        cluster.sql("postgres", "CREATE ROLE app LOGIN CREATEDB PASSWORD 'hunter2-of-app'");
        cluster.sql("postgres", "CREATE DATABASE \"sh\"\"op\" OWNER app");
        cluster
    }

    /// Its directory of sockets.
    pub fn socket(&self) -> String {
        self.place("sock")
    }

    /// What a statement of the superuser answers.
    #[track_caller]
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let args = [
            "-X",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &self.place("sock"),
            "-U",
            "boss",
            "-c",
            statement,
            database,
        ];
        self.host.run("psql", &args).exit(0).stdout.trim().to_owned()
    }

    /// From now on the user `app` has to know its password.
    pub fn demand_password(&self) {
        let file = self.dir.join("data/pg_hba.conf");
        std::fs::write(file, "local all boss trust\nlocal all app scram-sha-256\n")
            .expect("it is writable");
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Ends it.
    pub fn stop(self) {
        self.tool("pg_ctl", &["-D", &self.place("data"), "-w", "-m", "immediate", "stop"]);
    }

    fn place(&self, name: &str) -> String {
        self.dir.join(name).display().to_string().trim_end_matches('/').to_owned()
    }

    /// Debian keeps the server's programs out of `PATH`.
    #[track_caller]
    fn tool(&self, name: &str, args: &[&str]) {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let program = versions.map(|dir| dir.path().join("bin").join(name)).find(|p| p.exists());
        let program = program.unwrap_or_else(|| name.into()).display().to_string();
        if rustix::process::geteuid().is_root() {
            let given = ["-u", "postgres", "--", &program];
            self.host.run("runuser", &[&given[..], args].concat()).exit(0);
        } else {
            self.host.run(&program, args).exit(0);
        }
    }
}
