//! How files and artifacts are put in place: modes, groups, ACLs, marks of the index, directories that cannot be exchanged.
