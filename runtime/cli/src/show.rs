//! Rows on stdout: a table for people, JSON or CSV for programs.

use std::io::{self, Write};

use arrow_array::RecordBatch;
use comfy_table::{CellAlignment, Table, presets};

use crate::args::Output;
use crate::cells::Cell;
use crate::failure::Failure;

/// Named columns of cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    names: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Sheet {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// The rows of a batch.
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let names = batch
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        let row = |row| batch.columns().iter().map(|c| Cell::of(c, row)).collect();
        Self {
            names,
            rows: (0..batch.num_rows()).map(row).collect(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Adds a column before the others.
    pub(crate) fn put_first(&mut self, name: &str, cells: impl IntoIterator<Item = Cell>) {
        self.names.insert(0, name.into());
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.insert(0, cell);
        }
    }

    /// Adds a column after the others.
    pub(crate) fn put_last(&mut self, name: &str, cells: impl IntoIterator<Item = Cell>) {
        self.names.push(name.into());
        for (row, cell) in self.rows.iter_mut().zip(cells) {
            row.push(cell);
        }
    }

    /// Keeps the rows with this value, as JSON and CSV show it.
    ///
    /// # Errors
    /// A column that is not there.
    pub(crate) fn keep(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let Some(place) = self.names.iter().position(|n| n == name) else {
            return Err(Failure::refused(format!(
                "there is no field {name}; there are {}",
                self.names.join(", ")
            )));
        };
        self.rows.retain(|row| row[place].shown() == value);
        Ok(())
    }

    /// Keeps the first rows.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Names of the columns.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Prints it on stdout. A reader that closes the pipe has seen enough.
    pub(crate) fn print(self, output: Output) -> Result<(), Failure> {
        let mut stream = Stream::new(output);
        stream.push(self)?;
        stream.finish()
    }

    /// Prints what a command did as data, where data is asked for; people are told in a sentence.
    pub(crate) fn print_deed(self, output: Output) -> Result<(), Failure> {
        match (output, self.rows.first()) {
            (Output::Json, Some(row)) => {
                let mut text = Vec::new();
                self.write_object(row, &mut text)?;
                line(String::from_utf8_lossy(&text))
            }
            (Output::Csv, _) => self.print(output),
            (Output::Table | Output::Json, _) => Ok(()),
        }
    }

    /// For people, as a table.
    pub(crate) fn text(&self) -> String {
        self.table().to_string()
    }

    fn is_nameless(&self) -> bool {
        self.names.is_empty()
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(&self.names);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| {
                let align = if cell.is_number() {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                comfy_table::Cell::new(cell.plain()).set_alignment(align)
            }));
        }
        table
    }

    fn write_object(&self, row: &[Cell], out: &mut impl Write) -> io::Result<()> {
        for (i, (name, cell)) in self.names.iter().zip(row).enumerate() {
            let open = if i == 0 { "{" } else { ", " };
            write!(
                out,
                "{open}{}: {}",
                serde_json::Value::from(name.as_str()),
                cell.json()
            )?;
        }
        out.write_all(b"}")
    }

    /// Its rows as values of JSON.
    pub(crate) fn values(&self) -> Vec<serde_json::Value> {
        let object = |row: &Vec<Cell>| {
            let pairs = self.names.iter().zip(row);
            let pairs = pairs.map(|(name, cell)| {
                let value = serde_json::from_str(&cell.json()).expect("a cell is JSON");
                (name.clone(), value)
            });
            serde_json::Value::Object(pairs.collect())
        };
        self.rows.iter().map(object).collect()
    }

    /// One object a line.
    pub(crate) fn write_jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            self.write_object(row, out)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    pub(crate) fn write_csv_header(&self, out: &mut impl Write) -> io::Result<()> {
        let names: Vec<String> = self.names.iter().map(|n| Cell::text(n).csv()).collect();
        writeln!(out, "{}", names.join(","))
    }

    pub(crate) fn write_csv_rows(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::csv).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        Ok(())
    }
}

/// Rows of one table of people's form; longer answers are several tables.
const TABLE_ROWS: usize = 1000;

/// Sheets of the same columns, printed while they come.
pub(crate) struct Stream<W: Write = io::BufWriter<io::Stdout>> {
    output: Output,
    out: W,
    /// Rows that wait for their table; without rows once it has been printed.
    held: Sheet,
    printed: u64,
    /// The reader has closed the pipe.
    enough: bool,
}

impl Stream {
    /// To stdout.
    pub(crate) fn new(output: Output) -> Self {
        Stream::to(output, io::BufWriter::new(io::stdout()))
    }
}

impl<W: Write> Stream<W> {
    fn to(output: Output, out: W) -> Self {
        Self {
            output,
            out,
            held: Sheet::default(),
            printed: 0,
            enough: false,
        }
    }

    /// Takes more rows; whether the reader wants more still.
    pub(crate) fn push(&mut self, sheet: Sheet) -> Result<bool, Failure> {
        let first = self.held.is_nameless();
        if first {
            self.held.names.clone_from(&sheet.names);
        }
        let written = match self.output {
            Output::Table => self.hold(sheet),
            Output::Json => self.write_json(&sheet),
            Output::Csv => self.write_csv(&sheet, first),
        };
        self.note(written)?;
        Ok(!self.enough)
    }

