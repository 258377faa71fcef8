//! INT, TERM and HUP while a run is under way.
//!
//! Before a run they do what they always do: nothing was changed, so this program may simply end. Once
//! [`listen`] was called, the first INT or TERM asks to stop, a second one within 2 s asks to leave
//! everything as it stands, and HUP, which a closed ssh connection sends, is passed over. Handlers are
//! not handed down: what is started meanwhile has the ordinary ones.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// A second signal within this time leaves everything as it stands.
const INSISTING: Duration = Duration::from_secs(2);

static STOP: AtomicI32 = AtomicI32::new(0);
static HEARD: AtomicUsize = AtomicUsize::new(0);
static LEAVE: AtomicBool = AtomicBool::new(false);
static TO_ITS_END: AtomicBool = AtomicBool::new(false);

/// What a person, or a machine that goes down, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Stop what is being done and restored what was.
    Stop,
    /// The same again, long after it was heard.
    StopAgain,
    /// Leave everything as it stands.
    Leave,
}

/// Begins to listen; `tell` is called on a thread of its own at each INT and TERM. Only the first call
/// counts.
///
/// # Errors
/// When the handlers or the thread cannot be had: the signals then do what they always do.
pub fn listen(tell: impl Fn(Asked) + Send + 'static) -> io::Result<()> {
    static LISTENING: OnceLock<()> = OnceLock::new();
    if LISTENING.set(()).is_err() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let attend = move || {
        let mut last: Option<Instant> = None;
        for signal in signals.forever() {
            if signal == SIGHUP {
                continue;
            }
            let insists = last.is_some_and(|last| last.elapsed() < INSISTING);
            last = Some(Instant::now());
            HEARD.fetch_add(1, Ordering::SeqCst);
            let heard_before = STOP.swap(signal, Ordering::SeqCst) != 0;
            if insists {
                LEAVE.store(true, Ordering::SeqCst);
            }
            tell(match (insists, heard_before) {
                (true, _) => Asked::Leave,
                (false, true) => Asked::StopAgain,
                (false, false) => Asked::Stop,
            });
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(attend).map(drop)
}

/// From here on a write past the limit for the size of files (`ulimit -f`) is an error that is answered like a
/// full disk. Without this the signal that comes with it ends the program wherever it stands.
///
/// # Errors
/// When the handler cannot be had.
pub fn take_size_limits_as_errors() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Does what continues to its end although someone asks to stop: restoring what was. Only the wish to leave
/// everything as it is ends it.
pub fn to_its_end<T>(act: impl FnOnce() -> T) -> T {
    TO_ITS_END.store(true, Ordering::SeqCst);
    let done = act();
    TO_ITS_END.store(false, Ordering::SeqCst);
    done
}

/// Whether it continues to its end at this moment.
pub fn goes_to_its_end() -> bool {
    TO_ITS_END.load(Ordering::SeqCst)
}

/// The signal that asked to stop, if one did and is heeded.
pub fn stop_asked() -> Option<&'static str> {
    if goes_to_its_end() {
        return None;
    }
    match STOP.load(Ordering::SeqCst) {
        0 => None,
        SIGINT => Some("SIGINT"),
        _ => Some("SIGTERM"),
    }
}

/// How often someone asked to stop so far.
pub fn times_heard() -> usize {
    HEARD.load(Ordering::SeqCst)
}

/// Whether everything is to be left as it stands.
pub fn leave_asked() -> bool {
    LEAVE.load(Ordering::SeqCst)
}

/// What ends waiting for something early.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Until {
    /// Only the wish to leave everything as it stands.
    #[default]
    Left,
    /// The wish to stop, too: what is waited for may be given up at any time.
    Stopped,
    /// One more wish to stop than this many: what is waited for comes after the answer to the others.
    HeardMore(usize),
}

impl Until {
    /// Whether to wait no longer.
    pub fn reached(self) -> bool {
        let stopped = match self {
            Until::Left => false,
            Until::Stopped => stop_asked().is_some(),
            Until::HeardMore(times) => times_heard() > times,
        };
        stopped || leave_asked()
    }
}
