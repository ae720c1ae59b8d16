//! Versions of views: replay into a candidate, let readers move to it, go back, take old ones away.

mod checks;
pub(crate) mod cutover;
mod divergence;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod replay;
pub(crate) mod retire;
pub(crate) mod rollback;
pub(crate) mod upgrade;
pub(crate) mod validate;

use refrain_engine::request::{Request, Response};
use refrain_engine::versions::request::{self as versions, Answer, Moved, VersionList};
use serde::Serialize;

use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::show::{Sheet, seen_enough};

/// Which version of a view is read.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Which {
    /// This version [default: the one that is live]
    #[arg(long = "version", value_name = "N", conflicts_with = "consumer")]
    version: Option<u32>,
    /// The version that this consumer reads
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,
}

impl Which {
    /// Whether another one than the live one is asked for by name.
    pub(crate) fn is_named(&self) -> bool {
        self.version.is_some() || self.consumer.is_some()
    }

    /// The view as a request names it.
    pub(crate) fn of(&self, view: &str) -> String {
        match (self.version, &self.consumer) {
            (Some(version), _) => format!("{view}@{version}"),
            (None, Some(consumer)) => format!("{view}@for:{consumer}"),
            (None, None) => view.to_owned(),
        }
    }
}

pub(crate) fn ask(link: &mut Link, request: versions::Request) -> Result<Answer, Failure> {
    match link.ask(Request::Versions(request))? {
        Response::Versions(answer) => Ok(*answer),
        _ => Err(unexpected()),
    }
}

pub(crate) fn list_of(link: &mut Link, name: &str) -> Result<VersionList, Failure> {
    match ask(link, versions::Request::List(name.to_owned()))? {
        Answer::List(list) => Ok(list),
        _ => Err(unexpected()),
    }
}

/// One JSON document on stdout.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    use std::io::Write;
    let json = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    seen_enough(writeln!(std::io::stdout(), "{json}"))
}

/// Who reads what now.
fn print_moved(global: &Global, moved: &Moved, who: &str) -> Result<(), Failure> {
    if global.output == Output::Json {
        return print_json(moved);
    }
    let mut sheet = Sheet::new(&["node", "read_before", "read_now", "cut"]);
    for (node, from, to) in &moved.moves {
        sheet.push(vec![
            Cell::text(node),
            Cell::count((*from).into()),
            Cell::count((*to).into()),
            Cell::count(moved.cut.0),
        ]);
    }
    sheet.print(global.output)?;
    eprintln!("{who}: moved at cut {}", moved.cut);
    for note in &moved.notes {
        eprintln!("note: {note}");
    }
    Ok(())
}
