//! What the parts of a piece of work cost, from many pieces of different make-up: so much for each piece, so much a frame,
//! so much a row. Kept as sums, so that what was measured at different times adds up.

use serde::{Deserialize, Serialize};

/// What the guess counts for, beside measured pieces of one each: measured costs of like pieces differ by some 15 %, the
/// guess may be off by all of it, and the ratio of the squares is the weight that errs least.
const PRIOR_WEIGHT: f64 = 0.03;
/// Pieces that cost less count as this, in nanoseconds: a clock ticks no finer.
const COST_MIN: f64 = 1_000.0;

/// Sums over pieces of work. Each has an amount of every part and a cost; errors count relative to the cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// How many pieces.
    n: f64,
    /// What they cost in all.
    cost: f64,
    /// Amounts of each part in all.
    amounts: Vec<f64>,
    /// Amounts by cost.
    linear: Vec<f64>,
    /// Products of two amounts by cost squared, row by row.
    square: Vec<f64>,
}

impl Parts {
    /// One more piece: so much of each part cost so much.
    pub fn push(&mut self, amounts: &[f64], cost: f64) {
        self.fit_to(amounts.len());
        let weight = 1.0 / cost.max(COST_MIN);
        self.n += 1.0;
        self.cost += cost;
        for (i, a) in amounts.iter().enumerate() {
            self.amounts[i] += a;
            self.linear[i] += a * weight;
            for (j, b) in amounts.iter().enumerate() {
                self.square[i * amounts.len() + j] += a * b * weight * weight;
            }
        }
    }

    /// Adds another's pieces.
    pub fn add(&mut self, other: &Parts) {
        self.fit_to(other.amounts.len());
        self.n += other.n;
        self.cost += other.cost;
        let pairs = [
            (&mut self.amounts, &other.amounts),
            (&mut self.linear, &other.linear),
            (&mut self.square, &other.square),
        ];
        for (own, others) in pairs {
            own.iter_mut().zip(others).for_each(|(a, b)| *a += b);
        }
    }

    fn fit_to(&mut self, parts: usize) {
        if self.amounts.len() < parts {
            self.amounts = vec![0.0; parts];
            self.linear = vec![0.0; parts];
            self.square = vec![0.0; parts * parts];
        }
    }

    /// How many pieces.
    pub fn pieces(&self) -> f64 {
        self.n
    }

    /// The cost of one of each part: none below zero, the measured total met, errors of single pieces least. What the
    /// pieces do not tell apart is divided as in `prior`, a guess in any unit, which also stands in where nothing was
    /// measured.
    pub fn each(&self, prior: &[f64]) -> Vec<f64> {
        let count = prior.len();
        let guessed: f64 = self.amounts.iter().zip(prior).map(|(a, p)| a * p).sum();
        if self.n == 0.0 || guessed <= 0.0 || self.cost <= 0.0 {
            return prior.to_vec();
        }
        // In units of the guess, scaled to what was measured: each part is near 1 when the guess was good.
        let scale: Vec<f64> = prior.iter().map(|p| p * self.cost / guessed).collect();
        let of = |i: usize, j: usize| {
            let own = self.square[i * count + j] * scale[i] * scale[j];
            own + if i == j { PRIOR_WEIGHT } else { 0.0 }
        };
        let wanted = |i: usize| self.linear[i] * scale[i] + PRIOR_WEIGHT;
        let found = not_negative(count, &of, &wanted);
        let each: Vec<f64> = found.iter().zip(&scale).map(|(u, s)| u * s).collect();
        let told: f64 = self.amounts.iter().zip(&each).map(|(a, e)| a * e).sum();
        let right = if told > 0.0 { self.cost / told } else { 1.0 };
        each.iter().map(|e| e * right).collect()
    }
}

/// The least of a quadratic form over what is not below zero: of all choices of parts that are zero, the best that is
/// allowed. There are few parts.
fn not_negative(
    count: usize,
    square: &dyn Fn(usize, usize) -> f64,
    linear: &dyn Fn(usize) -> f64,
) -> Vec<f64> {
    let mut best: Option<(f64, Vec<f64>)> = None;
    for chosen in 1..1_usize << count {
        let places: Vec<usize> = (0..count).filter(|i| chosen >> i & 1 == 1).collect();
        let Some(solved) = solve(&places, square, linear) else {
            continue;
        };
        if solved.iter().any(|v| *v < 0.0) {
            continue;
        }
        let gain: f64 = places
            .iter()
            .zip(&solved)
            .map(|(place, value)| linear(*place) * value)
            .sum();
        if best.as_ref().is_none_or(|(least, _)| gain > *least) {
            let mut all = vec![0.0; count];
            for (place, value) in places.iter().zip(solved) {
                all[*place] = value;
            }
            best = Some((gain, all));
        }
    }
    best.map_or_else(|| vec![1.0; count], |(_, found)| found)
}

