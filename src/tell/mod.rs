//! Tells people how runs go: what a message says, the channels it takes, and the outbox that keeps it until it is there.

mod message;
mod outbox;
mod send;

pub use message::{Link, Message, NextCommand, Person};
pub use outbox::{ChannelState, Outbox};
pub use send::{Delivery, deliver};
