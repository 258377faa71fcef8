//! Requests for approvals and their answers: signed, and judged by the trust file and the roles of this host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::codec::{self, Decoded};
use super::entry::{Entry, Ledger, LedgerError};
use super::signing::{self, sign};
use super::trust::{EXPIRED, Trust, Validity};
use crate::config::Binding;
use crate::model::{
    ApprovalRequest, Digest, EnvironmentName, Event, Oid, Outcome, Person, RepoPath, WriterId,
};
use crate::system::clock::now;
use crate::system::git::{Git, ObjectKind, RefEdit};

/// What the line of a request begins with.
const REQUEST: &str = "gitroll-request:";
/// What the line of an answer begins with.
const ANSWER: &str = "gitroll-approval:";
/// The most bytes that a signed request has.
const MOST_BYTES: u64 = 256 << 10;

/// A request as it lies in the repository.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRequest {
    /// What it asks.
    pub request: ApprovalRequest,
    /// The digest of its intent.
    pub digest: Digest,
    /// The blob of its signed bytes: what an answer names.
    pub blob: Oid,
    /// It as a line, for where there is no remote.
    pub line: String,
    /// The key that signed it.
    pub key: String,
}

/// A request that is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// The full name of its ref; escape before printing.
    pub name: String,
    /// Why.
    pub why: String,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The key that signed it: two keys are two people.
    pub key: String,
    /// Whose chain it is from.
    pub writer: WriterId,
    /// Who, by their own word.
    pub person: Person,
    /// Approved, and not denied.
    pub approved: bool,
    /// Why it was denied.
    pub reason: Option<String>,
    /// The roles among those that were asked for that the key has.
    pub roles: Vec<String>,
}

/// The full name of the ref of a request.
pub fn request_ref(environment: &EnvironmentName, digest: &Digest) -> String {
    format!("{}{}", request_prefix(environment), digest.hex())
}

/// What the full names of an environment's requests begin with.
pub fn request_prefix(environment: &EnvironmentName) -> String {
    format!("refs/gitroll/{environment}/plans/")
}

/// Signs a request and puts it where `approve` finds it. An earlier one of the same intent is its parent.
///
/// # Errors
/// `Sign`, `Git`; `Untrusted` when the own key is not trusted.
pub fn open_request(
    git: &Git,
    binding: &Binding,
    request: &ApprovalRequest,
    person: &Person,
) -> Result<OpenRequest, LedgerError> {
    let name = request_ref(&binding.environment, &request.intent.digest());
    let malformed =
        |problem: String| LedgerError::Malformed { name: format!("request {name}"), problem };
    let mut payload = serde_json::to_vec(request).map_err(|error| malformed(error.to_string()))?;
    payload.push(b'\n');
    let object = sign(binding, &payload)?;
    let blob = git.write_object(ObjectKind::Blob, &object)?;
    let tree = git.write_tree(&[("request", blob.clone())])?;
    let before = git.find_ref(&name)?;
    let parents: Vec<Oid> = before.iter().cloned().collect();
    let message = format!("gitroll request: {} {}", request.intent.level, request.names.1);
    let commit = git.write_commit(&tree, &parents, person, &message)?;
    git.sync_objects()?;
    let edit = RefEdit { name: name.clone(), new: Some(commit), old: before };
    git.update_refs(std::slice::from_ref(&edit), "gitroll: a request for approval")?;
    read(binding, &object, blob).map_err(malformed)
}

/// The requests in this repository that their writers signed, and those that cannot be believed, with why.
///
/// # Errors
/// When git cannot list them.
pub fn requests(
    git: &Git,
    binding: &Binding,
) -> Result<Vec<Result<OpenRequest, RefusedRequest>>, LedgerError> {
    let mut found = Vec::new();
    for one in git.refs(&request_prefix(&binding.environment))? {
        let request = request_at(git, binding, &one.id);
        found.push(request.map_err(|why| RefusedRequest { name: one.name, why }));
    }
    Ok(found)
}

/// The request of an intent, where there is one that its writer signed.
///
/// # Errors
/// When git cannot be read.
pub fn request_of(
    git: &Git,
    binding: &Binding,
    digest: &Digest,
) -> Result<Option<OpenRequest>, LedgerError> {
    let Some(commit) = git.find_ref(&request_ref(&binding.environment, digest))? else {
        return Ok(None);
    };
    let found = request_at(git, binding, &commit).ok();
    Ok(found.filter(|found| found.digest == *digest))
}

fn request_at(git: &Git, binding: &Binding, commit: &Oid) -> Result<OpenRequest, String> {
    let path = RepoPath::new("request").map_err(|error| error.to_string())?;
    let entry = git.entry(commit, &path).map_err(|error| error.to_string())?;
    let entry = entry.ok_or("it holds no request")?;
    let object = git.object(&entry.id, ObjectKind::Blob, MOST_BYTES).map_err(|e| e.to_string())?;
    read(binding, &object, entry.id)
}

/// A request from its line, as it is printed where there is no remote.
///
/// # Errors
/// What is wrong with it.
pub fn request_from_line(git: &Git, binding: &Binding, line: &str) -> Result<OpenRequest, String> {
    let object = bytes_of(REQUEST, line)?;
    let blob = git.write_object(ObjectKind::Blob, &object).map_err(|error| error.to_string())?;
    read(binding, &object, blob)
}

