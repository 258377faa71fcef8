//! `gitroll config`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::config;
use crate::system::files;
use crate::system::git::Git;
use crate::ui::{Ui, escape, plural};

/// The JSON schema of gitroll.toml.
const SCHEMA: &str = include_str!("../../templates/gitroll.schema.json");

/// More than any configuration.
const MOST_BYTES: u64 = 2 << 20;

/// Check gitroll.toml in any clone, or print its JSON schema for editors
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll config check                    gitroll.toml of this checkout
  gitroll config check other.toml         another file
  gitroll config schema > gitroll.schema.json

Neither needs a binding: both work on a laptop and in a pipeline. In an editor with Taplo, the first line \
`#:schema ./gitroll.schema.json` of gitroll.toml completes and explains its keys.")]
pub struct ConfigArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Read a file as gitroll does, and show every problem
    Check {
        /// The file [default: gitroll.toml at the top of this checkout]
        file: Option<PathBuf>,
    },
    /// Print the JSON schema of gitroll.toml
    Schema,
}

/// The answer of `config check`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigAnswer {
    /// The file.
    pub file: PathBuf,
    /// The app that it describes.
    pub app: String,
    /// Its build groups.
    pub builds: usize,
    /// Its services.
    pub services: usize,
    /// Its checks.
    pub checks: usize,
    /// Its components.
    pub components: usize,
}

pub fn run(globals: &Globals, ui: &Ui, args: &ConfigArgs) -> Result<Exit, Failure> {
    let file = match &args.act {
        Act::Schema => {
            if ui.json {
                let schema: serde_json::Value = serde_json::from_str(SCHEMA)
                    .map_err(|error| Failure::unchanged(error.to_string()))?;
                ui.document("config", 0, &schema);
            } else {
                ui.raw(SCHEMA.as_bytes());
            }
            return Ok(Exit::Done);
        }
        Act::Check { file } => file.clone(),
    };
    let dir = globals.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let file = match file {
        Some(file) => dir.join(file),
        None => {
            let top = Git::open(&dir, None).map(|git| git.top().to_owned());
            top.unwrap_or(dir).join("gitroll.toml")
        }
    };
    let shown = file.display().to_string();
    let bytes = files::read_plain(&file, MOST_BYTES).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => error.to_string(),
        };
        Failure::unchanged(format!("{shown}: {why}"))
            .next("gitroll config check FILE", "checks another file")
            .next("gitroll init", "writes one for this app")
    })?;
    let config = config::parse(&String::from_utf8_lossy(&bytes), &shown)?;
    let answer = ConfigAnswer {
        app: config.app.name.to_string(),
        builds: config.build.len(),
        services: config.services.len(),
        checks: config.checks.len(),
        components: config.components.len(),
        file,
    };
    let parts = [
        plural(answer.builds, "build group"),
        plural(answer.services, "service"),
        plural(answer.checks, "check"),
        plural(answer.components, "component"),
    ];
    ui.line(&format!("{} {}: {}, {}", ui.out.ok(), escape(&shown), answer.app, parts.join(", ")));
    ui.document("config", 0, &answer);
    Ok(Exit::Done)
}
