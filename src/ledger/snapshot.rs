//! What an environment's chains say and come to, as the last command that looked left it in the state directory, so that
//! looking does not cost more with every record.
//!
//! It counts for the very same refs, trust and binding alone, and only where every chain is noted as verified up to its
//! head. Its first part is checked by a sum, each record by its digest when somebody asks for it. Whoever can write as
//! the user of the app can forge it, as everything in that directory: so it serves commands that look, and a command
//! that puts something in place reads the chains and folds them anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::as_read::{AsRead, Identity};
use super::cache::Cache;
use super::codec;
use super::entry::{Chain, Entry, EntryParts, Ledger, Store, chain_prefix, chain_ref};
use super::fold::History;
use super::kept::Kept;
use super::packed::{Packed, Packing};
use crate::config::Binding;
use crate::model::{
    ChainId, Digest, Event, HistoryLine, Oid, Outcome, Person, Record, Seq, WriterId,
};
use crate::system::files;
use crate::system::git::{Git, ObjectKind, Ref};

/// So many records are folded without writing this.
const AFTER: usize = 64;

/// A larger first part is not one that was written here.
const MOST_BYTES: u64 = 256 << 20;

const HEAD: &[u8] = b"gitroll snapshot 2\n";

/// Records that are read when somebody asks for one.
#[derive(Debug)]
struct Stored {
    file: File,
    /// The work tree of the repository that has them, too.
    top: PathBuf,
    line: HistoryLine,
    /// Where each lies, and what lies beside it.
    rows: Vec<u8>,
    /// Bytes of one row.
    row: usize,
    /// Where in the file the records begin.
    from: u64,
}

impl Store for Stored {
    fn parts(&self, at: usize) -> EntryParts {
        let found = self.read(at, |from, object| self.file.read_exact_at(object, from).ok());
        // Damaged here, it is still in git.
        found.or_else(|| self.read_from_git(at)).unwrap_or_else(|| self.unreadable(at))
    }
}

impl Stored {
    /// The record at a place, its bytes read by `fill` from where they lie in the file.
    fn read(
        &self,
        at: usize,
        fill: impl FnOnce(u64, &mut [u8]) -> Option<()>,
    ) -> Option<EntryParts> {
        let mut row = self.row(at)?;
        let (commit, blob, evidence, config) = (row.oid()?, row.oid()?, row.oid()?, row.oid()?);
        let (digest, from, length) = (row.digest()?, row.number()?, row.number()?);
        let length = usize::try_from(length).ok().filter(|_| length <= codec::MOST_BYTES)?;
        let mut object = vec![0; length];
        fill(self.from.checked_add(from)?, &mut object)?;
        let (decoded, _) = codec::decode(&object).ok()?;
        (decoded.digest == digest).then_some(EntryParts {
            record: decoded.record,
            tagger: decoded.tagger,
            digest,
            object: decoded.object,
            commit,
            blob,
            evidence,
            config,
        })
    }

    fn read_from_git(&self, at: usize) -> Option<EntryParts> {
        let mut row = self.row(at)?;
        row.oid()?;
        let blob = row.oid()?;
        let git = Git::open(&self.top, None).ok()?;
        let bytes = git.object(&blob, ObjectKind::Blob, codec::MOST_BYTES).ok()?;
        self.read(at, |_, object| {
            (object.len() == bytes.len()).then(|| object.copy_from_slice(&bytes))
        })
    }

    fn row(&self, at: usize) -> Option<Packed<'_>> {
        let from = at.checked_mul(self.row)?;
        Some(Packed::of(self.rows.get(from..from.checked_add(self.row)?)?))
    }

    /// In place of a record that neither this file nor git can give: it states nothing.
    fn unreadable(&self, at: usize) -> EntryParts {
        let mut record = Record::new(&self.line, Event::from("unreadable".to_owned()));
        record.seq = Seq(at as u64 + 1);
        record.outcome = Outcome::Failed;
        record.sentence = "this record cannot be read: see gitroll fsck".to_owned();
        let nobody =
            Person { name: String::new(), email: String::new(), time: jiff::Timestamp::UNIX_EPOCH };
        let nothing = Oid::nothing();
        let digest = self.digest(at).unwrap_or_else(|| Digest::of(b""));
        let [object, commit, blob, evidence, config] = std::array::from_fn(|_| nothing.clone());
        EntryParts { record, tagger: nobody, digest, object, commit, blob, evidence, config }
    }

    fn digest(&self, at: usize) -> Option<Digest> {
        let mut row = self.row(at)?;
        for _ in 0..4 {
            row.oid()?;
        }
        row.digest()
    }
}

