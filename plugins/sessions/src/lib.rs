//! Visits: what one user did from the first event to the last one before a silence. For session windows.

use std::collections::BTreeSet;

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event<'a> {
    content_id: i64,
    kind: &'a str,
    watch_ms: i64,
}

#[state]
#[derive(Default, Debug, PartialEq)]
struct Visit {
    events: i64,
    views: i64,
    watch_ms: i64,
    contents: BTreeSet<i64>,
}

#[derive(Row, Debug, PartialEq)]
struct Shown {
    events: i64,
    views: i64,
    watch_ms: i64,
    contents: i64,
}

/// What a user did in one visit: events, views, time watched, different contents.
#[derive(Plugin)]
struct Sessions;

impl Fold for Sessions {
    type Input<'a> = Event<'a>;
    type State = Visit;
    type Output = Shown;

    fn update(&self, visit: &mut Visit, event: Event<'_>) {
        visit.events += 1;
        visit.views += i64::from(event.kind == "view");
        visit.watch_ms = visit.watch_ms.wrapping_add(event.watch_ms);
        visit.contents.insert(event.content_id);
    }

    fn evaluate(&self, visit: &Visit) -> Option<Shown> {
        Some(Shown {
            events: visit.events,
            views: visit.views,
            watch_ms: visit.watch_ms,
            contents: visit.contents.len() as i64,
        })
    }
}

/// A late event can close the gap between two visits: they become one.
impl Merge for Sessions {
    fn merge(&self, earlier: &mut Visit, later: Visit) {
        earlier.events += later.events;
        earlier.views += later.views;
        earlier.watch_ms = earlier.watch_ms.wrapping_add(later.watch_ms);
        earlier.contents.extend(later.contents);
    }
}

export_fold!(Sessions, merge);

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(contents: &[i64]) -> TestFold<Sessions> {
        let event = |content_id| Event {
            content_id,
            kind: "view",
            watch_ms: 10,
        };
        contents
            .iter()
            .fold(TestFold::new(Sessions), |visit, content| {
                visit.row(event(*content))
            })
    }

    #[test]
    fn two_visits_joined_are_the_visit_of_all_their_events() {
        let joined = visit(&[1, 2]).merge(visit(&[2, 3]));
        assert_eq!(joined.state(), visit(&[1, 2, 2, 3]).state());
        let expected = Shown {
            events: 4,
            views: 4,
            watch_ms: 40,
            contents: 3,
        };
        assert_eq!(joined.output(), Some(expected));
    }
}
