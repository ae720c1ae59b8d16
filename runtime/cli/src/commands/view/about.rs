//! What goes with exported rows: which commit of which view they are, and how fresh that was. In a Parquet file it is in
//! the file's metadata, under names that begin with `refrain.`; beside other files it is a JSON object in a file of its
//! own, since neither CSV nor JSON lines has a place for what is no row.

use std::io::Write;
use std::path::{Path, PathBuf};

use parquet::file::metadata::KeyValue;
use refrain_engine::request::ViewStatus;

use super::{FRESHNESS, freshness_cells, hex};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::show::Sheet;

/// What is behind the name of a file in the name of the file about it.
const ENDING: &str = ".about.json";

/// Of which commit rows are.
pub(super) struct About {
    names: Vec<&'static str>,
    cells: Vec<Cell>,
}

impl About {
    pub(super) fn of(status: &ViewStatus) -> About {
        let key: Vec<&str> = status.schema.fields()[..status.key_fields]
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        let own = [
            ("view", Cell::text(&status.name)),
            ("node", Cell::text(&status.node)),
            ("key", Cell::Json(serde_json::json!(key).to_string())),
            ("rows", Cell::count(status.state.rows)),
            ("final_rows", Cell::count(status.state.finals)),
            ("digest", Cell::text(hex(status.state.digest))),
            ("cut", Cell::count(status.state.cut.0)),
        ];
        let fresh = FRESHNESS.into_iter().zip(freshness_cells(status));
        let (names, cells) = own.into_iter().chain(fresh).unzip();
        About { names, cells }
    }

    /// One row.
    pub(super) fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new(&self.names);
        sheet.push(self.cells.clone());
        sheet
    }

    /// As metadata of a Parquet file; what is not known is left out.
    pub(super) fn metadata(&self) -> Vec<KeyValue> {
        let known = self.names.iter().zip(&self.cells);
        let known = known.filter(|(_, cell)| **cell != Cell::Null);
        known
            .map(|(name, cell)| KeyValue::new(format!("refrain.{name}"), cell.shown()))
            .collect()
    }

    /// Writes the file about `file`.
    pub(super) fn write_beside(&self, file: &Path) -> Result<(), Failure> {
        let path = path(file);
        let written = write_whole(&path, |mut out| {
            self.sheet().write_jsonl(&mut out)?;
            out.flush()?;
            Ok(out)
        });
        written.map_err(|failure| failure.about(&path))
    }
}

/// Takes away what is said of a file that is about to be another one.
#[expect(clippy::disallowed_methods, reason = "a user's own file is replaced")]
pub(super) fn forget(file: &Path) -> Result<(), Failure> {
    let path = path(file);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::from(e).about(&path)),
        _ => Ok(()),
    }
}

fn path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}
