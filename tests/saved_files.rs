//! What a run put aside: brought back by an undo, listed, restored, kept long enough.
