//! What a node's work would take in other rounds: so much a round, a frame, a row, each changed key; of processor time, of
//! syncs, of bytes of the commit log and of its topics. Taken apart from rounds that were tried out (`dry`), or, where that
//! cannot be done, from those that the ledger has. Pure.

use super::rounds::Round;
use crate::accounts::measures::{COMMITTING_GUESSED, TAKING_GUESSED};
use crate::accounts::{Growth, Parts, Work};

/// What divides the cost of rounds that do not tell their parts apart, in nanoseconds: a round, a frame, a row, a change.
const CPU_GUESSED: [f64; 4] = [
    TAKING_GUESSED[0] + COMMITTING_GUESSED[0],
    TAKING_GUESSED[1],
    TAKING_GUESSED[2],
    COMMITTING_GUESSED[1],
];
/// The same of bytes of the commit log.
const COMMIT_BYTES_GUESSED: [f64; 4] = [2_000.0, 1.0, 0.1, 100.0];
/// The same of bytes of topics.
const TOPIC_BYTES_GUESSED: [f64; 4] = [1_000.0, 50.0, 50.0, 0.1];
/// The same of syncs.
const SYNCS_GUESSED: [f64; 4] = [1.0, 0.0, 0.0, 0.0];

/// A round that was tried out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tried {
    /// What it took.
    pub round: Round,
    /// Changed keys.
    pub changed: f64,
    /// Processor time, in nanoseconds.
    pub cpu_ns: f64,
    /// Bytes that the commit log grew by.
    pub commit_bytes: f64,
    /// Bytes that topics grew by.
    pub topic_bytes: f64,
    /// Syncs.
    pub syncs: f64,
}

/// A node's work, taken apart: what each round, frame, row, change takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    cpu_ns: [f64; 4],
    commit_bytes: [f64; 4],
    topic_bytes: [f64; 4],
    syncs: [f64; 4],
    changing: Growth,
}

impl Model {
    /// Takes work of the ledger apart. Of bytes it knows the sum alone.
    pub fn of(work: &Work) -> Model {
        let taking = work.taking.each(&TAKING_GUESSED);
        let committing = work.committing.each(&COMMITTING_GUESSED);
        Model {
            cpu_ns: [
                taking[0] + committing[0],
                taking[1],
                taking[2],
                committing[1],
            ],
            commit_bytes: COMMIT_BYTES_GUESSED,
            topic_bytes: match work.out_rows > 0 && work.view_rows == 0 {
                true => TOPIC_BYTES_GUESSED,
                false => [0.0; 4],
            },
            syncs: SYNCS_GUESSED,
            changing: work.changing,
        }
    }

    /// Takes rounds apart that were tried out, in several layouts: a model for each. All rounds together tell the parts; what
    /// those of a layout took in all sets its own right.
    pub fn of_tried(layouts: &[Vec<Tried>]) -> Vec<Model> {
        let all = evened(layouts);
        let mut changing = Growth::default();
        for tried in &all {
            changing.push(tried.round.rows, tried.changed);
        }
        let each = |guessed: &[f64; 4], of: fn(&Tried) -> f64| {
            let mut parts = Parts::default();
            for tried in &all {
                parts.push(&amounts(&tried.round, tried.changed), of(tried));
            }
            match all.iter().all(|tried| of(tried) <= 0.0) {
                true => [0.0; 4],
                false => four(&parts.each(guessed)),
            }
        };
        let model = Model {
            cpu_ns: each(&CPU_GUESSED, |tried| tried.cpu_ns),
            commit_bytes: each(&COMMIT_BYTES_GUESSED, |tried| tried.commit_bytes),
            topic_bytes: each(&TOPIC_BYTES_GUESSED, |tried| tried.topic_bytes),
            syncs: each(&SYNCS_GUESSED, |tried| tried.syncs),
            changing,
        };
        layouts.iter().map(|tried| model.set_right(tried)).collect()
    }

