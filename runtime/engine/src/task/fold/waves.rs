//! Rows of a batch on their way into sessions, in waves.
//!
//! Where a row goes may hang on whether the plugin takes rows before it: on those of its key, and on no others. So a wave
//! takes of each key as many rows, in log order, as have a sure place ([`super::session`]), and the plugin gets those of
//! all keys at once. A row that makes one session of several is alone in its wave among those of its key, so that all
//! can be as before when it is refused: the states are saved, joined, updated, and put back where the row is refused. The
//! calls of a key come in log order, whatever other keys share them; so the size of calls decides nothing.
//!
//! A key whose rows stand close together goes into one wave. It takes one more where a row comes later than a gap after
//! all that its key had before the wave, and close to a row in it.
//!
//! A session that is closed leaves the chain of its key at once. It is shown when all waves are made, with those that the
//! watermark has passed without a row of their key: in order of their ends, then of their keys, each in the run in which
//! the watermark passed it.

use refrain_plugin::States;

use super::FoldTask;
use super::session::{NONE, Sight};
use crate::input::Batch;
use crate::task::care::Refused;
use crate::task::clock::{Clock, Walk};
use crate::task::produced::{Origin, Produced};
use crate::task::slots::{BatchKeys, Found};
use crate::task::{Failure, NodeSetup};

/// Each movement of the watermark is looked at.
const MOVEMENTS: Clock = Clock {
    step_us: Some(1),
    carried_on: true,
};

/// The rows of one key in a batch.
struct Line {
    /// The slot that the table finds while the batch is under way.
    anchor: u32,
    /// Whether it has had no session yet.
    spare: bool,
    /// The first of the key's sessions.
    head: u32,
    /// The first row that is in no wave yet.
    row: u32,
    last: u32,
}

/// A row of the wave under way.
#[derive(Clone, Copy)]
struct Placed {
    row: usize,
    line: usize,
    slot: u32,
    time: i64,
    late_alone: bool,
}

/// A row that makes one session of several.
struct Bridge {
    placed: Placed,
    /// The later ones. The first is the row's own.
    others: Vec<u32>,
}

#[derive(Default)]
struct Wave {
    placed: Vec<Placed>,
    bridges: Vec<Bridge>,
}

/// A batch in the making.
struct Waves<'a> {
    batch: &'a Batch,
    walk: Walk,
    lines: Vec<Line>,
    /// Next row of the same key, of each row.
    next: Vec<u32>,
    wave: Wave,
    /// Sessions that are closed.
    left: Vec<u32>,
    /// Sessions that are no more, and are not shown.
    gone: Vec<u32>,
}

impl Waves<'_> {
    /// Moves a key past its first row.
    fn pass(&mut self, line: usize) {
        let line = &mut self.lines[line];
        line.row = self.next[line.row as usize];
    }
}

impl Bridge {
    fn slots(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.placed.slot).chain(self.others.iter().copied())
    }
}

fn is_refused(refused: &Refused, row: usize) -> bool {
    refused.binary_search_by_key(&row, |r| r.0).is_ok()
}

impl FoldTask {
    /// The rows of a batch into sessions.
    pub(super) fn take_sessions(
        &mut self,
        batch: &Batch,
        keys: &BatchKeys<'_>,
    ) -> Result<(), Failure> {
        let walk = MOVEMENTS.walk(batch, &mut self.core.mark);
        self.fetch_due(self.core.mark.current().0)?;
        let mut waves = self.line_up(batch, keys, walk);
        let mut waiting: Vec<usize> = (0..waves.lines.len()).collect();
        while !waiting.is_empty() {
            for line in &waiting {
                self.advance(&mut waves, *line);
            }
            let wave = std::mem::take(&mut waves.wave);
            self.make(&mut waves, &wave)?;
            waiting.retain(|line| waves.lines[*line].row != NONE);
        }
        self.core.slots.fresh.clear();
        self.align(&mut waves);
        self.close_left(waves)
    }

