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
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use refrain_log::schema::Schema;
use refrain_state::registry::Decision;
use refrain_state::view::{Pages, View};

use self::compare::Side;
use self::report::{Drift, Report, Tolerance, ValidateOrder};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::names;
use crate::pipeline::PlannedNode;
use crate::request::Table;
use crate::versions::{NodeVersions, Validated, VersionName, Versions, entry, newest_candidate};

/// Rows of a view that are compared at once.
const PAGE_ROWS: usize = 65_536;
/// Bytes of them, about.
const PAGE_BYTES: u64 = 16 << 20;

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

/// The views of two versions, as they stood at one cut.
pub(crate) struct TwoViews {
    views: (Arc<View>, Arc<View>),
    digests: (u128, u128),
    /// None: equal digests say it all.
    pages: Option<(Pages, Pages)>,
}

/// Rows of a view to be compared.
enum Rows {
    /// A page at a time, in the order of the key.
    Paged(Schema, Pages),
    /// All of them: the order of the view is another one.
    Whole(Table),
}

impl Rows {
    fn of(view: &View, mut pages: Pages, key: &[String]) -> Result<Rows> {
        let schema = (**view.schema()).clone();
        let own = view.key_schema().fields().iter().map(|f| &f.name);
        if own.eq(key) {
            return Ok(Rows::Paged(schema, pages));
        }
        let mut parts = Vec::new();
        while !pages.is_done() {
            parts.push(pages.next(PAGE_ROWS, PAGE_BYTES)?.rows);
        }
        Ok(Rows::Whole(joined(schema, &parts)?))
    }

    fn side<'a>(&'a mut self, key: &'a [String]) -> Side<'a> {
        let (schema, pages) = match self {
            Rows::Whole(table) => return Side::of_table(table, key),
            Rows::Paged(schema, pages) => (schema.clone(), pages),
        };
        Side::of_pages(schema, key, move || {
            if pages.is_done() {
                return Ok(None);
            }
            Ok(Some(pages.next(PAGE_ROWS, PAGE_BYTES)?.rows))
        })
    }
}

