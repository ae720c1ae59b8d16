//! A stream of bytes as lines, without copying them, and with a limit on their length.

use std::io::Read;

/// Longest row of CSV or JSON lines.
pub(super) const LINE_BYTES_MAX: usize = 16 << 20;
/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;
/// How much of a line that is too long is kept with its reject.
pub(super) const TOO_LONG_BYTES_KEPT: usize = 64 << 10;

/// What ended a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A newline.
    Newline,
    /// The end of the input.
    Input,
    /// The limit: the line goes on.
    TooLong,
}

/// Bytes of the input from the row that is being read on.
pub(super) struct Lines {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    finished: bool,
    bytes_before: u64,
}

impl Lines {
    /// Starts reading, past a byte order mark.
    pub(super) fn new(reader: Box<dyn Read + Send>) -> std::io::Result<Self> {
        let mut lines = Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            finished: false,
            bytes_before: 0,
        };
        while lines.end < 3 && !lines.finished {
            lines.fill()?;
        }
        if lines.rest().starts_with(b"\xef\xbb\xbf") {
            lines.advance(3);
        }
        Ok(lines)
    }

    /// What has been read and not taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Bytes of the input taken so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_before + self.start as u64
    }

    /// Takes so many bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Finds the end of the line that `rest()[from..]` begins or continues; the ending's place in `rest()`.
    pub(super) fn line_end(&mut self, from: usize) -> std::io::Result<(usize, Ending)> {
        let mut from = from;
        loop {
            let rest = self.rest();
            if let Some(place) = rest[from..].iter().position(|b| *b == b'\n') {
                let end = from + place;
                let ending = if end > LINE_BYTES_MAX {
                    Ending::TooLong
                } else {
                    Ending::Newline
                };
                return Ok((end, ending));
            }
            from = rest.len();
            if from > LINE_BYTES_MAX {
                return Ok((from, Ending::TooLong));
            }
            if self.finished {
                return Ok((from, Ending::Input));
            }
            self.fill()?;
        }
    }

    /// Takes everything up to and with the next newline, or to the end of the input.
    pub(super) fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            if let Some(place) = self.rest().iter().position(|b| *b == b'\n') {
                self.advance(place + 1);
                return Ok(());
            }
            self.advance(self.rest().len());
            if self.finished {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Reads more behind what is there.
    fn fill(&mut self) -> std::io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.bytes_before += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + READ_BYTES {
            let length = (self.buffer.len() * 2).max(self.end + READ_BYTES);
            self.buffer.resize(length, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.finished = true,
                Ok(bytes) => self.end += bytes,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            return Ok(());
        }
    }
}
