//! A process vouches only for the tree it was started in: what was moved by hand, what was never started, what was seen failing.
