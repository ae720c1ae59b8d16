//! Damage to what was acknowledged, full disks, and two who want one folder.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use refrain_tests::{EVENTS, Home, Luck, events_csv, poll};

const APPEND: [&str; 6] = ["topic", "append", "events", "events.csv", "--producer", "p"];

/// The segments of one partition, in their order.
fn segments(home: &Home, topic: &str, partition: u32) -> Vec<PathBuf> {
    let folder = home.path(&format!("data/topics/{topic}/{partition}"));
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
    paths.sort();
    paths
}

fn flip(path: &Path, position: u64) {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
}

#[test]
fn a_flipped_bit_in_acknowledged_rows_is_told_and_never_served() {
    let mut luck = Luck::printed("flipped");
    for _ in 0..4 {
        let home = Home::new(&format!("{EVENTS}2\n"));
        home.write("events.csv", events_csv(21, 60_000));
        home.append("events", "events.csv", "p").ok();
        let whole = home.topic_text("events");
        let first = segments(&home, "events", 0).remove(0);
        flip(&first, 4096 + luck.below(300_000));
        let read = home.refrain(&[
            "topic",
            "read",
            "events",
            "--partition",
            "0",
            "--limit",
            "1000000",
        ]);
        let read = read.code(5);
        read.says(&["events/0", "damaged", "segment"]);
        let rest = [
            "topic",
            "read",
            "events",
            "--partition",
            "1",
            "--limit",
            "1000000",
            "--output",
            "csv",
        ];
        let rest = home.refrain(&rest).ok().out;
        let wanted = whole.lines().filter(|line| line.starts_with("1,"));
        assert!(rest.lines().skip(1).eq(wanted), "partition 1 is served");
    }
}

#[test]
fn a_second_host_is_refused_and_commands_go_through_the_first() {
    let home = Home::engagement();
    home.write("events.csv", events_csv(22, 1_000));
    let running = home.start();
    home.run().code(6).says(&["in use by another process"]);
    home.refrain(&APPEND).ok().says(&["1,000 rows appended"]);
    home.wait_until_taken();
    assert_eq!(home.rows("events"), 1_000);
    assert!(!home.view("total").is_empty());
    let status = home.refrain(&["status", "--output", "json"]).ok().json();
    assert_eq!(status["running"], true);
    assert_eq!(running.stop(), Some(0));
    home.run().ok();
}

/// A file system of limited size in memory; gone when the test ends.
struct Small(tempfile::TempDir);

impl Small {
    /// None, with a word about it, where nothing can be mounted.
    fn mount(size: &str) -> Option<Small> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: a full disk needs the right to mount a tmpfs");
            return None;
        }
        Some(Small(folder))
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.0.path());
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A home whose data is on the small disk.
fn small_home(small: &Small, rows: usize) -> Home {
    let home = Home::engagement();
    home.write("events.csv", events_csv(23, rows));
    std::os::unix::fs::symlink(small.0.path(), home.path("data")).unwrap();
    home
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_space_again() {
    let Some(small) = Small::mount("24m") else {
        return;
    };
    let home = small_home(&small, 600_000);
    let refused = home
        .refrain(&APPEND)
        .code(7)
        .says(&["no space left", "free some space"]);
    let acknowledged = acknowledged(&refused.err);
    assert!(
        home.rows("events") >= acknowledged,
        "acknowledged rows are gone"
    );
    small.grow("512m");
    home.refrain(&APPEND).ok();
    home.refrain(&APPEND).ok().says(&["0 rows appended"]);
    assert_eq!(home.rows("events"), 600_000);
}

#[test]
fn a_host_takes_rows_again_when_space_returns() {
    let Some(small) = Small::mount("24m") else {
        return;
    };
    let home = small_home(&small, 600_000);
    let mut running = home.start();
    home.refrain(&APPEND).code(7).says(&["no space left"]);
    assert!(running.lives(), "{}", running.said());
    assert!(home.rows("events") > 0);
    small.grow("512m");
    home.refrain(&APPEND).ok();
    assert!(running.lives(), "{}", running.said());
    home.wait_until_taken();
    assert_eq!(home.rows("events"), 600_000);
    let live = home.digest("total");
    assert_eq!(running.stop(), Some(0));

    let calm = Home::engagement();
    calm.write("events.csv", events_csv(23, 600_000));
    calm.append("events", "events.csv", "p").ok();
    calm.run().ok();
    assert_eq!(calm.digest("total"), live);
}

#[test]
fn a_run_waits_for_space_and_goes_on() {
    let Some(small) = Small::mount("512m") else {
        return;
    };
    let home = small_home(&small, 200_000);
    home.refrain(&APPEND).ok();
    let used = Command::new("du")
        .args(["-sm", "--apparent-size"])
        .arg(small.0.path())
        .output()
        .unwrap();
    let used: u64 = String::from_utf8_lossy(&used.stdout)
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    small.grow(&format!("{}m", used + 2));
    let mut running = home.start();
    poll("the host to say that it waits for space", || {
        assert!(running.lives(), "{}", running.said());
        running
            .said()
            .to_lowercase()
            .contains("space")
            .then_some(())
    });
    small.grow("512m");
    home.wait_until_taken();
    assert_eq!(running.stop(), Some(0));
    assert_eq!(home.rows("events"), 200_000);
}

/// The row up to which a refused append says that all is acknowledged.
fn acknowledged(said: &str) -> u64 {
    let (_, after) = said.rsplit_once("acknowledged up to row ").unwrap();
    let digits: String = after.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
