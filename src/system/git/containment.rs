//! Which commits contain which: one walk for many commits and many that are looked for.
//!
//! Only the commits themselves decide, as they are stored: no commit-graph, no graft, no replace ref, no list of where
//! a clone is shallow. Dates decide what is read first and never what is answered: an answer is *no* only when every
//! way down from a commit has come to an end, or to an ancestor of what is looked for. Where a parent is not here and
//! could hold it, nobody can tell.

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::rc::Rc;

use gix::ObjectId;
use gix::bstr::ByteSlice;

use crate::model::Oid;

use super::object::{gix_id, object_error, oid, told};
use super::repository::{Git, GitError};
use super::shallow::Ancestry;

/// How many are looked for in one walk.
const AT_ONCE: usize = 128;

/// A revert of a revert of a revert: what is deeper is taken for the last that counts.
const DEEPEST: usize = 20;

/// What is known for good of one commit and one that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contained {
    pub commit: Oid,
    /// What was looked for.
    pub of: Oid,
    /// Whether `commit` is `of` or has it among its ancestors.
    pub contains: bool,
    /// Where it has, the reverts that bear on it: which commit says that it reverts which.
    pub reverts: Vec<(Oid, Oid)>,
}

/// What some commits contain of those that are looked for.
#[derive(Debug, Default)]
pub struct Containment {
    walks: Vec<Walk>,
}

impl Containment {
    /// Of these, which others contain.
    pub fn of<'a>(looked_for: impl IntoIterator<Item = &'a Oid>) -> Self {
        let ids: BTreeSet<ObjectId> = looked_for.into_iter().filter_map(gix_id).collect();
        let ids: Vec<ObjectId> = ids.into_iter().collect();
        Self { walks: ids.chunks(AT_ONCE).map(Walk::new).collect() }
    }

    /// Takes over what was found out earlier. What is said of others than those that are looked for is left out.
    pub fn remember(&mut self, known: &[Contained]) {
        for fact in known {
            let (Some(commit), Some(of)) = (gix_id(&fact.commit), gix_id(&fact.of)) else {
                continue;
            };
            let walk = self.walks.iter_mut().find_map(|walk| Some((walk.bit(&of)?, walk)));
            let Some((bit, walk)) = walk else { continue };
            let reverts: Option<Vec<(ObjectId, ObjectId)>> =
                fact.reverts.iter().map(|(by, of)| Some((gix_id(by)?, gix_id(of)?))).collect();
            if let Some(reverts) = reverts {
                walk.remember(commit, bit, fact.contains, &reverts);
            }
        }
    }

    /// Looks into these commits, as far as that was not done.
    ///
    /// # Errors
    /// `Object` when one of them is not here or is no commit, or a commit beneath is damaged.
    pub fn look(&mut self, git: &Git, commits: &[Oid]) -> Result<(), GitError> {
        let ids: Vec<ObjectId> = commits
            .iter()
            .map(|id| gix_id(id).ok_or_else(|| object_error(id, "it is not in this repository")))
            .collect::<Result<_, _>>()?;
        for walk in &mut self.walks {
            walk.look(&|id| git.step(id), &ids)?;
        }
        Ok(())
    }

    /// Whether `commit` contains `of`. Both were looked into, or looked for, before.
    pub fn ancestry(&self, commit: &Oid, of: &Oid) -> Ancestry {
        let found = gix_id(commit).zip(gix_id(of)).and_then(|(commit, of)| {
            let (bit, walk) = self.walks.iter().find_map(|walk| Some((walk.bit(&of)?, walk)))?;
            walk.answer(&commit, bit)
        });
        // Who was not asked does not know.
        found.unwrap_or(Ancestry::CutOff)
    }

    /// Whether `commit` contains a commit that says, as `git revert` does, that it reverts `of`, and that is not
    /// reverted itself. A commit reverts only what it contains.
    pub fn reverted(&self, commit: &Oid, of: &Oid) -> bool {
        let (Some(commit), Some(of)) = (gix_id(commit), gix_id(of)) else { return false };
        let walk = self.walks.iter().find(|walk| walk.bit(&of).is_some());
        walk.is_some_and(|walk| stands_reverted(&walk.reverts_in(&commit), &of, 0))
    }

    /// What is known for good of a commit that was looked into. What nobody can tell is not among it.
    pub fn known(&self, commit: &Oid) -> Vec<Contained> {
        let Some(id) = gix_id(commit) else { return Vec::new() };
        let mut known = Vec::new();
        for walk in &self.walks {
            let reverts = walk.reverts_in(&id);
            for (bit, of) in walk.looked_for.iter().enumerate() {
                let contains = match walk.answer(&id, 1 << bit) {
                    Some(Ancestry::Ancestor) => true,
                    Some(Ancestry::NoAncestor) => false,
                    Some(Ancestry::CutOff) | None => continue,
                };
                let bearing = if contains { bearing_on(&reverts, of) } else { Vec::new() };
                let reverts = bearing.into_iter().map(|(by, of)| (oid(by), oid(of))).collect();
                known.push(Contained { commit: commit.clone(), of: oid(*of), contains, reverts });
            }
        }
        known
    }

    /// Whether everything that is looked for is known of a commit, without looking.
    pub fn knows(&self, commit: &Oid) -> bool {
        gix_id(commit).is_some_and(|id| self.walks.iter().all(|walk| walk.knows(&id)))
    }
}

