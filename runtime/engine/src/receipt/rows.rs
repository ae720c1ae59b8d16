//! The rows of a view in key order, hashed: BLAKE3 over each row's canonical bytes with their length in front.

use arrow_array::RecordBatch;
use blake3::Hasher;
use refrain_log::schema::Schema;
use refrain_state::digest;
use refrain_state::view::{Pages, View};

use super::trail::half;
use super::{Output, OutputMark};
use crate::error::Result;
use crate::validate::value::Value;

/// Rows of one page.
pub(super) const PAGE_ROWS: usize = 65_536;
/// Bytes of one page, about.
pub(super) const PAGE_BYTES: u64 = 32 << 20;
/// Marks of a view at most.
const MARKS_MAX: u64 = 32;

/// Hashes the rows of a view as of one commit.
pub(crate) fn output(view: &View, mut pages: Pages) -> Result<Output> {
    let state = pages.state();
    let mark_rows = state.rows.div_ceil(MARKS_MAX).max(1);
    let mut rows = 0;
    let mut marks = Vec::new();
    let mut hasher = Hasher::new();
    while !pages.is_done() {
        let page = pages.next(PAGE_ROWS, PAGE_BYTES)?;
        let mut at = 0;
        digest::each_row(&page.rows, view.schema(), |bytes| {
            hasher.update(&(bytes.len() as u32).to_le_bytes());
            hasher.update(bytes);
            rows += 1;
            if rows % mark_rows == 0 || rows == state.rows {
                marks.push(OutputMark {
                    rows,
                    key: key_text(&page.rows, view.key_schema(), at),
                    hash: half(&hasher.finalize()),
                });
            }
            at += 1;
        });
    }
    Ok(Output {
        rows,
        finals: state.finals,
        digest: format!("{:032x}", state.digest),
        blake3: hasher.finalize().to_hex().to_string(),
        marks,
    })
}

/// The key of a row, as text.
pub(super) fn key_text(rows: &RecordBatch, key: &Schema, row: usize) -> Vec<String> {
    let fields = rows.columns().iter().take(key.fields().len());
    fields.map(|column| Value::of(column, row).text()).collect()
}
