//! `refrain validate`

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use refrain_engine::ingest::{DecodeOptions, Format, decode_file};
use refrain_engine::request::{Request, Table};
use refrain_engine::validate::divergence::Divergence;
use refrain_engine::validate::report::{Drift, Report, Tolerance, ValidateOrder};
use refrain_engine::versions::request::{self as versions, Answer};
use refrain_log::schema::Schema;
use refrain_log::schemas::Defaults;

use super::{ask, checks, divergence, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::commands::view;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::project;
use crate::show::{self, Sheet, grouped};

/// Rows decoded at a time.
const ROWS: usize = 65_536;
/// Two versions differ.
const DRIFT: u8 = 3;

/// Compare a candidate with the live version at one cut, or a view with an outside table
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain validate delays                                     the newest candidate with the live version
  refrain validate delays --tolerance delay_mean=0.1%         accepting small differences
  refrain validate delays --against nightly.csv               the live version with another system's table
  refrain validate delays --first-divergence                  and where in the log they part
  refrain validate delays --check fit-to-read                 a check of the pipeline file, on the newest candidate

Exit code 0 when they are equal, or within tolerance, or the checks hold; else 3. --output csv: rows of `table` compared,
field, row (those with the largest differences), and with --first-divergence point and view.")]
pub(crate) struct ValidateArgs {
    /// Name of the view, or of its node
    view: String,
    /// The version to compare [default: the newest candidate; with --against: the live one]
    #[arg(long, value_name = "N")]
    candidate: Option<u32>,
    /// Accept differences of a number: a share (0.1%) or an amount (2); may be given several times
    #[arg(long = "tolerance", value_name = "FIELD=0.1%", value_parser = parse_tolerance)]
    tolerances: Vec<(String, Tolerance)>,
    /// Compare with this table instead: .csv or .parquet, with the key fields of the view and any of its other fields
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// When they differ, find the first row of the log after which they do: versions are computed again beside the live
    /// one, in memory. With --against: the first row that came late and explains it
    #[arg(long)]
    first_divergence: bool,
    /// Give up the search when a version has taken so many rows again
    #[arg(long, value_name = "ROWS", requires = "first_divergence", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Judge this check of the pipeline file instead, on the rows of one version; may be given several times
    /// [default version: the newest candidate, else the live one]
    #[arg(long = "check", value_name = "NAME", conflicts_with_all = ["against", "first_divergence", "tolerances"])]
    checks: Vec<String>,
    /// All checks on the view
    #[arg(long, conflicts_with_all = ["against", "first_divergence", "tolerances", "checks"])]
    all_checks: bool,
}

fn parse_tolerance(text: &str) -> Result<(String, Tolerance), String> {
    let wrong = "write FIELD=0.1% or FIELD=2";
    let (field, amount) = text.split_once('=').ok_or(wrong)?;
    let tolerance = Tolerance::parse(amount).ok_or(wrong)?;
    Ok((field.trim().to_owned(), tolerance))
}

pub(crate) fn run(global: &Global, args: &ValidateArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    if args.all_checks || !args.checks.is_empty() {
        return checks::run(global, &mut link, &args.view, args.candidate, &args.checks);
    }
    let against = match &args.against {
        None => None,
        Some(path) => {
            let request = Request::ViewScan {
                view: args.view.clone(),
                limit: Some(0),
            };
            let schema = view::rows(&mut link, request)?.status.schema;
            Some((path.display().to_string(), outside(path, &schema)?))
        }
    };
    let order = ValidateOrder {
        name: args.view.clone(),
        candidate: args.candidate,
        tolerances: args.tolerances.iter().cloned().collect::<BTreeMap<_, _>>(),
        against,
    };
    let request = versions::Request::Validate(order.clone());
    let progress = Progress::spinner("comparing");
    let Answer::Validated(report) = ask(&mut link, request)? else {
        return Err(unexpected());
    };
    drop(progress);
    // For people at once: what follows may take long.
    if global.output == Output::Table {
        tell(global, &report)?;
    }
    let found = match args.first_divergence && !report.equal {
        true => Some(divergence::find(&mut link, order, args.limit)?),
        false => None,
    };
    match (&found, global.output) {
        (Some(found), Output::Json) => print_json(&Both {
            report: &report,
            first_divergence: found,
        })?,
        (None, Output::Json) => print_json(&report)?,
        (found, Output::Csv) => {
            let mut tables = tables(&report);
            tables.extend(found.iter().flat_map(divergence::tables));
            show::print_tables(tables, global.output)?;
        }
        (Some(found), Output::Table) => divergence::show(found)?,
        (None, Output::Table) => {}
    }
    match report.equal {
        true => Ok(()),
        false => Err(Failure::new(
            DRIFT,
            format!(
                "{} and {} differ at cut {}",
                report.left, report.right, report.cut
            ),
        )),
    }
}

/// A comparison and where it parts, as one document.
#[derive(serde::Serialize)]
struct Both<'a> {
    #[serde(flatten)]
    report: &'a Report,
    first_divergence: &'a Divergence,
}

/// For people: sentences, and a table of the fields that differ.
fn tell(global: &Global, report: &Report) -> Result<(), Failure> {
    let Report {
        left, right, cut, ..
    } = report;
    if let Some((a, b)) = &report.digests {
        eprintln!("at cut {cut}: {left} has digest {a}, {right} {b}");
    }
    let Some(drift) = &report.drift else {
        eprintln!("{left} and {right} are equal, row by row");
        return Ok(());
    };
    tell_counts(report, drift);
    if drift.fields.iter().any(|f| f.changed + f.tolerated > 0) {
        fields(report, drift).print(global.output)?;
    }
    if report.equal {
        let within = if report.tolerated {
            ", within tolerance"
        } else {
            ""
        };
        eprintln!("{left} and {right} are equal in all rows that were compared{within}");
    }
    if !drift.shown.is_empty() {
        eprintln!("rows with the largest differences:");
        for row in &drift.shown {
            let fields = row
                .fields
                .iter()
                .map(|(name, a, b)| format!("{name}: {a} -> {b}"));
            let fields: Vec<String> = fields.collect();
            eprintln!("  {} {} {}", row.what, row.key.join(" "), fields.join(", "));
        }
    }
    Ok(())
}