/// A commit as a walk reads it.
#[derive(Debug, Clone, Default)]
struct Step {
    parents: Vec<ObjectId>,
    /// Seconds, by the committer's clock: what is read first, no more.
    date: i64,
    /// What it says that it reverts.
    reverts: Vec<ObjectId>,
}

/// Reads a commit; `None` where it is not here.
type Read<'a> = &'a dyn Fn(&ObjectId) -> Result<Option<Step>, GitError>;

impl Git {
    fn step(&self, id: &ObjectId) -> Result<Option<Step>, GitError> {
        use gix::objs::Find;
        let mut buffer = Vec::new();
        let failed = |e: &dyn std::fmt::Display| object_error(&oid(*id), e);
        let Some(found) =
            self.repo.objects.try_find(id, &mut buffer).map_err(|e| failed(&told(&e)))?
        else {
            return Ok(None);
        };
        if found.kind != gix::objs::Kind::Commit {
            return Err(failed(&format!("it is a {}, not a commit", found.kind)));
        }
        step_of(found.data).map(Some).ok_or_else(|| failed(&"it is damaged"))
    }
}

fn step_of(data: &[u8]) -> Option<Step> {
    let mut step = Step::default();
    let (head, message) = match data.find("\n\n") {
        Some(end) => (&data[..end], &data[end..]),
        None => (data, &data[data.len()..]),
    };
    let mut lines = head.lines();
    lines.next()?.strip_prefix(b"tree ")?;
    for line in lines {
        if let Some(parent) = line.strip_prefix(b"parent ") {
            step.parents.push(ObjectId::from_hex(parent).ok()?);
        } else if let Some(committer) = line.strip_prefix(b"committer ") {
            let mut words = committer.rsplit(|byte| *byte == b' ').skip(1);
            let seconds =
                words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            step.date = seconds.unwrap_or(0);
            break;
        }
    }
    const SAYS: &[u8] = b"This reverts commit ";
    for at in message.find_iter(SAYS) {
        let rest = &message[at + SAYS.len()..];
        let end = rest.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(rest.len());
        step.reverts.extend(ObjectId::from_hex(&rest[..end]).ok());
    }
    Some(step)
}

/// What is known of a commit. Each bit is one that is looked for.
#[derive(Debug, Default)]
struct Node {
    date: i64,
    missing: bool,
    parents: Vec<ObjectId>,
    /// It is that commit itself.
    is: u128,
    /// It is an ancestor of that commit, and cannot contain it.
    beneath: u128,
    /// Somebody above asks for it.
    asked: u128,
    /// What was handed on to the parents of `asked`, and of `is` and `beneath`.
    asked_on: u128,
    beneath_on: u128,
    /// Found out earlier, or in this walk.
    known: u128,
    /// Of those that are known: it contains it.
    contains: u128,
    /// Nobody can tell.
    cut_off: u128,
    /// For which of `asked` an answer was put together.
    answered: u128,
    queued: bool,
    /// What it says itself that it reverts, as numbers of the walk's list.
    says: Vec<usize>,
    /// The reverts that it contains, as numbers of the walk's list.
    reverts: Reverts,
}

type Reverts = Option<Rc<BTreeSet<usize>>>;

impl Node {
    /// What is asked for and has to be found out beneath.
    fn open(&self) -> u128 {
        self.asked & !(self.is | self.beneath | self.known)
    }

    /// Whether it has something to ask its parents, or would have, were they here.
    fn waits(&self) -> bool {
        match self.missing {
            true => self.open() != 0,
            false => self.open() & !self.asked_on != 0,
        }
    }

    fn has_news(&self) -> bool {
        let beneath = (self.is | self.beneath) & !self.beneath_on;
        !self.missing && (self.open() & !self.asked_on != 0 || beneath != 0)
    }

    fn has(&self) -> u128 {
        (self.contains | self.is) & !self.beneath
    }
}

#[derive(Debug, Default)]
struct Walk {
    looked_for: Vec<ObjectId>,
    nodes: Vec<Node>,
    places: HashMap<ObjectId, usize>,
    remembered: HashMap<ObjectId, Node>,
    reverts: Vec<(ObjectId, ObjectId)>,
    numbers: HashMap<(ObjectId, ObjectId), usize>,
    queue: BinaryHeap<(i64, usize)>,
    /// How many nodes wait for an answer.
    waiting: usize,
    begun: bool,
}

