//! Delays of flights, summed over whatever key and window the pipeline gives.

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Flight {
    delay: i64,
    distance: i64,
}

#[state]
#[derive(Default, Debug, PartialEq)]
struct Totals {
    flights: i64,
    delayed: i64,
    delay_sum: i64,
    delay_max: Option<i64>,
    distance_sum: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Delays {
    flights: i64,
    delayed: i64,
    delay_sum: i64,
    delay_max: i64,
    distance_sum: i64,
    delay_mean: f64,
}

/// How many flights there were, how many were late, and by how much.
#[derive(Plugin)]
struct Flights {
    /// Minutes above which a flight counts as delayed.
    #[setting(default = 15)]
    delayed_above: i64,
}

impl Fold for Flights {
    type Input<'a> = Flight;
    type State = Totals;
    type Output = Delays;

    fn update(&self, totals: &mut Totals, flight: Flight) {
        totals.flights += 1;
        totals.delayed += i64::from(flight.delay > self.delayed_above);
        totals.delay_sum = totals.delay_sum.wrapping_add(flight.delay);
        totals.delay_max = totals.delay_max.max(Some(flight.delay));
        totals.distance_sum = totals.distance_sum.wrapping_add(flight.distance);
    }

    fn evaluate(&self, totals: &Totals) -> Option<Delays> {
        Some(Delays {
            flights: totals.flights,
            delayed: totals.delayed,
            delay_sum: totals.delay_sum,
            delay_max: totals.delay_max?,
            distance_sum: totals.distance_sum,
            delay_mean: totals.delay_sum as f64 / totals.flights as f64,
        })
    }
}

export_fold!(Flights);

#[cfg(test)]
mod tests {
    use super::*;

    fn flights() -> TestFold<Flights> {
        TestFold::new(Flights { delayed_above: 15 })
    }

    fn flight(delay: i64, distance: i64) -> Flight {
        Flight { delay, distance }
    }

    #[test]
    fn counts_sums_and_averages() {
        let delays = flights()
            .row(flight(16, 100))
            .row(flight(15, 200))
            .row(flight(-10, 300))
            .output();
        let expected = Delays {
            flights: 3,
            delayed: 1,
            delay_sum: 21,
            delay_max: 16,
            distance_sum: 600,
            delay_mean: 7.0,
        };
        assert_eq!(delays, Some(expected));
    }

    #[test]
    fn the_greatest_of_early_flights_is_negative() {
        let delays = flights().row(flight(-7, 1)).row(flight(-3, 1)).output();
        assert_eq!(delays.map(|delays| delays.delay_max), Some(-3));
    }

    #[test]
    fn without_flights_there_is_no_row() {
        assert_eq!(flights().output(), None);
    }
}
