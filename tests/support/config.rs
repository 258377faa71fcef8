//! The `gitroll.toml` of an app under test.

use super::Fixture;

/// What a test says about its `gitroll.toml`; the rest is quick and fits the fixture.
#[derive(Debug, Clone)]
pub struct AppConfig {
    served_by: ServedBy,
    min_served: String,
    passes: u32,
    settle: String,
    timeout: String,
    builds: bool,
    more: String,
}

/// Who runs the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServedBy {
    /// gitroll's own process manager.
    Process,
    /// pm2, by the app's name there.
    Pm2(String),
    /// A unit of the system's systemd, by its name.
    Unit(String),
    /// Nobody: no `[service]` at all.
    Nobody,
}

impl Default for AppConfig {
    /// The built-in process manager; two passes over 1 s; everything that served qualifies.
    fn default() -> Self {
        Self {
            served_by: ServedBy::Process,
            min_served: "0s".to_owned(),
            passes: 2,
            settle: "1s".to_owned(),
            timeout: "8s".to_owned(),
            builds: true,
            more: String::new(),
        }
    }
}

impl AppConfig {
    /// Who runs the app.
    pub fn served_by(mut self, served_by: ServedBy) -> Self {
        self.served_by = served_by;
        self
    }

    /// `stable.min_served`
    pub fn min_served(mut self, duration: &str) -> Self {
        self.min_served = duration.to_owned();
        self
    }

    /// `passes` and `settle` of the health check.
    pub fn settle(mut self, passes: u32, duration: &str) -> Self {
        self.passes = passes;
        self.settle = duration.to_owned();
        self
    }

    /// `timeout` of the health check.
    pub fn timeout(mut self, duration: &str) -> Self {
        self.timeout = duration.to_owned();
        self
    }

    /// No `[[build]]`: the tree serves as it is.
    pub fn without_builds(mut self) -> Self {
        self.builds = false;
        self
    }

    /// Text to put at the end: further tables.
    pub fn and(mut self, toml: &str) -> Self {
        self.more.push('\n');
        self.more.push_str(toml);
        self
    }

    /// The whole file.
    pub fn toml(&self, fixture: Fixture, port: u16) -> String {
        let mut text = format!("[app]\nname = \"{}\"\n", fixture.name());
        text += &format!("\n[stable]\nmin_served = \"{}\"\n", self.min_served);
        // What a test takes away is away, unless it asks for more.
        let retains = self.more.contains("[retention]");
        if !retains {
            text += "\n[retention]\ncopies = false\n";
        }
        if self.builds {
            text += &builds(fixture);
        }
        text += &match &self.served_by {
            ServedBy::Process => format!(
                "\n[service.web]\nmanager = \"process\"\ncommand = [\"node\", \"server.js\"]\n\
                 env = {{ PORT = \"{port}\" }}\nstop_timeout = \"5s\"\n"
            ),
            ServedBy::Pm2(name) => {
                format!("\n[service.web]\nmanager = \"pm2\"\nname = \"{name}\"\n")
            }
            ServedBy::Unit(name) => {
                format!("\n[service.web]\nmanager = \"systemd\"\nname = \"{name}\"\n")
            }
            ServedBy::Nobody => String::new(),
        };
        text += &format!(
            "\n[[check]]\nname = \"api\"\nhttp = \"http://127.0.0.1:{port}/api/health\"\n\
             expect = {{ status = 200, json = {{ \"/status\" = \"healthy\", \
             \"/version\" = \"{{version}}\" }} }}\npasses = {}\nsettle = \"{}\"\ntimeout = \"{}\"\n",
            self.passes, self.settle, self.timeout
        );
        if retains && !self.more.contains("copies = ") {
            return text + &self.more.replace("[retention]\n", "[retention]\ncopies = false\n");
        }
        text + &self.more
    }
}

fn builds(fixture: Fixture) -> String {
    let mut text = String::new();
    if fixture == Fixture::Express {
        // Not package.json: its version changes with every commit, the dependencies do not.
        text += "\n[[build]]\nname = \"deps\"\nrun = [[\"npm\", \"ci\"]]\n\
                 inputs = [\"package-lock.json\"]\noutputs = [\"node_modules\"]\n";
    }
    text + "\n[[build]]\nname = \"app\"\nrun = [[\"npm\", \"run\", \"build\"]]\noutputs = [\"dist\"]\n"
}
