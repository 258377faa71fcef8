//! Reading a pipe to its end on a thread, within bounded memory.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many bytes are kept of the beginning, and as many of the end.
const HALF: usize = 8 * 1024 * 1024;

/// One stream that is being read.
pub(super) struct Capture {
    kept: Arc<Mutex<Kept>>,
    end: Receiver<()>,
    ended: bool,
}

#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
    taken: bool,
}

impl Capture {
    /// Begins to read `stream` on a thread of its own.
    pub(super) fn start(mut stream: impl Read + Send + 'static) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (at_end, end) = channel();
        let shared = Arc::clone(&kept);
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            loop {
                match stream.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(read) => {
                        shared.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..read]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // Nobody listens when the caller has stopped waiting.
            let _ = at_end.send(());
        })?;
        Ok(Self { kept, end, ended: false })
    }

    /// Waits for the end of the stream, at most `limit`. Says whether it was reached.
    pub(super) fn ended_within(&mut self, limit: Duration) -> bool {
        if !self.ended {
            self.ended = !matches!(self.end.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
        }
        self.ended
    }

    /// What was read so far. A stream that somebody still holds open is read on and forgotten, so that
    /// a process that was left behind does not stop on a full pipe.
    pub(super) fn take(self) -> Vec<u8> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.taken = true;
        let mut bytes = std::mem::take(&mut kept.head);
        if kept.dropped > 0 {
            bytes.extend(format!("\n… {} bytes left out …\n", kept.dropped).bytes());
        }
        bytes.extend(std::mem::take(&mut kept.tail));
        bytes
    }
}

impl Kept {
    fn push(&mut self, chunk: &[u8]) {
        if self.taken {
            return;
        }
        let (head, rest) = chunk.split_at(chunk.len().min(HALF - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }
}
