//! Damage to what was acknowledged, full disks, and two who want one folder.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use refrain_tests::{Done, Home, Luck, count, events_csv, events_csv_parts, poll, skipped};

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

/// A frame with rows, as docs/formats.md draws it, read without the product.
struct Drawn {
    path: PathBuf,
    position: u64,
    first: u64,
    last: u64,
    /// Position and length of the longest region.
    body: (u64, u64),
}

fn drawn(path: &Path) -> Vec<Drawn> {
    let bytes = std::fs::read(path).unwrap();
    let number = |at: u64, length: usize| {
        let mut word = [0; 8];
        word[..length].copy_from_slice(&bytes[at as usize..][..length]);
        u64::from_le_bytes(word)
    };
    let mut frames = Vec::new();
    let mut at = 64;
    while bytes.get(at as usize..at as usize + 4) == Some(b"RFRM") {
        let (regions, rows) = (number(at + 6, 2), number(at + 12, 4));
        let after_directory = at + 128 + (16 * regions).next_multiple_of(64);
        let regions = (0..regions).map(|i| at + 128 + 16 * i);
        let body = regions
            .map(|entry| (after_directory + number(entry, 4), number(entry + 4, 4)))
            .max_by_key(|(_, length)| *length);
        if let (Some(body), true) = (body, rows > 0) {
            let first = number(at + 24, 8);
            frames.push(Drawn {
                path: path.to_path_buf(),
                position: at,
                first,
                last: first + rows - 1,
                body,
            });
        }
        at += 128 + number(at + 16, 8);
    }
    frames
}

fn flip(path: &Path, position: u64, bit: u64) {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], position)
        .unwrap();
}

/// A home with rows in several frames of each partition, all of them committed.
fn committed() -> Home {
    let home = Home::engagement();
    for (i, part) in events_csv_parts(21, 24_000, 8).iter().enumerate() {
        home.write("events.csv", part);
        home.append("events", "events.csv", &format!("p{i}")).ok();
    }
    home
}

fn read(home: &Home, partition: &str, from: u64) -> Done {
    let from = from.to_string();
    home.refrain(&[
        "topic",
        "read",
        "events",
        "--partition",
        partition,
        "--from",
        &from,
        "--limit",
        "1000000",
        "--output",
        "csv",
    ])
}

#[test]
fn a_flipped_bit_in_acknowledged_rows_is_told_with_its_rows_and_never_served() {
    let mut luck = Luck::printed("flipped");
    for round in 0..count("REFRAIN_KILLS", 50).div_ceil(5) {
        let home = committed();
        let whole = home.topic_text("events");
        let frames: Vec<Drawn> = segments(&home, "events", 0)
            .iter()
            .flat_map(|path| drawn(path))
            .collect();
        assert!(frames.len() >= 8, "{}", frames.len());
        let hit = &frames[luck.below(frames.len() as u64) as usize];
        // Its header, or the rows themselves.
        let position = match round % 2 {
            0 => hit.position + luck.below(128),
            _ => hit.body.0 + luck.below(hit.body.1),
        };
        flip(&hit.path, position, luck.below(8));
        let damaged = format!("events/0: rows {} to {} are damaged", hit.first, hit.last);
        let told = [&*damaged, "segment"];
        read(&home, "0", 0).code(5).says(&told);
        // What lies behind the damage is served, and so is the other partition.
        let rest = read(&home, "0", hit.last + 1).ok().out;
        let after = |line: &&str| {
            let mut cells = line.split(',');
            let partition = cells.next().unwrap_or_default();
            partition == "0" && cells.next().unwrap().parse::<u64>().unwrap() > hit.last
        };
        assert!(
            rest.lines().skip(1).eq(whole.lines().filter(after)),
            "{damaged}"
        );
        let other = read(&home, "1", 0).ok().out;
        let wanted = whole.lines().filter(|line| line.starts_with("1,"));
        assert!(other.lines().skip(1).eq(wanted), "partition 1 is served");
        // No node goes past it, rows can still be appended, and they are told again.
        home.run().code(5).says(&told);
        home.write("more.csv", events_csv(22, 1_000));
        home.append("events", "more.csv", "more").ok();
        assert_eq!(home.rows("events"), 25_000);
        read(&home, "0", 0).code(5).says(&told);
        home.append("events", "more.csv", "more")
            .ok()
            .says(&["0 rows appended"]);
    }
}

