//! Bytes for another program that wants a path.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::MemfdFlags;

/// Bytes that a program of this user reads by a path, for as long as this lives. They lie in memory, so that
/// a kill leaves no file; where other programs cannot come at this process's memory (no `/proc`, or this
/// program's file may not be read), they lie in the directory for temporary files.
#[derive(Debug)]
pub enum BytesAsFile {
    /// In memory.
    Memory {
        /// Keeps it.
        _file: File,
        /// Its path in `/proc`.
        path: PathBuf,
    },
    /// In the directory for temporary files.
    Disk(tempfile::NamedTempFile),
}

impl BytesAsFile {
    /// Bytes to pass on.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        if let Ok(Some(in_memory)) = Self::in_memory(bytes) {
            return Ok(in_memory);
        }
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        Ok(Self::Disk(file))
    }

    fn in_memory(bytes: &[u8]) -> io::Result<Option<Self>> {
        // Not `std::process::id`: /proc may be that of another namespace, with another number in it.
        let number = std::fs::read_link("/proc/self")?;
        let process = Path::new("/proc").join(number);
        let readable = process.metadata()?.uid() == rustix::process::geteuid().as_raw();
        let mut file = File::from(rustix::fs::memfd_create(c"gitroll", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        let path = process.join("fd").join(file.as_raw_fd().to_string());
        Ok((readable && std::fs::read(&path)? == bytes)
            .then_some(Self::Memory { _file: file, path }))
    }

    /// Where they are read.
    pub fn path(&self) -> &Path {
        match self {
            Self::Memory { path, .. } => path,
            Self::Disk(file) => file.path(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn another_program_reads_them_and_no_file_is_made() {
        let file = BytesAsFile::new(b"a signature\n").unwrap();
        assert!(matches!(file, BytesAsFile::Memory { .. }), "{file:?}");
        let read = std::process::Command::new("cat").arg(file.path()).output().unwrap();
        assert_eq!(read.stdout, b"a signature\n");
    }
}
