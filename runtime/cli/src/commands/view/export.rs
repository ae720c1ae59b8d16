//! `refrain view export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use refrain_engine::ingest::Format;
use refrain_engine::request::{Request, ViewAnswer};
use refrain_log::ids::Sequence;

use super::each_page;
use crate::args::Global;
use crate::commands::version::Which;
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
    #[command(flatten)]
    which: Which,
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
    let view = args.which.of(&args.view);
    let request = Request::ViewScan { view, limit: None };
    let (mut count, mut cut) = (0, Sequence(0));
    let written = write_whole(&args.file, |file| {
        let mut file = Some(file);
        let mut out: Option<Out> = None;
        each_page(global.output, &mut link, request, &mut |page| {
            count += page.table.rows.num_rows() as u64;
            cut = page.status.state.cut;
            if let Some(file) = file.take() {
                out = Some(Out::new(file, format, &page)?);
            }
            let out = out.as_mut().expect("made with the first page");
            out.write(&page)?;
            Ok(true)
        })?;
        out.expect("there is a first page").finish()
    });
    written.map_err(|failure| failure.about(&args.file))?;
    eprintln!(
        "{}: {} rows of view {} as of cut {cut}",
        args.file.display(),
        grouped(count),
        args.view,
    );
    Ok(())
}

/// A file on its way, page by page.
enum Out {
    Parquet(Box<ArrowWriter<File>>),
    Csv(BufWriter<File>),
    Jsonl(BufWriter<File>),
}

impl Out {
    fn new(file: File, format: Format, first: &ViewAnswer) -> Result<Out, Failure> {
        let rows = &first.table.rows;
        Ok(match format {
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build();
                let writer = ArrowWriter::try_new(file, rows.schema(), Some(properties));
                Out::Parquet(Box::new(writer.map_err(told)?))
            }
            Format::Csv => {
                let mut out = BufWriter::new(file);
                Sheet::of(&rows.slice(0, 0)).write_csv_header(&mut out)?;
                Out::Csv(out)
            }
            Format::Jsonl => Out::Jsonl(BufWriter::new(file)),
        })
    }

    fn write(&mut self, page: &ViewAnswer) -> Result<(), Failure> {
        let rows = &page.table.rows;
        match self {
            Out::Parquet(writer) => writer.write(rows).map_err(told),
            Out::Csv(out) => Ok(Sheet::of(rows).write_csv_rows(out)?),
            Out::Jsonl(out) => Ok(Sheet::of(rows).write_jsonl(out)?),
        }
    }

    fn finish(self) -> Result<File, Failure> {
        match self {
            Out::Parquet(writer) => writer.into_inner().map_err(told),
            Out::Csv(mut out) | Out::Jsonl(mut out) => {
                out.flush()?;
                Ok(out
                    .into_inner()
                    .map_err(std::io::IntoInnerError::into_error)?)
            }
        }
    }
}

fn told(error: parquet::errors::ParquetError) -> Failure {
    Failure::new(1, error.to_string())
}
