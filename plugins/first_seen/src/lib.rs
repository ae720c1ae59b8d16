//! De-duplication: of events with one key, the first within a horizon.

use refrain_sdk::dedup::{Dedup, First};
use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event {
    kind: String,
    watch_ms: i64,
}

/// Events without their repetitions.
#[derive(Plugin)]
struct FirstSeen {
    /// How far apart in time two events have to be for both to count.
    #[setting(default = "1h")]
    horizon: Span,
    /// How long after the watermark an event is still taken.
    #[setting(default = "0s")]
    lateness: Span,
}

impl Dedup for FirstSeen {
    type Row<'a> = Event;
    type Output = Event;
    const INPUT: &'static str = "events";

    fn horizon(&self) -> Span {
        self.horizon
    }

    fn lateness(&self) -> Span {
        self.lateness
    }

    fn first(&self, event: Event) -> Event {
        event
    }
}

export_process!(First<FirstSeen>);

#[cfg(test)]
mod tests {
    use refrain_sdk::dedup::DedupInput;

    use super::*;

    #[test]
    fn a_repetition_within_the_hour_is_dropped() {
        let event = |watch_ms| {
            DedupInput(Event {
                kind: "view".to_string(),
                watch_ms,
            })
        };
        let minutes = |minutes: i64| Timestamp(minutes * 60_000_000);
        let seen = TestProcess::new(First::new(FirstSeen {
            horizon: "1h".into(),
            lateness: "0s".into(),
        }))
        .row("e1", minutes(0), event(1))
        .row("e1", minutes(59), event(2))
        .row("e2", minutes(59), event(3))
        .row("e1", minutes(60), event(4))
        .watermark(minutes(200));
        let watched: Vec<_> = seen.rows().into_iter().map(|(_, e)| e.watch_ms).collect();
        assert_eq!(watched, [1, 3, 4]);
        assert_eq!(seen.keys(), [""; 0]);
    }
}
