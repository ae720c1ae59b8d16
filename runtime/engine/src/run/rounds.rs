//! The round of a node: its tasks go to the workers up to a cut and come home, a commit makes what they prepared
//! durable, readers see it.

use std::sync::Arc;
use std::time::Instant;

use refrain_log::ids::Sequence;
use refrain_log::meter::so_far;

use super::Run;
use super::actor::{At, Began};
use super::metering::{Sizes, Spent};
use super::options::{Event, RunReport};
use super::time::stopwatch;
use crate::error::Result;
use crate::task::CacheCounts;
use crate::task::{Failure, Prepared};
use crate::workers::{Done, Work};

impl Run<'_> {
    pub(super) fn start_round(&mut self, place: usize, reachable: Sequence, now: Instant) {
        let actor = &mut self.actors[place];
        let queue = match actor.node.terms.background {
            true => &self.background,
            false => &self.work,
        };
        let cut = actor.cadence.cut(actor.node.frontier, reachable);
        let out = actor.node.tasks.len();
        for (task, body) in actor.node.tasks.iter_mut().enumerate() {
            let body = body.take().expect("tasks are at home while the node rests");
            queue
                .send(Work {
                    node: place,
                    task,
                    body,
                    cut,
                    spent: Spent::default(),
                    steps: Arc::clone(&actor.steps),
                })
                .expect("workers live as long as the run");
        }
        actor.at = At::Round {
            cut,
            out,
            prepared: Vec::new(),
            failure: None,
            began: Began {
                at: now,
                stopwatch: stopwatch(),
            },
        };
    }

    pub(super) fn take(&mut self, event: Event, report: &mut RunReport) -> Result<()> {
        match event {
            Event::Durable => {}
            Event::Again(work) => {
                let queue = match self.actors[work.node].node.terms.background {
                    true => &self.background,
                    false => &self.work,
                };
                queue.send(work).expect("workers live as long as the run");
            }
            Event::Graduate(list) => self.graduate(list),
            Event::Stop => {
                self.stopping = true;
                self.meetings.clear();
            }
            Event::Ask(ask) => self.answer(*ask, report),
            Event::Done(done) => {
                let place = done.node;
                self.bring_home(done);
                if matches!(self.actors[place].at, At::Round { out: 0, .. }) {
                    self.end_round(place, report)?;
                    self.let_go();
                }
            }
        }
        Ok(())
    }

    fn bring_home(&mut self, done: Done) {
        let actor = &mut self.actors[done.node];
        actor.node.tasks[done.task] = Some(done.body);
        actor.meter.add(done.spent);
        let At::Round {
            out,
            prepared,
            failure,
            ..
        } = &mut actor.at
        else {
            unreachable!("tasks are out in rounds only")
        };
        *out -= 1;
        match done.result {
            Ok(changes) => prepared.push(changes),
            // The first failure by task number, so that what is reported does not depend on who was faster.
            Err(new) if failure.as_ref().is_none_or(|f| done.task < f.0 as usize) => {
                *failure = Some((done.task as u32, new));
            }
            Err(_) => {}
        }
    }

    fn end_round(&mut self, place: usize, report: &mut RunReport) -> Result<()> {
        let at = std::mem::replace(&mut self.actors[place].at, At::Rest);
        let At::Round {
            cut,
            mut prepared,
            failure,
            began,
            ..
        } = at
        else {
            unreachable!("called at the end of a round")
        };
        if let Some((task, failure)) = failure {
            if matches!(failure, Failure::Suspect(_)) {
                self.actors[place].cadence.take_again(cut);
            }
            self.fail(place, task, failure, report);
            self.take_wanted(place);
            return Ok(());
        }
        prepared.sort_by_key(|p| p.changes.task);
        report.rows_handed += prepared.iter().map(|p| p.handed).sum::<u64>();
        let meets = self.meets_at(place) == Some(cut);
        let rows = prepared.iter().map(|p| p.counts.rows).sum();
        let caches = prepared.iter().filter_map(|p| p.cache);
        let crowded = caches
            .clone()
            .map(|c| c.changed_permille)
            .max()
            .unwrap_or(0);
        let cached = caches.fold(None, |sum: Option<CacheCounts>, c| {
            Some(sum.unwrap_or_default().and(c))
        });
        let actor = &mut self.actors[place];
        let ends_pass = meets || actor.cadence.is_reached(cut);
        let nothing = |p: &Prepared| p.counts.frames == 0 && p.changes.state.is_empty();
        if !ends_pass && prepared.iter().all(nothing) {
            actor.node.frontier = cut;
            actor.meter.idle();
            self.board.advanced(&actor.node.setup.plan.name, cut);
        } else if let Err(error) = self.commit(place, cut, prepared, began) {
            self.fail(place, 0, Failure::Stop(error), report);
            return Ok(());
        }
        if let Some(counts) = cached {
            let name = &self.actors[place].node.setup.plan.name;
            self.board.cached(name, counts);
        }
        self.pace(place, cut, began, rows, crowded);
        self.take_wanted(place);
        self.roll_dice(place, report);
        Ok(())
    }

    fn commit(
        &mut self,
        place: usize,
        cut: Sequence,
        prepared: Vec<Prepared>,
        began: Began,
    ) -> Result<()> {
        let (before, sizes) = (so_far(), Sizes::of(&prepared));
        self.meter_move(&self.actors[place]);
        let actor = &mut self.actors[place];
        let rows: u64 = prepared.iter().map(|p| p.counts.rows).sum();
        let commit = actor.node.commit(cut, prepared);
        let tapped = self.board.taps().changes(&commit);
        let (commit_began, written) = (stopwatch(), self.state.written());
        self.state.commit(vec![commit])?;
        actor.node.committed_at(cut);
        actor.cadence.committed();
        let took = stopwatch().saturating_duration_since(commit_began);
        actor.commit_took = took;
        let name = &actor.node.setup.plan.name;
        self.board.committed(name, cut, rows, took);
        self.board.taps().put(name, &tapped);
        self.meter_commit(place, sizes, before, written, began.stopwatch);
        Ok(())
    }
}
