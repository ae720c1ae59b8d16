//! `refrain topic append`

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};

use clap::ValueEnum;
use refrain_engine::ingest::{self, DecodeOptions, Decoded, Decoder, Format};
use refrain_engine::pipeline::SourceTopic;
use refrain_engine::request::Request;
use refrain_engine::topics::refusal;
use refrain_log::log::Undecoded;
use refrain_log::meter::so_far;

use tokio::signal::unix::{SignalKind, signal};

use super::feed::Feed;
use super::topics;
use crate::args::Global;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::Link;
use crate::progress::Progress;
use crate::project;
use crate::show::{Sheet, grouped};

/// Exit code after a signal.
const INTERRUPTED: u8 = 130;
/// Rows decoded at a time.
const BATCH_ROWS: usize = 16_384;
/// Decoded batches that wait for the log.
const BATCHES_AHEAD: usize = 3;
/// Rows that did not decode which are told one by one.
const TOLD_MAX: u64 = 10;

/// Append rows to a source topic; what it acknowledges is on disk
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain topic append flights flights.parquet
  refrain topic append events 1.csv 2.csv --producer import-7     safe to repeat after any interruption
  tail -f events.jsonl | refrain topic append events --format jsonl

CSV needs a header line; columns are found by name. An empty cell is null where the
field allows null, and the empty text in a text field that does not; \"\" is always the
empty text. Times are ISO 8601 (without a zone: UTC), or integers in the unit that the
schema declares: timestamp(ms). Bytes are base64. Rows that do not decode go to
TOPIC.rejected with line and reason.")]
pub(crate) struct AppendArgs {
    /// Name of the topic
    topic: String,
    /// Files, or - for stdin
    #[arg(default_value = "-")]
    files: Vec<PathBuf>,
    /// Format of the input [default: by the file's ending]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Name under which this input is counted: the same input again adds nothing twice
    #[arg(long, value_name = "NAME")]
    producer: Option<String>,
    /// Keep nothing of the input when a row does not decode; reads files twice
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Jsonl,
    Csv,
    Parquet,
}

/// What the decoding thread hands over.
struct Piece {
    input: String,
    decoded: Decoded,
    /// Processor time that decoding took.
    decode_ns: u64,
    /// Bytes of all input read so far.
    bytes_read: u64,
}

pub(crate) fn run(global: &Global, args: &AppendArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let topic = project::source_topic(&project.declaration()?, &args.topic)?;
    let inputs = inputs(args)?;
    let schema = topic.spec.schema.clone();
    let mut link = Link::open(&project)?;
    for status in topics(&mut link, Request::Topic(args.topic.clone()))? {
        if let Some(why) = refusal(&status, &topic.spec) {
            return Err(Failure::refused(why));
        }
    }
    let mut feed = Feed::new(&mut link, &args.topic, schema, args.producer.clone());
    if args.strict {
        check_all(&inputs, &topic)?;
    }
    let progress = progress(&inputs);
    let pieces = decode_ahead(inputs, topic)?;
    let outcome = feed_all(&mut feed, &pieces, args, &progress);
    // What is under way is known before anything is said, also after an error.
    let settled = feed.settle();
    drop(progress);
    report(global, args, &feed);
    outcome
        .and(settled)
        .map_err(|failure| match feed.acknowledged_row {
            0 => failure,
            row => Failure {
                message: format!(
                    "{}; all input up to row {} is acknowledged; {}",
                    failure.message,
                    grouped(row),
                    how_to_go_on(args)
                ),
                ..failure
            },
        })
}

/// What to do after an append that did not get to its end.
fn how_to_go_on(args: &AppendArgs) -> &'static str {
    match args.producer {
        Some(_) => "run the same command again: it adds nothing twice",
        None => {
            "append the rest without those rows (with --producer NAME from the start, the same command could be run again)"
        }
    }
}

