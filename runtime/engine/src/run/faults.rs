//! What a failure of a node leads to: rows pinned down, a pause, a stop. The others go on.

use std::time::Duration;

use super::Run;
use super::actor::At;
use super::options::RunReport;
use crate::error::Error;
use crate::status::Phase;
use crate::task::Failure;

/// Wait before a node tries again that found no space.
const NO_SPACE_PATIENCE: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) fn fail(
        &mut self,
        place: usize,
        task: u32,
        failure: Failure,
        report: &mut RunReport,
    ) {
        let actor = &mut self.actors[place];
        let name = actor.node.setup.plan.name.clone();
        actor.meter.idle();
        if let Err(error) = actor.node.roll_back(self.state) {
            self.stop_node(place, error, report);
            return;
        }
        match failure {
            Failure::Suspect(suspicion) => {
                let fault = &suspicion.fault;
                tracing::warn!(node = name, %fault, "taking the rows since the last commit again, with care");
                report.rounds_again += 1;
                actor.node.suspicions.insert(task, *suspicion);
                self.reopen(place, report);
            }
            Failure::Stop(error) if is_no_space(&error) => {
                tracing::error!(node = name, %error, "waiting for space");
                self.board.waiting(&name, &error);
                actor.at = At::Pause(self.time.now() + NO_SPACE_PATIENCE);
            }
            Failure::Stop(error) => self.stop_node(place, error, report),
        }
    }

    pub(super) fn reopen(&mut self, place: usize, report: &mut RunReport) {
        self.actors[place].at = At::Rest;
        if let Err(error) = self.open_tasks(place) {
            self.stop_node(place, error, report);
        }
    }

    pub(super) fn stop_node(&mut self, place: usize, error: Error, report: &mut RunReport) {
        let actor = &mut self.actors[place];
        let name = actor.node.setup.plan.name.clone();
        tracing::error!(node = name, %error, "stopped");
        actor.node.tasks.clear();
        self.board.stopped(&name, &error);
        // A run that ends by itself does not wait for somebody to reopen what is shut.
        if error.is_failed_write() && !self.once {
            actor.at = At::Shut(error);
            return;
        }
        actor.at = At::Stopped;
        report.stopped.push((name, error));
    }

    /// What was shut is open again: nodes that stopped for it go on at their last commit. Their names.
    pub(super) fn resume(&mut self, report: &mut RunReport) -> Vec<String> {
        let mut names = Vec::new();
        for place in 0..self.actors.len() {
            let actor = &mut self.actors[place];
            if !matches!(actor.at, At::Shut(_)) {
                continue;
            }
            let name = actor.name().clone();
            if let Err(error) = actor.node.resume(self.log, self.state) {
                self.stop_node(place, error, report);
                continue;
            }
            self.board.phase(&name, Phase::Running);
            self.reopen(place, report);
            if !self.actors[place].at.is_stopped() {
                names.push(name);
            }
        }
        names
    }

    /// At the end of a run: nodes that still wait for what is shut have stopped.
    pub(super) fn give_up(&mut self, report: &mut RunReport) {
        for actor in &mut self.actors {
            if let At::Shut(_) = actor.at
                && let At::Shut(error) = std::mem::replace(&mut actor.at, At::Stopped)
            {
                report.stopped.push((actor.name().clone(), error));
            }
        }
    }

    /// For tests: sometimes drops all instances of a node after a commit.
    pub(super) fn roll_dice(&mut self, place: usize, report: &mut RunReport) {
        let Some(dice) = &mut self.dice else { return };
        *dice = dice
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let actor = &mut self.actors[place];
        if (*dice >> 33) % 2 == 0 && actor.node.frontier == actor.node.committed {
            actor.node.tasks.clear();
            self.reopen(place, report);
        }
    }
}

fn is_no_space(error: &Error) -> bool {
    matches!(
        error,
        Error::Log(refrain_log::Error::NoSpace { .. })
            | Error::State(refrain_state::Error::Log(
                refrain_log::Error::NoSpace { .. }
            ))
    )
}
