//! The demo's app: its files for each release.

use minijinja::{Environment, Error, context};

/// The server's file for machines with node.
pub const NODE_SERVER: &str = "server.js";
/// The server's file for machines without.
pub const PERL_SERVER: &str = "server.pl";

/// One release of the demo's app.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// Its version, e.g. `1.0.0`.
    pub version: &'a str,
    /// After how many milliseconds it begins to fail; `0` is never.
    pub fails_after: &'a str,
    /// [`NODE_SERVER`] or [`PERL_SERVER`].
    pub server: &'a str,
    /// Its gitroll.toml.
    pub config: &'a str,
}

impl Release<'_> {
    /// The files of the release: name and content.
    pub fn files(&self) -> Vec<(&str, String)> {
        let source = match self.server {
            NODE_SERVER => include_str!("../../templates/demo/server.js"),
            _ => include_str!("../../templates/demo/server.pl"),
        };
        let package = format!("{{ \"name\": \"demo\", \"version\": \"{}\" }}\n", self.version);
        vec![
            (self.server, source.to_owned()),
            ("package.json", package),
            ("fails-after-ms", format!("{}\n", self.fails_after)),
            ("gitroll.toml", self.config.to_owned()),
        ]
    }
}

/// The demo's gitroll.toml.
///
/// # Errors
/// When the template is broken: a bug of gitroll.
pub fn config(interpreter: &str, server: &str, port: u16) -> Result<String, Error> {
    let template = include_str!("../../templates/demo/gitroll.toml.jinja");
    Environment::new().render_str(template, context! { interpreter, server, port })
}
