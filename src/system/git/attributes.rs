//! Attributes under which git would write other bytes than the stored ones, judged by the files they concern.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gix::attrs::StateRef;
use gix::bstr::{BStr, ByteSlice};

use crate::model::{Oid, RepoPath, TreeEntry, TreeMode};
use crate::system::files;

use super::config::Origin;
use super::object::{ObjectKind, gix_id, object_error, told};
use super::repository::{Git, GitError};

/// An attributes file beyond this size is not one.
const MOST_ATTRIBUTES: u64 = 4 << 20;

/// A larger file is taken to be changed, without a look into it.
const MOST_LOOKED_AT: u64 = 64 << 20;

/// A pointer of Git LFS is never larger.
const MOST_POINTER: u64 = 1024;

/// What a pointer of Git LFS begins with.
const POINTERS: [&[u8]; 2] =
    [b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"];

/// What decides how git writes a file; `crlf` is the old name of `text`.
const ASKED: [&str; 6] = ["filter", "working-tree-encoding", "ident", "eol", "text", "crlf"];

/// What git does to the stored bytes of a file when it writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conversion {
    /// Puts the content of Git LFS in the place of its pointer.
    Lfs,
    /// Runs a filter of this name.
    Filter(String),
    /// Writes the text in this encoding.
    Encoding(String),
    /// Ends lines with CR LF.
    CrLf,
    /// Fills in `$Id$`.
    Ident,
}

impl Conversion {
    /// Whether only line ends or `$Id$` differ: the file says the same either way.
    pub fn is_slight(&self) -> bool {
        matches!(self, Conversion::CrLf | Conversion::Ident)
    }

    /// The attribute that says so.
    fn attribute(&self) -> &'static str {
        match self {
            Conversion::Lfs | Conversion::Filter(_) => "filter",
            Conversion::Encoding(_) => "working-tree-encoding",
            Conversion::CrLf => "eol",
            Conversion::Ident => "ident",
        }
    }
}

/// As the attribute is written: `filter=lfs`.
impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conversion::Lfs => f.write_str("filter=lfs"),
            Conversion::Filter(name) => write!(f, "filter={name}"),
            Conversion::Encoding(name) => write!(f, "working-tree-encoding={name}"),
            Conversion::CrLf => f.write_str("eol=crlf"),
            Conversion::Ident => f.write_str("ident"),
        }
    }
}

/// Where a rule stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleFile {
    /// In an attributes file of the tree.
    Release(PathBuf),
    /// In one of this repository that no commit has: `info/attributes`, or what its configuration names.
    Here(PathBuf),
}

impl fmt::Display for RuleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (RuleFile::Release(path) | RuleFile::Here(path)) = self;
        path.display().fmt(f)
    }
}

/// A file that git would write with other bytes than the stored ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedFile {
    pub path: RepoPath,
    pub by: Conversion,
    pub rule: RuleFile,
}

impl Git {
    /// The files of `commit` that git would write with other bytes than the stored ones, because of attributes in
    /// its tree, in `info/attributes`, or in the file that the repository's own configuration names. What the user's
    /// configuration names is no part of what is deployed. A rule that matches no file, or changes no byte of those it matches, is none.
    ///
    /// # Errors
    /// `Object`; `Io` for `info/attributes`.
    pub fn converted_files(&self, commit: &Oid) -> Result<Vec<ConvertedFile>, GitError> {
        let entries = self.entries(commit)?;
        let named = self.named_attributes();
        if !self.any_rule_converts(&entries, named.as_deref())? {
            return Ok(Vec::new());
        }
        let failed = |error: &dyn fmt::Display| object_error(commit, &error.to_string());
        let tree = gix_id(&self.tree_of(commit)?)
            .ok_or_else(|| object_error(commit, "it has no tree in this repository"))?;
        let mut repo = self.repo.clone();
        if let Some(file) = &named {
            let value = file.as_os_str().as_bytes().as_bstr();
            let set = repo.config_snapshot_mut().set_raw_value("core.attributesFile", value);
            set.map_err(|e| failed(&e))?;
        }
        let index = repo.index_from_tree(&tree).map_err(|e| failed(&told(&e)))?;
        let source = gix::worktree::stack::state::attributes::Source::IdMapping;
        let mut stack = repo.attributes_only(&index, source).map_err(|e| failed(&told(&e)))?;
        let mut matched = stack.selected_attribute_matches(ASKED);
        let mut converted = Vec::new();
        for (path, entry) in entries {
            if !matches!(entry.mode, TreeMode::File | TreeMode::Executable) {
                continue;
            }
            let name: &BStr = path.as_bytes().as_bstr();
            let place = stack.at_entry(name, None).map_err(|e| failed(&told(&e)))?;
            matched.reset();
            if !place.matching_attributes(&mut matched) {
                continue;
            }
            let rules =
                Rules::of(matched.iter_selected().map(|found| {
                    (found.assignment.name.as_str().to_owned(), found.assignment.state)
                }));
            if let Some(by) = self.conversion(&rules, &entry.id)? {
                let mut found = matched.iter_selected();
                let rule = found.find(|found| found.assignment.name.as_str() == by.attribute());
                let file = rule.and_then(|rule| rule.location.source).unwrap_or(Path::new(""));
                let rule = self.rule_file(file, named.as_deref());
                converted.push(ConvertedFile { path, by, rule });
            }
        }
        Ok(converted)
    }