/// Decodes all of the input, and refuses it for the first row that does not decode. Nothing is kept then.
fn check_all(inputs: &[(PathBuf, Format)], topic: &SourceTopic) -> Result<(), Failure> {
    if inputs.iter().any(|(path, _)| path == Path::new("-")) {
        return Err(Failure::refused(
            "--strict reads its input twice, and a pipe can be read once: give files, or leave --strict out; then rows \
             that do not decode are set aside and the others kept",
        ));
    }
    let (sender, pieces) = sync_channel(0);
    let check = |piece: Result<Piece, Failure>| {
        let piece = piece?;
        match piece.decoded.undecoded.first() {
            None => Ok(()),
            Some(row) => Err(Failure::refused(format!(
                "{}, line {}: {}; nothing of the input was kept",
                piece.input, row.line, row.reason
            ))),
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Err(failure) = decode_all(inputs, topic, &sender) {
                // Nobody listens after the first bad row.
                let _ = sender.send(Err(failure));
            }
        });
        // Taken by value: the decoder ends when nobody listens any more.
        pieces.into_iter().try_for_each(check)
    })
}

/// The first ctrl-C or SIGTERM ends the input where it is; a second one leaves at once.
fn end_on_signal(pieces: Weak<SyncSender<Result<Piece, Failure>>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let streams = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let (mut interrupt, mut terminate) = streams;
            let mut pieces = Some(pieces);
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                let Some(pieces) = pieces.take() else {
                    std::process::exit(i32::from(INTERRUPTED));
                };
                // On a thread of its own: there may be no place for it at once, and a second signal must be heard.
                std::thread::spawn(move || {
                    let failure = Failure::new(INTERRUPTED, "interrupted");
                    if let Some(pieces) = pieces.upgrade() {
                        // Nobody listens when an append was refused.
                        let _ = pieces.send(Err(failure));
                    }
                });
            }
        });
    });
    Ok(())
}

fn feed_all(
    feed: &mut Feed,
    pieces: &Receiver<Result<Piece, Failure>>,
    args: &AppendArgs,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut told = 0;
    for piece in pieces {
        let Piece {
            input,
            decoded,
            decode_ns,
            bytes_read,
        } = piece?;
        for note in &decoded.notes {
            eprintln!("note: {input}: {note}");
        }
        if let (true, Some(row)) = (args.strict, decoded.undecoded.first()) {
            return Err(Failure::refused(format!(
                "{input}, line {}: {}",
                row.line, row.reason
            )));
        }
        tell_undecoded(&input, &decoded.undecoded, &mut told, &args.topic);
        feed.send(&input, decoded, decode_ns)?;
        progress.at(bytes_read);
    }
    Ok(())
}

fn tell_undecoded(input: &str, undecoded: &[Undecoded], told: &mut u64, topic: &str) {
    for row in undecoded {
        if *told < TOLD_MAX {
            eprintln!("rejected: {input}, line {}: {}", row.line, row.reason);
        } else if *told == TOLD_MAX {
            eprintln!(
                "rejected: more rows; see them with `refrain rejected show {topic}.rejected`"
            );
        }
        *told += 1;
    }
}

fn report(global: &Global, args: &AppendArgs, feed: &Feed) {
    let done = &feed.appended;
    let names = [
        "topic",
        "rows",
        "duplicates",
        "rejected",
        "sequence",
        "acknowledged_row",
    ];
    let mut deed = Sheet::new(&names);
    let sequence = done.sequence.0;
    let counts = [
        done.rows,
        done.duplicates,
        done.rejected,
        sequence,
        feed.acknowledged_row,
    ];
    let topic = std::iter::once(Cell::text(&args.topic));
    deed.push(topic.chain(counts.map(Cell::count)).collect());
    // Nobody is left to be told that nobody listens.
    let _ = deed.print_deed(global.output);
    let duplicates = match done.duplicates {
        0 => String::new(),
        n => format!(", {} were there already", grouped(n)),
    };
    let rejected = match done.rejected {
        0 => String::new(),
        n => format!(", {} rejected (see {}.rejected)", grouped(n), args.topic),
    };
    eprintln!(
        "{}: {} rows appended{duplicates}{rejected}; all input up to row {} is acknowledged",
        args.topic,
        grouped(done.rows),
        grouped(feed.acknowledged_row)
    );
}