impl Walk {
    fn new(looked_for: &[ObjectId]) -> Self {
        Self { looked_for: looked_for.to_vec(), ..Self::default() }
    }

    fn bit(&self, of: &ObjectId) -> Option<u128> {
        self.looked_for.binary_search(of).ok().map(|at| 1 << at)
    }

    fn all(&self) -> u128 {
        u128::MAX >> (AT_ONCE - self.looked_for.len())
    }

    fn remember(
        &mut self,
        commit: ObjectId,
        bit: u128,
        contains: bool,
        reverts: &[(ObjectId, ObjectId)],
    ) {
        let numbers: Vec<usize> = reverts.iter().map(|revert| self.number(*revert)).collect();
        let node = self.remembered.entry(commit).or_default();
        node.known |= bit;
        node.contains |= if contains { bit } else { 0 };
        node.reverts = with(node.reverts.take(), numbers);
    }

    fn number(&mut self, revert: (ObjectId, ObjectId)) -> usize {
        *self.numbers.entry(revert).or_insert_with(|| {
            self.reverts.push(revert);
            self.reverts.len() - 1
        })
    }

    fn knows(&self, commit: &ObjectId) -> bool {
        let remembered = self.remembered.get(commit).map_or(0, |node| node.known);
        let found = self.places.get(commit).map_or(0, |at| self.nodes[*at].answered);
        (remembered | found) == self.all()
    }

    fn look(&mut self, read: Read<'_>, commits: &[ObjectId]) -> Result<(), GitError> {
        let unknown: Vec<&ObjectId> = commits.iter().filter(|id| !self.knows(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            for (bit, id) in self.looked_for.clone().iter().enumerate() {
                let at = self.place(read, id)?;
                self.change(at, |node| node.is |= 1 << bit);
            }
        }
        let mut asked = Vec::new();
        for id in unknown {
            let at = self.place(read, id)?;
            if self.nodes[at].missing {
                return Err(object_error(&oid(*id), "it is not in this repository"));
            }
            let all = self.all();
            self.change(at, |node| node.asked |= all);
            asked.push(at);
        }
        while self.waiting > 0
            && let Some((_, at)) = self.queue.pop()
        {
            self.hand_on(read, at)?;
        }
        asked.into_iter().for_each(|at| self.answer_for(at));
        Ok(())
    }

    /// The place of a commit, which is read now where it was not.
    fn place(&mut self, read: Read<'_>, id: &ObjectId) -> Result<usize, GitError> {
        if let Some(at) = self.places.get(id) {
            return Ok(*at);
        }
        let mut node = Node::default();
        if let Some(known) = self.remembered.get(id) {
            (node.known, node.contains) = (known.known, known.contains);
            node.reverts.clone_from(&known.reverts);
        }
        match read(id)? {
            None => node.missing = true,
            Some(step) => {
                (node.parents, node.date) = (step.parents, step.date);
                node.says = step.reverts.into_iter().map(|of| self.number((*id, of))).collect();
            }
        }
        self.nodes.push(node);
        self.places.insert(*id, self.nodes.len() - 1);
        Ok(self.nodes.len() - 1)
    }

    /// Changes a node, and has it looked at again where it has something to hand on.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Node)) {
        let node = &mut self.nodes[at];
        let before = node.waits();
        change(node);
        match (before, node.waits()) {
            (false, true) => self.waiting += 1,
            (true, false) => self.waiting -= 1,
            _ => {}
        }
        if node.has_news() && !node.queued {
            node.queued = true;
            self.queue.push((node.date, at));
        }
    }

    /// Hands on to a node's parents what is asked for, and whose ancestors they are.
    fn hand_on(&mut self, read: Read<'_>, at: usize) -> Result<(), GitError> {
        let node = &mut self.nodes[at];
        node.queued = false;
        let asked = node.open() & !node.asked_on;
        let beneath = (node.is | node.beneath) & !node.beneath_on;
        if asked == 0 && beneath == 0 {
            return Ok(());
        }
        for id in node.parents.clone() {
            let parent = self.place(read, &id)?;
            self.change(parent, |node| {
                node.beneath |= beneath;
                node.asked |= asked;
            });
        }
        self.change(at, |node| {
            node.asked_on |= asked;
            node.beneath_on |= beneath;
        });
        Ok(())
    }

