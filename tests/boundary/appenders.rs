//! Several producers at the same time through the socket of one host: killed in the middle, repeated, overlapping. Every
//! row is there once, in the order of its producer, and the totals are those of a calm life.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use refrain_tests::{Home, Luck, count, events_csv_parts};

const ROWS: usize = 40_000;
const PRODUCERS: usize = 4;

fn home() -> Home {
    let home = Home::engagement();
    for (i, part) in events_csv_parts(51, ROWS, PRODUCERS).iter().enumerate() {
        home.write(&format!("{i}.csv"), part);
        // The same input, only its first half: who repeats may have less.
        let lines: Vec<&str> = part.lines().collect();
        let half = lines[..lines.len() / 2].join("\n");
        home.write(&format!("{i}-half.csv"), half + "\n");
    }
    home
}

fn append(home: &Home, file: &str, producer: usize) -> std::process::Command {
    let name = format!("p{producer}");
    let mut command = home.command(&["topic", "append", "events", file, "--producer", &name]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Appends one producer's rows: killed a few times, by halves, again and again.
fn produce(home: &Home, producer: usize, mut luck: Luck) {
    let (whole, half) = (format!("{producer}.csv"), format!("{producer}-half.csv"));
    for _ in 0..luck.below(5) {
        let file = if luck.below(2) == 0 { &whole } else { &half };
        let mut child = append(home, file, producer).spawn().unwrap();
        luck.pause(Duration::from_millis(60));
        let _ = child.kill();
        child.wait().unwrap();
    }
    for file in [&half, &whole, &half, &whole] {
        assert!(append(home, file, producer).status().unwrap().success());
    }
}

/// Rows without their offset, by partition, sorted: the order between producers is anyone's.
fn rows_of(home: &Home) -> BTreeMap<String, Vec<String>> {
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in home.topic_text("events").lines().skip(1) {
        let mut cells = line.splitn(3, ',');
        let partition = cells.next().unwrap_or_default().to_string();
        let row = cells.nth(1).unwrap_or_default().to_string();
        rows.entry(partition).or_default().push(row);
    }
    rows.values_mut().for_each(|rows| rows.sort());
    rows
}

#[test]
fn many_appenders_at_once_are_each_kept_once() {
    let mut luck = Luck::printed("many_appenders");
    let calm = home();
    for producer in 0..PRODUCERS {
        let name = format!("p{producer}");
        calm.append("events", &format!("{producer}.csv"), &name)
            .ok();
    }
    calm.run().ok();
    for _ in 0..count("REFRAIN_KILLS", 50).div_ceil(25) {
        let home = home();
        let running = home.start();
        std::thread::scope(|scope| {
            for producer in 0..PRODUCERS {
                let (home, luck) = (&home, Luck::of(luck.next()));
                scope.spawn(move || produce(home, producer, luck));
            }
        });
        home.wait_until_taken();
        assert_eq!(home.rows("events"), ROWS as u64);
        assert_eq!(home.digest("total"), calm.digest("total"));
        assert_eq!(running.stop(), Some(0));
        assert!(rows_of(&home) == rows_of(&calm), "rows differ");
        // What one life said, another says: the log as it is now, computed anew.
        let live = ["engagement", "total"].map(|view| home.digest(view));
        std::fs::remove_dir_all(home.path("data/commits")).unwrap();
        home.run().ok();
        assert_eq!(["engagement", "total"].map(|view| home.digest(view)), live);
    }
}
