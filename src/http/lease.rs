//! `Lease`: a connection on loan to one call.

use crate::http::idle::UnreadBody;
use crate::http::pool::Pool;
use crate::http::wire::connection::Connection;
use crate::sync::cancel::{Cancel, OnCancel};
use std::fmt;
use std::time::Instant;

/// A connection on loan. It returns to its pool when the call is over, unless the call was cancelled or its response leaves
/// the connection unusable.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    cancel: &'a Cancel,
    shutdown_on_cancel: Option<OnCancel<'a>>,
    connection: Option<Box<Connection>>,
    is_reusable: bool,
}

impl<'a> Lease<'a> {
    pub(crate) fn new(
        pool: &'a Pool,
        connection: Box<Connection>,
        cancel: &'a Cancel,
        shutdown_on_cancel: OnCancel<'a>,
    ) -> Lease<'a> {
        Lease {
            pool,
            cancel,
            shutdown_on_cancel: Some(shutdown_on_cancel),
            connection: Some(connection),
            is_reusable: true,
        }
    }

    /// Closes the connection when the call is over.
    pub(crate) fn close_at_end(&mut self) {
        self.is_reusable = false;
    }

    /// Sets when the reading of the body must be over, from the next read on.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        if let Some(connection) = &self.connection {
            connection.call_limits().set_deadline(deadline);
        }
    }

    /// Sets an earlier deadline.
    pub(crate) fn shorten_deadline(&self, deadline: Option<Instant>) {
        if let Some(connection) = &self.connection {
            connection.call_limits().shorten_deadline(deadline);
        }
    }

    /// Ends the call. `unread` is the unread rest of its response.
    pub(crate) fn end(&mut self, unread: Option<UnreadBody>) {
        // First, so that the connection is not shut down during the next call.
        self.shutdown_on_cancel = None;
        if let Some(connection) = self.connection.take()
            && self.is_reusable
            && !self.cancel.is_cancelled()
        {
            self.pool.release(connection, unread);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl fmt::Debug for Lease<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Lease")
    }
}
