//! CSV with a header line (RFC 4180): columns by name, quotes doubled inside quotes, `\n` or `\r\n` after a row.
//!
//! An empty cell is null for a nullable field, the empty text for a `text` that is not, and a reject for the rest; `""`
//! is the empty text always (as PostgreSQL reads it), and no bytes in a field of bytes. Cells are not trimmed. A quote that is never closed rejects its
//! own line only. Rows are split here and not by a crate because a reject must carry the bytes as they came, and an
//! open quote must not swallow the rest of the input.

use super::column::Rows;
use super::lines::{Ending, LINE_BYTES_MAX, Lines, TOO_LONG_BYTES_KEPT};
use super::{DecodeOptions, Decoded, Decoder, IngestError};
use crate::pipeline::diagnostic::nearest;

/// One cell, as a range of the row's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    start: usize,
    end: usize,
    /// Stood in quotes, which are not in the range.
    quoted: bool,
    /// Has doubled quotes in it.
    doubled: bool,
}

/// Where the splitter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the cell, or the first of two.
    QuoteSeen,
}

/// Splits one row, line after line.
#[derive(Debug)]
struct Splitter {
    place: Place,
    at: usize,
    start: usize,
    /// Where the last quote inside quotes stood.
    end: usize,
    doubled: bool,
}

/// Decodes CSV.
pub(super) struct Csv {
    lines: Lines,
    rows: Rows,
    /// For each column of the header, the field that it fills.
    targets: Vec<Option<usize>>,
    /// Fields that no column fills.
    absent: Vec<usize>,
    /// Line of the row that is read, from 1.
    line: u64,
    cells: Vec<Cell>,
    unquoted: Vec<u8>,
}

impl Csv {
    pub(super) fn new(lines: Lines, options: &DecodeOptions) -> Result<Self, IngestError> {
        let mut csv = Self {
            lines,
            rows: Rows::new(options),
            targets: Vec::new(),
            absent: Vec::new(),
            line: 1,
            cells: Vec::new(),
            unquoted: Vec::new(),
        };
        let names = csv.header()?;
        csv.bind(&names, options)?;
        Ok(csv)
    }

    fn header(&mut self) -> Result<Vec<String>, IngestError> {
        let row = self.split().map_err(|e| self.unreadable(&e))?;
        let Some(Row::Cells { length, lines, .. }) = row else {
            return Err(self.error("the first line must name the columns, such as time,id,name"));
        };
        let mut names = Vec::new();
        for cell in &self.cells {
            let text = unquoted(&self.lines.rest()[..length], *cell, &mut self.unquoted);
            names.push(String::from_utf8_lossy(text).into_owned());
        }
        self.take(length, lines);
        Ok(names)
    }

    /// Finds each field's column by name.
    fn bind(&mut self, names: &[String], options: &DecodeOptions) -> Result<(), IngestError> {
        let schema = &options.schema;
        for (i, name) in names.iter().enumerate() {
            let target = schema.index_of(name);
            if target.is_some() && names[..i].contains(name) {
                return Err(self.error(&format!("the header names the column `{name}` twice")));
            }
            self.targets.push(target);
        }
        let extra: Vec<&str> = names
            .iter()
            .filter(|n| schema.index_of(n).is_none())
            .map(String::as_str)
            .collect();
        for (i, field) in schema.fields().iter().enumerate() {
            if names.contains(&field.name) {
                continue;
            }
            let may_lack = field.nullable || options.defaults.contains_key(&field.name);
            if !may_lack || !extra.is_empty() {
                return Err(self.error(&missing_column(&field.name, &extra, names)));
            }
            self.absent.push(i);
        }
        if !extra.is_empty() {
            let note = format!(
                "columns left out, since the topic has no such field: {}",
                extra.join(", ")
            );
            self.rows.note(note);
        }
        Ok(())
    }

