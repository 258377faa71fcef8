//! A past as years of deploying leave it: commits, and a chain of records that continues the real one, each signed
//! by the host's own key.
//!
//! Commits and records come by `git fast-import`. Records name the digest of what is signed, not of the signature,
//! so all payloads are known before any is signed, and one `ssh-keygen` signs hundreds of them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

/// What lies behind a host.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// Deployments, each an hour after the one before.
    pub deployments: usize,
    /// Commits from one to the next.
    pub commits: usize,
    /// The deployment that was gone back from and is held; the one after it reverts it.
    pub held: Option<usize>,
    /// Records that change nothing between one deployment and the next.
    pub marks: usize,
}

/// Starts a program in the app's directory with the environment of its user.
pub type Start<'a> = &'a dyn Fn(&str) -> Command;

/// Makes a past after what serves, and returns the deployed commits, the newest last. What serves is deployed for
/// real afterwards. `home` is where the host's binding lies.
pub fn write(start: Start<'_>, home: &Path, past: Past) -> Vec<String> {
    let commits = commits(start, past);
    let chain = Chain::read(start);
    let payloads = chain.payloads(past, &commits);
    let signed = sign(start, &key(home), &payloads.iter().map(|p| &p.text[..]).collect::<Vec<_>>());
    let mut stream = String::new();
    let mut from = chain.head.clone();
    for (mark, (payload, signature)) in payloads.iter().zip(signed).enumerate() {
        let record = format!("{}{signature}", payload.text);
        let _ = write!(
            stream,
            "commit {}\nmark :{}\ncommitter web <web@example.org> {} +0000\ndata 2\nr\nfrom {from}\n\
             merge {}\ndeleteall\n",
            chain.name,
            mark + 1,
            payload.at,
            payload.object
        );
        let files =
            [("config", &chain.config), ("evidence", &payload.evidence), ("record", &record)];
        for (name, text) in files {
            let _ = write!(stream, "M 100644 inline {name}\ndata {}\n{text}\n", text.len());
        }
        from = format!(":{}", mark + 1);
    }
    import(start, &stream, None);
    commits.into_iter().map(|made| made.commit).collect()
}

/// A deployed commit, and the one it was deployed over.
struct Made {
    commit: String,
    before: String,
}

fn commits(start: Start<'_>, past: Past) -> Vec<Made> {
    let base = text(start("git").args(["rev-parse", "HEAD"]));
    let mut made: Vec<Made> = Vec::new();
    let mut line = base.clone();
    let held = past.held.unwrap_or(usize::MAX);
    // What is held must be known before a commit can say that it reverts it.
    for part in
        [0..past.deployments.min(held.saturating_add(1)), held.saturating_add(1)..past.deployments]
    {
        let mut stream = String::new();
        let mut marks = Vec::new();
        let mut mark = 0;
        let mut from = line.clone();
        let mut before_merge = from.clone();
        for number in part {
            for at in 0..past.commits {
                mark += 1;
                let last = at + 1 == past.commits;
                let version = format!("{{ \"name\": \"shop\", \"version\": \"2.{number}.0\" }}\n");
                let reverts = (at == 0 && number == held.wrapping_add(1)).then_some(&line);
                let message = match reverts {
                    Some(held) => format!("Revert\n\nThis reverts commit {held}.\n"),
                    None => format!("work {number}.{at}\n"),
                };
                let seconds = 1_600_000_000 + number * 3_600 + at;
                let _ = write!(
                    stream,
                    "commit refs/heads/past\nmark :{mark}\ncommitter dev <dev@example.org> {seconds} +0000\n\
                     data {}\n{message}\nfrom {from}\n",
                    message.len()
                );
                if last && before_merge != from {
                    let _ = writeln!(stream, "merge {before_merge}");
                }
                let work = format!("{number}.{at}\n");
                let _ = write!(stream, "M 100644 inline WORK\ndata {}\n{work}\n", work.len());
                if last {
                    let _ = write!(
                        stream,
                        "M 100644 inline package.json\ndata {}\n{version}\n",
                        version.len()
                    );
                }
                from = format!(":{mark}");
            }
            before_merge.clone_from(&from);
            marks.push(mark);
        }
        let ids = import(start, &stream, Some(mark));
        for mark in marks {
            let before = made.last().map_or(base.clone(), |made: &Made| made.commit.clone());
            made.push(Made { commit: ids[mark - 1].clone(), before });
        }
        if let Some(last) = made.last() {
            line.clone_from(&last.commit);
        }
    }
    made
}

/// The chain that is continued.
struct Chain {
    name: String,
    head: String,
    record: String,
    evidence: String,
    config: String,
}

/// What is signed, and what lies beside it.
struct Payload {
    text: String,
    evidence: String,
    object: String,
    at: u64,
}

impl Chain {
    fn read(start: Start<'_>) -> Self {
        let format = "--format=%(refname) %(objectname)";
        let named = text(start("git").args(["for-each-ref", format, "refs/gitroll/"]));
        let (name, head) = named.split_once(' ').expect("one chain");
        let file = |file: &str| {
            let output =
                start("git").args(["cat-file", "blob", &format!("{head}:{file}")]).output();
            let bytes = output.expect("git can be started").stdout;
            String::from_utf8(bytes).expect("it is text")
        };
        Self {
            record: file("record"),
            evidence: file("evidence"),
            config: file("config"),
            name: name.to_owned(),
            head: head.to_owned(),
        }
    }

