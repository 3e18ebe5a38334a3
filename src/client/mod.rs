//! What this program itself sends to its client: requests and notifications, apart from those that are relayed.

pub mod requests;

pub use requests::ClientRequests;
pub(crate) use requests::{ClientResponse, SentRequest};