/// The ledger as a snapshot has it, if that is as the refs and the trust are now.
pub(super) fn load(git: &Git, binding: &Binding, refs: &[Ref], trust: &Digest) -> Option<AsRead> {
    let place = place(git, binding);
    let (file, size) = files::open_cache(&place)?;
    let mut head = [0; HEAD.len() + 40];
    file.read_exact_at(&mut head, 0).ok()?;
    let mut fields = Packed::of(head.strip_prefix(HEAD)?);
    let (sum, length) = (fields.digest()?, fields.number()?);
    let from = (head.len() as u64).checked_add(length)?;
    if length > MOST_BYTES || from > size {
        return None;
    }
    let mut body = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut body, head.len() as u64).ok()?;
    if Digest::of(&body) != sum {
        return None;
    }
    let cache = Cache::load(git);
    let mut body = Packed::of(&body);
    let same = body.text()? == owner(git, binding) && body.digest()? == *trust;
    if !same || body.number()? != refs.len() as u64 {
        return None;
    }
    for found in refs {
        let verified = cache.verified(&found.name, trust) == Some(&found.id);
        if body.text()? != found.name || body.oid()? != found.id || !verified || !git.has(&found.id)
        {
            return None;
        }
    }
    let prefix = chain_prefix(&binding.environment);
    if cache.below(&prefix).any(|(name, _)| refs.iter().all(|found| found.name != name)) {
        return None;
    }
    let mut ledger = Ledger::default();
    for found in refs {
        let writer: WriterId = body.text()?.parse().ok()?;
        let id: ChainId = body.text()?.parse().ok()?;
        let line = HistoryLine {
            app: binding.app.clone(),
            environment: binding.environment.clone(),
            writer: writer.clone(),
            chain: id.clone(),
        };
        let (count, row) =
            (usize::try_from(body.number()?).ok()?, usize::try_from(body.number()?).ok()?);
        let rows = body.bytes()?.to_vec();
        if row == 0 || rows.len() != count.checked_mul(row)? {
            return None;
        }
        let stored = Arc::new(Stored {
            file: file.try_clone().ok()?,
            top: git.top().to_owned(),
            line,
            rows,
            row,
            from,
        });
        let known = cache.known(&found.name)?;
        if known.seq.0 != count as u64 || stored.digest(count.checked_sub(1)?) != Some(known.digest)
        {
            return None;
        }
        let entry = |at| Entry::stored(Arc::clone(&stored) as Arc<dyn Store>, at);
        let entries = (0..count).map(entry).collect();
        ledger.chains.insert(writer.clone(), Chain { writer, id, entries });
    }
    for _ in 0..body.number()? {
        ledger.without_role.insert(body.digest()?, body.text()?.to_owned());
    }
    let history = History::unpack(&mut body)?;
    body.end()?;
    let folded = Some(Rc::new(history));
    let (of, refs, trust) = (Identity::of(binding), refs.to_vec(), *trust);
    tracing::debug!("ledger: as it was folded before");
    Some(AsRead { of, refs, trust, ledger: Rc::new(ledger), folded })
}

/// Folds a ledger that was just read, and leaves it for the next command. A failure costs time later and is not told.
pub(super) fn save(git: &Git, binding: &Binding, read: AsRead) -> AsRead {
    let ledger = &read.ledger;
    let records: usize = ledger.chains.values().map(|chain| chain.entries.len()).sum();
    if records < AFTER || !ledger.refused.is_empty() || ledger.dispute.is_some() {
        return read;
    }
    let history = History::of(ledger, Some(&binding.writer));
    if let Some(bytes) = pack(git, binding, &read, &history) {
        let place = place(git, binding);
        if let Err(error) = files::write_cache(&place, &bytes) {
            tracing::debug!("{} was not written: {error}", place.display());
        }
    }
    AsRead { folded: Some(Rc::new(history)), ..read }
}

fn pack(git: &Git, binding: &Binding, read: &AsRead, history: &History) -> Option<Vec<u8>> {
    let AsRead { refs, trust, ledger, .. } = read;
    let mut body = Packing::default();
    body.text(&owner(git, binding));
    body.digest(trust);
    body.number(refs.len() as u64);
    for found in refs {
        body.text(&found.name);
        body.oid(&found.id);
    }
    let by_ref: BTreeMap<String, &Chain> = ledger
        .chains
        .values()
        .map(|chain| (chain_ref(&binding.environment, &chain.writer), chain))
        .collect();
    let mut objects = Vec::new();
    for found in refs {
        let chain = by_ref.get(&found.name)?;
        let mut rows = Packing::default();
        let kept = Kept::load(git, &found.name);
        for (at, entry) in chain.entries.iter().enumerate() {
            let read = || git.object(&entry.blob, ObjectKind::Blob, codec::MOST_BYTES).ok();
            let object = match kept.as_ref().and_then(|kept| kept.object(at, &entry.blob)) {
                Some(object) => object.to_vec(),
                None => read()?,
            };
            for id in [&entry.commit, &entry.blob, &entry.evidence, &entry.config] {
                rows.oid(id);
            }
            rows.digest(&entry.digest);
            rows.number(objects.len() as u64);
            rows.number(object.len() as u64);
            objects.extend_from_slice(&object);
        }
        body.text(chain.writer.as_str());
        body.text(chain.id.as_str());
        body.number(chain.entries.len() as u64);
        body.number((rows.len() / chain.entries.len().max(1)) as u64);
        body.bytes(rows.as_bytes());
    }
    body.number(ledger.without_role.len() as u64);
    for (digest, role) in &ledger.without_role {
        body.digest(digest);
        body.text(role);
    }
    history.pack(&mut body)?;
    let mut head = Packing::default();
    head.digest(&Digest::of(body.as_bytes()));
    head.number(body.len() as u64);
    Some([HEAD, head.as_bytes(), body.as_bytes(), &objects].concat())
}

/// What makes a file one of this checkout.
fn owner(git: &Git, binding: &Binding) -> String {
    let Binding { app, environment, writer, chain, .. } = binding;
    format!("{}\n{app}\n{environment}\n{writer}\n{chain}", git.git_dir().display())
}

fn place(git: &Git, binding: &Binding) -> PathBuf {
    let name = Digest::of(chain_prefix(&binding.environment).as_bytes()).hex()[..16].to_owned();
    git.state_dir().join("cache").join(format!("snapshot-{name}"))
}
