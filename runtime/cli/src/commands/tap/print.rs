//! Rows as they come: each batch at once, since nobody knows when the next one is there.

use std::io::{self, Write};

use crate::args::Output;
use crate::failure::Failure;
use crate::show::{Sheet, grouped, seen_enough};

/// Prints rows until there are enough of them, or nobody reads them any more.
pub(super) struct Printer {
    output: Output,
    left: u64,
    wanted: Vec<(String, String)>,
    passed: u64,
    /// The columns of the last header.
    header: Vec<String>,
}

impl Printer {
    pub(super) fn new(output: Output, limit: u64, wanted: Vec<(String, String)>) -> Printer {
        Printer {
            output,
            left: limit,
            wanted,
            passed: 0,
            header: Vec::new(),
        }
    }

    /// Rows that are still wanted.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Whether rows are left out by what is wanted of them, so that more have to be looked at than shown.
    pub(super) fn is_choosy(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Rows passed that were not looked at.
    pub(super) fn passed(&mut self, rows: u64) {
        self.passed += rows;
    }

    /// Prints those of the rows that are wanted.
    pub(super) fn push(&mut self, mut sheet: Sheet) -> Result<(), Failure> {
        for (field, value) in &self.wanted {
            sheet.keep(field, value)?;
        }
        sheet.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        if sheet.len() == 0 {
            return Ok(());
        }
        self.left -= sheet.len() as u64;
        match self.write(&sheet) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.left = 0;
                Ok(())
            }
            written => seen_enough(written),
        }
    }

    fn write(&mut self, sheet: &Sheet) -> io::Result<()> {
        let mut stdout = io::stdout();
        match self.output {
            Output::Table => writeln!(stdout, "{}", sheet.text())?,
            Output::Json => sheet.write_jsonl(&mut stdout)?,
            Output::Csv => {
                if self.header != sheet.names() {
                    self.header = sheet.names().to_vec();
                    sheet.write_csv_header(&mut stdout)?;
                }
                sheet.write_csv_rows(&mut stdout)?;
            }
        }
        stdout.flush()
    }

    /// Says what was not shown.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.passed > 0 {
            eprintln!("{} rows passed unseen", grouped(self.passed));
        }
        Ok(())
    }
}
