//! The same as `engagement`, under a name of its own: for running totals.

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event<'a> {
    kind: &'a str,
    watch_ms: i64,
}

#[state]
#[derive(Default, Debug, PartialEq)]
struct Totals {
    views: i64,
    likes: i64,
    completes: i64,
    watch_ms: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Engagement {
    views: i64,
    likes: i64,
    completes: i64,
    watch_ms: i64,
    completion_rate: f64,
}

/// How much a piece of content was viewed, liked, watched and completed.
#[derive(Plugin)]
struct EngagementTotal;

impl Fold for EngagementTotal {
    type Input<'a> = Event<'a>;
    type State = Totals;
    type Output = Engagement;

    fn update(&self, totals: &mut Totals, event: Event<'_>) {
        match event.kind {
            "view" => totals.views += 1,
            "like" => totals.likes += 1,
            "complete" => totals.completes += 1,
            _ => {}
        }
        totals.watch_ms = totals.watch_ms.wrapping_add(event.watch_ms);
    }

    fn evaluate(&self, totals: &Totals) -> Option<Engagement> {
        let completion_rate = match totals.views {
            0 => 0.0,
            views => totals.completes as f64 / views as f64,
        };
        Some(Engagement {
            views: totals.views,
            likes: totals.likes,
            completes: totals.completes,
            watch_ms: totals.watch_ms,
            completion_rate,
        })
    }
}

export_fold!(EngagementTotal);

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, watch_ms: i64) -> Event<'_> {
        Event { kind, watch_ms }
    }

    #[test]
    fn counts_each_kind_and_sums_all_watch_time() {
        let totals = TestFold::new(EngagementTotal)
            .row(event("view", 10))
            .row(event("view", 20))
            .row(event("like", 0))
            .row(event("complete", 30))
            .row(event("share", 40));
        let expected = Engagement {
            views: 2,
            likes: 1,
            completes: 1,
            watch_ms: 100,
            completion_rate: 0.5,
        };
        assert_eq!(totals.output(), Some(expected));
    }

    #[test]
    fn without_views_the_rate_is_zero() {
        let totals = TestFold::new(EngagementTotal).row(event("complete", 1));
        assert_eq!(totals.output().map(|row| row.completion_rate), Some(0.0));
    }
}
