//! A node gets another rhythm while it runs: at its next commit, with its state and its positions as they are. A rhythm
//! decides only when rounds begin, so nothing is computed anew.

use super::Run;
use super::actor::{Actor, At};
use super::options::Graduation;
use crate::pipeline::Rhythm;
use crate::status::Phase;

impl Run<'_> {
    /// Takes what was asked for; a node in a round takes it when the round has ended.
    pub(super) fn graduate(&mut self, list: Vec<Graduation>) {
        if self.once {
            return;
        }
        for change in list {
            let named = |a: &Actor| a.node.setup.plan.name == change.node;
            let Some(place) = self.actors.iter().position(named) else {
                continue;
            };
            self.actors[place].wanted = Some(change.rhythm);
            if !self.actors[place].is_busy() {
                self.take_wanted(place);
            }
        }
    }

    /// The node stands at a commit, or at the last one: the rhythm asked for is its rhythm now.
    pub(super) fn take_wanted(&mut self, place: usize) {
        let Some(rhythm) = self.actors[place].wanted.take() else {
            return;
        };
        let (wall, durable, now) = (self.log.now(), self.log.durable(), self.time.now());
        let actor = &mut self.actors[place];
        // Asked for once more, `once` is another pass.
        let cadence = &mut actor.cadence;
        if cadence.rhythm == rhythm && rhythm != Rhythm::Once {
            return;
        }
        tracing::info!(node = actor.node.setup.plan.name, %rhythm, "another rhythm");
        if matches!(actor.at, At::Done) {
            actor.at = At::Rest;
            self.board
                .phase(&actor.node.setup.plan.name, Phase::Running);
        }
        cadence.due = now;
        cadence.tick = None;
        match &rhythm {
            // A pass under way goes on as rounds.
            Rhythm::Continuous => cadence.goal = None,
            Rhythm::Once => cadence.goal = Some(durable),
            // The first pass begins now; one under way is it.
            Rhythm::Every(_) => {}
            Rhythm::Cron(cron) => cadence.tick = cron.next_after(wall),
        }
        let begins = rhythm == Rhythm::Once;
        cadence.rhythm = rhythm;
        if begins {
            self.meter_run(place, 0);
        }
    }
}
