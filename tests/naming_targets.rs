//! What the name of a target means: tags, records, branches here and upstream, remotes that do not answer.
