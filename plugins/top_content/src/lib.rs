//! Top N: the contents of each kind that were watched longest.

use refrain_sdk::prelude::*;
use refrain_sdk::top::{Top, TopN};

#[derive(Row)]
struct Event {
    content_id: i64,
    watch_ms: i64,
}

#[state]
#[derive(Default)]
struct Watched {
    events: i64,
    watch_ms: i64,
}

#[derive(Row, Debug, PartialEq)]
struct Ranked {
    rank: i64,
    content_id: i64,
    events: i64,
    watch_ms: i64,
}

/// The contents that were watched longest, as long as someone watches them.
#[derive(Plugin)]
struct TopContent {
    /// How many ranks there are.
    #[setting(default = 10)]
    count: i64,
    /// A content that nobody watched for so long starts anew.
    #[setting(default = "1h")]
    horizon: Span,
}

impl TopN for TopContent {
    type Row<'a> = Event;
    type Id = i64;
    type Item = Watched;
    type Score = i64;
    type Output = Ranked;
    const INPUT: &'static str = "events";

    fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    fn horizon(&self) -> Option<Span> {
        Some(self.horizon)
    }

    fn id(&self, event: &Event) -> i64 {
        event.content_id
    }

    fn update(&self, watched: &mut Watched, event: Event) {
        watched.events += 1;
        watched.watch_ms = watched.watch_ms.saturating_add(event.watch_ms);
    }

    fn score(&self, watched: &Watched) -> i64 {
        watched.watch_ms
    }

    fn ranked(&self, rank: i64, content_id: &i64, watched: &Watched) -> Ranked {
        Ranked {
            rank,
            content_id: *content_id,
            events: watched.events,
            watch_ms: watched.watch_ms,
        }
    }
}

export_process!(Top<TopContent>);

#[cfg(test)]
mod tests {
    use refrain_sdk::top::TopInput;

    use super::*;

    #[test]
    fn what_is_watched_longest_comes_first_until_nobody_watches() {
        let event = |content_id, watch_ms| {
            TopInput(Event {
                content_id,
                watch_ms,
            })
        };
        let minutes = |minutes: i64| Timestamp(minutes * 60_000_000);
        let top = TestProcess::new(Top::new(TopContent {
            count: 2,
            horizon: "1h".into(),
        }))
        .row("view", minutes(0), event(1, 30))
        .row("view", minutes(5), event(2, 20))
        .row("view", minutes(6), event(3, 20))
        .row("view", minutes(7), event(2, 15));
        let ranks = |top: &TestProcess<Top<TopContent>>| -> Vec<_> {
            let ranks = top.view("view").into_iter();
            ranks
                .map(|row| (row.rank, row.content_id, row.watch_ms))
                .collect()
        };
        assert_eq!(ranks(&top), [(1, 2, 35), (2, 1, 30)]);
        let top = top.watermark(minutes(60));
        assert_eq!(ranks(&top), [(1, 2, 35), (2, 3, 20)]);
        assert_eq!(ranks(&top.watermark(minutes(66))), [(1, 2, 35)]);
    }
}
