//! What a comparison is asked and what it found.

use std::collections::BTreeMap;

use refrain_log::ids::Sequence;
use serde::{Deserialize, Serialize};

use crate::request::Table;

/// A comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValidateOrder {
    /// View, or its node.
    pub name: String,
    /// The version to compare with the live one; none: the newest candidate.
    pub candidate: Option<u32>,
    /// Differences that are accepted, by field.
    pub tolerances: BTreeMap<String, Tolerance>,
    /// An outside table to compare the live version (or `candidate`) with, and how it is called.
    pub against: Option<(String, Table)>,
}

/// A difference between numbers that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tolerance {
    /// This share of the larger of both.
    Relative(f64),
    /// This much.
    Absolute(f64),
}

impl Tolerance {
    /// As people write it: `0.1%`, or `2`.
    pub fn parse(text: &str) -> Option<Tolerance> {
        let (number, share) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent, true),
            None => (text, false),
        };
        let number: f64 = number.trim().parse().ok()?;
        if !number.is_finite() || number < 0.0 {
            return None;
        }
        Some(match share {
            true => Tolerance::Relative(number / 100.0),
            false => Tolerance::Absolute(number),
        })
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The node.
    pub node: String,
    /// What stands on the left: a version.
    pub left: String,
    /// What stands on the right: a version or a file.
    pub right: String,
    /// The cut of both; of the left one when the right one is a file.
    pub cut: Sequence,
    /// Digests of both versions.
    pub digests: Option<(String, String)>,
    /// Whether nothing differs, or nothing beyond tolerance.
    pub equal: bool,
    /// Whether differences within tolerance were accepted.
    pub tolerated: bool,
    /// Row by row; none: equal digests say it all.
    pub drift: Option<Drift>,
}

/// Row by row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Rows compared, left and right.
    pub rows: (u64, u64),
    /// Rows that do not count: before the start of a version.
    pub skipped: (u64, u64),
    /// Rows only on the left.
    pub removed: u64,
    /// Rows only on the right.
    pub added: u64,
    /// Rows on both sides with a difference beyond tolerance.
    pub changed: u64,
    /// Fields only on the left and only on the right: not compared.
    pub fields_only: (Vec<String>, Vec<String>),
    /// Fields that were compared.
    pub fields: Vec<FieldDrift>,
    /// Rows with the largest differences.
    pub shown: Vec<RowDrift>,
}

/// One field over all rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FieldDrift {
    /// Its name.
    pub field: String,
    /// Rows in which it differs beyond tolerance.
    pub changed: u64,
    /// Rows in which it differs within tolerance.
    pub tolerated: u64,
    /// Largest difference; of what is no number, infinite.
    pub largest: Option<f64>,
    /// Where that is: key, left, right.
    pub at: Option<(Vec<String>, String, String)>,
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowDrift {
    /// `changed`, `removed` or `added`.
    pub what: String,
    /// Its key.
    pub key: Vec<String>,
    /// Fields that differ: name, left, right.
    pub fields: Vec<(String, String, String)>,
}

impl FieldDrift {
    pub(super) fn new(field: &str) -> FieldDrift {
        FieldDrift {
            field: field.to_owned(),
            ..FieldDrift::default()
        }
    }
}

impl Drift {
    /// Whether nothing differs beyond tolerance.
    pub fn is_equal(&self) -> bool {
        self.removed + self.added + self.changed == 0
    }

    /// Whether something differs within tolerance.
    pub fn is_tolerated(&self) -> bool {
        self.fields.iter().any(|f| f.tolerated > 0)
    }
}
