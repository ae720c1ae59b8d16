//! Checks of a version's data: asked for by `refrain validate --check`, and shown.

use refrain_engine::validate::checks::CheckOrder;
use refrain_engine::versions::request::{self as versions, Answer};

use super::{ask, print_json};
use crate::args::{Global, Output};
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::progress::Progress;
use crate::show::Sheet;

/// A check does not hold.
const BROKEN: u8 = 3;

pub(super) fn run(
    global: &Global,
    link: &mut Link,
    view: &str,
    version: Option<u32>,
    checks: &[String],
) -> Result<(), Failure> {
    let order = CheckOrder {
        name: view.to_owned(),
        version,
        checks: checks.to_vec(),
    };
    let progress = Progress::spinner("checking");
    let Answer::Checked(report) = ask(link, versions::Request::Check(order))? else {
        return Err(unexpected());
    };
    drop(progress);
    if global.output == Output::Json {
        print_json(&report)?;
    } else {
        let mut sheet = Sheet::new(&["check", "condition", "holds", "found"]);
        for result in &report.results {
            sheet.push(vec![
                Cell::text(&result.check),
                Cell::text(&result.condition),
                Cell::text(if result.holds { "yes" } else { "no" }),
                Cell::text(&result.found),
            ]);
        }
        sheet.print(global.output)?;
    }
    let broken = report.results.iter().filter(|r| !r.holds).count();
    let which = format!(
        "version {} of {} at cut {}",
        report.version, report.node, report.cut
    );
    if broken == 0 {
        eprintln!("{which}: all {} conditions hold", report.results.len());
        return Ok(());
    }
    Err(Failure::new(
        BROKEN,
        format!(
            "{which}: {broken} of {} conditions do not hold",
            report.results.len()
        ),
    ))
}
