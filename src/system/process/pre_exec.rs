//! What a child gets from this process, and what it does not.

use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::FdFlags;
use rustix::process::Signal;

/// Lets nothing that this process was given by its own caller through to the child, which may live on
/// as a service or start one (as pm2 does): such a service must not hold a terminal, the pipe of a CI
/// job or a lock open. `session` makes the child the leader of a session of its own, too.
#[allow(unsafe_code)]
pub(super) fn seal(command: &mut Command, session: bool) {
    let inherited: Vec<RawFd> = std::fs::read_dir("/proc/self/fd").map_or_else(
        |_| Vec::new(),
        |files| {
            let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
            numbers.filter(|number| *number > 2).collect()
        },
    );
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls
    // are allowed: setsid and fcntl are plain system calls and nothing here allocates. The descriptors
    // are only marked close-on-exec in the child's own table; one that was closed since gives EBADF,
    // which is ignored.
    unsafe {
        command.pre_exec(move || {
            if session {
                rustix::process::setsid()?;
            }
            for number in &inherited {
                let _ = rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(*number), FdFlags::CLOEXEC);
            }
            Ok(())
        });
    }
}

/// Lets the child get TERM when this thread ends before it, however it ends: git then removes its lock files
/// and goes.
#[allow(unsafe_code)]
pub(super) fn end_with_us(command: &mut Command) {
    let us = rustix::process::getpid();
    // SAFETY: the closure runs in the child between fork and exec; it only makes two plain system calls and
    // allocates nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
            match rustix::process::getppid() {
                Some(parent) if parent == us => Ok(()),
                // We ended before the signal was asked for.
                _ => Err(rustix::io::Errno::SRCH.into()),
            }
        });
    }
}
