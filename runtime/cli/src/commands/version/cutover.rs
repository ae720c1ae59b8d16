//! `refrain cutover`

use refrain_engine::pipeline::units::duration_us;
use refrain_engine::versions::request::{self as versions, Answer, CutoverOrder, Requirement};

use super::{ask, print_moved};
use crate::args::Global;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::project;

/// Let readers of a view read another version from now on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain cutover delays                                          the newest candidate, for everybody
  refrain cutover delays --consumer ops-board                     for one consumer
  refrain cutover delays --require 'validated,lag<10s'            only if
  refrain cutover delays --require check:fit-to-read              only if that check of the pipeline file holds

All at once: what is read next is at least at the cut that was read last. Go back with `refrain rollback`.")]
pub(crate) struct CutoverArgs {
    /// Name of the view, of its node, or of the topic of a node
    view: String,
    /// The version to read [default: the newest candidate]
    #[arg(long, value_name = "N")]
    candidate: Option<u32>,
    /// Only for this consumer; may be given several times [default: everybody]
    #[arg(long = "consumer", value_name = "CONSUMER")]
    consumers: Vec<String>,
    /// What must hold: validated, lag<DURATION, or check:NAME; may be given several times
    #[arg(long, value_delimiter = ',', value_parser = parse_requirement)]
    require: Vec<Requirement>,
}

fn parse_requirement(text: &str) -> Result<Requirement, String> {
    let lag = text
        .strip_prefix("lag<")
        .and_then(|d| duration_us(d.trim()));
    if let Some(check) = text.strip_prefix("check:") {
        return Ok(Requirement::Check(check.trim().to_owned()));
    }
    match (text, lag) {
        ("validated", _) => Ok(Requirement::Validated),
        (_, Some(us)) => Ok(Requirement::Lag(us)),
        _ => Err("write validated, lag<10s, or check:NAME".into()),
    }
}

pub(crate) fn run(global: &Global, args: &CutoverArgs) -> Result<(), Failure> {
    let mut link = Link::open(&project::find(global)?)?;
    let order = CutoverOrder {
        name: args.view.clone(),
        version: args.candidate,
        consumers: args.consumers.clone(),
        require: args.require.clone(),
    };
    match ask(&mut link, versions::Request::Cutover(order))? {
        Answer::Moved(moved) => {
            let who = match args.consumers.is_empty() {
                true => "everybody".to_owned(),
                false => args.consumers.join(", "),
            };
            print_moved(global, &moved, &who)
        }
        _ => Err(unexpected()),
    }
}
