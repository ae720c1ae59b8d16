//! Validation: two versions of a view at one cut, or a view and a table from outside, compared by digest and then row by
//! row.

pub mod checks;
pub(crate) mod compare;
mod diverge;
pub mod divergence;
mod outside;
pub mod report;
pub(crate) mod rerun;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use refrain_log::ids::Offset;
use refrain_log::schema::Schema;
use refrain_state::registry::Decision;
use refrain_state::view::View;

use self::report::{Drift, Report, Tolerance, ValidateOrder};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::pipeline::{PlannedNode, Window};
use crate::request::Table;
use crate::versions::{
    NodeVersions, Start, Validated, VersionName, Versions, entry, newest_candidate,
};

/// Two versions at one cut.
pub(crate) struct Compared {
    digests: (u128, u128),
    /// Row by row; none: equal digests say it all.
    drift: Option<Drift>,
}

impl Compared {
    /// Whether nothing differs, or nothing beyond tolerance.
    pub(crate) fn is_equal(&self) -> bool {
        self.drift.as_ref().is_none_or(Drift::is_equal)
    }

    fn is_tolerated(&self) -> bool {
        self.drift.as_ref().is_some_and(Drift::is_tolerated)
    }
}

/// A version's view at a cut.
struct Seen {
    digest: u128,
    table: Table,
}

impl Host {
    /// Compares; what was found equal is noted with the version, for `refrain cutover --require validated`.
    pub fn validate(&self, order: &ValidateOrder) -> Result<Report> {
        let (node, known) = self.node_versions(&order.name)?;
        let live = VersionName::new(&node, known.reading.live);
        for field in order.tolerances.keys() {
            let planned = known.versions[&live.number].planned()?;
            if planned.output_schema.field(field).is_none() {
                return Err(Error::Refused(format!(
                    "there is no field {field} in the view of node {node} to have a tolerance"
                )));
            }
        }
        if let Some((file, table)) = &order.against {
            let of = order.candidate.map_or(live, |v| VersionName::new(&node, v));
            return self.validate_against(order, &of, file, table);
        }
        let candidate = match order.candidate {
            Some(version) => version,
            None => newest_candidate(&node, &known)?,
        };
        let right = VersionName::new(&node, candidate);
        let names = [live.to_string(), right.to_string()];
        let held = self.meet_or_run(&names, None)?;
        let cut = held.cut;
        let compared = self.compare_versions(&live, &right, &known, &order.tolerances)?;
        drop(held);
        let (equal, tolerated) = (compared.is_equal(), compared.is_tolerated());
        if equal {
            let validated = Validated {
                against: live.number,
                cut,
                tolerated,
                tolerances: order.tolerances.clone(),
            };
            self.note_validated(&right, validated)?;
        }
        Ok(Report {
            node,
            left: format!("version {}", live.number),
            right: format!("version {candidate}"),
            cut,
            digests: Some((
                format!("{:032x}", compared.digests.0),
                format!("{:032x}", compared.digests.1),
            )),
            equal,
            tolerated,
            drift: compared.drift,
        })
    }

    /// Compares the views of two versions as they are, which stand at one cut: by digest, and where that differs row by
    /// row, as far as the right one has what came before.
    pub(crate) fn compare_versions(
        &self,
        left: &VersionName,
        right: &VersionName,
        known: &NodeVersions,
        tolerances: &BTreeMap<String, Tolerance>,
    ) -> Result<Compared> {
        let version = known.versions.get(&right.number).ok_or_else(|| {
            let node = &right.name;
            Error::Refused(format!("node {node} has no version {}", right.number))
        })?;
        let views = (self.view_of_version(left)?, self.view_of_version(right)?);
        let digests = (views.0.state().digest, views.1.state().digest);
        let mut drift = None;
        if digests.0 != digests.1 {
            let planned = version.planned()?;
            let tables = (table_of(&views.0)?, table_of(&views.1)?);
            let key = shared_key(&planned, &tables.0, &tables.1)?;
            let counts = self.whole_rows(&planned, version.start)?;
            let found = compare::compare(&tables.0, &tables.1, &key, tolerances, &counts);
            drift = Some(found);
        }
        Ok(Compared { digests, drift })
    }

