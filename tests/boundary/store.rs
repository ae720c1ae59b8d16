//! States on the disk, through the real program: many keys, kills, and a store that is gone come to the digests that states in memory come to.

use std::fmt::Write;
use std::time::Duration;

use refrain_tests::{Home, Luck, pipeline};

const ON_DISK: &str = "\n[state]\nstore = \"disk\"\ncache = \"1MiB\"\n";
const KEYS: u64 = 50_000;
const PARTS: usize = 6;

/// Events over many contents: each part touches most of the earlier ones again.
fn part(seed: u64) -> String {
    let mut luck = Luck::of(seed);
    let mut text = "event_time,content_id,user_id,kind,watch_ms\n".to_string();
    for i in 0..20_000 {
        let time = 1_700_000_000_000 + (seed * 20_000 + i) * 10;
        let (content, watch) = (luck.below(KEYS), luck.below(60_000));
        writeln!(text, "{time},{content},{i},view,{watch}").unwrap();
    }
    text
}

fn home(more: &str) -> Home {
    let home = Home::new(&(pipeline() + more)).with_plugins(&[
        "engagement",
        "engagement_total",
        "views_only",
    ]);
    for n in 0..PARTS {
        home.write(&format!("{n}.csv"), part(n as u64));
    }
    home
}

fn append(home: &Home, n: usize) {
    home.append("events", &format!("{n}.csv"), &format!("part {n}"))
        .ok();
}

fn digests(home: &Home) -> [String; 2] {
    ["engagement", "total"].map(|view| home.digest(view))
}

fn in_memory() -> [String; 2] {
    let home = home("");
    (0..PARTS).for_each(|n| append(&home, n));
    home.run().ok();
    digests(&home)
}

#[test]
fn states_on_the_disk_come_to_the_same_digests() {
    let wanted = in_memory();
    let home = home(ON_DISK);
    let running = home.start();
    (0..PARTS).for_each(|n| append(&home, n));
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    assert_eq!(digests(&home), wanted);
}

#[test]
fn kills_and_a_store_that_is_gone_change_nothing() {
    let wanted = in_memory();
    let home = home(ON_DISK);
    let mut luck = Luck::printed("kills_and_a_store");
    for n in 0..PARTS {
        let running = home.start();
        append(&home, n);
        luck.pause(Duration::from_millis(400));
        running.kill();
        if n == 2 {
            std::fs::remove_dir_all(home.path("data/store")).unwrap();
        }
    }
    home.run().ok();
    assert_eq!(digests(&home), wanted);
    // Kept in memory from here on, and on the disk again: the commit log has it all.
    home.write("refrain.toml", pipeline());
    home.run().ok();
    assert_eq!(digests(&home), wanted);
}