fn read(binding: &Binding, object: &[u8], blob: Oid) -> Result<OpenRequest, String> {
    let signed = signing::split(object)?;
    let request: ApprovalRequest = serde_json::from_slice(signed.payload)
        .map_err(|error| format!("it is not a request: {error}"))?;
    if request.request != ApprovalRequest::VERSION {
        return Err(format!("its version {} needs a different gitroll", request.request));
    }
    let intent = &request.intent;
    if (&intent.app, &intent.environment) != (&binding.app, &binding.environment) {
        return Err(format!("it is about {} in {}", intent.app, intent.environment));
    }
    let trust = Trust::load(binding);
    match trust.verify(&signed, intent.writer.as_str(), None, now())? {
        Validity::Current => {}
        Validity::Past => return Err(EXPIRED.to_owned()),
    }
    Ok(OpenRequest {
        digest: intent.digest(),
        key: trust.key_of(&signed)?,
        line: format!("{REQUEST}{}", STANDARD.encode(object)),
        request,
        blob,
    })
}

/// The answers to a request that this host believes, in the chains and in `lines`, the earliest first; and why others do
/// not count.
pub fn answers(
    git: &Git,
    binding: &Binding,
    ledger: &Ledger,
    request: &OpenRequest,
    lines: &[String],
) -> (Vec<Answer>, Vec<String>) {
    let trust = Trust::load(binding);
    let (mut answers, mut problems) = (Vec::new(), Vec::new());
    let mut objects: Vec<Vec<u8>> = Vec::new();
    let entries = ledger.chains.values().flat_map(|chain| &chain.entries);
    for entry in entries.filter(|entry| is_about(entry, request)) {
        match git.object(&entry.blob, ObjectKind::Blob, codec::MOST_BYTES) {
            Ok(object) => objects.push(object),
            Err(error) => problems.push(error.to_string()),
        }
    }
    for line in lines {
        match bytes_of(ANSWER, line) {
            Ok(object) => objects.push(object),
            Err(problem) => problems.push(format!("--approval: {problem}")),
        }
    }
    for object in objects {
        match answer(&trust, binding, request, &object) {
            Ok(found) if answers.contains(&found) => {}
            Ok(found) => answers.push(found),
            Err(problem) => problems.push(problem),
        }
    }
    answers.sort_by_key(|answer: &Answer| answer.person.time);
    (answers, problems)
}

fn is_about(entry: &Entry, request: &OpenRequest) -> bool {
    entry.record.event == Event::Approve && entry.record.plan == Some(request.digest)
}

fn answer(
    trust: &Trust<'_>,
    binding: &Binding,
    request: &OpenRequest,
    object: &[u8],
) -> Result<Answer, String> {
    let (decoded, signed) = codec::decode(object)?;
    let Decoded { record, tagger, .. } = decoded;
    let who = format!("{} ({})", tagger.name, record.writer);
    let told = |problem: String| format!("{who}: {problem}");
    if record.event != Event::Approve {
        return Err(told(format!("it is not an approval but a record of {}", record.event)));
    }
    if (&record.app, &record.environment) != (&binding.app, &binding.environment) {
        return Err(told(format!("it is about {} in {}", record.app, record.environment)));
    }
    if record.plan != Some(request.digest) {
        return Err(told("it is for another plan".to_owned()));
    }
    if record.request.as_ref() != Some(&request.blob) {
        return Err(told("it is for an earlier request, which expired or was replaced".to_owned()));
    }
    let verified = trust.verify(&signed, record.writer.as_str(), Some(record.seq), tagger.time);
    match verified.map_err(told)? {
        Validity::Current => {}
        Validity::Past => return Err(told(EXPIRED.to_owned())),
    }
    let roles = &request.request.roles;
    let has = |role: &&String| trust.has_role(&signed, role, &binding.environment, &record.writer);
    let has: Vec<String> = roles.iter().filter(has).cloned().collect();
    Ok(Answer {
        key: trust.key_of(&signed).map_err(told)?,
        writer: record.writer,
        person: tagger,
        approved: record.outcome == Outcome::Succeeded,
        reason: record.reason,
        roles: has,
    })
}

/// The roles among those that a request asks for that the own key has, as far as this host knows.
///
/// # Errors
/// `Sign`.
pub fn own_roles(binding: &Binding, request: &ApprovalRequest) -> Result<Vec<String>, LedgerError> {
    let object = sign(binding, b"gitroll probe\n")?;
    let signed =
        signing::split(&object).map_err(|problem| LedgerError::Sign(problem.to_owned()))?;
    let trust = Trust::load(binding);
    let (environment, writer) = (&binding.environment, &binding.writer);
    let has = |role: &&String| trust.has_role(&signed, role, environment, writer);
    Ok(request.roles.iter().filter(has).cloned().collect())
}

/// An answer as a line, for where there is no remote.
///
/// # Errors
/// When its record cannot be read.
pub fn line_of(git: &Git, entry: &Entry) -> Result<String, LedgerError> {
    let object = git.object(&entry.blob, ObjectKind::Blob, codec::MOST_BYTES)?;
    Ok(format!("{ANSWER}{}", STANDARD.encode(object)))
}

fn bytes_of(kind: &str, line: &str) -> Result<Vec<u8>, String> {
    let text =
        line.trim().strip_prefix(kind).ok_or_else(|| format!("it does not begin with {kind}"))?;
    STANDARD.decode(text).map_err(|_| "it is cut off, or was changed".to_owned())
}
