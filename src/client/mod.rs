//! The client as this program itself talks to it: requests and notifications of our own, apart from those that are relayed.

pub mod requests;

pub use requests::ClientRequests;
pub(crate) use requests::{ClientResponse, SentRequest};
