//! What every integration test stands on: an environment of its own, an app made from a fixture, the
//! program under test, and the certainty that nothing outlives the test.
//!
//! ```ignore
//! use crate::support::*;
//!
//! #[test]
//! fn going_back_serves_what_served_before() {
//!     let host = TestEnvironment::new();
//!     let app = host.app(Fixture::Plain);
//!     app.commit_version("1.0.0", Behaviour::Good);
//!     host.gitroll(&["back", "--yes"]).exit(0).stdout_has("observed serving");
//! }
//! ```

mod answer;
mod app;
pub mod bench;
mod config;
mod ending;
mod environment;
mod flagged;
pub mod history;
mod paused;
pub mod pm2;
pub mod rotation;
mod scenario;
pub mod schema;
mod snapshot;
mod sshd;
mod sysbox;
mod terminal;
mod traffic;
mod tree;
mod web;

pub use answer::Answer;
pub use app::{App, Behaviour, Fixture};
pub use config::{AppConfig, ServedBy};
pub use ending::{alive, children_of, kill_everything_below};
pub use environment::{TestEnvironment, find_tool, project, set_mode, test_tools};
pub use flagged::{Going, NOT_CRITICAL, SHOWN_BY_HTTP, UPLOADS, flagged, without_the_feature};
pub use paused::Paused;
pub use scenario::Scenario;
pub use snapshot::snapshots;
pub use sshd::{GitServer, Sshd};
pub use sysbox::Sysbox;
pub use terminal::Terminal;
pub use traffic::RequestLoop;
pub use tree::Tree;
pub use web::{Port, free_port, http_get, nginx_config, wait_for_version, wait_until};
