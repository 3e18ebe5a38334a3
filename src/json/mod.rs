//! JSON as text: the members of a message, the end of a string, changes to parts, a document as one line.
//!
//! Messages are relayed unchanged, so nothing here parses values or serialises them again. What routing needs is found
//! in one pass; what must change is replaced in place. Where parsers could read a text differently and that matters,
//! `member_names` rejects it.

mod block;
pub(crate) mod edit;
pub mod line;
pub(crate) mod member_names;
pub(crate) mod members;
pub(crate) mod object;
pub(crate) mod string;