    fn validate_against(
        &self,
        order: &ValidateOrder,
        version: &VersionName,
        file: &str,
        table: &Table,
    ) -> Result<Report> {
        let held = self.meet_or_run(&[version.to_string()], None)?;
        let seen = self.see(version)?;
        let cut = held.cut;
        drop(held);
        let (_, known) = self.node_versions(&version.name)?;
        let kept = &known.versions[&version.number];
        let planned = kept.planned()?;
        let key = shared_key(&planned, &seen.table, table)?;
        let counts = self.whole_rows(&planned, kept.start)?;
        let drift = compare::compare(&seen.table, table, &key, &order.tolerances, &counts);
        Ok(Report {
            node: version.name.clone(),
            left: format!("version {}", version.number),
            right: file.to_owned(),
            cut,
            digests: None,
            equal: drift.is_equal(),
            tolerated: drift.is_tolerated(),
            drift: Some(drift),
        })
    }

    /// The view of a version, as it stands.
    fn see(&self, version: &VersionName) -> Result<Seen> {
        let view = self.view_of_version(version)?;
        let rows = view.scan(None)?;
        Ok(Seen {
            digest: rows.state.digest,
            table: Table {
                schema: (**view.schema()).clone(),
                rows: rows.rows,
            },
        })
    }

    fn view_of_version(&self, version: &VersionName) -> Result<Arc<View>> {
        let name = version.to_string();
        let views = self.state.views();
        let view = views.into_iter().find(|v| v.spec().node == name);
        view.ok_or_else(|| {
            Error::Refused(format!(
                "node {name} keeps no view: validate the views of the nodes that read its topic"
            ))
        })
    }

    /// Which rows of a version that begins at a start lack nothing of what came before it.
    fn whole_rows(
        &self,
        planned: &PlannedNode,
        start: Start,
    ) -> Result<impl Fn(&Table, usize) -> bool + use<>> {
        let window = planned.window.as_ref().map(|w| w.key_field().name);
        // A session within the silence after a row that is not there would have begun with that row.
        let margin_us = match &planned.window {
            Some(Window::Session { gap_us, .. }) => *gap_us,
            _ => 0,
        };
        let mut first = Vec::new();
        if start.after.0 > 0
            && window.is_none()
            && let Some(topic) = self.log.topic(&planned.input_topics()[0])
        {
            let partitions = 0..topic.spec().partitions;
            first = partitions
                .map(|p| self.first_after(&topic, p, start.after))
                .collect();
        }
        Ok(
            move |table: &Table, row: usize| match (&window, start.time_max) {
                _ if start.after.0 == 0 => true,
                (Some(field), Some(time_max)) => {
                    let column = table.rows.column_by_name(field);
                    let times = column.map(|c| c.as_primitive::<TimestampMicrosecondType>());
                    times.is_some_and(|t| {
                        !t.is_null(row) && t.value(row) > time_max.0.saturating_add(margin_us)
                    })
                }
                (Some(_), None) => true,
                (None, _) => {
                    let number = |name: &str| {
                        let column = table.rows.column_by_name(name);
                        column.map_or(0, |c| c.as_primitive::<Int64Type>().value(row))
                    };
                    let first = first.get(number("partition") as usize);
                    first.is_none_or(|first: &Offset| number("offset") as u64 >= first.0)
                }
            },
        )
    }

    fn note_validated(&self, version: &VersionName, validated: Validated) -> Result<()> {
        self.state.decide(|registry| {
            let versions = Versions::read(registry)?;
            let mut decision = Decision::default();
            if let Some(mut known) = versions.node(&version.name).cloned()
                && let Some(noted) = known.versions.get_mut(&version.number)
            {
                noted.validated = Some(validated);
                decision.entries.push(entry(&version.name, &known));
            }
            Ok::<_, Error>((decision, ()))
        })
    }
}

/// All rows of a view.
fn table_of(view: &View) -> Result<Table> {
    Ok(Table {
        schema: (**view.schema()).clone(),
        rows: view.scan(None)?.rows,
    })
}

/// Batches of one schema as one table.
pub fn joined(schema: Schema, parts: &[RecordBatch]) -> Result<Table> {
    let rows = arrow_select::concat::concat_batches(&schema.arrow(), parts);
    let rows = rows.map_err(|e| Error::Refused(format!("the table is too large: {e}")))?;
    Ok(Table { schema, rows })
}

/// The key fields of the view, which both tables must have.
fn shared_key(planned: &PlannedNode, left: &Table, right: &Table) -> Result<Vec<String>> {
    let fields = &planned.output_schema.fields()[..planned.output_key_fields];
    let has =
        |table: &Table, name: &str, kind| table.schema.field(name).is_some_and(|f| f.kind == kind);
    for field in fields {
        if !has(left, &field.name, field.kind) || !has(right, &field.name, field.kind) {
            return Err(Error::Refused(format!(
                "the two cannot be compared row by row: the key field {field} is not in both, with that type"
            )));
        }
    }
    Ok(fields.iter().map(|f| f.name.clone()).collect())
}