    /// Finds the rows of each key.
    fn line_up<'a>(&mut self, batch: &'a Batch, keys: &BatchKeys<'_>, walk: Walk) -> Waves<'a> {
        let NodeSetup { plan, sample, .. } = &*self.setup;
        let core = &mut self.core;
        let (mut lines, mut next) = (Vec::<Line>::new(), vec![NONE; batch.rows]);
        let mut scratch = Vec::new();
        for row in 0..batch.rows {
            let fields = &plan.key_fields;
            let taken = sample.is_none_or(|s| s.takes_row(&batch.keys, fields, row, &mut scratch));
            if !taken {
                continue;
            }
            let found = core.slots.find(&mut core.tables[0], keys, row);
            let line = core.sessions.line_mut(found.slot());
            if *line != NONE {
                let line = &mut lines[*line as usize];
                next[line.last as usize] = row as u32;
                line.last = row as u32;
                continue;
            }
            *line = lines.len() as u32;
            lines.push(Line {
                anchor: found.slot(),
                spare: matches!(found, Found::New(_)),
                head: match found {
                    Found::Known(head) => head,
                    Found::New(_) => NONE,
                },
                row: row as u32,
                last: row as u32,
            });
        }
        Waves {
            batch,
            walk,
            lines,
            next,
            wave: Wave::default(),
            left: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Puts the rows of a key into the wave whose place is sure.
    fn advance(&mut self, waves: &mut Waves<'_>, line: usize) {
        let before = waves.wave.placed.len();
        while let Some(row) = Some(waves.lines[line].row).filter(|row| *row != NONE) {
            let row = row as usize;
            let (time, watermark) = (waves.batch.time_of(row), waves.walk.before[row]);
            let sessions = &mut self.core.sessions;
            let head = &mut waves.lines[line].head;
            if !sessions.leave(head, watermark, &mut waves.left) {
                return;
            }
            let sight = sessions.look(*head, time, watermark);
            let mut placed = Placed {
                row,
                line,
                slot: NONE,
                time,
                late_alone: sessions.is_late_alone(time, watermark),
            };
            match sight {
                Sight::Unsure => return,
                Sight::Late => self.late_row(waves.batch, row, time, watermark),
                Sight::In(slot) => placed.slot = slot,
                Sight::Alone => placed.slot = self.begin_session(&mut waves.lines[line], time),
                Sight::Between(_) if waves.wave.placed.len() > before => return,
                Sight::Between(slots) => {
                    placed.slot = slots[0];
                    let others = slots[1..].to_vec();
                    waves.wave.bridges.push(Bridge { placed, others });
                    return waves.pass(line);
                }
            }
            if placed.slot != NONE {
                self.core.sessions.widen(placed.slot, time);
                waves.wave.placed.push(placed);
            }
            waves.pass(line);
        }
    }

    /// One more session of a key.
    fn begin_session(&mut self, line: &mut Line, time: i64) -> u32 {
        let core = &mut self.core;
        let slot = match std::mem::take(&mut line.spare) {
            true => line.anchor,
            false => core.slots.sibling(line.anchor),
        };
        core.sessions.begin(slot, time);
        line.head = core.sessions.link(line.head, slot);
        slot
    }

    /// Makes the calls of a wave. A careful task tries each bridge out by itself.
    fn make(&mut self, waves: &mut Waves<'_>, wave: &Wave) -> Result<(), Failure> {
        if self.careful.is_none() {
            return self.hand(waves, &wave.placed, &wave.bridges);
        }
        for bridge in &wave.bridges {
            self.hand(waves, &[], std::slice::from_ref(bridge))?;
        }
        self.hand(waves, &wave.placed, &[])
    }

    fn hand(
        &mut self,
        waves: &mut Waves<'_>,
        placed: &[Placed],
        bridges: &[Bridge],
    ) -> Result<(), Failure> {
        let all = placed.iter().chain(bridges.iter().map(|b| &b.placed));
        let mut entries: Vec<(usize, u32)> = all.map(|p| (p.row, p.slot)).collect();
        entries.sort_unstable();
        let saved = self.save_bridged(bridges)?;
        let joined = bridges.first().map_or(&[][..], |bridge| &bridge.others);
        let mut refused = Refused::new();
        for (i, block) in entries.chunks(self.setup.plan.call_rows).enumerate() {
            self.core.call.fill(block);
            let mut of_block = match self.careful {
                None => Refused::new(),
                Some(_) => self.sift(waves.batch, joined)?,
            };
            if i == 0 {
                self.merge(bridges, &of_block)?;
            }
            if !self.core.call.slots.is_empty() {
                self.update(waves.batch, &mut of_block)?;
            }
            self.core.slots.fresh.clear();
            refused.append(&mut of_block);
        }
        self.take_back(bridges, &saved, &refused)?;
        self.settle(waves, placed, &refused);
        self.join(waves, bridges, &refused);
        for (row, reason) in refused {
            self.outs.rejected.push(waves.batch, row, reason);
        }
        Ok(())
    }

    /// The states that bridges join, one bridge after another.
    fn save_bridged(&mut self, bridges: &[Bridge]) -> Result<States, Failure> {
        let slots: Vec<u32> = bridges.iter().flat_map(Bridge::slots).collect();
        let mut all = States::default();
        for block in slots.chunks(self.setup.plan.call_rows) {
            let saved = self.instance.save(block);
            let saved = saved.map_err(|f| self.since_commit(f))?;
            (0..block.len()).for_each(|i| all.push(saved.get(i)));
        }
        Ok(all)
    }

    /// Joins the states of bridges, but for those refused already.
    fn merge(&mut self, bridges: &[Bridge], refused: &Refused) -> Result<(), Failure> {
        let sure = bridges.iter();
        let sure = sure.filter(|bridge| !is_refused(refused, bridge.placed.row));
        let pairs = sure.flat_map(|b| b.others.iter().map(|other| (b.placed.slot, *other)));
        let (into, others): (Vec<u32>, Vec<u32>) = pairs.unzip();
        let call_rows = self.setup.plan.call_rows;
        for (into, others) in into.chunks(call_rows).zip(others.chunks(call_rows)) {
            let merged = self.instance.merge(into, others);
            merged.map_err(|f| self.since_commit(f))?;
        }
        Ok(())
    }

    /// The states of bridges that were refused are as before.
    fn take_back(
        &mut self,
        bridges: &[Bridge],
        saved: &States,
        refused: &Refused,
    ) -> Result<(), Failure> {
        let (mut slots, mut states, mut place) = (Vec::new(), States::default(), 0);
        for bridge in bridges {
            let is_refused = is_refused(refused, bridge.placed.row);
            for slot in bridge.slots() {
                if is_refused {
                    slots.push(slot);
                    states.push(saved.get(place));
                }
                place += 1;
            }
        }
        if slots.is_empty() {
            return Ok(());
        }
        let restored = self.instance.restore(&slots, &states);
        Ok(restored.map_err(|f| self.since_commit(f))?)
    }

    /// The rows were taken but for the refused ones. Sessions that are still not born have none.
    fn settle(&mut self, waves: &mut Waves<'_>, placed: &[Placed], refused: &Refused) {
        for p in placed {
            if !is_refused(refused, p.row) {
                self.taken_into(p);
            }
        }
        for p in placed {
            if self.core.sessions.settle(p.slot) {
                let head = &mut waves.lines[p.line].head;
                *head = self.core.sessions.unlink(*head, p.slot);
                waves.gone.push(p.slot);
            }
        }
    }

    fn taken_into(&mut self, placed: &Placed) {
        let core = &mut self.core;
        let slot = placed.slot;
        core.sessions.take(slot, placed.time, placed.late_alone);
        core.slots.get_mut(slot).window = core.sessions.mark(slot);
        core.slots.mark(slot);
    }

    /// Where states are one, so are the sessions. What the store and the view know of the later ones goes.
    fn join(&mut self, waves: &mut Waves<'_>, bridges: &[Bridge], refused: &Refused) {
        let from = waves.gone.len();
        for Bridge { placed, others } in bridges {
            if is_refused(refused, placed.row) {
                continue;
            }
            let head = &mut waves.lines[placed.line].head;
            for other in others {
                self.core.sessions.absorb(placed.slot, *other);
                *head = self.core.sessions.unlink(*head, *other);
            }
            self.taken_into(placed);
            self.core.sessions.settle(placed.slot);
            waves.gone.extend_from_slice(others);
        }
        self.unknow(&waves.gone[from..]);
        self.unnote(&waves.gone[from..]);
    }

    /// All waves are made: the table finds what is open, and what the watermark has passed leaves.
    fn align(&mut self, waves: &mut Waves<'_>) {
        let core = &mut self.core;
        for line in &waves.lines {
            *core.sessions.line_mut(line.anchor) = NONE;
            core.lead(line.anchor, line.head);
            if line.spare {
                core.slots.give_back(line.anchor);
            }
        }
        for slot in core.sessions.passed(core.mark.current().0) {
            core.detach(slot);
            waves.left.push(slot);
        }
    }

    /// Shows the sessions that are closed, and gives back all that are no more.
    fn close_left(&mut self, waves: Waves<'_>) -> Result<(), Failure> {
        let is_born = |slot: &u32| self.core.sessions.is_born(*slot);
        let (mut closed, unborn): (Vec<u32>, Vec<u32>) = waves.left.into_iter().partition(is_born);
        let gone = [waves.gone, unborn].concat();
        self.core.slots.sort(&mut closed);
        closed.sort_by_key(|slot| self.core.sessions.end(*slot));
        let call_rows = self.setup.plan.call_rows;
        let mut produced = Produced::default();
        for block in closed.chunks(call_rows) {
            let Some(shown) = self.show_last(block)? else {
                continue;
            };
            let of_rows = block.iter().enumerate().filter(|(i, _)| shown.has(*i));
            let origin = |slot: &u32| self.passed_at(&waves.walk, *slot);
            let origins: Vec<Origin> = of_rows.map(|(_, slot)| origin(slot)).collect();
            produced.push(shown.rows, origins.into_iter());
        }
        if let Some(out) = &mut self.outs.topic {
            produced.write(waves.batch, &waves.walk, out)?;
        }
        for block in gone.chunks(call_rows) {
            let released = self.instance.release(block);
            released.map_err(|f| self.since_commit(f))?;
        }
        for slot in closed.iter().chain(&gone) {
            self.core.give_back(*slot);
        }
        Ok(())
    }

    /// Where the watermark passed a session.
    fn passed_at(&self, walk: &Walk, slot: u32) -> Origin {
        let sessions = &self.core.sessions;
        let closes_at = sessions.closes_at(sessions.end(slot));
        let place = walk.crossings.partition_point(|c| c.step < closes_at);
        let crossing = walk.crossings.get(place);
        let crossing = crossing.expect("what is closed now was passed at a movement of this batch");
        Origin {
            run: crossing.run,
            row: crossing.origin_row,
            before: crossing.before,
        }
    }
}
