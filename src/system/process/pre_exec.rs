//! What a child gets from this process, and what it does not.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
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

/// Lets the child tell its number by `tells` and wait for a byte on `waits` before its program begins. Where `go`,
/// the other end of that, is closed first (this program was killed), it never begins. The ends must live until the
/// command was started.
#[allow(unsafe_code)]
pub(super) fn wait_to_be_noted(
    command: &mut Command,
    tells: &PipeWriter,
    waits: &PipeReader,
    go: &PipeWriter,
) {
    let (tells, waits, go) = (tells.as_raw_fd(), waits.as_raw_fd(), go.as_raw_fd());
    // SAFETY: the closure runs in the child between fork and exec, allocates nothing and makes only system calls that
    // are async-signal-safe. The descriptors are open there as long as the caller keeps them; `go` is closed once, in
    // the child's own table, for as long as the child had it open itself no end would ever be seen.
    unsafe {
        command.pre_exec(move || {
            rustix::io::close(go);
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            rustix::io::write(BorrowedFd::borrow_raw(tells), &pid.to_ne_bytes())?;
            let mut noted = [0; 1];
            loop {
                match rustix::io::read(BorrowedFd::borrow_raw(waits), &mut noted) {
                    Ok(1) => return Ok(()),
                    Err(rustix::io::Errno::INTR) => {}
                    _ => return Err(io::ErrorKind::Interrupted.into()),
                }
            }
        });
    }
}
