//! Rules over time: when a symptom is taken for real, whether something may be done about it without a person, and what
//! is remembered of that.

mod decision;
mod notes;
mod trigger;

pub use decision::{Blocked, Change, Circumstances, may_act, waits};
pub use notes::{Act, ActEnd, Incident, Looking, Notes, RuleSeen, Running, Silence, Soaking};
pub use trigger::{Began, Look, Needs, Trigger};
