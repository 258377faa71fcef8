//! `gitroll.toml` and `host.toml`: raw text in, validated types out.
//!
//! `gitroll.toml` is in the repository and says what to build, reload and check. The host binding
//! (`host.toml` and its trust file) is outside and says who may sign, as whom to run and which tools
//! to use. Nothing in the repository can loosen the binding.

mod app;
mod as_proven;
mod check;
mod data;
#[cfg(test)]
mod docs;
mod dropped;
mod flags;
mod host;
mod notify;
mod parse;
mod quantity;
mod quote;
mod reader;
mod rule;

pub use app::{
    App, Approvals, Build, Component, Config, Deploy, DownWay, EcosystemFile, Hooks, Layout,
    Manager, Migrate, NAME, NUMBER, OutputGlob, PathTemplate, Patterns, Prove, Remote, Retention,
    Rto, RunSettings, Scope, Service, Stable, UpstreamBranch, migration_number,
};
pub use as_proven::{Unchanged, as_proven};
pub use check::{
    Bounds, Check, CheckGroup, CheckKind, CommandCheck, Comparison, Expected, FileCheck, FilePlace,
    Filler, HttpCheck, LogCheck, LogSource, MetricCheck, MetricSource, Selection, TcpCheck,
};
pub use data::{
    ApplySettings, BackRule, BeforeDeploy, DataEngine, DataSource, KeepPoints, Points, Settings,
    UrlSource,
};
pub use dropped::dropped;
pub use flags::{
    Apply, DocumentFormat, Flag, FlagApi, FlagSource, FlagSourceKind, Flags, Method, Signal, Verify,
};
pub use host::{
    Binding, BindingError, BindingPlaces, OPENPGP, ROLES_HEAD, Roles, Signing, SigningFormat,
    Tools, revoked_text,
};
pub use notify::{
    Channel, ChannelKind, ChannelUrl, Contact, Links, Mail, MailServer, MailTls, NotifyEvent,
    NotifyLevel, PageSeverity, SecretSource,
};
pub use parse::{ConfigError, parse, patterns};
pub use quantity::{duration, show_duration, show_size, size};
pub use quote::quote;
pub use reader::ConfigProblem;
pub use rule::{Rule, RuleAction, Severity, Soak, SymptomProbe, Timeline, WatchSettings, When};
