//! Files that are not what they seem, secrets at a cut, half-done git states, attributes that concern no file.
