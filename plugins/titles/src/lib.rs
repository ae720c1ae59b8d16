//! Counts with a title that is made of their key: a fold that sees the key and window of what it shows.

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event {}

#[derive(Row, Debug, PartialEq)]
struct Titled {
    events: i64,
    title: String,
}

/// The node's key, and the start of its window.
#[derive(Row)]
struct Key {
    content_id: i64,
    window_start: Timestamp,
}

/// How many events of a content there were in a window, with a title.
#[derive(Plugin)]
struct Titles;

impl Fold for Titles {
    type Input<'a> = Event;
    type State = i64;
    type Output = Titled;

    fn update(&self, events: &mut i64, _: Event) {
        *events += 1;
    }

    fn evaluate(&self, events: &i64) -> Option<Titled> {
        Some(Titled {
            events: *events,
            title: String::new(),
        })
    }
}

impl Keyed for Titles {
    type Key<'a> = Key;

    fn with_key(&self, key: Key, row: Titled) -> Option<Titled> {
        let second = key.window_start.0.div_euclid(1_000_000);
        let title = format!("content {} from second {second}", key.content_id);
        Some(Titled { title, ..row })
    }
}

export_fold!(Titles, keys);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_names_content_and_window() {
        let key = Key {
            content_id: 7,
            window_start: Timestamp(60_000_000),
        };
        let shown = TestFold::new(Titles).row(Event {}).output_of(key);
        let title = "content 7 from second 60".to_string();
        assert_eq!(shown, Some(Titled { events: 1, title }));
    }
}
