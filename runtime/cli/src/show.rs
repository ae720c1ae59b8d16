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

    /// Adds the rows of a sheet with the same columns.
    pub(crate) fn extend(&mut self, other: Sheet) {
        self.rows.extend(other.rows);
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

    /// Prints it on stdout. A reader that closes the pipe has seen enough.
    pub(crate) fn print(&self, output: Output) -> Result<(), Failure> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = match output {
            Output::Table => writeln!(stdout, "{}", self.table()),
            Output::Json => self.write_json(&mut stdout),
            Output::Csv => self.write_csv(&mut stdout),
        };
        seen_enough(written.and_then(|()| stdout.flush()))
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
                comfy_table::Cell::new(cell.shown()).set_alignment(align)
            }));
        }
        table
    }

    /// One array, one object a line.
    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"[")?;
        for (i, row) in self.rows.iter().enumerate() {
            out.write_all(if i == 0 { b"\n" } else { b",\n" })?;
            self.write_object(row, out)?;
        }
        out.write_all(b"\n]\n")
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

    /// One object a line.
    pub(crate) fn write_jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            self.write_object(row, out)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    pub(crate) fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        let names: Vec<String> = self.names.iter().map(|n| Cell::text(n).csv()).collect();
        writeln!(out, "{}", names.join(","))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::csv).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        Ok(())
    }
}

/// A closed pipe is no failure.
pub(crate) fn seen_enough(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
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
        let mut csv = Vec::new();
        sheet().write_csv(&mut csv).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "a,b\n1,\"x,y\"\n,\"\"\n");
        let mut json = Vec::new();
        sheet().write_json(&mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(
            json,
            "[\n{\"a\": 1, \"b\": \"x,y\"},\n{\"a\": null, \"b\": \"\"}\n]\n"
        );
    }

    #[test]
    fn thousands() {
        assert_eq!(
            [grouped(7), grouped(200_000), grouped(1_234_567)],
            ["7", "200,000", "1,234,567"]
        );
    }
}