    /// Where a rule stands that was found in `file`.
    fn rule_file(&self, file: &Path, named: Option<&Path>) -> RuleFile {
        let info = self.common_dir.join("info/attributes");
        let same = |a: &Path, b: &Path| a == b || self.top.join(a) == *b;
        if same(file, &info) || file.ends_with("info/attributes") {
            return RuleFile::Here(info.strip_prefix(&self.top).unwrap_or(&info).to_owned());
        }
        match named.filter(|named| same(file, named)) {
            Some(named) => RuleFile::Here(named.to_owned()),
            None => RuleFile::Release(file.strip_prefix(&self.top).unwrap_or(file).to_owned()),
        }
    }

    /// The attributes file that the repository's own configuration names, as git finds it.
    fn named_attributes(&self) -> Option<PathBuf> {
        let named = self.settings().ok()?.last("core.attributesFile", Origin::Repository)?;
        let path = match named.strip_prefix("~/") {
            Some(below) => Path::new(self.environment.get("HOME")?).join(below),
            None => self.top.join(named),
        };
        Some(path)
    }

    /// Whether any attributes file has a rule that could convert anything: most repositories have none.
    fn any_rule_converts(
        &self,
        entries: &[(RepoPath, TreeEntry)],
        named: Option<&Path>,
    ) -> Result<bool, GitError> {
        for (path, entry) in entries {
            let named = path.as_bytes().rsplit(|b| *b == b'/').next() == Some(b".gitattributes");
            if named && matches!(entry.mode, TreeMode::File | TreeMode::Executable) {
                let bytes = self.object(&entry.id, ObjectKind::Blob, MOST_ATTRIBUTES)?;
                if may_convert(&bytes) {
                    return Ok(true);
                }
            }
        }
        let info = self.common_dir.join("info/attributes");
        for file in [Some(info.as_path()), named].into_iter().flatten() {
            match files::read_plain(file, MOST_ATTRIBUTES) {
                Ok(bytes) if may_convert(&bytes) => return Ok(true),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(GitError::Io { path: file.to_owned(), source }),
            }
        }
        Ok(false)
    }

    /// What git would do to the bytes of a file under these rules.
    fn conversion(&self, rules: &Rules, id: &Oid) -> Result<Option<Conversion>, GitError> {
        let size = self.size(id).unwrap_or(u64::MAX);
        if size == 0 {
            return Ok(None);
        }
        if let Some(by) = rules.always() {
            return Ok(Some(by));
        }
        let may = rules.perhaps();
        let small = size <= MOST_POINTER || !may.contains(&Conversion::Lfs);
        let may: BTreeSet<Conversion> =
            may.into_iter().filter(|by| small || *by != Conversion::Lfs).collect();
        if may.is_empty() {
            return Ok(None);
        }
        if size > MOST_LOOKED_AT {
            return Ok(may.into_iter().next());
        }
        let bytes = self.object(id, ObjectKind::Blob, MOST_LOOKED_AT)?;
        Ok(may.into_iter().find(|by| rules.change(by, &bytes)))
    }
}

/// What the attributes of one file say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Rules {
    filter: Option<String>,
    encoding: Option<String>,
    ident: bool,
    crlf: bool,
    /// Only where the content looks like text.
    auto: bool,
    binary: bool,
}

