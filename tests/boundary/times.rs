//! `topic read --from TIME`: from the first row at or after it in log order, by event time or by the time of appending.

use std::time::{SystemTime, UNIX_EPOCH};

use refrain_tests::{EVENTS, Home, events_csv};
use serde_json::Value;

fn read(home: &Home, topic: &str, from: &str) -> Vec<Value> {
    let words = [
        "topic", "read", topic, "--from", from, "--limit", "1000000", "--output", "json",
    ];
    let rows = home.refrain(&words).ok().json();
    rows.as_array().unwrap().clone()
}

/// Rows of the frame that holds the first such row were once all printed, earlier ones before it.
#[test]
fn rows_begin_with_the_first_of_that_time_or_later() {
    let home = Home::new(&format!("{EVENTS}2\n"));
    for part in 0..3 {
        let name = format!("{part}.csv");
        // The same times three times: later frames hold earlier times again.
        home.write(&name, events_csv(part, 2_000));
        home.append("events", &name, &name).ok();
    }
    let all = home.topic("events");
    let times: Vec<&str> = all
        .iter()
        .map(|r| r["event_time"].as_str().unwrap())
        .collect();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    let mut earlier_rows = 0;
    let chosen = (0..20).map(|i| times[i * times.len() / 20]);
    for from in chosen.chain([
        *first,
        *last,
        "2001-01-01T00:00:00Z",
        "2100-01-01T00:00:00Z",
    ]) {
        let mut wanted = Vec::new();
        for partition in 0..2 {
            let rows = all.iter().filter(|row| row["@partition"] == partition);
            // Times of one form and one zone: as text they are in the order of time.
            let rows = rows.skip_while(|row| row["event_time"].as_str().unwrap() < from);
            wanted.extend(rows.cloned());
        }
        let found = read(&home, "events", from);
        assert!(
            found == wanted,
            "from {from}: {} rows, not {}",
            found.len(),
            wanted.len()
        );
        let earlier = |row: &&Value| row["event_time"].as_str().unwrap() < from;
        earlier_rows += found.iter().filter(earlier).count();
    }
    assert!(earlier_rows > 0, "rows that came late stay where they are");
}

/// A topic without event time was once read from its end, that is: not at all.
#[test]
fn without_an_event_time_rows_begin_with_the_first_appended_then() {
    let home = Home::new("[topic.words]\nschema = { word = \"text\", n = \"i64\" }\n");
    let mut moments = Vec::new();
    for part in 0..3 {
        home.write("part.csv", format!("word,n\na,{part}\nb,none\nc,{part}\n"));
        home.append("words", "part.csv", &part.to_string()).ok();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        moments.push(refrain_engine::ingest::time::text(now.as_micros() as i64));
    }
    for (topic, rows) in [("words", 2), ("words.rejected", 1)] {
        assert_eq!(read(&home, topic, "2001-01-01").len(), 3 * rows, "{topic}");
        for (appended, moment) in (1..).zip(&moments) {
            let found = read(&home, topic, moment);
            assert_eq!(found.len(), (3 - appended) * rows, "{topic} from {moment}");
            if let Some(first) = found.first() {
                assert_eq!(first["@offset"], appended * rows, "{topic} from {moment}");
            }
        }
    }
}
