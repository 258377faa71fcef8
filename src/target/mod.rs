//! Which state to go back to: candidates, the reasons they are passed over, their order. Pure.

mod candidate;
mod order;
mod pick;

pub use candidate::{Candidate, Needed, Reason, ServedHere, Standing, safe_name};
pub use order::{Rank, by_rank, version_of};
pub use pick::{Reach, Request, RequestError, Resolution, even_tried, however_short, resolve};