    fn set_right(&self, tried: &[Tried]) -> Model {
        let rounds: Vec<Round> = tried.iter().map(|tried| tried.round).collect();
        let right = |each: &[f64; 4], of: fn(&Tried) -> f64| {
            let (took, told) = (tried.iter().map(of).sum::<f64>(), self.sum(each, &rounds));
            let factor = if told > 0.0 { took / told } else { 1.0 };
            each.map(|part| part * factor)
        };
        Model {
            cpu_ns: right(&self.cpu_ns, |tried| tried.cpu_ns),
            commit_bytes: right(&self.commit_bytes, |tried| tried.commit_bytes),
            topic_bytes: right(&self.topic_bytes, |tried| tried.topic_bytes),
            syncs: right(&self.syncs, |tried| tried.syncs),
            changing: self.changing,
        }
    }

    /// Processor time of rounds, in nanoseconds.
    pub fn cpu_ns(&self, rounds: &[Round]) -> f64 {
        self.sum(&self.cpu_ns, rounds)
    }

    /// Bytes that the commit log grows by.
    pub fn commit_bytes(&self, rounds: &[Round]) -> f64 {
        self.sum(&self.commit_bytes, rounds)
    }

    /// Bytes that topics grow by.
    pub fn topic_bytes(&self, rounds: &[Round]) -> f64 {
        self.sum(&self.topic_bytes, rounds)
    }

    /// Syncs.
    pub fn syncs(&self, rounds: &[Round]) -> f64 {
        self.sum(&self.syncs, rounds)
    }

    /// Changed keys of rounds.
    pub fn changed(&self, rounds: &[Round]) -> f64 {
        rounds.iter().map(|r| self.changing.at(r.rows)).sum()
    }

    fn sum(&self, each: &[f64; 4], rounds: &[Round]) -> f64 {
        let round = |round: &Round| {
            let amounts = amounts(round, self.changing.at(round.rows));
            amounts.iter().zip(each).map(|(a, e)| a * e).sum::<f64>()
        };
        rounds.iter().map(round).sum()
    }
}

/// All rounds, those of each layout as often as makes them count alike: few large ones are not drowned by many small ones.
fn evened(all: &[Vec<Tried>]) -> Vec<Tried> {
    let most = all.iter().map(Vec::len).max().unwrap_or(0);
    let each = all.iter().flat_map(|tried| {
        let times = most / tried.len().max(1);
        tried
            .iter()
            .flat_map(move |t| std::iter::repeat_n(*t, times))
    });
    each.collect()
}

fn amounts(round: &Round, changed: f64) -> [f64; 4] {
    [1.0, round.frames, round.rows, changed]
}

fn four(each: &[f64]) -> [f64; 4] {
    std::array::from_fn(|place| each[place])
}

#[cfg(test)]
mod tests {
    use refrain_log::ids::Sequence;

    use super::super::arrivals::Arrival;
    use super::super::rounds::{Layout, excerpt, of_one};
    use super::*;
    use crate::pipeline::Rhythm;

    /// What rounds cost in a world whose prices are known.
    fn truth(rounds: &[Round]) -> f64 {
        rounds.iter().map(|r| taking(r) + committing(r)).sum()
    }

    fn taking(round: &Round) -> f64 {
        60_000.0 + 6_000.0 * round.frames + 80.0 * round.rows
    }

    fn changed(round: &Round) -> f64 {
        5.0 * round.rows.powf(0.7)
    }

    fn committing(round: &Round) -> f64 {
        300_000.0 + 1_200.0 * changed(round)
    }

    /// A load that goes up and down within the hour.
    fn arrivals() -> Vec<Arrival> {
        let at = |i: i64| Arrival {
            time_us: i * 100_000,
            sequence: Sequence(i.unsigned_abs() + 1),
            rows: 50.0 + f64::from((i % 17_000) as i32) / 30.0,
        };
        (0..36_000).map(at).collect()
    }

    fn layout(rhythm: &str) -> Layout {
        of_one(&Rhythm::parse(rhythm).expect("one"), arrivals(), 100_000)
    }

