//! `refrain view export`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use refrain_engine::ingest::Format;
use refrain_engine::request::{Request, ViewAnswer};

use super::about::{self, About};
use super::each_page;
use crate::args::Global;
use crate::commands::version::Which;
use crate::failure::Failure;
use crate::file::write_whole;
use crate::link::Link;
use crate::progress::Progress;
use crate::project;
use crate::show::{Sheet, grouped};

/// Whether a row's window is closed.
const FINAL: &str = "@final";

/// Write a view to a file, whole or not at all
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain view export delays delays.parquet
  refrain view export delays delays.csv       and delays.csv.about.json

The file holds the view's fields, in the order of its key, as of one commit, and `@final`: whether the row's window is
closed. Which commit that is, and how fresh it was when it was exported, is in the metadata of a Parquet file (`refrain.cut`,
`refrain.as_of`, ...); beside a CSV or JSON lines file it is a JSON object in FILE.about.json.")]
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
    let mut count = 0;
    let mut about = None;
    let written = write_whole(&args.file, |file| {
        let mut file = Some(file);
        let mut out: Option<Out> = None;
        let mut progress = None;
        each_page(global.output, &mut link, request, &mut |page| {
            let progress = progress.get_or_insert_with(|| Progress::rows(page.status.state.rows));
            if let Some(file) = file.take() {
                out = Some(Out::new(file, format, &page)?);
                about = Some(About::of(&page.status));
            }
            let out = out.as_mut().expect("made with the first page");
            out.write(&page)?;
            count += page.table.rows.num_rows() as u64;
            progress.at(count);
            Ok(true)
        })?;
        let about = about.as_ref().expect("there is a first page");
        let file = out.expect("made with the first page").finish(about)?;
        // The old rows and what was said of them go together.
        about::forget(&args.file)?;
        Ok(file)
    });
    written.map_err(|failure| failure.about(&args.file))?;
    let about = about.expect("there is a first page");
    if format != Format::Parquet {
        about.write_beside(&args.file)?;
    }
    eprintln!(
        "{}: {} rows of view {}",
        args.file.display(),
        grouped(count),
        args.view,
    );
    about.sheet().print_deed(global.output)
}

/// The rows, each with whether it is final.
fn rows(page: &ViewAnswer) -> RecordBatch {
    let table = &page.table.rows;
    let schema = table.schema();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(FINAL, DataType::Boolean, false)));
    let mut columns = table.columns().to_vec();
    columns.push(Arc::new(BooleanArray::from(page.finals.clone())));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .expect("there is a mark for each row")
}

/// A file on its way, page by page.
enum Out {
    Parquet(Box<ArrowWriter<File>>),
    Csv(BufWriter<File>),
    Jsonl(BufWriter<File>),
}

impl Out {
    fn new(file: File, format: Format, first: &ViewAnswer) -> Result<Out, Failure> {
        let rows = rows(first);
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
        let rows = rows(page);
        match self {
            Out::Parquet(writer) => writer.write(&rows).map_err(told),
            Out::Csv(out) => Ok(Sheet::of(&rows).write_csv_rows(out)?),
            Out::Jsonl(out) => Ok(Sheet::of(&rows).write_jsonl(out)?),
        }
    }

    fn finish(self, about: &About) -> Result<File, Failure> {
        match self {
            Out::Parquet(mut writer) => {
                let metadata = about.metadata().into_iter();
                metadata.for_each(|pair| writer.append_key_value_metadata(pair));
                writer.into_inner().map_err(told)
            }
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