    fn error(&self, what: &str) -> IngestError {
        IngestError {
            input: self.rows.input.clone(),
            what: what.into(),
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> IngestError {
        self.error(&format!("cannot be read: {error}"))
    }

    /// Takes a row's bytes, its newline with them.
    fn take(&mut self, length: usize, lines: u64) {
        self.lines.advance(length + 1);
        self.line += lines;
    }

    /// One row, if there is one, without taking it.
    #[inline]
    fn split(&mut self) -> std::io::Result<Option<Row>> {
        self.cells.clear();
        let plain = split_plain(self.lines.rest(), &mut self.cells);
        if let Some(length) = plain.filter(|length| *length <= LINE_BYTES_MAX) {
            return Ok(Some(Row::Cells { length, lines: 1 }));
        }
        self.cells.clear();
        self.split_any()
    }

    /// A row with quotes, or the last one, or one that is not read to its end yet.
    fn split_any(&mut self) -> std::io::Result<Option<Row>> {
        let mut splitter = Splitter::new();
        let (first_end, mut ending) = self.lines.line_end(0)?;
        if first_end == 0 && ending == Ending::Input {
            return Ok(None);
        }
        let (mut end, mut lines) = (first_end, 1);
        loop {
            if ending == Ending::TooLong {
                break;
            }
            match splitter.run(&self.lines.rest()[..end], &mut self.cells) {
                Err(why) => {
                    return Ok(Some(Row::Broken {
                        length: first_end,
                        why,
                    }));
                }
                Ok(true) => return Ok(Some(Row::Cells { length: end, lines })),
                Ok(false) if ending == Ending::Input => break,
                Ok(false) => {
                    (end, ending) = self.lines.line_end(end + 1)?;
                    lines += 1;
                }
            }
        }
        Ok(Some(match lines {
            1 if ending == Ending::TooLong => Row::TooLong,
            _ => Row::Broken {
                length: first_end,
                why: "a quote is opened and never closed",
            },
        }))
    }

    fn row(&mut self, row: Row) -> std::io::Result<()> {
        match row {
            Row::Cells { length, lines } => {
                let bytes = &self.lines.rest()[..length];
                if bytes.is_empty() || bytes == b"\r" {
                    self.take(length, lines);
                    return Ok(());
                }
                match fill_row(
                    &mut self.rows,
                    bytes,
                    &self.cells,
                    &self.targets,
                    &self.absent,
                    &mut self.unquoted,
                ) {
                    Ok(()) => self.rows.keep(),
                    Err(why) => self.rows.reject(self.line, bytes, why),
                }
                self.take(length, lines);
            }
            Row::Broken { length, why } => {
                let bytes = &self.lines.rest()[..length];
                self.rows.reject(self.line, bytes, why.into());
                self.take(length, 1);
            }
            Row::TooLong => {
                let bytes = &self.lines.rest()[..TOO_LONG_BYTES_KEPT];
                let why = format!(
                    "the line is longer than {} MiB; its beginning is kept",
                    LINE_BYTES_MAX >> 20
                );
                self.rows.reject(self.line, bytes, why);
                self.lines.skip_line()?;
                self.line += 1;
            }
        }
        Ok(())
    }
}

/// What the splitter found. Lengths are without the newline.
enum Row {
    Cells { length: usize, lines: u64 },
    Broken { length: usize, why: &'static str },
    TooLong,
}

fn missing_column(field: &str, extra: &[&str], names: &[String]) -> String {
    let hint = match nearest(field, extra.iter().copied()) {
        Some(name) => format!("; is it the column `{name}`? Then rename it in the header"),
        None => String::new(),
    };
    format!(
        "the header has no column `{field}`; columns: {}{hint}",
        names.join(", ")
    )
}

impl Decoder for Csv {
    fn next(&mut self, rows_max: usize) -> Result<Option<Decoded>, IngestError> {
        while !self.rows.full(rows_max) {
            let row = self.split().map_err(|e| self.unreadable(&e))?;
            let Some(row) = row else { break };
            self.row(row).map_err(|e| self.unreadable(&e))?;
        }
        self.rows.finish(self.lines.bytes_read())
    }
}

/// Splits a row that has no quotes and whose newline is in `bytes`; its length.
#[inline]
fn split_plain(bytes: &[u8], cells: &mut Vec<Cell>) -> Option<usize> {
    let mut start = 0;
    for (i, b) in bytes.iter().enumerate() {
        match b {
            b',' => {
                cells.push(Cell::plain(start, i));
                start = i + 1;
            }
            b'\n' => {
                cells.push(Cell::plain(
                    start,
                    i - usize::from(i > start && bytes[i - 1] == b'\r'),
                ));
                return Some(i);
            }
            b'"' => return None,
            _ => {}
        }
    }
    None
}

impl Cell {
    fn plain(start: usize, end: usize) -> Self {
        Self {
            start,
            end,
            quoted: false,
            doubled: false,
        }
    }
}

impl Splitter {
    fn new() -> Self {
        Self {
            place: Place::CellStart,
            at: 0,
            start: 0,
            end: 0,
            doubled: false,
        }
    }

    /// Splits on to the end of `row`, which ends before a newline; whether the row ends there too.
    fn run(&mut self, row: &[u8], cells: &mut Vec<Cell>) -> Result<bool, &'static str> {
        while self.at < row.len() {
            self.step(row, cells)?;
            self.at += 1;
        }
        match self.place {
            Place::Quoted => Ok(false),
            Place::QuoteSeen => {
                cells.push(self.quoted());
                Ok(true)
            }
            Place::Plain | Place::CellStart => {
                let end = row.len() - usize::from(row[self.start..].ends_with(b"\r"));
                cells.push(Cell::plain(self.start, end));
                Ok(true)
            }
        }
    }

    fn step(&mut self, row: &[u8], cells: &mut Vec<Cell>) -> Result<(), &'static str> {
        let b = row[self.at];
        match (self.place, b) {
            (Place::CellStart, b'"') => {
                self.start = self.at + 1;
                self.doubled = false;
                self.place = Place::Quoted;
            }
            (Place::CellStart | Place::Plain, b',') => {
                cells.push(Cell::plain(self.start, self.at));
                self.next_cell();
            }
            (Place::CellStart, _) => self.place = Place::Plain,
            (Place::Quoted, b'"') => {
                self.end = self.at;
                self.place = Place::QuoteSeen;
            }
            (Place::QuoteSeen, b'"') => {
                self.doubled = true;
                self.place = Place::Quoted;
            }
            (Place::QuoteSeen, b',') => {
                cells.push(self.quoted());
                self.next_cell();
            }
            // The carriage return before the newline.
            (Place::QuoteSeen, b'\r') if self.at + 1 == row.len() => {}
            (Place::QuoteSeen, _) => return Err("there is text after a closing quote"),
            (Place::Plain | Place::Quoted, _) => {}
        }
        Ok(())
    }

    fn next_cell(&mut self) {
        self.start = self.at + 1;
        self.place = Place::CellStart;
    }

    fn quoted(&self) -> Cell {
        Cell {
            start: self.start,
            end: self.end,
            quoted: true,
            doubled: self.doubled,
        }
    }
}

/// The bytes of a cell, its doubled quotes made single.
fn unquoted<'a>(row: &'a [u8], cell: Cell, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let bytes = &row[cell.start..cell.end];
    if !cell.doubled {
        return bytes;
    }
    buffer.clear();
    let mut after_quote = false;
    for b in bytes {
        after_quote = *b == b'"' && !after_quote;
        if !after_quote {
            buffer.push(*b);
        }
    }
    buffer
}

/// Pushes one row into the columns; a sentence when it does not fit.
#[inline]
fn fill_row(
    rows: &mut Rows,
    row: &[u8],
    cells: &[Cell],
    targets: &[Option<usize>],
    absent: &[usize],
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    if cells.len() != targets.len() {
        return Err(format!(
            "the header has {} columns, the row has {}",
            targets.len(),
            cells.len()
        ));
    }
    for (cell, target) in cells.iter().zip(targets) {
        if let Some(target) = target {
            let text = unquoted(row, *cell, buffer);
            rows.columns[*target].push_text(text, cell.quoted)?;
        }
    }
    for target in absent {
        rows.columns[*target].push_absent()?;
    }
    Ok(())
}