/// Solves linear equations by elimination; none: they have no one solution.
fn solve(
    places: &[usize],
    square: &dyn Fn(usize, usize) -> f64,
    linear: &dyn Fn(usize) -> f64,
) -> Option<Vec<f64>> {
    let count = places.len();
    let mut rows: Vec<Vec<f64>> = places
        .iter()
        .map(|i| {
            let row = places.iter().map(|j| square(*i, *j));
            row.chain([linear(*i)]).collect()
        })
        .collect();
    for at in 0..count {
        let pivot = (at..count).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs()))?;
        rows.swap(at, pivot);
        if rows[at][at].abs() < 1e-12 {
            return None;
        }
        let top = rows[at].clone();
        for row in rows.iter_mut().skip(at + 1) {
            let factor = row[at] / top[at];
            row.iter_mut().zip(&top).for_each(|(a, b)| *a -= factor * b);
        }
    }
    let mut solved = vec![0.0; count];
    for at in (0..count).rev() {
        let known: f64 = (at + 1..count).map(|j| rows[at][j] * solved[j]).sum();
        solved[at] = (rows[at][count] - known) / rows[at][at];
    }
    Some(solved)
}

/// How a count grows with another, as a power of it: keys that change with rows that are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

/// Taken for the power where points do not tell it.
const POWER_GUESSED: f64 = 0.8;
/// What that counts for, in squares of logarithms.
const POWER_WEIGHT: f64 = 0.5;

impl Growth {
    /// One more point; counts below one tell nothing.
    pub fn push(&mut self, from: f64, to: f64) {
        if from < 1.0 || to < 1.0 {
            return;
        }
        let (x, y) = (from.ln(), to.ln());
        self.n += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }

    /// Adds another's points.
    pub fn add(&mut self, other: &Growth) {
        self.n += other.n;
        self.x += other.x;
        self.y += other.y;
        self.xx += other.xx;
        self.xy += other.xy;
    }

    /// What so many lead to.
    pub fn at(&self, from: f64) -> f64 {
        if self.n == 0.0 || from <= 0.0 {
            return 0.0;
        }
        let (x, y) = (self.x / self.n, self.y / self.n);
        let spread = self.xx - self.n * x * x + POWER_WEIGHT;
        let together = self.xy - self.n * x * y + POWER_WEIGHT * POWER_GUESSED;
        let power = (together / spread).clamp(0.0, 1.0);
        (y + power * (from.max(1.0).ln() - x)).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRIOR: [f64; 3] = [20_000.0, 3_000.0, 100.0];

    fn measured(each: [f64; 3], pieces: impl Iterator<Item = (f64, f64)>) -> Parts {
        let mut parts = Parts::default();
        for (frames, rows) in pieces {
            let amounts = [1.0, frames, rows];
            let cost = amounts.iter().zip(each).map(|(a, e)| a * e).sum();
            parts.push(&amounts, cost);
        }
        parts
    }

    proptest! {
        /// Whatever was measured: no part is below zero, and all of it together costs what it cost.
        #[test]
        fn parts_make_up_the_whole(
            pieces in prop::collection::vec((1.0..50.0_f64, 0.0..1e5_f64, 1e3..1e9_f64), 1..40),
        ) {
            let mut parts = Parts::default();
            let mut halves = [Parts::default(), Parts::default()];
            for (i, (frames, rows, cost)) in pieces.iter().enumerate() {
                parts.push(&[1.0, *frames, *rows], *cost);
                halves[i % 2].push(&[1.0, *frames, *rows], *cost);
            }
            let each = parts.each(&PRIOR);
            prop_assert!(each.iter().all(|e| *e >= 0.0), "{:?}", each);
            let told: f64 = pieces
                .iter()
                .map(|(frames, rows, _)| each[0] + each[1] * frames + each[2] * rows)
                .sum();
            let cost: f64 = pieces.iter().map(|p| p.2).sum();
            prop_assert!((told / cost - 1.0).abs() < 1e-6, "{} for {}", told, cost);
            let [mut a, b] = halves;
            a.add(&b);
            for (one, other) in a.each(&PRIOR).iter().zip(&each) {
                prop_assert!((one - other).abs() <= 1e-6 * cost, "sums add up");
            }
        }
    }

    #[test]
    fn parts_are_told_apart_by_pieces_of_different_make_up() {
        let each = [70_000.0, 9_000.0, 40.0];
        let pieces = (1..200).map(|i| (f64::from(1 + i % 7), f64::from(i * i % 5_000)));
        let found = measured(each, pieces).each(&PRIOR);
        for (found, true_) in found.iter().zip(each) {
            assert!((found / true_ - 1.0).abs() < 0.05, "{found} for {true_}");
        }
    }

    #[test]
    fn what_pieces_do_not_tell_is_divided_by_the_guess() {
        let found = measured(
            [40_000.0, 6_000.0, 200.0],
            (0..100).map(|_| (10.0, 1_000.0)),
        );
        let found = found.each(&PRIOR);
        for (found, true_) in found.iter().zip([40_000.0, 6_000.0, 200.0]) {
            assert!((found / true_ - 1.0).abs() < 0.05, "{found} for {true_}");
        }
        assert_eq!(Parts::default().each(&PRIOR), PRIOR);
    }

    #[test]
    fn growth_is_a_power() {
        let mut growth = Growth::default();
        (1..50).for_each(|i| growth.push(f64::from(i * 100), f64::from(i * 100).powf(0.5) * 7.0));
        let (found, wanted) = (growth.at(1e6), 7_000.0);
        assert!((found / wanted - 1.0).abs() < 0.05, "{found}");
        assert_eq!(Growth::default().at(5.0), 0.0);
    }
}
