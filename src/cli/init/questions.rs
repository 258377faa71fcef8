//! The questions of `init`, at most four, each with a default.

use super::InitArgs;
use crate::cli::failure::{Failure, Status};
use crate::model::{AppName, EnvironmentName, IdError};
use crate::ui::{self, Ui};

/// What a person said, or the defaults.
pub(super) struct Said {
    pub(super) app: String,
    pub(super) environment: String,
    pub(super) name: String,
}

/// Asks what was not given on the command line; with `--yes` takes the defaults.
pub(super) fn ask(ui: &Ui, args: &InitArgs, app: &str, host: &str) -> Result<Said, Failure> {
    let said = |given: &Option<String>,
                text: &str,
                default: &str,
                validate: fn(&str) -> Result<(), String>|
     -> Result<String, Failure> {
        match given {
            Some(given) => Ok(given.clone()),
            None if args.yes => Ok(default.to_owned()),
            None => ui::input(ui, text, default, validate).map_err(|error| {
                Failure::from(error)
                    .next("gitroll init --yes --environment NAME", "takes the defaults")
            }),
        }
    };
    Ok(Said {
        app: said(&None, "Name of the app?", app, is::<AppName>)?,
        environment: said(
            &args.environment,
            "Which environment is this?",
            "production",
            is::<EnvironmentName>,
        )?,
        name: said(&args.name, "Name of this host in records?", host, |_| Ok(()))?,
    })
}

fn is<T: std::str::FromStr<Err = IdError>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

/// A name as the program needs it, or a usage error.
pub(super) fn name<T: std::str::FromStr<Err = IdError>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|e: IdError| Failure::new(Status::Usage, e.to_string()))
}