    fn trailer(&self, name: &str) -> &str {
        let line = self.record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.expect("a record has it")
    }

    fn payloads(&self, past: Past, commits: &[Made]) -> Vec<Payload> {
        let signed = self.record.find("-----BEGIN").expect("it is signed");
        let mut previous = digest(&self.record[..signed]);
        let mut seq: u64 = self.trailer("Gitroll-Seq").parse().expect("a number");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("the clock is past 1970").as_secs();
        let begun = now - 3_600 * (commits.len() as u64 + 1);
        let mut payloads = Vec::new();
        let mut add = |event: &str, object: &str, trailers: &str, evidence: String, at: u64| {
            seq += 1;
            let [app, environment, writer, chain] = ["App", "Environment", "Writer", "Chain"]
                .map(|n| self.trailer(&format!("Gitroll-{n}")));
            let text = format!(
                "object {object}\ntype commit\ntag gitroll/{environment}/{writer}/{seq}-{event}\n\
                 tagger web <web@example.org> {at} +0000\n\n{environment} web: {event}\n\n\
                 Gitroll-Record: 1\nGitroll-App: {app}\nGitroll-Environment: {environment}\n\
                 Gitroll-Writer: {writer}\nGitroll-Chain: {chain}\nGitroll-Seq: {seq}\n\
                 Gitroll-Previous: {previous}\nGitroll-Event: {event}\nGitroll-Outcome: succeeded\n{trailers}\
                 Gitroll-Evidence: {}\nGitroll-Config: {}\n",
                digest(&evidence),
                digest(&self.config),
            );
            previous = digest(&text);
            payloads.push(Payload { text, evidence, object: object.to_owned(), at });
        };
        for (number, Made { commit, before }) in commits.iter().enumerate() {
            let at = begun + 3_600 * number as u64;
            let change = format!("Gitroll-From: {before}\nGitroll-To: {commit}\n");
            add("deploy", commit, &change, self.evidence(number, 0), at);
            for mark in 0..past.marks {
                let trailers = format!("Gitroll-Subject: {commit}\nGitroll-Verdict: good\n");
                add("mark", commit, &trailers, self.evidence(number, 2), at + 60 + mark as u64);
            }
            if past.held == Some(number) {
                let back = format!(
                    "Gitroll-From: {commit}\nGitroll-To: {before}\nGitroll-Subject: {commit}\n\
                     Gitroll-Verdict: bad provisional\nGitroll-Hold: commit\n"
                );
                add("back", before, &back, self.evidence(number, 1), at + 2_000);
            }
        }
        payloads
    }

    /// The evidence of the last real act, as another run's.
    fn evidence(&self, number: usize, act: usize) -> String {
        let mut evidence: serde_json::Value = serde_json::from_str(&self.evidence).expect("JSON");
        let run = format!("20200101-{:06}-{act}aaa", number % 1_000_000);
        evidence["run"] = run.into();
        // The first deploy found nothing serving; in this past everything that was left was well.
        for about_before in ["baseline", "faults_before"] {
            evidence[about_before] = serde_json::json!([]);
        }
        evidence["name"] = format!("v2.{number}.0").into();
        evidence["version"] = format!("2.{number}.0").into();
        format!("{evidence}\n")
    }
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The host's own key.
fn key(home: &Path) -> PathBuf {
    let mut places = vec![home.to_owned()];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => places.push(entry.path()),
                Ok(_) if entry.file_name() == "key" => return entry.path(),
                _ => {}
            }
        }
    }
    panic!("no key below {}", home.display());
}

fn sign(start: Start<'_>, key: &Path, payloads: &[&str]) -> Vec<String> {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let mut signatures = Vec::new();
    for some in payloads.chunks(500) {
        let files: Vec<PathBuf> =
            (0..some.len()).map(|n| place.path().join(n.to_string())).collect();
        for (file, payload) in files.iter().zip(some) {
            let _ = fs::remove_file(file.with_extension("sig"));
            fs::write(file, payload).expect("it is writable");
        }
        let mut run = start("ssh-keygen");
        run.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(key).args(&files);
        succeeds(run.stdin(Stdio::null()));
        let read = |file: &PathBuf| fs::read_to_string(file.with_extension("sig"));
        signatures.extend(files.iter().map(|file| read(file).expect("it was signed")));
    }
    signatures
}

/// Imports, and returns the ids of the first so many marks.
fn import(start: Start<'_>, stream: &str, marks: Option<usize>) -> Vec<String> {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let (input, out) = (place.path().join("stream"), place.path().join("marks"));
    fs::write(&input, stream).expect("it is writable");
    let mut run = start("git");
    run.args(["fast-import", "--quiet", "--force"]);
    run.arg(format!("--export-marks={}", out.display()));
    succeeds(run.stdin(fs::File::open(&input).expect("it was written")));
    let mut ids = vec![String::new(); marks.unwrap_or(0)];
    for line in
        fs::read_to_string(&out).expect("it was written").lines().filter(|_| marks.is_some())
    {
        let (mark, id) = line[1..].split_once(' ').expect("a mark and an id");
        ids[mark.parse::<usize>().expect("a number") - 1] = id.to_owned();
    }
    ids
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