impl Rules {
    fn of<'a>(states: impl Iterator<Item = (String, StateRef<'a>)>) -> Self {
        let mut rules = Self::default();
        let (mut text, mut old_text) = (None, None);
        let word = |state: &StateRef<'_>| match state {
            StateRef::Value(value) => Some(value.as_bstr().to_string()),
            _ => None,
        };
        for (name, state) in states {
            match name.as_str() {
                "filter" => rules.filter = word(&state).filter(|name| !name.is_empty()),
                "working-tree-encoding" => {
                    let utf8 = |name: &String| {
                        ["utf-8", "utf8"].iter().any(|utf8| name.eq_ignore_ascii_case(utf8))
                    };
                    rules.encoding = word(&state).filter(|name| !name.is_empty() && !utf8(name));
                }
                "ident" => rules.ident = matches!(state, StateRef::Set),
                "eol" => rules.crlf = word(&state).is_some_and(|value| value == "crlf"),
                "text" if !matches!(state, StateRef::Unspecified) => text = Some(state),
                "crlf" if !matches!(state, StateRef::Unspecified) => old_text = Some(state),
                _ => {}
            }
        }
        if let Some(state) = text.or(old_text) {
            rules.binary = matches!(state, StateRef::Unset);
            rules.auto = word(&state).is_some_and(|value| value == "auto");
        }
        rules
    }

    /// What changes any content.
    fn always(&self) -> Option<Conversion> {
        let filter = self.filter.as_ref().filter(|name| *name != "lfs").cloned();
        let wide = self.encoding.as_ref().filter(|name| !keeps_ascii(name)).cloned();
        filter.map(Conversion::Filter).or(wide.map(Conversion::Encoding))
    }

    /// What changes some contents.
    fn perhaps(&self) -> BTreeSet<Conversion> {
        let lfs = self.filter.as_deref() == Some("lfs");
        [
            lfs.then_some(Conversion::Lfs),
            self.encoding.clone().filter(|name| keeps_ascii(name)).map(Conversion::Encoding),
            (self.crlf && !self.binary).then_some(Conversion::CrLf),
            self.ident.then_some(Conversion::Ident),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether what changes some contents changes this one.
    fn change(&self, by: &Conversion, bytes: &[u8]) -> bool {
        match by {
            Conversion::Lfs => POINTERS.iter().any(|begin| bytes.starts_with(begin)),
            Conversion::CrLf => {
                let lone = |(at, byte): (usize, &u8)| {
                    *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r')
                };
                // Under `auto` git leaves alone what holds a CR or looks binary.
                let left_alone = self.auto && bytes.iter().any(|b| matches!(b, b'\r' | 0));
                !left_alone && bytes.iter().enumerate().any(lone)
            }
            Conversion::Ident => bytes.find(b"$Id$").is_some() || bytes.find(b"$Id:").is_some(),
            Conversion::Encoding(name) => !(keeps_ascii(name) && bytes.is_ascii()),
            Conversion::Filter(_) => true,
        }
    }
}

/// Whether ASCII looks the same in an encoding: in nearly all but the wide ones.
fn keeps_ascii(encoding: &str) -> bool {
    let name = encoding.to_ascii_uppercase();
    !["UTF-16", "UTF16", "UTF-32", "UTF32", "UTF-7", "UTF7", "UCS", "EBCDIC", "IBM"]
        .iter()
        .any(|wide| name.starts_with(wide))
}

/// Whether an attributes file names an attribute that may change bytes.
fn may_convert(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.lines().flat_map(|line| line_attributes(line.trim())).any(|a| converts(&a))
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::*;

    /// `path: attribute` of each converted file of a commit with these attributes and files.
    fn converted(attributes: &str, files: &[(&str, &str)]) -> Vec<String> {
        let repo = Repo::new();
        repo.git(&["config", "core.autocrlf", "false"]);
        for (path, text) in files {
            repo.write(path, text);
        }
        // The bytes as they are: rules that say otherwise come afterwards.
        repo.commit("files");
        repo.write(".gitattributes", attributes);
        repo.git(&["add", ".gitattributes"]);
        repo.git(&["commit", "-q", "-m", "attributes"]);
        let found = repo.open().converted_files(&repo.id("HEAD")).unwrap();
        found.iter().map(|file| format!("{}: {}", file.path, file.by)).collect()
    }

    #[test]
    fn a_rule_counts_by_the_bytes_it_changes() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n";
        let usual = "* text=auto\n*.sh text eol=lf\n*.bat text eol=crlf\n";
        for (attributes, files, wanted) in [
            (usual, vec![("a.sh", "x\n"), ("b.txt", "y\n")], vec![]),
            (usual, vec![("run.bat", "x\n")], vec!["run.bat: eol=crlf"]),
            (usual, vec![("run.bat", "one line"), ("e.bat", "")], vec![]),
            ("*.bat eol=crlf\n", vec![("run.bat", "x\r\n")], vec![]),
            ("*.bat -text eol=crlf\n", vec![("run.bat", "x\n")], vec![]),
            ("*.bat text=auto eol=crlf\n", vec![("run.bat", "\0x\n")], vec![]),
            ("*.psd filter=lfs -text\n", vec![("a.psd", pointer)], vec!["a.psd: filter=lfs"]),
            ("*.psd filter=lfs -text\n", vec![("a.psd", "plain\n")], vec![]),
            ("*.js ident\n", vec![("a.js", "1\n"), ("b.js", "// $Id$\n")], vec!["b.js: ident"]),
            ("*.x filter=indent\n", vec![("a.x", "1"), ("b.y", "1")], vec!["a.x: filter=indent"]),
            (
                "[attr]wide working-tree-encoding=UTF-16\n*.w wide\n",
                vec![("a.w", "1")],
                vec!["a.w: working-tree-encoding=UTF-16"],
            ),
            (
                "*.x working-tree-encoding=latin1\n",
                vec![("a.x", "1"), ("b.x", "\u{e9}")],
                vec!["b.x: working-tree-encoding=latin1"],
            ),
            ("*.x filter=indent\na.x !filter\n", vec![("a.x", "1")], vec![]),
        ] {
            assert_eq!(converted(attributes, &files), wanted, "{attributes:?} {files:?}");
        }
    }

    #[test]
    fn rules_below_and_in_info_attributes_count() {
        let repo = Repo::new();
        repo.write("sub/a.txt", "x\n");
        repo.write("a.txt", "x\n");
        repo.write("sub/.gitattributes", "*.txt eol=crlf\n");
        let head = repo.commit("all");
        let found = repo.open().converted_files(&head).unwrap();
        let path = |text: &str| RepoPath::new(text).unwrap();
        let rule = RuleFile::Release("sub/.gitattributes".into());
        assert_eq!(found, [ConvertedFile { path: path("sub/a.txt"), by: Conversion::CrLf, rule }]);
        repo.write(".git/info/attributes", "a.txt ident filter=x\n");
        let found = repo.open().converted_files(&head).unwrap();
        assert_eq!(found[0].by, Conversion::Filter("x".to_owned()));
        assert_eq!(found[0].rule, RuleFile::Here(".git/info/attributes".into()));
        assert_eq!(found.len(), 2);
        repo.write(".git/info/attributes", "*.none filter=x\n");
        assert_eq!(repo.open().converted_files(&head).unwrap().len(), 1);

        // A file that the repository's configuration names counts as well, by the files that it matches.
        let named = repo.dir.path().canonicalize().unwrap().join("attributes");
        repo.git(&["config", "core.attributesFile", named.to_str().unwrap()]);
        std::fs::write(&named, "*.none filter=x\n").unwrap();
        assert_eq!(repo.open().converted_files(&head).unwrap().len(), 1);
        std::fs::write(&named, "a.txt eol=crlf\n").unwrap();
        let found = repo.open().converted_files(&head).unwrap();
        let rule = RuleFile::Here(named);
        assert_eq!(found[0], ConvertedFile { path: path("a.txt"), by: Conversion::CrLf, rule });
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn only_attributes_that_may_change_bytes_are_looked_into() {
        for (line, wanted) in [
            ("# filter=x", false),
            ("*.psd filter=lfs diff=lfs -text", true),
            ("\"a \\\" b\" ident", true),
            ("*.bat eol=crlf", true),
            ("*.txt text eol=lf -ident !filter", false),
            ("[attr]wide working-tree-encoding=UTF-16", true),
            ("*.c -filter", false),
        ] {
            assert_eq!(may_convert(line.as_bytes()), wanted, "{line}");
        }
    }
}
