use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;
use crate::model::RepoPath;

struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("app.log")
    }

    fn write(&self, text: &str) -> File {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn rotate(&self) {
        std::fs::rename(self.path(), self.0.path().join("app.log.1")).unwrap();
    }

    fn places(&self) -> Vec<LogPlace> {
        vec![LogPlace::File(FilePlace::Tree(RepoPath::new("app.log").unwrap()))]
    }

    fn positions(&self) -> LogPositions {
        let taken = BTreeMap::from([("quiet".to_owned(), self.places())]);
        let taken = LogPositions::take(self.0.path(), &taken);
        // As another process finds them in the journal.
        serde_json::from_str(&serde_json::to_string(&taken).unwrap()).unwrap()
    }

    fn reader(&self, positions: &LogPositions) -> LogReader {
        positions.readers("quiet", self.0.path(), &self.places()).unwrap().remove(0)
    }
}

fn text(reader: &mut LogReader) -> String {
    String::from_utf8(reader.read(1 << 20).unwrap()).unwrap()
}

#[test]
fn only_what_was_written_since_is_read_and_each_byte_once() {
    let log = Log::new();
    log.write("old\n");
    let mut reader = log.reader(&log.positions());
    assert_eq!(text(&mut reader), "");
    log.write("a\nb");
    assert_eq!(reader.read(2).unwrap(), b"a\n");
    assert_eq!(text(&mut reader), "b");
    log.write("c\n");
    assert_eq!(text(&mut reader), "c\n");
    assert!(log.positions().readers("other", log.0.path(), &log.places()).is_none());
}

#[test]
fn a_log_that_is_renamed_is_read_to_its_end_and_on_before_the_new_one() {
    let log = Log::new();
    log.write("old\n");
    let mut reader = log.reader(&log.positions());
    let mut held = log.write("a\n");
    assert_eq!(text(&mut reader), "a\n");
    held.write_all(b"b\n").unwrap();
    log.rotate();
    assert_eq!(text(&mut reader), "b\n", "there is no new one yet");
    log.write("new\n");
    held.write_all(b"late\n").unwrap();
    assert_eq!(text(&mut reader), "late\nnew\n");
    held.write_all(b"later, without an end").unwrap();
    log.write("newer\n");
    assert_eq!(text(&mut reader), "later, without an end\nnewer\n");
    assert!(!reader.lost());
}

#[test]
fn a_position_is_found_again_after_the_log_was_renamed() {
    let log = Log::new();
    log.write("old\n");
    let positions = log.positions();
    log.write("since\n");
    log.rotate();
    log.write("new\n");
    let mut reader = log.reader(&positions);
    assert_eq!(text(&mut reader), "since\nnew\n");
    assert!(!reader.lost());
}

#[test]
fn what_was_rotated_out_of_sight_is_said_to_be_lost() {
    let log = Log::new();
    log.write("old\n");
    let positions = log.positions();
    // Held, so that its inode is not given to the next file at once.
    let _held = log.write("since\n");
    std::fs::remove_file(log.path()).unwrap();
    log.write("new\n");
    let mut reader = log.reader(&positions);
    assert_eq!(text(&mut reader), "new\n");
    assert!(reader.lost());
}

#[test]
fn a_log_that_is_cut_in_place_is_read_from_its_start() {
    let log = Log::new();
    log.write("a long line of before\n");
    let positions = log.positions();
    let file = log.write("");
    file.set_len(0).unwrap();
    log.write("new\n");
    let mut reader = log.reader(&positions);
    assert_eq!(text(&mut reader), "new\n");
    file.set_len(0).unwrap();
    assert_eq!(text(&mut reader), "");
    log.write("x\n");
    assert_eq!(text(&mut reader), "x\n");
}

#[test]
fn a_log_that_is_cut_and_longer_than_before_at_the_next_look_is_read_from_its_start() {
    let log = Log::new();
    log.write("of before\n");
    let positions = log.positions();
    let file = log.write("");
    file.set_len(0).unwrap();
    let anew = format!("FATAL no db\n{}", "later\n".repeat(100));
    log.write(&anew);
    let mut reader = log.reader(&positions);
    assert_eq!(text(&mut reader), anew);
    // The same between two looks.
    file.set_len(0).unwrap();
    let again = format!("FATAL again\n{}", "later\n".repeat(200));
    log.write(&again);
    assert_eq!(text(&mut reader), again);
    log.write("more\n");
    assert_eq!(text(&mut reader), "more\n");
    assert!(!reader.lost());
}

#[test]
fn a_position_of_an_earlier_version_goes_by_the_length_alone() {
    let log = Log::new();
    log.write("old\n");
    let text_of = serde_json::to_string(&log.positions()).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text_of).unwrap();
    value["quiet"]["app.log"].as_object_mut().unwrap().remove("before").unwrap();
    let positions: LogPositions = serde_json::from_value(value).unwrap();
    log.write("since\n");
    assert_eq!(text(&mut log.reader(&positions)), "since\n");
}

#[test]
fn a_log_that_comes_later_is_read_from_its_start() {
    let log = Log::new();
    let positions = log.positions();
    let mut reader = log.reader(&positions);
    assert_eq!(reader.read(9).unwrap_err().kind(), io::ErrorKind::NotFound);
    log.write("first\n");
    assert_eq!(text(&mut reader), "first\n");
    let mut now = LogReader::from_now(log.0.path(), &log.places()[0]);
    assert_eq!(text(&mut now), "");
    log.write("second\n");
    assert_eq!(text(&mut now), "second\n");
}

#[test]
fn a_pipe_as_a_log_is_refused_and_not_waited_for() {
    let log = Log::new();
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, log.path(), kind, 0o600.into(), 0).unwrap();
    let mut reader = log.reader(&log.positions());
    assert_eq!(reader.read(9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
