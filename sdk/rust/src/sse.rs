//! Server-sent events: the parser alone, without a connection.
//!
//! Format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.6; the
//! `event` and `retry` fields are not used by the API and ignored.

/// Most bytes of one event; the API's have less than 4 KiB.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event as it stands in the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// Turns the bytes of a stream into events, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes the next bytes and gives the events that they complete; `None` if an event exceeds
    /// the limit, after which the stream is of no use.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends_line = match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    continue;
                }
                b'\n' | b'\r' => true,
                _ => false,
            };
            self.after_cr = byte == b'\r';
            if ends_line {
                let line = std::mem::take(&mut self.line);
                events.extend(self.end_line(&String::from_utf8_lossy(&line)));
            } else {
                self.line.push(byte);
            }
            if self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
                return None;
            }
        }
        Some(events)
    }

    fn end_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(id: Option<&str>, data: &str) -> Event {
        Event {
            id: id.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let stream =
            "id: 1\r\ndata: {\"a\":1}\r\n\r\n: a comment\n\ndata: x\ndata:y\n\nid:3\ndata:\r\r";
        let expected = [
            event(Some("1"), "{\"a\":1}"),
            event(None, "x\ny"),
            event(Some("3"), ""),
        ];
        for size in 1..=stream.len() {
            let mut parser = Parser::default();
            let events: Vec<_> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|c| parser.push(c).unwrap())
                .collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_data_is_none() {
        assert_eq!(Parser::default().push(b"id: 7\nevent: x\n\n").unwrap(), []);
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut parser = Parser::default();
        assert!((0..1025).any(|_| parser.push(&[b'x'; 1024]).is_none()));
    }
}
