//! `file = PATH`: a file as it must lie there.

use super::expected::json;
use super::most_bytes;
use crate::config::FileCheck;
use crate::config::parse::value;
use crate::config::reader::{Item, Table, or};

pub(super) fn file(table: &Table<'_>) -> Option<FileCheck> {
    let file = table.need("file").and_then(|item| value::file_place(&item));
    let nothing = || (true, None, None);
    let expect = or(table.get("expect"), nothing, |item| {
        let expect = item.table("expect")?;
        let exists = or(expect.get("exists"), || true, |item| item.boolean());
        let sha256 = or(expect.get("sha256"), || None, |item| sha256(&item).map(Some));
        let json = or(expect.get("json"), || None, |item| json(&item).map(Some));
        if exists == Some(false) {
            for key in ["sha256", "json"].into_iter().filter(|key| expect.has(key)) {
                expect.add(format!("expect: {key} says nothing of a file that must not exist"));
            }
        }
        expect.finish();
        Some((exists?, sha256?, json?))
    });
    let max_bytes = most_bytes(table, 16 << 20);
    let (exists, sha256, json) = expect?;
    Some(FileCheck { file: file?, exists, sha256, json, max_bytes: max_bytes? })
}

fn sha256(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        item.add("must be 64 hexadecimal digits, as `sha256sum` prints them");
        return None;
    }
    Some(text.to_ascii_lowercase())
}