    #[test]
    fn another_rhythm_is_foretold_in_both_directions() {
        let rhythms = ["continuous", "every 1s", "every 10s", "every 1m"];
        for was in rhythms {
            let mut work = Work::default();
            for round in layout(was).rounds {
                work.taking
                    .push(&[1.0, round.frames, round.rows], taking(&round));
                work.committing
                    .push(&[1.0, changed(&round)], committing(&round));
                work.changing.push(round.rows, changed(&round));
            }
            let model = Model::of(&work);
            for would_be in rhythms {
                let rounds = layout(would_be).rounds;
                let (foretold, truth) = (model.cpu_ns(&rounds), truth(&rounds));
                let off = foretold / truth - 1.0;
                assert!(off.abs() < 0.25, "{was} to {would_be}: {off:+.2}");
            }
        }
    }

    /// Rounds of both rhythms are tried out, so that neither is a matter of guessing: within 15 % in each direction.
    #[test]
    fn rounds_that_were_tried_out_foretell_more_exactly() {
        // Rounds of an hour are larger than what is tried out, and foretold too low: changed keys do not grow as rows do.
        let rhythms = ["continuous", "every 1s", "every 10s", "every 1m"];
        let pairs = rhythms.iter().flat_map(|a| rhythms.map(|b| (*a, b)));
        // Rounds of one rhythm alone are too much alike to be taken apart, and nobody asks what the same would cost.
        for (was, would_be) in pairs.filter(|(was, would_be)| was != would_be) {
            let tried = [was, would_be].map(|text| {
                let rounds = excerpt(&layout(text), 100_000.0, 100).rounds;
                let tried = |round: Round| Tried {
                    round,
                    changed: changed(&round),
                    cpu_ns: taking(&round) + committing(&round),
                    commit_bytes: 1_000.0 + 80.0 * changed(&round),
                    topic_bytes: 0.0,
                    syncs: 1.0,
                };
                rounds.into_iter().map(tried).collect::<Vec<_>>()
            });
            let model = &Model::of_tried(&tried)[1];
            let rounds = layout(would_be).rounds;
            let off = model.cpu_ns(&rounds) / truth(&rounds) - 1.0;
            assert!(off.abs() < 0.15, "{was} to {would_be}: {off:+.3}");
            let bytes = rounds.iter().map(|r| 1_000.0 + 80.0 * changed(r));
            let off = model.commit_bytes(&rounds) / bytes.sum::<f64>() - 1.0;
            assert!(off.abs() < 0.15, "{was} to {would_be}: {off:+.3}");
            assert_eq!(model.topic_bytes(&rounds), 0.0);
            assert!((model.syncs(&rounds) / rounds.len() as f64 - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn few_large_rounds_count_like_many_small_ones() {
        let tried = |rows: f64| Tried {
            round: Round {
                rows,
                ..Round::default()
            },
            ..Tried::default()
        };
        let found = evened(&[vec![tried(1.0); 7], vec![tried(9.0); 2], Vec::new()]);
        let large = found.iter().filter(|t| t.round.rows > 1.0).count();
        assert_eq!((found.len() - large, large), (7, 6));
    }

    /// Some rounds have late rows, which go to a topic of their own with a sync; of large rounds all do.
    #[test]
    fn what_each_layout_took_is_met() {
        let tried = |rows: f64, late: bool| Tried {
            round: Round {
                rows,
                ..Round::default()
            },
            changed: rows,
            cpu_ns: 1e6 + rows * 100.0,
            commit_bytes: 1_000.0 + rows,
            topic_bytes: if late { 700.0 } else { 0.0 },
            syncs: if late { 2.0 } else { 1.0 },
        };
        let small: Vec<Tried> = (0..50).map(|i| tried(50.0, i % 10 == 0)).collect();
        let layouts = [small, vec![tried(5_000.0, true); 9]];
        let models = Model::of_tried(&layouts);
        let sums = [(55.0, 3_500.0), (18.0, 6_300.0)];
        for ((model, tried), (syncs, bytes)) in models.iter().zip(&layouts).zip(sums) {
            let rounds: Vec<Round> = tried.iter().map(|t| t.round).collect();
            assert!((model.syncs(&rounds) / syncs - 1.0).abs() < 1e-9);
            assert!((model.topic_bytes(&rounds) / bytes - 1.0).abs() < 1e-9);
        }
    }
}
