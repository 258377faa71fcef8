//! What a build writes or reads and nobody declared, and what kept artifacts were made for.
