//! Accidents of the disk under a host of the oracle: the power is cut, or one operation fails, while rows are appended and
//! nodes run. What is there afterwards is what the model says, and the host goes on.

use refrain_engine::host::Host;
use refrain_engine::request::{Request, Response};
use refrain_engine::run::RunOptions;
use refrain_log::storage::Fault;

use crate::compare::{Seen, compare};
use crate::home::{Home, cache, last_sequence, status, wait_until};
use crate::random::{Dice, Rows};
use crate::segments;

/// One accident, and what is under way when it happens.
#[derive(Clone, Debug)]
pub struct Accident {
    /// So many operations of the disk after the first append.
    pub after: u64,
    /// That operation fails; none: the power is cut.
    pub fault: Option<Fault>,
    /// After a power cut: it is cut again so many operations after the host begins to open.
    pub again: Option<u64>,
    /// After a failed operation: the host is opened anew; or it reopens what is shut.
    pub restart: bool,
    pub once: bool,
    pub workers: usize,
    pub batches: Vec<usize>,
}

impl Accident {
    /// Makes it happen to a host in memory, and compares what is there afterwards. The host that goes on.
    pub fn happen(&self, home: &mut Home, host: Host, rows: &mut Rows, seen: &mut Seen) -> Host {
        let Some(disk) = home.memory().cloned() else {
            return host;
        };
        let host = self.prepare(home, host);
        segments::end_some(&host, &mut Dice::new(self.after));
        let at = disk.operations() + 1 + self.after;
        match self.fault {
            Some(fault) => disk.fail_at(at, fault),
            None => disk.fail_from(at, Fault::Io),
        }
        self.live(home, &host, rows);
        let happened = disk.operations() >= at;
        let host = match self.fault {
            None => {
                seen.cuts += u64::from(happened);
                self.cut_power(home, host)
            }
            Some(_) => {
                seen.faults += u64::from(happened);
                disk.heal();
                self.recover(home, host)
            }
        };
        compare(home, &host, seen);
        host
    }

    /// Nodes of a run that does not end by itself take what comes.
    fn prepare(&self, home: &mut Home, host: Host) -> Host {
        let others = home.graph.nodes.iter_mut();
        let others: Vec<_> = others.filter(|node| node.rhythm != "continuous").collect();
        if self.once || others.is_empty() {
            return host;
        }
        for node in others {
            node.rhythm = "continuous".into();
        }
        drop(host);
        home.open()
    }

    /// Appends until one is refused, beside a run or before it. How the run ends is told by what is left of it.
    fn live(&self, home: &mut Home, host: &Host, rows: &mut Rows) {
        let options = RunOptions {
            once: self.once,
            workers: self.workers,
            optimize_after: segments::OPTIMIZE_AFTER,
            ..RunOptions::default()
        };
        if self.once {
            self.append(home, host, rows);
            segments::optimize(host);
            let _ = host.run(&options, Some(cache()));
            return;
        }
        std::thread::scope(|scope| {
            let run = scope.spawn(|| host.run(&options, Some(cache())));
            self.append(home, host, rows);
            let last = last_sequence(host);
            let stopped =
                |phase: &str| phase.starts_with("stopped") || phase.starts_with("waiting");
            wait_until(|| {
                let nodes = status(host);
                let at_work = |node: &refrain_engine::status::NodeStatus| {
                    node.cut.0 < last && !stopped(&node.phase.to_string())
                };
                let held_back = nodes.iter().any(|node| stopped(&node.phase.to_string()));
                run.is_finished() || held_back || !nodes.iter().any(at_work)
            });
            host.stopper().stop();
            let _ = run.join().expect("the run does not panic");
        });
    }

    fn append(&self, home: &mut Home, host: &Host, rows: &mut Rows) {
        for size in &self.batches {
            let batch: Vec<_> = (0..*size).map(|_| rows.row()).collect();
            if home.try_append(host, &batch).is_err() {
                return;
            }
            home.wait(size.cast_signed() as i64 * 1000);
        }
    }

    fn cut_power(&self, home: &mut Home, host: Host) -> Host {
        let disk = home.memory().cloned().expect("there is one");
        // Who is dead writes nothing any more.
        let cut = || disk.fail_from(disk.operations() + 1, Fault::Io);
        cut();
        drop(host);
        disk.crash();
        if let Some(after) = self.again {
            disk.fail_from(disk.operations() + 1 + after, Fault::Io);
            let opened = home.try_open();
            cut();
            drop(opened);
            disk.crash();
        }
        let host = home.open();
        let damage: Vec<_> = host.findings().iter().filter(|f| f.acknowledged).collect();
        assert!(damage.is_empty(), "{damage:?}");
        home.settle(&host, true);
        host
    }

    fn recover(&self, home: &mut Home, host: Host) -> Host {
        if !self.restart {
            let answer = host.handle(Request::Reopen);
            assert!(matches!(answer, Response::Reopened(_)), "{answer:?}");
            assert_eq!(host.log().shut(), []);
            host.state().check().expect("commits are taken again");
            home.settle(&host, false);
            return host;
        }
        drop(host);
        let host = home.open();
        home.settle(&host, false);
        host
    }
}
