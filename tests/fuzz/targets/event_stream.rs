//! The events of a stream do not depend on how it is cut, and are never larger than allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4_proxy::error::{Error, Kind};
use sigv4_proxy::http::event_stream::{Event, EventStream};
use std::io::{self, Read};

const MOST: usize = 256;

struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(self.1).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn read(bytes: &[u8], piece: usize) -> (Vec<Event>, Option<String>, bool) {
    let broken = |error: io::Error| Error::new(Kind::Unreachable, error.to_string());
    let mut stream = EventStream::new(Pieces(bytes, piece), MOST, broken);
    let mut events = Vec::new();
    loop {
        match stream.next_event() {
            Ok(Some(event)) => {
                assert!(event.data.len() <= MOST);
                events.push(event);
            }
            Ok(None) => return (events, stream.last_id().map(str::to_owned), true),
            Err(_) => return (events, None, false),
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    assert_eq!(read(bytes, 1 + usize::from(piece)), read(bytes, 1));
});
