//! What to keep of the last segment of a run after a crash: a pure decision over what a scan found.
//!
//! Damage below a position that any frame knew to be durable, or below an offset that someone else (the commit log)
//! knows to be durable, is damage to acknowledged data: it becomes a gap, is reported and is not served; what follows it
//! is. Beyond that, torn and rotten cannot be told apart: the log is cut at the first damage, and the bytes after it are
//! moved out.

use crate::ids::{Offset, Position};
use crate::scan::Fact;
use crate::segment::Gap;

/// What is known besides the segment itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    /// Rows below this were acknowledged.
    pub(crate) durable_offset: Option<Offset>,
    /// The segment was complete and durable when the next one was begun.
    pub(crate) sealed: bool,
    /// A write past this position failed, and its append was refused.
    pub(crate) void: Option<Position>,
}

/// What to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The first so many facts are kept.
    pub(crate) keep: usize,
    /// Where the kept part ends.
    pub(crate) end: Position,
    /// Offset of the next row.
    pub(crate) end_offset: Offset,
    /// Bytes to move out, and what they are.
    pub(crate) torn: Option<(Position, Position, &'static str)>,
    /// Damage to acknowledged data.
    pub(crate) gaps: Vec<Gap>,
    /// Acknowledged rows are missing at the end: appends go on in a new segment.
    pub(crate) tail_lost: bool,
}

/// Decides over a segment whose frames begin at `start` with row `base`.
pub(crate) fn decide(facts: &[Fact], start: Position, base: Offset, known: Known) -> Verdict {
    let durable = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Frame(raw) => Some(raw.place.durable),
            Fact::Bad { .. } => None,
        })
        .max()
        .unwrap_or_default();
    let floor = known.durable_offset.unwrap_or_default();
    let mut verdict = Verdict {
        end: start,
        end_offset: base,
        ..Verdict::default()
    };
    for (i, fact) in facts.iter().enumerate() {
        let from = position(fact);
        let voided = known.void.is_some_and(|void| from >= void);
        let acknowledged = known.sealed || from < durable || verdict.end_offset < floor;
        match fact {
            Fact::Frame(raw) if !voided => {
                verdict.end = raw.end();
                verdict.end_offset = raw.end_offset();
            }
            Fact::Bad { to, what, raw, .. } if acknowledged && !voided => {
                let own = raw
                    .as_ref()
                    .map_or(verdict.end_offset, |raw| raw.end_offset());
                let next = next_offset(&facts[i + 1..]).unwrap_or(floor.max(own));
                verdict.gaps.push(Gap {
                    from,
                    to: *to,
                    first: verdict.end_offset,
                    next,
                    what: (*what).to_owned(),
                });
                verdict.end = *to;
                verdict.end_offset = next;
            }
            Fact::Frame(_) => {
                verdict.torn = Some((from, last(facts), "a write that was reported as failed"));
                break;
            }
            Fact::Bad { what, .. } => {
                verdict.torn = Some((from, last(facts), what));
                break;
            }
        }
        verdict.keep = i + 1;
    }
    if verdict.end_offset < floor {
        verdict.gaps.push(Gap {
            from: verdict.end,
            to: verdict.end,
            first: verdict.end_offset,
            next: floor,
            what: "the end of the segment is missing".to_owned(),
        });
        verdict.end_offset = floor;
    }
    let at_end = |gap: &Gap| gap.to == verdict.end;
    verdict.tail_lost = verdict.gaps.last().is_some_and(at_end);
    verdict
}

fn position(fact: &Fact) -> Position {
    match fact {
        Fact::Frame(raw) => raw.place.position,
        Fact::Bad { from, .. } => *from,
    }
}

fn last(facts: &[Fact]) -> Position {
    facts.last().map_or(Position(0), |fact| match fact {
        Fact::Frame(raw) => raw.end(),
        Fact::Bad { to, .. } => *to,
    })
}

/// Offset of the first row after damage: what the next whole header says.
fn next_offset(rest: &[Fact]) -> Option<Offset> {
    rest.iter().find_map(|fact| match fact {
        Fact::Frame(raw) | Fact::Bad { raw: Some(raw), .. } => Some(raw.header.base_offset),
        Fact::Bad { raw: None, .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Payload;
    use crate::frame::header::{Place, RawHeader};
    use crate::frame::{FrameHeader, FrameKind};
    use crate::ids::{Sequence, Timestamp};

    fn frame(position: u64, base: u64, rows: u32, durable: u64) -> Fact {
        let header = FrameHeader {
            kind: FrameKind::Rows,
            schema_version: 1,
            rows,
            base_offset: Offset(base),
            sequence: Sequence(1),
            append_time: Timestamp(0),
            times: None,
            producer: 0,
            producer_row: 0,
        };
        let place = Place {
            epoch: 1,
            position: Position(position),
            durable: Position(durable),
            previous: 0,
        };
        let mut raw = RawHeader::plain(header, place, &Payload::empty(), false, 0);
        raw.payload_bytes = 128;
        Fact::Frame(raw)
    }

    fn bad(from: u64, to: u64) -> Fact {
        Fact::Bad {
            from: Position(from),
            to: Position(to),
            what: "bad",
            raw: None,
        }
    }

    fn decided(facts: &[Fact], known: Known) -> (u64, u64, usize, bool, bool) {
        let v = decide(facts, Position(64), Offset(0), known);
        (
            v.end.0,
            v.end_offset.0,
            v.gaps.len(),
            v.torn.is_some(),
            v.tail_lost,
        )
    }

    #[test]
    fn keeps_cuts_and_reports() {
        let none = Known::default();
        let durable = |offset| Known {
            durable_offset: Some(Offset(offset)),
            ..none
        };
        let a = || frame(64, 0, 10, 0);
        let b = |durable| frame(320, 10, 5, durable);
        assert_eq!(decided(&[], none), (64, 0, 0, false, false));
        assert_eq!(decided(&[a(), b(0)], none), (576, 15, 0, false, false));
        // A torn end is cut, and so is everything after it.
        assert_eq!(
            decided(&[a(), bad(320, 400)], none),
            (320, 10, 0, true, false)
        );
        assert_eq!(
            decided(&[bad(64, 320), b(0)], none),
            (64, 0, 0, true, false)
        );
        // The same below a durable position is damage, and what follows is served.
        assert_eq!(
            decided(&[bad(64, 320), b(320)], none),
            (576, 15, 1, false, false)
        );
        // Or below an offset that a commit names.
        assert_eq!(
            decided(&[a(), bad(320, 400)], durable(15)),
            (400, 15, 1, false, true)
        );
        assert_eq!(decided(&[a()], durable(15)), (320, 15, 1, false, true));
        assert_eq!(
            decided(&[a(), bad(320, 400)], durable(10)),
            (320, 10, 0, true, false)
        );
        // A sealed segment has no torn end.
        let sealed = Known {
            sealed: true,
            ..none
        };
        assert_eq!(
            decided(&[a(), bad(320, 400)], sealed),
            (400, 10, 1, false, true)
        );
        // What was reported as failed is not kept, though it is whole.
        let void = Known {
            void: Some(Position(320)),
            ..none
        };
        assert_eq!(decided(&[a(), b(0)], void), (320, 10, 0, true, false));
    }
}
