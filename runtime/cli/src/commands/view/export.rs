//! `refrain view export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use refrain_engine::ingest::Format;
use refrain_engine::request::{Request, ViewAnswer};

use super::rows;
use crate::args::Global;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::link::Link;
use crate::project;
use crate::show::{Sheet, grouped};

/// Write a view to a file, whole or not at all
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  refrain view export delays delays.parquet

The file holds the view's fields, in the order of its key, as of one commit.")]
pub(crate) struct ExportArgs {
    /// Name of the view
    view: String,
    /// File to write; its ending says the format: .parquet, .csv or .jsonl
    file: PathBuf,
}

pub(crate) fn run(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    let format = Format::of(&args.file).ok_or_else(|| {
        Failure::refused(format!(
            "{}: end the name in .parquet, .csv or .jsonl",
            args.file.display()
        ))
    })?;
    let mut link = Link::open(&project::find(global)?)?;
    let view = args.view.clone();
    let answer = rows(&mut link, Request::ViewScan { view, limit: None })?;
    write_whole(&args.file, |file| write(file, format, &answer)).map_err(|failure| Failure {
        message: format!("{}: {}", args.file.display(), failure.message),
        ..failure
    })?;
    eprintln!(
        "{}: {} rows of view {} as of cut {}",
        args.file.display(),
        grouped(answer.table.rows.num_rows() as u64),
        args.view,
        answer.status.state.cut
    );
    Ok(())
}

fn write(file: File, format: Format, answer: &ViewAnswer) -> Result<File, Failure> {
    if format == Format::Parquet {
        return write_parquet(file, answer);
    }
    let sheet = Sheet::of(&answer.table.rows);
    let mut out = BufWriter::new(file);
    match format {
        Format::Csv => sheet.write_csv(&mut out)?,
        _ => sheet.write_jsonl(&mut out)?,
    }
    out.flush()?;
    Ok(out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?)
}

fn write_parquet(file: File, answer: &ViewAnswer) -> Result<File, Failure> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let rows = &answer.table.rows;
    let told = |e: parquet::errors::ParquetError| Failure::new(1, e.to_string());
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).map_err(told)?;
    writer.write(rows).map_err(told)?;
    writer.into_inner().map_err(told)
}
