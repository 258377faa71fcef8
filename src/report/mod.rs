//! What is written for people: starter files and reports, rendered from `templates/`.

pub mod demo;
pub mod diff;
pub mod starter;