/// Each input with its format; `-` needs one that is named.
fn inputs(args: &AppendArgs) -> Result<Vec<(PathBuf, Format)>, Failure> {
    let named = args.format.map(|format| match format {
        FormatName::Jsonl => Format::Jsonl,
        FormatName::Csv => Format::Csv,
        FormatName::Parquet => Format::Parquet,
    });
    let with_format = |path: &PathBuf| {
        let format = named.or_else(|| Format::of(path));
        let format = format.ok_or_else(|| {
            Failure::refused(format!(
                "{}: which format? Give --format jsonl, csv or parquet",
                path.display()
            ))
        });
        format.map(|format| (path.clone(), format))
    };
    args.files.iter().map(with_format).collect()
}

/// A bar over the bytes of the input; what comes through a pipe is counted.
#[expect(clippy::disallowed_methods, reason = "a user's own file is looked at")]
fn progress(inputs: &[(PathBuf, Format)]) -> Progress {
    let size = |path: &PathBuf| std::fs::metadata(path).ok().map(|m| m.len());
    let sizes: Option<u64> = inputs.iter().map(|(path, _)| size(path)).sum();
    match sizes {
        Some(bytes) => Progress::bytes(bytes),
        None => Progress::endless_bytes(),
    }
}

/// Decodes on a thread of its own, a few batches ahead of the log.
fn decode_ahead(
    inputs: Vec<(PathBuf, Format)>,
    topic: SourceTopic,
) -> Result<Receiver<Result<Piece, Failure>>, Failure> {
    let (sender, pieces) = sync_channel(BATCHES_AHEAD);
    // The one that the signal finds goes with the decoder: the input then ends.
    let sender = Arc::new(sender);
    end_on_signal(Arc::downgrade(&sender))?;
    std::thread::spawn(move || {
        if let Err(failure) = decode_all(&inputs, &topic, &sender) {
            // Nobody listens when the log refused an earlier batch.
            let _ = sender.send(Err(failure));
        }
    });
    Ok(pieces)
}

fn decode_all(
    inputs: &[(PathBuf, Format)],
    topic: &SourceTopic,
    sender: &SyncSender<Result<Piece, Failure>>,
) -> Result<(), Failure> {
    let schema = Arc::new(topic.spec.schema.clone());
    let mut next_row = 1;
    let mut bytes_before = 0;
    for (path, format) in inputs {
        let input = path.display().to_string();
        let options = DecodeOptions {
            schema: Arc::clone(&schema),
            defaults: topic.spec.defaults.clone(),
            units: topic.units.clone(),
            input: input.clone(),
            first_row: next_row,
        };
        let mut decoder = open(path, *format, options)?;
        let mut bytes_in_file = 0;
        let mut before = so_far();
        while let Some(decoded) = decoder.next(BATCH_ROWS)? {
            let decode_ns = so_far().since(before).cpu_ns;
            next_row += decoded.row_numbers.len() as u64 + decoded.undecoded.len() as u64;
            bytes_in_file = decoded.bytes_read;
            let bytes_read = bytes_before + bytes_in_file;
            let piece = Piece {
                input: input.clone(),
                decoded,
                decode_ns,
                bytes_read,
            };
            if sender.send(Ok(piece)).is_err() {
                return Ok(());
            }
            before = so_far();
        }
        bytes_before += bytes_in_file;
    }
    Ok(())
}

fn open(path: &Path, format: Format, options: DecodeOptions) -> Result<Box<dyn Decoder>, Failure> {
    Ok(match path == Path::new("-") {
        true => ingest::decode_stream(format, Box::new(std::io::stdin()), options)?,
        false => ingest::decode_file(format, path, options)?,
    })
}
