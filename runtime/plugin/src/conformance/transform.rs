//! One transform, driven over one batch of rows in calls of different sizes that must come to the same.

use arrow_array::ArrayRef;

use super::shown::{self, Row, difference};
use super::ways::rejects_differ;
use super::{Problem, Subject};
use crate::instance::Input;

/// What came of it.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    /// Rows given, each with the row that it comes from.
    pub(super) rows: Vec<(u32, Row)>,
    /// Rows refused, and why.
    pub(super) rejects: Vec<(u32, String)>,
    /// Memory of the last instance.
    pub(super) memory_bytes: u64,
}

/// Sends the rows through in calls of these sizes, the last of which repeats; `drops`: a new instance for each call.
pub(super) fn drive(
    subject: &Subject<'_>,
    columns: &[ArrayRef],
    count: usize,
    calls: &[usize],
    drops: bool,
) -> Result<Outcome, Problem> {
    let mut instance = subject.start()?;
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    let mut start = 0;
    let mut sizes = calls.iter().copied().cycle();
    while start < count {
        let size = sizes.next().unwrap_or(1).clamp(1, count - start);
        let said = instance.transform(Input {
            columns,
            start,
            count: size,
        })?;
        let origin = |i: usize| said.origins.get(i).map_or(i as u32, |row| *row);
        rows.extend(
            (0..said.count).map(|i| (origin(i) + start as u32, shown::row(&said.columns, i))),
        );
        rejects.extend(
            said.rejects
                .into_iter()
                .map(|r| (r.row + start as u32, r.reason)),
        );
        start += size;
        if drops {
            instance = subject.start()?;
        }
    }
    Ok(Outcome {
        rows,
        rejects,
        memory_bytes: instance.memory_bytes(),
    })
}

/// What differs between one row a call and another way.
pub(super) fn differs(subject: &Subject<'_>, one: &Outcome, other: &Outcome) -> Option<String> {
    if one.rejects != other.rejects {
        return Some(rejects_differ(&one.rejects, &other.rejects));
    }
    if one.rows.len() != other.rows.len() {
        let (one, other) = (one.rows.len(), other.rows.len());
        return Some(format!("it gives {one} rows and {other}"));
    }
    let (a, b) = one.rows.iter().zip(&other.rows).find(|(a, b)| a != b)?;
    Some(match a.0 == b.0 {
        true => difference(&subject.about().outputs, &a.1, &b.1),
        false => format!("a row comes from row {} and from row {}", a.0, b.0),
    })
}
