//! JSON as text: the members of a message, the end of a string, one place that changes.
//!
//! Messages are relayed as they came, so nothing here parses values or writes them again. What routing needs is found
//! in one pass; what must change is replaced in place. Where two parsers could read a text differently and that
//! matters, `member_names` refuses it.

pub mod edit;
pub(crate) mod member_names;
pub(crate) mod members;
pub(crate) mod object;
pub(crate) mod string;
