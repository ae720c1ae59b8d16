//! Nodes that come into a run and go from it while it goes on: versions that a replay builds, versions that are retired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use refrain_log::ids::Sequence;
use refrain_log::topic::Origin;

use super::Event;
use super::Run;
use super::actor::{Actor, At, Upstream};
use super::cadence::Cadence;
use super::metering::Meter;
use super::options::{RunReport, Terms};
use crate::error::{Error, Result};
use crate::meter::Steps;
use crate::node::Node;
use crate::pipeline::{Output, Rhythm};
use crate::status::Phase;
use crate::task::NodeSetup;

/// Asks of a run that goes on.
pub enum Ask {
    /// Take these nodes in, each after what it reads.
    Join(Vec<Node>),
    /// Let go of nodes of these names; answered when none of their tasks is at work any more.
    Leave(Vec<String>, Sender<()>),
    /// Let nodes of these names use the machine otherwise.
    Terms(Vec<String>, Terms),
    /// Bring nodes to one cut; see [`super::meeting`].
    Meet(super::meeting::Meet),
    /// The meeting of this number is over.
    Part(u64),
    /// Let nodes go on that stopped for a write or a sync that failed; answered with their names.
    Resume(Sender<Vec<String>>),
    /// Let a node, which stands at its last commit, go on as another build of itself.
    Swap(Swap),
}

/// A node goes on as another build.
pub struct Swap {
    /// The build, under the node's name.
    pub setup: Arc<NodeSetup>,
    /// Told when it goes on, or why not.
    pub reply: Sender<Result<()>>,
}

impl From<Ask> for Event {
    fn from(ask: Ask) -> Event {
        Event::Ask(Box::new(ask))
    }
}

impl Run<'_> {
    pub(super) fn answer(&mut self, ask: Ask, report: &mut RunReport) {
        match ask {
            Ask::Join(nodes) => nodes.into_iter().for_each(|node| self.join(node, report)),
            Ask::Leave(names, gone) => self.leave(&names, gone),
            Ask::Terms(names, terms) => {
                let named = self.actors.iter_mut().filter(|a| names.contains(a.name()));
                named.for_each(|actor| actor.node.terms = terms);
            }
            Ask::Meet(meet) => self.meet(meet),
            Ask::Resume(reply) => {
                // Who asked may have gone.
                let _ = reply.send(self.resume(report));
            }
            Ask::Swap(swap) => self.swap(swap, report),
            Ask::Part(number) => self.meetings.retain(|m| m.number != number),
        }
    }

    fn swap(&mut self, swap: Swap, report: &mut RunReport) {
        let name = &swap.setup.plan.name;
        let place = self.actors.iter().position(|a| a.name() == name && !a.gone);
        // A node that does not run goes on as what it is with the next run.
        if let Some(place) = place {
            let actor = &mut self.actors[place];
            if actor.is_busy() {
                let what =
                    "the node did not stay where it stood; it goes on with the next run".into();
                // Who asked may have gone.
                let _ = swap.reply.send(Err(Error::Refused(what)));
                return;
            }
            actor.node.become_build(swap.setup);
            let name = actor.name().clone();
            self.board.phase(&name, Phase::Running);
            self.reopen(place, report);
        }
        // Who asked may have gone.
        let _ = swap.reply.send(Ok(()));
    }

    fn join(&mut self, node: Node, report: &mut RunReport) {
        let upstreams = node.setup.plan.input_topics();
        let upstreams = upstreams.iter().map(|topic| self.upstream(topic)).collect();
        let name = node.setup.plan.name.clone();
        let goal = self.once.then(|| self.log.durable());
        self.board.phase(&name, Phase::Running);
        let steps = (self.board).started(&name, node.frontier, self.timing.patience());
        let actor = Actor::new(node, upstreams, goal, self.time.now(), steps);
        self.actors.push(actor);
        self.reopen(self.actors.len() - 1, report);
    }

    /// Who writes a topic, in a run that goes on.
    fn upstream(&self, topic: &str) -> Upstream {
        let found = self.log.topic(topic);
        if found.is_some_and(|t| t.spec().origin == Origin::Source) {
            return Upstream::Source;
        }
        let writes = |a: &Actor| a.node.setup.plan.output == Output::Topic(topic.to_owned());
        match self.actors.iter().position(writes) {
            Some(place) => Upstream::Node(place),
            None => Upstream::Resting(self.rests_at(topic)),
        }
    }

    /// The last cut of the node that wrote a topic.
    fn rests_at(&self, topic: &str) -> Sequence {
        let nodes = self.state.nodes();
        let lasts = nodes.iter().filter_map(|node| self.state.node(node));
        let mut writes = lasts.filter(|last| last.derived.iter().any(|end| end.topic == topic));
        writes.next().map_or(Sequence(0), |last| last.cut)
    }

    fn leave(&mut self, names: &[String], gone: Sender<()>) {
        for actor in &mut self.actors {
            if names.contains(actor.name()) {
                actor.leaving = Some(gone.clone());
            }
        }
        self.let_go();
    }

    /// Nodes that are to leave go when their tasks are at home.
    pub(super) fn let_go(&mut self) {
        for actor in &mut self.actors {
            if actor.leaving.is_some() && !actor.is_busy() {
                actor.node.tasks.clear();
                actor.at = At::Stopped;
                self.board.phase(actor.name(), Phase::Resting);
                // The last of the senders says that all are gone.
                actor.leaving = None;
                actor.gone = true;
            }
        }
    }
}

impl Actor {
    /// A node at rest; `goal` for a run that ends there.
    pub(super) fn new(
        node: Node,
        upstreams: Vec<Upstream>,
        goal: Option<Sequence>,
        now: Instant,
        steps: Arc<Steps>,
    ) -> Actor {
        let rhythm = match goal {
            Some(_) => Rhythm::Once,
            None => node.setup.plan.rhythm.clone(),
        };
        let mut cadence = Cadence::new(rhythm, goal, now);
        if node.terms.rate.is_some() {
            cadence.at_a_rate();
        }
        Actor {
            cadence,
            waits: false,
            wanted: None,
            meter: Meter::default(),
            steps,
            rests_until: now,
            commit_took: Duration::ZERO,
            at: At::Rest,
            leaving: None,
            gone: false,
            node,
            upstreams,
        }
    }

    pub(super) fn name(&self) -> &String {
        &self.node.setup.plan.name
    }
}
