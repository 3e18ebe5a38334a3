//! `Coalescing`: sends the head of a request and the beginning of its body in one packet.
//!
//! ureq transmits the head before the body. Without Nagle's algorithm that would be two packets and two TLS records, and the
//! server would wake up twice. It also checks whether a connection is open only when a request takes it from the pool, not
//! when it is put back. Both a new connection and one from the pool begin a request here.
//!
//! ureq opens or checks a connection only to send a request on it. A request that is for nothing else ends here: it is not
//! sent, and gets its response from here.

use crate::http::wire::call_limits::{CallLimits, Purpose};
use std::fmt;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The response to a request that is not sent.
const OWN_RESPONSE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The last connector of the chain.
#[derive(Debug)]
pub(crate) struct CoalescingConnector {
    pub(crate) call_limits: CallLimits,
}

impl<In: Transport> Connector<In> for CoalescingConnector {
    type Out = Coalescing<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(inner) = chained else { return Ok(None) };
        let call_limits = self.call_limits.clone();
        call_limits.begin_request();
        Ok(Some(Coalescing { inner, call_limits, head: Vec::new(), has_just_read: false }))
    }
}

/// A connection that delays the head of a POST until its body follows.
pub(crate) struct Coalescing<In> {
    inner: In,
    call_limits: CallLimits,
    /// The head that is not sent yet.
    head: Vec<u8>,
    /// The next `is_open` decides whether the connection is put back into the pool.
    has_just_read: bool,
}

impl<In: Transport> Coalescing<In> {
    /// Sends a delayed head alone.
    fn send_head(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.head.is_empty() {
            return Ok(());
        }
        let length = self.head.len();
        self.inner.buffers().output()[..length].copy_from_slice(&self.head);
        self.head.clear();
        self.inner.transmit_output(length, timeout)
    }
}

impl<In: Transport> Transport for Coalescing<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.call_limits.purpose() != Purpose::Request {
            return Ok(());
        }
        let output = self.inner.buffers().output();
        if self.head.is_empty() {
            if is_head_of_post(&output[..amount]) {
                self.head.extend_from_slice(&output[..amount]);
                return Ok(());
            }
            return self.inner.transmit_output(amount, timeout);
        }
        let length = self.head.len();
        if length + amount <= output.len() {
            output.copy_within(..amount, length);
            output[..length].copy_from_slice(&self.head);
            self.head.clear();
            return self.inner.transmit_output(length + amount, timeout);
        }
        let body = output[..amount].to_vec();
        self.send_head(timeout)?;
        self.inner.buffers().output()[..amount].copy_from_slice(&body);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.has_just_read = true;
        if self.call_limits.purpose() != Purpose::Request {
            let buffers = self.inner.buffers();
            buffers.input_append_buf()[..OWN_RESPONSE.len()].copy_from_slice(OWN_RESPONSE);
            buffers.input_appended(OWN_RESPONSE.len());
            return Ok(true);
        }
        self.send_head(timeout)?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        if std::mem::take(&mut self.has_just_read) {
            return true;
        }
        let is_open = self.inner.is_open();
        if is_open {
            self.call_limits.begin_request();
        } else {
            self.call_limits.record_closed();
        }
        is_open
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<In> fmt::Debug for Coalescing<In> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Coalescing")
    }
}

/// Only POST requests have a body here. A false positive is sent a moment later, before a response is awaited.
fn is_head_of_post(bytes: &[u8]) -> bool {
    bytes.starts_with(b"POST ") && bytes.ends_with(b"\r\n\r\n")
}
