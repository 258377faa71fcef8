//! What is written for people: reports and what the demo writes, rendered from `templates/`.

pub mod demo;
pub mod diff;
pub mod incident;
pub mod statistics;
