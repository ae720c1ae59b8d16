//! What is shown on a terminal while a command works, through a pseudo-terminal of `script` (util-linux), and that a pipe
//! gets none of it.

use std::process::{Command, Stdio};

use refrain_tests::{Done, Home, events_csv, program};

/// What a bar is drawn with, and what takes it away.
const BAR: [char; 2] = ['█', '░'];
const CLEAR: &str = "\x1b[2K";

/// `refrain WORDS` on a terminal of 100 columns; stdout and stderr are one there.
fn on_a_terminal(home: &Home, words: &str) -> Done {
    let line = format!(
        "stty cols 100 rows 30; exec '{}' {words}",
        program().display()
    );
    let mut command = Command::new("script");
    command
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .current_dir(home.root())
        .stdin(Stdio::null())
        .env("TERM", "xterm");
    Done::of(command)
}

#[test]
fn what_lasts_shows_a_bar_on_a_terminal_and_nowhere_else() {
    let commands = [
        ("topic append events events.csv", "rows appended"),
        ("run --once", "rows taken in"),
        (
            "view export engagement out.parquet",
            "rows of view engagement",
        ),
        ("replay engagement", "built up to cut"),
        ("topic verify", "all whole"),
    ];
    let seen = Home::engagement();
    let piped = Home::engagement();
    for home in [&seen, &piped] {
        home.write("events.csv", events_csv(91, 30_000));
    }
    for (words, result) in commands {
        let done = on_a_terminal(&seen, words).ok();
        let bar = done.out.rfind(BAR);
        let bar = bar.unwrap_or_else(|| panic!("{words} shows no bar:\n{}", done.out));
        let said = done.out.rfind(result).unwrap();
        assert!(
            bar < said && done.out[bar..said].contains(CLEAR),
            "{words}: the bar is gone before what is said:\n{:?}",
            done.out
        );
        let words: Vec<&str> = words.split_whitespace().collect();
        let done = piped.refrain(&words).ok().says(&[result]);
        let text = done.out + &done.err;
        assert!(!text.contains(BAR) && !text.contains('\x1b'), "{text:?}");
    }
}

#[test]
fn what_is_said_meanwhile_stands_above_the_bar() {
    let home = Home::engagement();
    let csv = events_csv(92, 1_000).replacen("\n1", "\nnever", 2);
    home.write("events.csv", csv);
    let done = on_a_terminal(&home, "topic append events events.csv").ok();
    for line in done
        .out
        .lines()
        .filter(|line| line.contains("rejected: events.csv"))
    {
        // Of a line that is drawn over, what counts is what comes last.
        let shown = line.rsplit(CLEAR).next().unwrap_or_default();
        assert!(
            shown.trim_start_matches('\r').starts_with("rejected: "),
            "{line:?}"
        );
    }
    assert!(
        done.out.contains("2 rejected (see events.rejected)"),
        "{}",
        done.out
    );
}