impl Host {
    /// Compares; what was found equal is noted with the version, for `refrain cutover --require validated`.
    pub fn validate(&self, order: &ValidateOrder) -> Result<Report> {
        let (node, known) = self.node_versions(&order.name)?;
        let live = VersionName::new(&node, known.reading.live);
        for field in order.tolerances.keys() {
            let planned = known.versions[&live.number].planned()?;
            if planned.output_schema.field(field).is_none() {
                let all = planned.output_schema.fields().iter();
                let all = all.map(|field| field.name.as_str());
                let what = format!("field in the view of node {node} of the name");
                return Err(Error::Refused(names::unknown(&what, field, all, "")));
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
        if !known.versions.contains_key(&candidate) {
            return Err(no_version(&node, candidate));
        }
        if candidate == live.number {
            return Err(Error::Refused(format!(
                "version {candidate} of node {node} is the one that is read: name another one to compare it with"
            )));
        }
        let right = VersionName::new(&node, candidate);
        let names = [live.to_string(), right.to_string()];
        let held = self.meet_or_run(&names, None)?;
        let cut = held.cut;
        let views = self.two_views(&live, &right)?;
        drop(held);
        let compared = self.compare_views(views, (&live, &right), &known, &order.tolerances)?;
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

    /// The views of two versions as they are. They stand at one cut.
    fn two_views(&self, left: &VersionName, right: &VersionName) -> Result<TwoViews> {
        let views = (self.view_of_version(left)?, self.view_of_version(right)?);
        let digests = (views.0.state().digest, views.1.state().digest);
        let mut pages = None;
        if digests.0 != digests.1 {
            pages = Some((views.0.pages(None, None)?, views.1.pages(None, None)?));
        }
        Ok(TwoViews {
            views,
            digests,
            pages,
        })
    }

    /// Compares them: by digest, and where that differs row by row, as far as both have what came before.
    fn compare_views(
        &self,
        seen: TwoViews,
        (left, right): (&VersionName, &VersionName),
        known: &NodeVersions,
        tolerances: &BTreeMap<String, Tolerance>,
    ) -> Result<Compared> {
        let version = known.versions.get(&right.number);
        let version = version.ok_or_else(|| no_version(&right.name, right.number))?;
        let TwoViews {
            views,
            digests,
            pages,
        } = seen;
        let mut drift = None;
        if let Some(pages) = pages {
            let planned = version.planned()?;
            let key = shared_key(&planned, views.0.schema(), views.1.schema())?;
            let whole = self.comparable(left, right)?;
            let counts = |table: &Table, row: usize| whole.has(table, row);
            let mut rows = (
                Rows::of(&views.0, pages.0, &key)?,
                Rows::of(&views.1, pages.1, &key)?,
            );
            let sides = (rows.0.side(&key), rows.1.side(&key));
            let found = compare::merge(sides.0, sides.1, tolerances, &counts)?;
            if found.rows == (0, 0) && found.skipped != (0, 0) {
                return Err(Error::Refused(format!(
                    "no row of version {} of node {} can be compared with version {} yet: each lacks something of what came \
                     before the later one of them begins; run on, or begin earlier",
                    right.number, right.name, left.number
                )));
            }
            drift = Some(found);
        }
        Ok(Compared { digests, drift })
    }

    /// Both at once, for versions that are held where they stand.
    pub(crate) fn compare_versions(
        &self,
        left: &VersionName,
        right: &VersionName,
        known: &NodeVersions,
        tolerances: &BTreeMap<String, Tolerance>,
    ) -> Result<Compared> {
        self.compare_views(
            self.two_views(left, right)?,
            (left, right),
            known,
            tolerances,
        )
    }

    fn validate_against(
        &self,
        order: &ValidateOrder,
        version: &VersionName,
        file: &str,
        table: &Table,
    ) -> Result<Report> {
        let held = self.meet_or_run(&[version.to_string()], None)?;
        let view = self.view_of_version(version)?;
        let (cut, pages) = (held.cut, view.pages(None, None)?);
        drop(held);
        let (_, known) = self.node_versions(&version.name)?;
        let kept = &known.versions[&version.number];
        let planned = kept.planned()?;
        let key = shared_key(&planned, view.schema(), &table.schema)?;
        let whole = self.comparable_outside(version)?;
        let counts = |table: &Table, row: usize| whole.has(table, row);
        let mut left = Rows::of(&view, pages, &key)?;
        let sides = (left.side(&key), Side::of_table(table, &key));
        let drift = compare::merge(sides.0, sides.1, &order.tolerances, &counts)?;
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

    /// The rows of a version's view, as they stand.
    fn see(&self, version: &VersionName) -> Result<Table> {
        let view = self.view_of_version(version)?;
        Ok(Table {
            schema: (**view.schema()).clone(),
            rows: view.scan(None)?.rows,
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

fn no_version(node: &str, number: u32) -> Error {
    Error::Refused(format!(
        "node {node} has no version {number}; see `refrain view versions {node}`"
    ))
}

/// Batches of one schema as one table.
pub fn joined(schema: Schema, parts: &[RecordBatch]) -> Result<Table> {
    let rows = arrow_select::concat::concat_batches(&schema.arrow(), parts);
    let rows = rows.map_err(|e| Error::Refused(format!("the table is too large: {e}")))?;
    Ok(Table { schema, rows })
}

/// The key fields of the view, which both tables must have.
fn shared_key(planned: &PlannedNode, left: &Schema, right: &Schema) -> Result<Vec<String>> {
    let fields = &planned.output_schema.fields()[..planned.output_key_fields];
    let has =
        |schema: &Schema, name: &str, kind| schema.field(name).is_some_and(|f| f.kind == kind);
    for field in fields {
        if !has(left, &field.name, field.kind) || !has(right, &field.name, field.kind) {
            let names = |schema: &Schema| {
                let fields = schema.fields().iter().map(ToString::to_string);
                fields.collect::<Vec<_>>().join(", ")
            };
            return Err(Error::Refused(format!(
                "the two cannot be compared row by row: the key field {field} is not in both, with that type; the one has {}; \
                 the other has {}",
                names(left),
                names(right)
            )));
        }
    }
    Ok(fields.iter().map(|f| f.name.clone()).collect())
}
