//! What a node's work would take in other rounds: so much a round, a frame, a row, each changed key, and each sync. Taken
//! apart from rounds that were tried out (`dry`), or, where that cannot be done, from those that the ledger has. Pure.

use super::arrivals::Arrival;
use crate::accounts::measures::{COMMITTING_GUESSED, TAKING_GUESSED};
use crate::accounts::{Growth, Parts, Work};

/// What divides the cost of rounds that do not tell their parts apart, in nanoseconds: a round, a frame, a row, a change.
const GUESSED: [f64; 4] = [
    TAKING_GUESSED[0] + COMMITTING_GUESSED[0] / 4.0,
    TAKING_GUESSED[1],
    TAKING_GUESSED[2],
    COMMITTING_GUESSED[1],
];

/// A round that was tried out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// What it took.
    pub round: Arrival,
    /// Changed keys.
    pub changed: f64,
    /// Processor time, in nanoseconds.
    pub cpu_ns: f64,
}

/// A node's work, taken apart; times in nanoseconds of processor time.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    round_ns: f64,
    frame_ns: f64,
    row_ns: f64,
    change_ns: f64,
    changing: Growth,
}

impl Model {
    /// Takes work of the ledger apart.
    pub fn of(work: &Work) -> Model {
        let taking = work.taking.each(&TAKING_GUESSED);
        let committing = work.committing.each(&COMMITTING_GUESSED);
        Model {
            round_ns: taking[0] + committing[0],
            frame_ns: taking[1],
            row_ns: taking[2],
            change_ns: committing[1],
            changing: work.changing,
        }
    }

    /// Takes rounds apart that were tried out in memory; each syncs, which takes so long.
    pub fn of_tried(tried: &[Tried], syncs_ns: f64) -> Model {
        let (mut parts, mut changing) = (Parts::default(), Growth::default());
        for Tried {
            round,
            changed,
            cpu_ns,
        } in tried
        {
            parts.push(&[1.0, round.frames, round.rows, *changed], *cpu_ns);
            changing.push(round.rows, *changed);
        }
        let each = parts.each(&GUESSED);
        Model {
            round_ns: each[0] + syncs_ns,
            frame_ns: each[1],
            row_ns: each[2],
            change_ns: each[3],
            changing,
        }
    }

    /// Processor time of rounds, in nanoseconds.
    pub fn cpu_ns(&self, rounds: &[Arrival]) -> f64 {
        let round = |round: &Arrival| {
            self.round_ns
                + self.frame_ns * round.frames
                + self.row_ns * round.rows
                + self.change_ns * self.changing.at(round.rows)
        };
        rounds.iter().map(round).sum()
    }
}

#[cfg(test)]
mod tests {
    use refrain_log::ids::Sequence;

    use super::super::arrivals::{excerpt, rounds};
    use super::*;
    use crate::pipeline::Rhythm;

    /// What rounds cost in a world whose prices are known.
    fn truth(rounds: &[Arrival]) -> f64 {
        rounds.iter().map(|r| taking(r) + committing(r)).sum()
    }

    fn taking(round: &Arrival) -> f64 {
        60_000.0 + 6_000.0 * round.frames + 80.0 * round.rows
    }

    fn changed(round: &Arrival) -> f64 {
        5.0 * round.rows.powf(0.7)
    }

    fn committing(round: &Arrival) -> f64 {
        300_000.0 + 1_200.0 * changed(round)
    }

    /// A load that goes up and down within the hour.
    fn arrivals() -> Vec<Arrival> {
        let at = |i: i64| Arrival {
            time_us: i * 100_000,
            frames: 1.0,
            rows: 50.0 + f64::from((i % 17_000) as i32) / 30.0,
            last: Sequence(i.unsigned_abs() + 1),
        };
        (0..36_000).map(at).collect()
    }

    #[test]
    fn another_rhythm_is_foretold_in_both_directions() {
        let (arrivals, interval) = (arrivals(), 100_000);
        let rhythms = ["continuous", "every 1s", "every 10s", "every 1m"];
        let of = |text: &str| rounds(&arrivals, &Rhythm::parse(text).expect("one"), interval);
        for was in rhythms {
            let mut work = Work::default();
            for round in of(was) {
                work.taking
                    .push(&[1.0, round.frames, round.rows], taking(&round));
                work.committing
                    .push(&[1.0, changed(&round)], committing(&round));
                work.changing.push(round.rows, changed(&round));
            }
            let model = Model::of(&work);
            for would_be in rhythms {
                let rounds = of(would_be);
                let (foretold, truth) = (model.cpu_ns(&rounds), truth(&rounds));
                let off = foretold / truth - 1.0;
                assert!(off.abs() < 0.25, "{was} to {would_be}: {off:+.2}");
            }
        }
    }

    /// Rounds of both rhythms are tried out, so that neither is a matter of guessing: within 15 % in each direction.
    #[test]
    fn rounds_that_were_tried_out_foretell_more_exactly() {
        let (arrivals, interval) = (arrivals(), 100_000);
        // Rounds of an hour are larger than what is tried out, and foretold too low: changed keys do not grow as rows do.
        let rhythms = ["continuous", "every 1s", "every 10s", "every 1m"];
        let rhythm = |text: &str| Rhythm::parse(text).expect("one");
        let pairs = rhythms.iter().flat_map(|a| rhythms.map(|b| (*a, b)));
        // Rounds of one rhythm alone are too much alike to be taken apart, and nobody asks what the same would cost.
        for (was, would_be) in pairs.filter(|(was, would_be)| was != would_be) {
            let tried: Vec<Tried> = [was, would_be]
                .iter()
                .flat_map(|text| {
                    excerpt(&arrivals, &rhythm(text), interval, (100_000.0, 100)).rounds
                })
                .map(|round| Tried {
                    round,
                    changed: changed(&round),
                    cpu_ns: taking(&round) + committing(&round),
                })
                .collect();
            let model = Model::of_tried(&tried, 0.0);
            let rounds = rounds(&arrivals, &rhythm(would_be), interval);
            let off = model.cpu_ns(&rounds) / truth(&rounds) - 1.0;
            assert!(off.abs() < 0.15, "{was} to {would_be}: {off:+.3}");
        }
    }
}
