//! Work that is no node's: appends to source topics, by topic, and the rest of the process while a host runs.

use std::collections::BTreeMap;

use refrain_log::meter::Used;

/// What was put in the books already.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// What appends to each topic have used.
    topics: BTreeMap<String, Used>,
    /// The run, while there is one.
    run: Option<Rest>,
}

/// The rest of the process since a run began, in nanoseconds of processor time.
#[derive(Debug)]
struct Rest {
    process_ns: u64,
    accounted_ns: u64,
    put_ns: u64,
}

impl Outside {
    /// A run begins: the process has used, and nodes and appends have accounted for, so much before it.
    pub(super) fn begin(&mut self, process_ns: u64, accounted_ns: u64) {
        self.run = Some(Rest {
            process_ns,
            accounted_ns,
            put_ns: 0,
        });
    }

    pub(super) fn end(&mut self) {
        self.run = None;
    }

    /// What appends have used by now and was not put in the books yet.
    pub(super) fn appended(&mut self, now: BTreeMap<String, Used>) -> BTreeMap<String, Used> {
        let mut news = BTreeMap::new();
        for (topic, used) in now {
            let before = self.topics.insert(topic.clone(), used).unwrap_or_default();
            let since = used.since(before);
            if since != Used::default() {
                news.insert(topic, since);
            }
        }
        news
    }

    /// What the process has used beside nodes and appends and was not put in the books yet. Work that is in no account
    /// yet, since its round goes on, is taken for the rest until it is accounted for; the rest then grows by less.
    pub(super) fn rest_ns(&mut self, process_ns: u64, accounted_ns: u64) -> u64 {
        let Some(run) = &mut self.run else {
            return 0;
        };
        let used = process_ns.saturating_sub(run.process_ns);
        let accounted = accounted_ns.saturating_sub(run.accounted_ns);
        let rest = used.saturating_sub(accounted);
        let news = rest.saturating_sub(run.put_ns);
        run.put_ns += news;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_what_nobody_accounts_for() {
        let mut outside = Outside::default();
        assert_eq!(outside.rest_ns(1_000, 0), 0, "no run");
        outside.begin(1_000, 500);
        assert_eq!(outside.rest_ns(1_100, 520), 80);
        // A long round is told late: until then it counts as the rest, and afterwards nothing is told twice.
        assert_eq!(outside.rest_ns(2_000, 520), 900);
        assert_eq!(outside.rest_ns(2_100, 1_400), 0);
        assert_eq!(outside.rest_ns(4_000, 2_400), 120);
        outside.end();
        assert_eq!(outside.rest_ns(9_000, 2_400), 0);
    }

    #[test]
    fn appends_are_told_once() {
        let mut outside = Outside::default();
        let of = |cpu_ns| {
            let used = Used {
                cpu_ns,
                ..Used::default()
            };
            BTreeMap::from([("t".to_owned(), used)])
        };
        assert_eq!(outside.appended(of(5)), of(5));
        assert!(outside.appended(of(5)).is_empty());
        assert_eq!(outside.appended(of(9)), of(4));
    }
}
