//! Stub until the sources are merged.
use std::collections::BTreeMap;
use std::path::Path;
use crate::config::{Binding, FlagSource};
use crate::model::FlagName;
/// h
#[derive(Debug)]
pub struct Host<'a> { /// b
 pub binding: &'a Binding, /// t
 pub top: &'a Path }
/// v
#[derive(Clone, PartialEq)]
pub enum Value { /// a
 Absent, /// k
 Known(serde_json::Value) }
/// e
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct FlagError;
/// r
/// # Errors
/// x
pub fn read(_: &Host<'_>, _: &FlagSource, _: &[FlagName]) -> Result<BTreeMap<FlagName, Value>, FlagError> { Err(FlagError) }
/// r
/// # Errors
/// x
pub fn list(_: &Host<'_>, _: &FlagSource) -> Result<Option<Vec<FlagName>>, FlagError> { Err(FlagError) }
/// t
pub fn typed(_: &FlagSource, _: &Value, text: &str) -> serde_json::Value { text.into() }
/// r
/// # Errors
/// x
pub fn change(_: &Host<'_>, _: &FlagSource, _: &[(FlagName, Value)], _: &Path) -> Result<Vec<String>, FlagError> { Err(FlagError) }
/// r
/// # Errors
/// x
pub fn restore(_: &Host<'_>, _: &FlagSource, _: &Path) -> Result<Vec<String>, FlagError> { Err(FlagError) }
/// p
pub fn in_processes(_: &[u32], _: &FlagName) -> Vec<(u32, Option<String>)> { Vec::new() }
