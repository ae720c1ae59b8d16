//! What comes out of a node that keeps a view: the rows that its commits change, from now on.

use refrain_engine::request::{Request, Response};
use refrain_engine::tap::{Change, Tapped};

use super::print::Printer;
use crate::cells::Cell;
use crate::failure::Failure;
use crate::link::{Link, unexpected};
use crate::show::Sheet;

pub(super) fn tap(
    link: &mut Link,
    node: &str,
    view: &str,
    printer: &mut Printer,
) -> Result<(), Failure> {
    if matches!(link, Link::Own(_)) {
        return Err(Failure::refused(format!(
            "no host runs, so nothing changes the view: start `refrain run`, or read it with `refrain view scan {view}`"
        )));
    }
    let mut number = 0;
    while printer.left() > 0 {
        let request = Request::Tap {
            node: node.to_owned(),
            tap: number,
        };
        let Response::Tapped(tapped) = link.ask(request)? else {
            return Err(unexpected());
        };
        if number == 0 {
            eprintln!("waiting for commits of {node}");
        }
        number = tapped.tap;
        printer.passed(tapped.passed);
        printer.push(sheet(&tapped))?;
    }
    Ok(())
}

fn sheet(tapped: &Tapped) -> Sheet {
    let mut sheet = Sheet::of(&tapped.table.rows);
    let changes = tapped.changes.iter().map(|change| {
        Cell::text(match change {
            Change::Put => "put",
            Change::Final => "final",
            Change::Delete => "delete",
        })
    });
    sheet.put_first("@change", changes);
    sheet
}
