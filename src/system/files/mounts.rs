//! What is mounted where, as this process sees it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The mount points at and below `top`, a real path, as paths relative to it; that of `top` itself is empty.
///
/// # Errors
/// Where /proc cannot be read.
pub fn mounts_below(top: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let mut below: Vec<PathBuf> = table
        .split(|b| *b == b'\n')
        .filter_map(mount_point)
        .filter_map(|point| Some(point.strip_prefix(top).ok()?.to_owned()))
        .collect();
    below.sort();
    below.dedup();
    Ok(below)
}

/// The fifth field of a line of proc_pid_mountinfo(5); blanks stand there as `\040`.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|b| *b == b' ').nth(4)?;
    let mut path = Vec::new();
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| byte == b'\\');
        let octal = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        path.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_names_its_place() {
        let line = b"36 35 98:0 /mnt1 /srv/my\\040app/dist rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line).unwrap(), Path::new("/srv/my app/dist"));
        assert_eq!(mount_point(b""), None);
        assert!(mounts_below(Path::new("/")).unwrap().contains(&PathBuf::new()));
        assert_eq!(mounts_below(Path::new("/proc/self/nothing")).unwrap(), Vec::<PathBuf>::new());
    }
}
