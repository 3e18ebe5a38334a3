//! `Handler`: the exchange of a request with the server.

use crate::error::{Error, Kind};
use crate::listener::request::Request;
use crate::listener::response::ResponseWriter;
use crate::log::Log;
use crate::mcp::error_response::{INTERNAL_ERROR, protocol_error};

#[derive(Debug)]
pub struct Handler {
    log: Log,
}

impl Handler {
    pub fn new(log: Log) -> Handler {
        Handler { log }
    }

    /// Answers a request of the MCP endpoint.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) fn handle(
        &self,
        request: Request,
        response: &mut ResponseWriter,
    ) -> Result<(), Error> {
        self.log.debug(format_args!("{:?} with {} bytes", request.method, request.body.len()));
        if request.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, "the client closed the connection"));
        }
        let body = protocol_error("null", INTERNAL_ERROR, "not implemented");
        response.send(501, &[("Content-Type", "application/json")], body.as_bytes())
    }
}
