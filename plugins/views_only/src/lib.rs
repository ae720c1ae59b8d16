//! Keeps the views among the events, and of those who saw what and when.

use refrain_sdk::prelude::*;

#[derive(Row)]
struct Event<'a> {
    event_time: Timestamp,
    content_id: i64,
    user_id: i64,
    kind: &'a str,
}

#[derive(Row, Debug, PartialEq)]
struct View {
    event_time: Timestamp,
    content_id: i64,
    user_id: i64,
}

/// Events of kind `view`: when, which content, which user.
#[derive(Plugin)]
struct ViewsOnly;

impl Transform for ViewsOnly {
    type Input<'a> = Event<'a>;
    type Output<'a> = View;

    fn process<'a>(&self, event: Event<'a>, out: &mut Out<'a, View>) -> Result<(), Reject> {
        if event.kind == "view" {
            out.push(View {
                event_time: event.event_time,
                content_id: event.content_id,
                user_id: event.user_id,
            });
        }
        Ok(())
    }
}

export_transform!(ViewsOnly);

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str) -> Event<'_> {
        Event {
            event_time: Timestamp(1),
            content_id: 2,
            user_id: 3,
            kind,
        }
    }

    #[test]
    fn keeps_a_view() {
        let view = View {
            event_time: Timestamp(1),
            content_id: 2,
            user_id: 3,
        };
        TestTransform::new(ViewsOnly).row(event("view"), |rows| assert_eq!(rows, Ok(vec![view])));
    }

    #[test]
    fn drops_all_else() {
        TestTransform::new(ViewsOnly).row(event("like"), |rows| assert_eq!(rows, Ok(vec![])));
    }
}
