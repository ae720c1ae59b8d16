//! A meeting: nodes of a run are brought to one cut, commit there and stay there until the one who asked has looked.
//! The sequence is the barrier: each has then taken exactly the same source frames.

use crossbeam::channel::Sender;
use refrain_log::ids::Sequence;

use super::Run;
use super::actor::{At, Upstream};
use crate::error::{Error, Result};
use crate::pipeline::Rhythm;

/// A wish to look at several nodes at one cut.
pub struct Meet {
    /// Chosen by the one who asks; [`super::Ask::Part`] names it.
    pub number: u64,
    /// Nodes.
    pub names: Vec<String>,
    /// Told the cut when all stand there, or why they cannot.
    pub reply: Sender<Result<Sequence>>,
}

/// A meeting agreed on.
pub(super) struct Meeting {
    pub(super) number: u64,
    /// Those who meet.
    places: Vec<usize>,
    /// And those that they wait for.
    chain: Vec<usize>,
    cut: Sequence,
    /// Taken when it has been answered: they stay until parting.
    reply: Option<Sender<Result<Sequence>>>,
}

impl Run<'_> {
    pub(super) fn meet(&mut self, meet: Meet) {
        match self.agree(&meet.names) {
            Ok((places, chain, cut)) => {
                chain.iter().for_each(|place| self.send_to(*place, cut));
                self.meetings.push(Meeting {
                    number: meet.number,
                    places,
                    chain,
                    cut,
                    reply: Some(meet.reply),
                });
            }
            Err(error) => {
                // Who asked may have gone.
                let _ = meet.reply.send(Err(error));
            }
        }
    }

    /// Who meets, who goes there as well, and where: as far as the log is durable, and never behind anyone.
    fn agree(&self, names: &[String]) -> Result<(Vec<usize>, Vec<usize>, Sequence)> {
        let mut places = Vec::new();
        for name in names {
            let place = self.actors.iter().position(|a| a.name() == name && !a.gone);
            places.push(place.ok_or_else(|| {
                Error::Refused(format!(
                    "node {name} is not part of the run in progress; start the run with all nodes, or stop it"
                ))
            })?);
        }
        let mut chain = places.clone();
        let mut next = 0;
        while next < chain.len() {
            for upstream in &self.actors[chain[next]].upstreams {
                match upstream {
                    Upstream::Node(place) if !chain.contains(place) => chain.push(*place),
                    _ => {}
                }
            }
            next += 1;
        }
        let cut = chain.iter().map(|place| self.furthest(*place)).max();
        let cut = cut.unwrap_or_default().max(self.log.durable());
        for place in &chain {
            self.refuse_stopped(*place, cut)?;
        }
        Ok((places, chain, cut))
    }

    fn furthest(&self, place: usize) -> Sequence {
        match self.actors[place].at {
            At::Round { cut, .. } => cut,
            _ => self.actors[place].node.frontier,
        }
    }

    fn refuse_stopped(&self, place: usize, cut: Sequence) -> Result<()> {
        let actor = &self.actors[place];
        let rests = |u: &Upstream| matches!(u, Upstream::Resting(_)) && self.got(u) < cut;
        if !actor.at.is_stopped() && !actor.upstreams.iter().any(rests) {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "node {} does not get to sequence {cut}: it, or what it reads, has stopped; see `refrain status`",
            actor.name()
        )))
    }

    fn send_to(&mut self, place: usize, cut: Sequence) {
        let actor = &mut self.actors[place];
        let is_continuous = actor.cadence.rhythm == Rhythm::Continuous;
        match &mut actor.cadence.goal {
            Some(goal) => *goal = cut.max(*goal),
            goal if !is_continuous => *goal = Some(cut),
            _ => {}
        }
        if matches!(actor.at, At::Done) {
            actor.at = At::Rest;
        }
    }

    /// Where a node has to stop for a meeting.
    pub(super) fn meets_at(&self, place: usize) -> Option<Sequence> {
        let its = self.meetings.iter().filter(|m| m.places.contains(&place));
        its.map(|m| m.cut).min()
    }

    /// Whether somebody waits for this node.
    pub(super) fn is_awaited(&self, place: usize) -> bool {
        self.meetings
            .iter()
            .any(|m| m.reply.is_some() && m.chain.contains(&place))
    }

    /// Answers meetings at which all have come together, and those that will never be.
    pub(super) fn hold_meetings(&mut self) {
        let mut meetings = std::mem::take(&mut self.meetings);
        meetings.retain_mut(|meeting| self.hold(meeting));
        self.meetings = meetings;
    }

    /// Whether it goes on.
    fn hold(&self, meeting: &mut Meeting) -> bool {
        let Some(reply) = &meeting.reply else {
            return true;
        };
        let refusal = meeting.chain.iter();
        let refusal = refusal.map(|p| self.refuse_stopped(*p, meeting.cut));
        if let Some(Err(error)) = refusal.into_iter().find(Result::is_err) {
            // Who asked may have gone.
            let _ = reply.send(Err(error));
            return false;
        }
        let there = |place: &usize| {
            let actor = &self.actors[*place];
            !actor.is_busy() && actor.node.committed == meeting.cut
        };
        if !meeting.places.iter().all(there) {
            return true;
        }
        let told = reply.send(Ok(meeting.cut)).is_ok();
        meeting.reply = None;
        told
    }
}
