//! Random graphs through the real program: rows are appended from files, nodes run, and now and then the program is killed.
//! Everything that is in the folder afterwards, and the digests that the program shows, are those of the model.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use parquet::arrow::ArrowWriter;
use refrain_engine::request::{Request, Response};
use refrain_log::clock::{Clock, SystemClock};
use refrain_tests::{Home as Program, Luck, count};

use crate::compare::{Seen, compare};
use crate::home::{Home, refusal};
use crate::random::{self, Case, Dice, Rows};
use crate::value::{Row, to_batch};

/// Graphs when `REFRAIN_CASES` says nothing; of those a twelfth.
const CASES: usize = 120;
const SEED: u64 = 20_261_129_000;

#[test]
fn the_program_says_what_the_model_says() {
    let given = std::env::var("REFRAIN_SEED").ok();
    let seeds: Vec<u64> = match given.and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (SEED..)
            .take(count("REFRAIN_CASES", CASES).div_ceil(12))
            .collect(),
    };
    let (mut seen, mut killed) = (Seen::default(), 0);
    for seed in &seeds {
        let ran = std::panic::catch_unwind(|| run_case(*seed));
        let (of_case, kills) = ran.unwrap_or_else(|_| {
            panic!(
                "graph {seed} failed (above). Again: REFRAIN_SEED={seed} and the test's name\n{}",
                random::case(*seed).graph.text()
            )
        });
        seen.add(of_case);
        killed += kills;
    }
    println!("{} graphs, {killed} kills: {seen:?}", seeds.len());
    if seeds.len() > 5 {
        assert!(
            killed > 3 && seen.rows > 20 && seen.derived > 20,
            "{killed} kills, {seen:?}"
        );
    }
}

/// A file of rows that is appended under a name of its own.
struct File {
    path: PathBuf,
    producer: String,
}

fn run_case(seed: u64) -> (Seen, u64) {
    let Case { graph, rows, .. } = random::case(seed);
    let mut dice = Dice::new(seed ^ 0x9109);
    let mut luck = Luck::of(seed);
    let mut rows = Rows::new(seed, rows, graph.source.fields.clone());
    let mut home = Home::new(graph, true);
    home.wait(SystemClock.now().0 - home.now);
    let program = Program::at(home.folder());
    let mut killed = 0;
    for round in 0..3 {
        set(&mut home, &mut dice);
        let file = write(&mut home, &mut rows, round, 1 + dice.below(150) as usize);
        let path = file.path.display().to_string();
        let append = [
            "topic",
            "append",
            "events",
            &path,
            "--producer",
            &file.producer,
        ];
        for arguments in [&append[..], &["run"], &["run", "--once"]] {
            if dice.one_in(2) {
                killed += u64::from(kill(&program, arguments, &mut luck));
            }
        }
        program.refrain(&append).ok();
        let workers = dice.pick(&["1", "2", "4"]);
        program
            .refrain(&["run", "--once", "--workers", workers])
            .ok();
    }
    let mut seen = Seen::default();
    let host = home.open();
    compare(&home, &host, &mut seen);
    let Response::Views(views) = host.handle(Request::Views) else {
        panic!("not views");
    };
    drop(host);
    for view in views {
        assert_eq!(
            program.digest(&view.name),
            format!("{:032x}", view.state.digest)
        );
    }
    (seen, killed)
}

/// Other call sizes, rhythms and places of states, which decide nothing.
fn set(home: &mut Home, dice: &mut Dice) {
    home.graph.cache = *dice.pick(&[None, None, Some(1), Some(700)]);
    for node in &mut home.graph.nodes {
        node.call_rows = *dice.pick(&[1, 7, 4096]);
        node.rhythm = (*dice.pick(&["continuous", "every 10ms"])).into();
    }
    home.write_pipeline();
}

/// Rows that the log must take, in a Parquet file.
fn write(home: &mut Home, rows: &mut Rows, round: usize, count: usize) -> File {
    let source = home.graph.source.clone();
    let rows: Vec<Row> = std::iter::repeat_with(|| rows.row())
        .filter(|row| refusal(&source, row, home.now).is_none())
        .take(count)
        .collect();
    let path = home.folder().join(format!("{round}.parquet"));
    write_parquet(&path, &to_batch(&source.schema(), &rows));
    home.must_take(&rows);
    File {
        path,
        producer: format!("round {round}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of the test")]
fn write_parquet(path: &Path, batch: &arrow_array::RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Runs the program and kills it at some moment; whether it was still at work.
fn kill(program: &Program, arguments: &[&str], luck: &mut Luck) -> bool {
    let mut command = program.command(arguments);
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().expect("the program starts");
    luck.pause(Duration::from_millis(120));
    let at_work = child.try_wait().expect("a child can be asked").is_none();
    child.kill().expect("a child can be killed");
    child.wait().expect("a child can be waited for");
    at_work
}