/// The same as data: what was compared, the fields that differ, and rows with the largest differences.
fn tables(report: &Report) -> Vec<(&'static str, Sheet)> {
    let names = [
        "cut",
        "equal",
        "version",
        "digest",
        "rows",
        "only_here",
        "changed",
    ];
    let mut compared = Sheet::new(&names);
    let (a, b) = report.digests.clone().unzip();
    let drift = report.drift.as_ref();
    let sides = [
        (&report.left, a, drift.map(|d| (d.rows.0, d.removed))),
        (&report.right, b, drift.map(|d| (d.rows.1, d.added))),
    ];
    let count = |count: Option<u64>| count.map_or(Cell::Null, Cell::count);
    for (version, digest, rows) in sides {
        compared.push(vec![
            Cell::count(report.cut.0),
            Cell::Bool(report.equal),
            Cell::text(version),
            digest.map_or(Cell::Null, Cell::text),
            count(rows.map(|(rows, _)| rows)),
            count(rows.map(|(_, only)| only)),
            count(drift.map(|d| d.changed)),
        ]);
    }
    let Some(drift) = drift else {
        return vec![("compared", compared)];
    };
    let mut rows = Sheet::new(&["what", "key", "field", &report.left, &report.right]);
    for row in &drift.shown {
        for (field, a, b) in &row.fields {
            rows.push(vec![
                Cell::text(&row.what),
                Cell::text(row.key.join(" ")),
                Cell::text(field),
                Cell::text(a),
                Cell::text(b),
            ]);
        }
    }
    let fields = fields(report, drift);
    vec![("compared", compared), ("field", fields), ("row", rows)]
}

/// Fields that differ.
fn fields(report: &Report, drift: &Drift) -> Sheet {
    let (left, right) = (&report.left, &report.right);
    let names = [
        "field",
        "changed",
        "within_tolerance",
        "largest",
        "at",
        left,
        right,
    ];
    let mut fields = Sheet::new(&names);
    for field in drift.fields.iter().filter(|f| f.changed + f.tolerated > 0) {
        let (key, a, b) = field.at.clone().unwrap_or_default();
        fields.push(vec![
            Cell::text(&field.field),
            Cell::count(field.changed),
            Cell::count(field.tolerated),
            field.largest.map_or(Cell::Null, Cell::Float),
            Cell::text(key.join(" ")),
            Cell::text(a),
            Cell::text(b),
        ]);
    }
    fields
}

fn tell_counts(report: &Report, drift: &Drift) {
    eprintln!(
        "{} rows of {}, {} of {}: {} only in the first, {} only in the second, {} changed",
        grouped(drift.rows.0),
        report.left,
        grouped(drift.rows.1),
        report.right,
        grouped(drift.removed),
        grouped(drift.added),
        grouped(drift.changed)
    );
    if drift.skipped != (0, 0) {
        eprintln!(
            "not compared, as the version begins later: {} and {} rows",
            grouped(drift.skipped.0),
            grouped(drift.skipped.1)
        );
    }
    let (a, b) = &drift.fields_only;
    if !a.is_empty() || !b.is_empty() {
        eprintln!(
            "not compared, only on one side: {}",
            [a.clone(), b.clone()].concat().join(", ")
        );
    }
}

/// Another system's table, with those fields of the view that it has.
fn outside(path: &Path, schema: &Schema) -> Result<Table, Failure> {
    let told = |what: String| Failure::refused(format!("{}: {what}", path.display()));
    let format = Format::of(path).filter(|f| *f != Format::Jsonl);
    let format = format.ok_or_else(|| told("give a .csv or .parquet file".into()))?;
    let names = columns(path, format).map_err(|e| told(e.message))?;
    let fields = schema.fields().iter().filter(|f| names.contains(&f.name));
    let schema = Schema::new(fields.cloned().collect());
    let input = path.display().to_string();
    let options = DecodeOptions {
        schema: Arc::new(schema.clone()),
        defaults: Defaults::new(),
        units: BTreeMap::new(),
        input,
        first_row: 1,
    };
    let mut decoder = decode_file(format, path, options)?;
    let mut parts = Vec::new();
    while let Some(decoded) = decoder.next(ROWS)? {
        if let Some(bad) = decoded.undecoded.first() {
            return Err(told(format!("line {}: {}", bad.line, bad.reason)));
        }
        parts.push(decoded.rows);
    }
    Ok(refrain_engine::validate::joined(schema, &parts)?)
}

/// Names of the columns of a file.
#[expect(clippy::disallowed_methods, reason = "a user's own file is read")]
fn columns(path: &Path, format: Format) -> Result<Vec<String>, Failure> {
    let file = std::fs::File::open(path)?;
    if format == Format::Parquet {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file);
        let reader = reader.map_err(|e| Failure::refused(e.to_string()))?;
        let names = reader.schema().fields().iter().map(|f| f.name().clone());
        return Ok(names.collect());
    }
    let mut header = String::new();
    BufReader::new(file).read_line(&mut header)?;
    let names = header.trim_start_matches('\u{feff}').trim_end().split(',');
    Ok(names
        .map(|name| name.trim().trim_matches('"').to_owned())
        .collect())
}
