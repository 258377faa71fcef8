//! The only place that prints: answers to stdout, narration to stderr, text or JSON.

mod ask;
mod live;
mod output;
mod style;
mod table;

pub use crate::system::text::{ago, clock_word, duration, escape, plural, span};
#[allow(unused_imports)]
pub use ask::select;
pub use ask::{AskError, can_ask, choose, confirm, input, question};
pub use live::Live;
pub use output::{Address, JSON_VERSION, Ui, confess, lost_answer, trace};
pub use style::Style;
pub use table::Table;
