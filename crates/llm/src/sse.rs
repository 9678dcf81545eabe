//! Server-sent events: bytes in, events out (WHATWG HTML 9.2.6; contracts.md 6.1). Pure: it never reads from
//! anywhere, and it puts no limit on an event's size, which is the reader's to do.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The `event` field, `""` where there was none.
    pub name: String,
    /// The `data` lines, joined with `\n`. Bytes that are no UTF-8 are replaced by U+FFFD.
    pub data: String,
}

/// Takes a stream apart, however it was cut into pieces. Time is linear in the bytes pushed.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What has come of the current line.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed right behind it ends no second line.
    after_return: bool,
    /// The first line is over, so that no byte order mark can come any more.
    begun: bool,
    name: String,
    data: Option<String>,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The events that these bytes complete. What comes after the last blank line waits for more; at the end of a
    /// stream it is to be thrown away, by dropping the decoder.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if let Some((&first, behind)) = rest.split_first()
            && std::mem::take(&mut self.after_return)
            && first == b'\n'
        {
            rest = behind;
        }
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            let (line, ending) = rest.split_at(end);
            self.line.extend_from_slice(line);
            self.end_line(&mut events);
            rest = match ending {
                [b'\r', b'\n', behind @ ..] => behind,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [_, behind @ ..] => behind,
                [] => &[],
            };
        }
        self.line.extend_from_slice(rest);
        events
    }

    /// Bytes held for the event that is not complete yet, for whoever must set a limit.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, String::len)
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let bytes = std::mem::take(&mut self.line);
        let mut line: &[u8] = &bytes;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            if let Some(data) = self.data.take() {
                events.push(Event { name, data });
            }
            return;
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => {
                let (field, rest) = line.split_at(colon);
                let value = rest.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        // An empty field is a comment; `id` and `retry` are for reconnecting, which nobody does here.
        match field {
            b"data" => {
                let value = String::from_utf8_lossy(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(&value);
                    }
                    None => self.data = Some(value.into_owned()),
                }
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
