//! Attributes that would make git write other bytes than a blob's.

use std::fs;
use std::io;

use gix::bstr::ByteSlice;

use crate::model::{Oid, TreeMode};

use super::{Git, GitError, ObjectKind};

/// An attributes file beyond this size is not one.
const MOST_BYTES: u64 = 4 << 20;

impl Git {
    /// Attributes in the commit's tree (and `info/attributes`) that would make git write other bytes than
    /// the blobs': `filter=…` (LFS among them), `working-tree-encoding`, `ident`, `eol=crlf`. Each as
    /// `<attributes file>: <what>`.
    ///
    /// # Errors
    /// `Object`; `Io` for `info/attributes`.
    pub fn converting_attributes(&self, commit: &Oid) -> Result<Vec<String>, GitError> {
        let mut found = Vec::new();
        for (path, entry) in self.entries(commit)? {
            let named = path.as_bytes().rsplit(|b| *b == b'/').next() == Some(b".gitattributes");
            if named && matches!(entry.mode, TreeMode::File | TreeMode::Executable) {
                let bytes = self.object(&entry.id, ObjectKind::Blob, MOST_BYTES)?;
                found.extend(converting(&bytes).into_iter().map(|what| format!("{path}: {what}")));
            }
        }
        let info = self.common_dir.join("info/attributes");
        match fs::read(&info) {
            Ok(bytes) => found.extend(
                converting(&bytes).into_iter().map(|what| format!("info/attributes: {what}")),
            ),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(GitError::Io { path: info, source }),
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// The converting attributes of one attributes file, e.g. `filter=lfs`.
fn converting(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.lines().flat_map(|line| line_attributes(line.trim())).filter(|a| converts(a)).collect()
}

/// What follows the pattern of a line.
fn line_attributes(line: &[u8]) -> Vec<String> {
    if line.is_empty() || line.starts_with(b"#") {
        return Vec::new();
    }
    let rest = match line.strip_prefix(b"\"") {
        // A quoted pattern may hold spaces and escaped quotes.
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.iter().position(|b| {
                let closing = *b == b'"' && !escaped;
                escaped = *b == b'\\' && !escaped;
                closing
            });
            end.map_or(&quoted[..0], |end| &quoted[end + 1..])
        }
        None => {
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            &line[end..]
        }
    };
    rest.fields().map(|word| word.to_str_lossy().into_owned()).collect()
}

fn converts(attribute: &str) -> bool {
    match attribute.split_once('=') {
        Some(("filter" | "working-tree-encoding", value)) => !value.is_empty(),
        Some(("eol", value)) => value == "crlf",
        Some(_) => false,
        None => attribute == "ident",
    }
}

#[cfg(test)]
mod tests {
    use super::converting;

    #[test]
    fn only_attributes_that_change_bytes_are_named() {
        let file = b"# filter=x\n*.psd filter=lfs diff=lfs -text\n\"a \\\" b\" ident\n*.bat eol=crlf\n\
            *.txt text eol=lf -ident !filter\n[attr]wide working-tree-encoding=UTF-16\n*.c -filter\n";
        assert_eq!(
            converting(file),
            ["filter=lfs", "ident", "eol=crlf", "working-tree-encoding=UTF-16"]
        );
    }
}
