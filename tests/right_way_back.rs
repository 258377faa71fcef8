//! Which state back takes, what it asks of it, and how far it goes on.