#[test]
fn a_flipped_bit_in_the_commit_log_is_told_and_mended_by_running_again() {
    let mut luck = Luck::printed("flipped_commits");
    let views = ["engagement", "total"];
    let mut told = 0;
    for _ in 0..count("REFRAIN_KILLS", 50).div_ceil(5) {
        let home = committed();
        home.run().ok();
        home.run().ok();
        let wanted = views.map(|view| home.digest(view));
        let topics = home.topic_text("views");
        let commits = home.path("data/commits/00000000000000000000.segment");
        let frames = drawn(&commits);
        let hit = &frames[luck.below(frames.len() as u64) as usize];
        let position = match luck.below(2) {
            0 => hit.position + luck.below(128),
            _ => hit.body.0 + luck.below(hit.body.1),
        };
        flip(&commits, position, luck.below(8));
        let done = home.run();
        if done.code != Some(0) {
            told += 1;
            done.code(5)
                .says(&["the commit log in", "is damaged", "move"]);
            // Not a word of it is served as if it were whole.
            for (view, wanted) in views.iter().zip(&wanted) {
                let shown = home.refrain(&["view", "digest", view, "--output", "json"]);
                let same = shown.code == Some(0) && shown.out.contains(wanted);
                let warned = shown.err.contains("damage");
                assert!(same || warned, "{:?} {}", shown.code, shown.err);
            }
            std::fs::rename(home.path("data/commits"), home.path("moved")).unwrap();
            home.run().ok();
        }
        assert_eq!(views.map(|view| home.digest(view)), wanted);
        assert!(home.topic_text("views") == topics);
    }
    assert!(told > 0, "no damage was told");
}

#[test]
fn a_lost_declaration_is_told_and_the_pipeline_file_stands_in_for_it() {
    let home = committed();
    home.run().ok();
    let outcome = || {
        let topics = ["events", "events.rejected", "views"].map(|topic| home.topic_text(topic));
        (
            topics,
            ["engagement", "total"].map(|view| home.digest(view)),
        )
    };
    let wanted = outcome();
    for (i, topic) in ["events", "events.rejected", "views"]
        .into_iter()
        .enumerate()
    {
        for rotten in [true, false] {
            let spec = home.path(&format!("data/topics/{topic}/topic.spec"));
            let what = match rotten {
                true => {
                    flip(&spec, 7, i as u64);
                    "topic.spec is damaged"
                }
                false => {
                    std::fs::remove_file(&spec).unwrap();
                    "topic.spec is missing"
                }
            };
            let told = [&*format!("damage: {topic}/0: {what}")];
            if topic == "views" {
                // The pipeline file does not declare it: the node that writes it does.
                home.refrain(&["topic", "verify"]).code(5).says(&told);
                home.refrain(&["topic", "read", "views"]).code(2);
            }
            // Nothing was refused: a topic without rows is missed by nobody.
            let missed = rotten || topic != "events.rejected";
            home.run().ok().says(if missed { &told } else { &[] });
            let again = home.run().ok();
            assert!(!again.err.contains("damage"), "{}", again.err);
            assert!(outcome() == wanted, "{topic}: {what}");
        }
    }
    // More of them come behind those that are there.
    home.write("more.csv", events_csv(24, 500));
    home.append("events", "more.csv", "more")
        .ok()
        .says(&["500 rows appended"]);
    home.run().ok();
    assert_eq!(home.rows("events"), 24_500);
}

#[test]
fn a_second_host_is_refused_and_commands_go_through_the_first() {
    let home = Home::engagement();
    home.write("events.csv", events_csv(22, 1_000));
    let running = home.start();
    let pid = format!(
        "in use by another process (pid {}); send commands",
        running.pid()
    );
    home.run()
        .code(6)
        .says(&["data is ", &pid, "through it, or stop it first"]);
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
            skipped(
                "tmpfs",
                "run as one who may mount a tmpfs, to test full disks",
            );
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
    let (_, after) = said.rsplit_once("all input up to row ").unwrap();
    let number = after.chars().take_while(|c| !c.is_whitespace());
    let digits: String = number.filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
