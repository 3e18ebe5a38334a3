pub(crate) mod bodies;
pub(crate) mod http_sse;
mod lazy_sessions;
pub(crate) mod merged_lists;
pub(crate) mod retries;
pub(crate) mod runtime_sessions;
pub(crate) mod sessions;
pub(crate) mod streams;
