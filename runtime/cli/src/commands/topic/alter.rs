//! `refrain topic alter`

use refrain_engine::request::{Request, Response};
use refrain_engine::topics::AlterOrder;

use crate::args::{Global, Output};
use crate::commands::version::print_json;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;
use crate::show::grouped;

/// Give a topic the schema that the pipeline file says
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain topic alter flights              says what would change
  refrain topic alter flights --confirm    changes it

Fields can be added that may be null or have a default (\"i64 = 0\"), types can be widened without loss (bool and timestamp to
i64, text to bytes), and a field can be allowed to be null; never key and event time. Nothing is rewritten: rows that are
there are read as the new schema. What a version of a node reads as it was is refused, as is everything else: declare a new
topic, and replay into it. Works beside a running host, which goes on.")]
pub(crate) struct AlterArgs {
    /// Name of the topic
    topic: String,
    /// Do it
    #[arg(long)]
    confirm: bool,
}

pub(crate) fn run(global: &Global, args: &AlterArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let order = AlterOrder {
        topic: args.topic.clone(),
        confirm: args.confirm,
    };
    let Response::Altered(alteration) = link.ask(Request::Alter(order))? else {
        return Err(unexpected());
    };
    if global.output == Output::Json {
        return print_json(&alteration);
    }
    let topic = &alteration.topic;
    if alteration.changes.is_empty() {
        eprintln!("{topic}: the log has the schema of the pipeline file already");
        return Ok(());
    }
    let (version, rows) = (alteration.version, grouped(alteration.rows));
    match alteration.done {
        true => eprintln!("{topic}: version {version} of its schema; {rows} rows are read as it"),
        false => eprintln!("{topic}: version {version} of its schema would be"),
    }
    for change in &alteration.changes {
        eprintln!("  {change}");
    }
    if !alteration.done {
        eprintln!(
            "{rows} rows would be read as it; nothing has been changed; do it with --confirm"
        );
    }
    Ok(())
}