    /// Puts together what a commit contains from what its parents do, those first.
    fn answer_for(&mut self, root: usize) {
        let mut stack = vec![(root, false)];
        while let Some((at, parents_done)) = stack.pop() {
            let node = &self.nodes[at];
            if node.asked & !node.answered == 0 {
                continue;
            }
            let open = node.open();
            let parents: Vec<usize> = match open == 0 || node.missing {
                true => Vec::new(),
                false => node.parents.iter().map(|id| self.places[id]).collect(),
            };
            if !parents_done && !parents.is_empty() {
                stack.push((at, true));
                stack.extend(parents.into_iter().map(|parent| (parent, false)));
                continue;
            }
            let (mut contains, mut cut_off) = (node.has(), 0);
            let mut reverts = node.reverts.clone();
            if node.missing {
                cut_off = open;
            }
            for parent in parents {
                let parent = &self.nodes[parent];
                contains |= parent.has() & open;
                cut_off |= parent.cut_off & open;
                reverts = joined(reverts, &parent.reverts);
            }
            let reverts = self.with_what_it_says(at, contains | cut_off, reverts);
            let node = &mut self.nodes[at];
            node.contains = contains;
            node.cut_off = cut_off & !contains;
            node.reverts = reverts;
            node.answered |= node.asked;
            let known = node.asked & !node.cut_off;
            self.change(at, |node| node.known |= known);
        }
    }

    /// The reverts beneath a commit and its own: of what is looked for, and of a revert that bears on that. What it
    /// does not contain it cannot revert, so nothing that is read later changes this. Of what is looked for its word
    /// is taken where history is cut off.
    fn with_what_it_says(&self, at: usize, could: u128, beneath: Reverts) -> Reverts {
        let bears = |number: &usize| {
            let (_, of) = &self.reverts[*number];
            let mut known = beneath.iter().flat_map(|all| all.iter());
            self.bit(of).is_some_and(|bit| could & bit != 0)
                || known.any(|number| self.reverts[*number].0 == *of)
        };
        let says = self.nodes[at].says.iter().copied().filter(bears).collect();
        with(beneath, says)
    }

    fn answer(&self, commit: &ObjectId, bit: u128) -> Option<Ancestry> {
        let told = |node: &Node, known: u128| {
            if known & bit == 0 {
                return None;
            }
            Some(match (node.has() & bit != 0, node.cut_off & bit != 0) {
                (true, _) => Ancestry::Ancestor,
                (false, true) => Ancestry::CutOff,
                (false, false) => Ancestry::NoAncestor,
            })
        };
        let found = self.places.get(commit).map(|at| &self.nodes[*at]);
        let found = found.and_then(|node| told(node, node.answered | node.known));
        found.or_else(|| self.remembered.get(commit).and_then(|node| told(node, node.known)))
    }

    fn reverts_in(&self, commit: &ObjectId) -> Vec<(ObjectId, ObjectId)> {
        let found = self.places.get(commit).map(|at| &self.nodes[*at]);
        let node = found.filter(|node| node.answered != 0).or(self.remembered.get(commit));
        let numbers = node.and_then(|node| node.reverts.as_ref());
        numbers.into_iter().flat_map(|all| all.iter()).map(|at| self.reverts[*at]).collect()
    }
}

fn with(reverts: Reverts, more: Vec<usize>) -> Reverts {
    if more.is_empty() {
        return reverts;
    }
    let mut all = reverts.map(|all| (*all).clone()).unwrap_or_default();
    all.extend(more);
    Some(Rc::new(all))
}

/// Both together; without a copy where one holds the other, as along a line without reverts.
fn joined(one: Reverts, other: &Reverts) -> Reverts {
    match (one, other) {
        (None, other) => other.clone(),
        (one, None) => one,
        (Some(one), Some(other)) if Rc::ptr_eq(&one, other) || other.is_subset(&one) => Some(one),
        (Some(one), Some(other)) if one.is_subset(other) => Some(Rc::clone(other)),
        (Some(one), Some(other)) => Some(Rc::new(one.union(other).copied().collect())),
    }
}

/// Whether a revert of `of` stands, that is, is not reverted itself.
fn stands_reverted(reverts: &[(ObjectId, ObjectId)], of: &ObjectId, depth: usize) -> bool {
    let mut by = reverts.iter().filter(|(_, reverted)| reverted == of).map(|(by, _)| by);
    by.any(|by| depth > DEEPEST || !stands_reverted(reverts, by, depth + 1))
}

/// The reverts of a commit, of those, and so on.
fn bearing_on(reverts: &[(ObjectId, ObjectId)], of: &ObjectId) -> Vec<(ObjectId, ObjectId)> {
    let mut bearing: Vec<(ObjectId, ObjectId)> = Vec::new();
    let mut about = vec![*of];
    while let Some(of) = about.pop() {
        for revert in reverts.iter().filter(|(_, reverted)| *reverted == of) {
            if !bearing.contains(revert) {
                bearing.push(*revert);
                about.push(revert.0);
            }
        }
    }
    bearing
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
