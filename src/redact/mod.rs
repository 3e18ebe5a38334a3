//! The one exit for text: secrets of this process are removed in every encoding, hidden characters are spelled out, length is bounded.

mod forms;
mod known_secrets;
mod redactor;
mod unit;

pub use redactor::Redactor;