    /// Prints what is left.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        if self.enough {
            return Ok(());
        }
        let written = match self.output {
            Output::Table if self.printed > 0 && self.held.rows.is_empty() => Ok(()),
            Output::Table => self.print_table(),
            Output::Json if self.printed == 0 => self.out.write_all(b"[\n]\n"),
            Output::Json => self.out.write_all(b"\n]\n"),
            Output::Csv => Ok(()),
        };
        let written = written.and_then(|()| self.out.flush());
        self.note(written)
    }

    fn note(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        self.enough |= matches!(&written, Err(e) if e.kind() == io::ErrorKind::BrokenPipe);
        seen_enough(written)
    }

    fn hold(&mut self, sheet: Sheet) -> io::Result<()> {
        for row in sheet.rows {
            self.held.rows.push(row);
            if self.held.rows.len() >= TABLE_ROWS {
                self.print_table()?;
            }
        }
        Ok(())
    }

    fn print_table(&mut self) -> io::Result<()> {
        writeln!(self.out, "{}", self.held.table())?;
        self.printed += self.held.rows.len() as u64;
        self.held.rows.clear();
        Ok(())
    }

    /// One array, one object a line.
    fn write_json(&mut self, sheet: &Sheet) -> io::Result<()> {
        for row in &sheet.rows {
            let before: &[u8] = if self.printed == 0 { b"[\n" } else { b",\n" };
            self.out.write_all(before)?;
            sheet.write_object(row, &mut self.out)?;
            self.printed += 1;
        }
        Ok(())
    }

    fn write_csv(&mut self, sheet: &Sheet, first: bool) -> io::Result<()> {
        if first {
            sheet.write_csv_header(&mut self.out)?;
        }
        sheet.write_csv_rows(&mut self.out)
    }
}

/// Prints an answer of several tables: one after another for people; as CSV one table, whose first column says of which
/// table a row is and whose cells of the other tables' columns are empty. JSON has its own form of such an answer.
pub(crate) fn print_tables(
    tables: Vec<(&'static str, Sheet)>,
    output: Output,
) -> Result<(), Failure> {
    match output {
        Output::Csv => joined(tables).print(output),
        Output::Table | Output::Json => tables
            .into_iter()
            .try_for_each(|(_, sheet)| sheet.print(output)),
    }
}

/// All rows under the columns of all tables; columns of one name are one.
fn joined(tables: Vec<(&'static str, Sheet)>) -> Sheet {
    let mut joined = Sheet::new(&["table"]);
    for (_, sheet) in &tables {
        let new = sheet.names.iter().filter(|n| !joined.names.contains(n));
        let new: Vec<String> = new.cloned().collect();
        joined.names.extend(new);
    }
    for (table, sheet) in tables {
        let places: Vec<usize> = sheet
            .names
            .iter()
            .filter_map(|name| joined.names.iter().position(|n| n == name))
            .collect();
        for row in sheet.rows {
            let mut cells = vec![Cell::Null; joined.names.len()];
            cells[0] = Cell::text(table);
            for (place, cell) in places.iter().zip(row) {
                cells[*place] = cell;
            }
            joined.rows.push(cells);
        }
    }
    joined
}

/// One line on stdout.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    seen_enough(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// One JSON document on stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?)
}

/// A closed pipe is no failure.
pub(crate) fn seen_enough(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|e| Failure::from(e).about(std::path::Path::new("stdout"))),
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new(&["a", "b"]);
        sheet.push(vec![Cell::Integer(1), Cell::text("x,y")]);
        sheet.push(vec![Cell::Null, Cell::text("")]);
        sheet
    }

    #[test]
    fn forms() {
        let csv = streamed(Output::Csv, vec![sheet()]);
        assert_eq!(csv, "a,b\n1,\"x,y\"\n,\"\"\n");
        let json = streamed(Output::Json, vec![sheet()]);
        assert_eq!(
            json,
            "[\n{\"a\": 1, \"b\": \"x,y\"},\n{\"a\": null, \"b\": \"\"}\n]\n"
        );
    }

    fn streamed(output: Output, sheets: Vec<Sheet>) -> String {
        let mut bytes = Vec::new();
        let mut stream = Stream::to(output, &mut bytes);
        for sheet in sheets {
            assert!(stream.push(sheet).unwrap());
        }
        stream.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn several_tables_are_one_as_csv() {
        let mut other = Sheet::new(&["b", "c"]);
        other.push(vec![Cell::Integer(2), Cell::Bool(true)]);
        let csv = streamed(
            Output::Csv,
            vec![joined(vec![("x", sheet()), ("y", other)])],
        );
        assert_eq!(csv, "table,a,b,c\nx,1,\"x,y\",\nx,,\"\",\ny,,2,true\n");
    }

    #[test]
    fn pieces_print_as_the_whole() {
        let mut whole = sheet();
        whole.rows.extend(sheet().rows);
        let none = || Sheet::new(&["a", "b"]);
        for output in [Output::Table, Output::Json, Output::Csv] {
            let pieces = streamed(output, vec![none(), sheet(), none(), sheet()]);
            assert_eq!(pieces, streamed(output, vec![whole.clone()]));
        }
        assert_eq!(streamed(Output::Json, vec![none()]), "[\n]\n");
        assert_eq!(streamed(Output::Csv, vec![none()]), "a,b\n");
        assert!(streamed(Output::Table, vec![none()]).contains('a'));
    }

    #[test]
    fn a_closed_pipe_ends_a_stream() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut stream = Stream::to(Output::Csv, Closed);
        assert!(!stream.push(sheet()).unwrap());
        stream.finish().unwrap();
    }

    #[test]
    fn thousands() {
        assert_eq!(
            [grouped(7), grouped(200_000), grouped(1_234_567)],
            ["7", "200,000", "1,234,567"]
        );
    }
}
