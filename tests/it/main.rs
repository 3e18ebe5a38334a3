//! Everything that is tested from outside: the library through its interface, the program as a process.

#[path = "../support/vectors.rs"]
mod vectors;

mod signing;
mod signing_oracle;
