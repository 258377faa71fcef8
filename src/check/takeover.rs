//! A process that takes the place of another while that is proven. Where managers name no processes, whoever listens where
//! checks ask stands for the service: one that appears later does so only if it is of the same kind. Pure.

/// What a process is by its program and the directory that it works in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) program: String,
    pub(super) directory: String,
}

/// A process that nobody can tell from the service's own and that listens where a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unnamed {
    pub(super) port: u16,
    /// The socket.
    pub(super) inode: u64,
    pub(super) pid: u32,
    pub(super) started: u64,
    pub(super) parent: Option<u32>,
    /// `None` if this user may not see it.
    pub(super) origin: Option<Origin>,
    /// What to call it.
    pub(super) who: String,
}

impl Unnamed {
    fn is(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started == other.started
    }

    /// Whether it may well belong with one that was there before: the same socket, a child of it or of the same parent,
    /// or the same program in the same directory.
    fn belongs_with(&self, other: &Self) -> bool {
        self.inode == other.inode
            || self.parent == Some(other.pid)
            || match (&self.origin, &other.origin) {
                (Some(own), Some(theirs)) => own == theirs,
                // Nobody can tell.
                _ => true,
            }
    }
}

/// All that were seen since the proof began.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    known: Vec<Unnamed>,
    /// Who took a place at the last look.
    taken: Vec<String>,
}

impl Places {
    /// Takes in a look. Says whether all who listen are those of the looks before, or the first ones.
    pub(super) fn seen(&mut self, now: Vec<Unnamed>) -> bool {
        let mut quiet = true;
        self.taken.clear();
        let before = self.known.clone();
        for one in now {
            let mut there = before.iter().filter(|known| known.port == one.port).peekable();
            if self.known.iter().any(|known| known.is(&one) && known.port == one.port) {
                continue;
            }
            match there.peek() {
                None => self.known.push(one),
                Some(first) => {
                    quiet = false;
                    let place = format!("port {} in place of process {}", one.port, first.pid);
                    if there.any(|known| one.belongs_with(known)) {
                        self.known.push(one);
                    } else {
                        self.taken.push(format!("{} listens on {place}", one.who));
                    }
                }
            }
        }
        quiet && self.taken.is_empty()
    }

    /// Who listens in place of one that was seen before, a sentence each.
    pub(super) fn taken(&self) -> &[String] {
        &self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pid: u32, inode: u64, parent: u32, directory: &str) -> Unnamed {
        let origin = Origin { program: "/usr/bin/node".into(), directory: directory.into() };
        let origin = Some(origin).filter(|_| !directory.is_empty());
        let who = format!("process {pid}");
        Unnamed { port: 80, inode, pid, started: 5, parent: Some(parent), origin, who }
    }

    #[test]
    fn whoever_listens_first_stands_for_the_service_and_another_only_if_it_is_like_it() {
        for (later, quiet, taken, why) in [
            (one(7, 1, 1, "/app"), true, false, "the same"),
            (one(8, 1, 9, "/old"), false, false, "a worker with the same socket"),
            (one(8, 2, 7, "/old"), false, false, "its child"),
            (one(8, 2, 1, "/app"), false, false, "started again"),
            (one(8, 2, 1, ""), false, false, "nobody can tell"),
            (one(8, 2, 1, "/old"), false, true, "another one"),
        ] {
            let mut places = Places::default();
            assert!(places.seen(vec![]), "it still starts");
            assert!(places.seen(vec![one(7, 1, 1, "/app")]), "{why}");
            assert_eq!(places.seen(vec![later.clone()]), quiet, "{why}");
            assert_eq!(!places.taken().is_empty(), taken, "{why}");
            assert_eq!(places.seen(vec![later]), !taken, "{why}: what took it stays another's");
            assert!(places.seen(vec![one(7, 1, 1, "/app")]), "{why}");
        }
        let mut places = Places::default();
        places.seen(vec![one(7, 1, 1, "/app")]);
        assert!(places.seen(vec![Unnamed { port: 81, ..one(8, 2, 1, "/api") }]), "another port");
    }
}
