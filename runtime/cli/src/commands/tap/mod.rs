//! `refrain tap`: rows on their way through a node, as they are taken and as they come out.

mod changes;
mod print;
mod topics;

use refrain_engine::names;
use refrain_engine::pipeline::Declaration;
use refrain_engine::pipeline::declaration::OutputDeclaration;

use crate::args::Global;
use crate::failure::Failure;
use crate::link::Link;
use crate::project;
use print::Printer;

/// Show rows on their way through a node: what it reads and what it writes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  refrain tap delays                          what comes out of the node: changes of its view, or rows of its topic
  refrain tap delays.in --limit 5             five of the rows that it takes
  refrain tap delays.out --where origin=SFO   what it makes of one airport

Beside a host that runs, the rows are those of commits from now on, until --limit or ctrl-C. Without one they are the last
that the node took or wrote. A tap never holds a node up: of many rows it shows some and says how many passed unseen. With
--output json there is one object a line.")]
pub(crate) struct TapArgs {
    /// A node, with .in for what it reads or .out for what it writes [default: .out]
    #[arg(value_name = "NODE[.in|.out]")]
    node: String,
    /// End after so many rows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Only rows with this value, as JSON and CSV show it; may be given several times
    #[arg(long = "where", value_name = "FIELD=VALUE", value_parser = parse_where)]
    wanted: Vec<(String, String)>,
}

fn parse_where(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("write FIELD=VALUE")?;
    Ok((field.trim().to_owned(), value.to_owned()))
}

/// Where rows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    In,
    Out,
}

fn sided(text: &str) -> (&str, Side) {
    match text.strip_suffix(".in") {
        Some(node) => (node, Side::In),
        None => (text.strip_suffix(".out").unwrap_or(text), Side::Out),
    }
}

pub(crate) fn run(global: &Global, args: &TapArgs) -> Result<(), Failure> {
    let project = project::find(global)?;
    let declaration = project.declaration()?;
    let (node, side) = sided(&args.node);
    let output = output(&declaration, node)?;
    let mut printer = Printer::new(global.output, args.limit, args.wanted.clone());
    let mut link = Link::open(&project)?;
    match (side, output) {
        (Side::In, _) => {
            let inputs = declaration.node_inputs(node);
            topics::tap(&mut link, node, &inputs, &mut printer)
        }
        (Side::Out, OutputDeclaration::Topic(topic)) => {
            topics::tap(&mut link, node, &[topic.get_ref().clone()], &mut printer)
        }
        (Side::Out, OutputDeclaration::View(view)) => {
            changes::tap(&mut link, node, view.get_ref(), &mut printer)
        }
    }?;
    printer.finish()
}

/// Where a node's results go.
fn output<'a>(declaration: &'a Declaration, node: &str) -> Result<&'a OutputDeclaration, Failure> {
    let found = declaration.nodes.iter().find(|n| n.name.get_ref() == node);
    found.map(|node| &node.output).ok_or_else(|| {
        let all = declaration.node_names();
        let all = all.iter().map(String::as_str);
        let none = "the pipeline file declares none; write a [node.NAME] section";
        Failure::refused(names::unknown("node", node, all, none))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_say_its_side() {
        assert_eq!(sided("delays"), ("delays", Side::Out));
        assert_eq!(sided("delays.in"), ("delays", Side::In));
        assert_eq!(sided("delays.out"), ("delays", Side::Out));
    }
}
