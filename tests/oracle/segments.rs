//! The log changes its shape under a host of the oracle: segments end at random moments, and their frames are merged, by the
//! run and by hand. Nothing that is computed may know.

use std::time::Duration;

use refrain_engine::host::Host;
use refrain_engine::keep::request::OptimizeOrder;
use refrain_engine::run::RunOptions;
use refrain_log::ids::{Offset, Sequence};
use refrain_log::log::Append;
use refrain_log::schema::{Field, Kind, Schema};

use crate::home::{cache, guests, wait_until};
use crate::random::Dice;
use crate::value::{Value, to_batch};

/// A run looks for segments with small frames all the time.
pub const OPTIMIZE_AFTER: Duration = Duration::from_millis(1);

/// Ends the segments of some topics, which a disk that fails may refuse.
pub fn end_some(host: &Host, dice: &mut Dice) {
    for topic in host.log().topics() {
        for partition in 0..topic.spec().partitions {
            if dice.one_in(2) {
                let _ = host.log().seal(&topic.spec().name, partition);
            }
        }
    }
}

/// Merges the small frames of all segments that can be, on a disk that may fail.
pub fn optimize(host: &Host) {
    for topic in host.log().topics() {
        for partition in 0..topic.spec().partitions {
            let mut from = Some(Offset(0));
            while let Some(offset) = from {
                let told = host.optimize(&OptimizeOrder {
                    topic: topic.spec().name.clone(),
                    partition,
                    from: offset,
                    dry_run: false,
                });
                from = told.ok().flatten().and_then(|told| told.next);
            }
        }
    }
}

/// How many appended frames stand in merged ones.
pub fn merged(host: &Host) -> u64 {
    let mut count = 0;
    for topic in host.log().topics() {
        for partition in 0..topic.spec().partitions {
            let cursor = topic.cursor(partition, topic.start(partition));
            let mut cursor = cursor.expect("a cursor");
            while let Some(frame) = cursor.next_merged(Sequence(u64::MAX)).expect("a frame") {
                count += Some(frame.runs().count() as u64)
                    .filter(|n| *n > 1)
                    .unwrap_or(0);
            }
        }
    }
    count
}

/// A run merges what it may, and nothing in topics that say no.
#[test]
fn a_run_leaves_alone_what_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
    let bad = guests().join("../bad/bad.wasm");
    std::fs::copy(bad, folder.path().join("plugins/bad.wasm")).unwrap();
    let project = refrain_engine::host::Project::new(folder.path());
    let topic =
        |name: &str| format!("[topic.{name}]\nschema = {{ k = \"i64\", value = \"i64\" }}\n");
    let text = format!(
        "{}optimize = false\n{}[node.n]\nplugin = \"bad\"\ninput = \"b\"\nkey = [\"k\"]\nview = \"n\"\n\
         options = {{ behaviour = \"none\" }}\n",
        topic("a"),
        topic("b")
    );
    std::fs::write(project.pipeline_file(), text).unwrap();
    let host = Host::open(project).unwrap();
    let schema = Schema::new(vec![
        Field::new("k", Kind::I64),
        Field::new("value", Kind::I64),
    ]);
    for topic in ["a", "b"] {
        for n in 0..20 {
            let appended = host.log().append(Append {
                topic: topic.into(),
                rows: to_batch(&schema, &[vec![Value::Int(n), Value::Int(n)]]),
                row_numbers: Vec::new(),
                input: "test".into(),
                undecoded: Vec::new(),
                producer: None,
            });
            appended.unwrap();
        }
        host.log().seal(topic, 0).unwrap();
    }
    let options = RunOptions {
        optimize_after: OPTIMIZE_AFTER,
        ..RunOptions::default()
    };
    std::thread::scope(|scope| {
        let run = scope.spawn(|| host.run(&options, Some(cache())));
        // Topics are gone through by name.
        wait_until(|| merged(&host) > 0);
        host.stopper().stop();
        run.join().unwrap().unwrap();
    });
    let unsettled = |topic: &str| host.log().topic(topic).unwrap().unsettled(0).unwrap().len();
    assert_eq!((unsettled("a"), unsettled("b")), (1, 0));
    assert_eq!(merged(&host), 20);
}
