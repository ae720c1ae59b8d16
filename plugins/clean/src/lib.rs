//! Engagement events that make sense; what does not is rejected with the reason.

use refrain_sdk::prelude::*;

/// Longer than this nobody has watched: the player went on.
const WATCH_MS_MAX: i64 = 4 * 3_600_000;

#[derive(Row)]
struct Event<'a> {
    event_time: Timestamp,
    content_id: i64,
    user_id: i64,
    kind: &'a str,
    watch_ms: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Cleaned<'a> {
    event_time: Timestamp,
    content_id: i64,
    user_id: i64,
    kind: &'a str,
    watch_ms: i64,
}

/// Engagement events of known kinds, with a time watched that is possible.
#[derive(Plugin)]
struct Clean;

impl Transform for Clean {
    type Input<'a> = Event<'a>;
    type Output<'a> = Cleaned<'a>;

    fn process<'a>(&self, event: Event<'a>, out: &mut Out<'a, Cleaned<'a>>) -> Result<(), Reject> {
        if !matches!(event.kind, "view" | "like" | "complete" | "heartbeat") {
            return Err(Reject::new("no known kind of event"));
        }
        if event.watch_ms < 0 {
            return Err(Reject::new("watched for less than nothing"));
        }
        out.push(Cleaned {
            event_time: event.event_time,
            content_id: event.content_id,
            user_id: event.user_id,
            kind: event.kind,
            watch_ms: event.watch_ms.min(WATCH_MS_MAX),
        });
        Ok(())
    }
}

export_transform!(Clean);

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, watch_ms: i64) -> Event<'_> {
        Event {
            event_time: Timestamp(1),
            content_id: 2,
            user_id: 3,
            kind,
            watch_ms,
        }
    }

    fn cleaned(kind: &str, watch_ms: i64) -> Cleaned<'_> {
        Cleaned {
            event_time: Timestamp(1),
            content_id: 2,
            user_id: 3,
            kind,
            watch_ms,
        }
    }

    #[test]
    fn keeps_what_makes_sense() {
        let plugin = TestTransform::new(Clean);
        plugin.row(event("view", 0), |rows| {
            assert_eq!(rows, Ok(vec![cleaned("view", 0)]))
        });
        plugin.row(event("complete", WATCH_MS_MAX + 1), |rows| {
            assert_eq!(rows, Ok(vec![cleaned("complete", WATCH_MS_MAX)]));
        });
    }

    #[test]
    fn rejects_what_does_not() {
        let plugin = TestTransform::new(Clean);
        plugin.row(event("wiev", 0), |rows| assert!(rows.is_err()));
        plugin.row(event("view", -1), |rows| assert!(rows.is_err()));
    }
}
