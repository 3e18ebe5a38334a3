//! JSON text without values: finding members, skipping strings, changing one place and leaving every other byte.

pub mod edit;
pub mod member_names;
pub mod members;
pub mod string;
