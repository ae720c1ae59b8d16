//! Windows as the model has them: spans of time or numbers, each with its state. No tables, no calls.

use std::collections::BTreeMap;

use crate::graph::{Kinds, Window};
use crate::guests::{FoldOptions, Seen, Taken};
use crate::value::{Row, Value};

/// An end that no time reaches.
const NEVER_ENDS: i128 = i128::MAX;

/// An open window of one key.
#[derive(Clone, Debug)]
pub struct Open {
    /// Start, or number; 0 for a total. Of a session the earliest time of a row that was not late alone.
    pub mark: i128,
    /// Of a session: earliest time of a row.
    from: i128,
    pub end: i128,
    /// Rows taken.
    rows: i64,
    pub seen: Seen,
}

/// Open windows by key and mark.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    open: BTreeMap<Row, BTreeMap<i128, Open>>,
    /// Count windows closed, by key.
    numbers: BTreeMap<Row, i128>,
    /// Closed windows that rows came too late for which came in time for others, refused ones included.
    pub missed: u64,
}

/// What became of a row.
pub enum Placed {
    Late,
    Refused(String),
    Trapped,
    /// Sessions that it joined to others, and the count window that it filled.
    Taken {
        /// Of the windows that it is in now, the first to end.
        end: i128,
        merged: u64,
        filled: Option<Box<Open>>,
    },
}

impl Windows {
    /// Takes a row at a time when these windows are closed: those that end, with their lateness, at `now` or before.
    pub fn take(
        &mut self,
        window: Option<&Window>,
        options: FoldOptions,
        (key, time, fields): (Row, i64, &[Value]),
        now: Option<i64>,
    ) -> Placed {
        let time = i128::from(time);
        let lateness = window.map_or(0, |w| i128::from(w.lateness_us));
        let closed = |end: i128| {
            end != NEVER_ENDS && now.is_some_and(|now| end + lateness <= i128::from(now))
        };
        match window.map(|w| w.kind) {
            None => self.into(&key, vec![(0, NEVER_ENDS)], options, fields),
            Some(Kinds::Tumbling { size_us }) => {
                let size = i128::from(size_us);
                let start = time.div_euclid(size) * size;
                match closed(start + size) {
                    true => Placed::Late,
                    false => self.into(&key, vec![(start, start + size)], options, fields),
                }
            }
            Some(Kinds::Sliding { size_us, every_us }) => {
                let (size, every) = (i128::from(size_us), i128::from(every_us));
                let mut spans = Vec::new();
                let mut start = time.div_euclid(every) * every;
                while start + size > time {
                    spans.insert(0, (start, start + size));
                    start -= every;
                }
                let all = spans.len();
                spans.retain(|span| !closed(span.1));
                match spans.is_empty() {
                    true => Placed::Late,
                    false => {
                        self.missed += (all - spans.len()) as u64;
                        self.into(&key, spans, options, fields)
                    }
                }
            }
            Some(Kinds::Session { gap_us }) => {
                let own = (time, time + i128::from(gap_us));
                self.place_session(key, own, closed, options, fields)
            }
            Some(Kinds::Count { rows }) => self.place_count(key, rows, options, fields),
        }
    }

    /// The row goes into all of these windows, or into none.
    fn into(
        &mut self,
        key: &Row,
        spans: Vec<(i128, i128)>,
        options: FoldOptions,
        fields: &[Value],
    ) -> Placed {
        let known = |mark: i128| self.open.get(key)?.get(&mark).cloned();
        let begun = |span: &(i128, i128)| {
            known(span.0).unwrap_or(Open {
                mark: span.0,
                from: span.0,
                end: span.1,
                rows: 0,
                seen: Seen::default(),
            })
        };
        let before: Vec<Open> = spans.iter().map(begun).collect();
        let after: Vec<Taken<Seen>> = before
            .iter()
            .map(|o| o.seen.update(options, fields))
            .collect();
        for taken in &after {
            if let Taken::Refused(why) = taken {
                return Placed::Refused(why.clone());
            }
        }
        if after.iter().any(|taken| !matches!(taken, Taken::Yes(_))) {
            return Placed::Trapped;
        }
        let new = self.open.entry(key.clone()).or_default();
        for (open, taken) in before.into_iter().zip(after) {
            let Taken::Yes(seen) = taken else {
                unreachable!("looked at above")
            };
            let rows = open.rows + 1;
            new.insert(open.mark, Open { rows, seen, ..open });
        }
        Placed::Taken {
            end: spans.iter().map(|s| s.1).min().unwrap_or(NEVER_ENDS),
            merged: 0,
            filled: None,
        }
    }

    fn place_session(
        &mut self,
        key: Row,
        own: (i128, i128),
        closed: impl Fn(i128) -> bool,
        options: FoldOptions,
        fields: &[Value],
    ) -> Placed {
        let of_key = self.open.get(&key).cloned().unwrap_or_default();
        let (mut touched, rest): (Vec<Open>, Vec<Open>) = of_key
            .into_values()
            .partition(|o| o.from < own.1 && own.0 < o.end);
        touched.sort_by_key(|o| o.from);
        let from = touched.iter().map(|o| o.from).fold(own.0, i128::min);
        let in_time = (!closed(own.1)).then_some(own.0);
        let mark = touched.iter().map(|o| o.mark).chain(in_time).min();
        let end = touched.iter().map(|o| o.end).fold(own.1, i128::max);
        if closed(end) {
            return Placed::Late;
        }
        let joined = touched.iter().map(|o| o.seen.clone());
        let joined = joined.reduce(|earlier, later| earlier.merge(&later));
        let seen = match joined.unwrap_or_default().update(options, fields) {
            Taken::Yes(seen) => seen,
            Taken::Refused(why) => return Placed::Refused(why),
            Taken::Trapped => return Placed::Trapped,
        };
        let joined = Open {
            rows: touched.iter().map(|o| o.rows).sum::<i64>() + 1,
            mark: mark.expect("a row that is late alone touches a session"),
            from,
            end,
            seen,
        };
        let new = rest.into_iter().chain([joined]).map(|o| (o.mark, o));
        self.open.insert(key, new.collect());
        Placed::Taken {
            end,
            merged: (touched.len() as u64).saturating_sub(1),
            filled: None,
        }
    }

    fn place_count(
        &mut self,
        key: Row,
        rows: i64,
        options: FoldOptions,
        fields: &[Value],
    ) -> Placed {
        let number = self.numbers.get(&key).copied().unwrap_or(0);
        let placed = self.into(&key, vec![(number, NEVER_ENDS)], options, fields);
        let full = self
            .open
            .get(&key)
            .is_some_and(|of_key| of_key.values().any(|o| o.rows == rows));
        if !full || !matches!(placed, Placed::Taken { .. }) {
            return placed;
        }
        self.numbers.insert(key.clone(), number + 1);
        let filled = self
            .open
            .remove(&key)
            .and_then(|of_key| of_key.into_values().next());
        Placed::Taken {
            end: NEVER_ENDS,
            merged: 0,
            filled: filled.map(Box::new),
        }
    }

    /// Takes out the windows that close at a watermark, by end and key.
    pub fn close(&mut self, lateness_us: i64, now: i64) -> Vec<(Row, Open)> {
        let passed =
            |o: &Open| o.end != NEVER_ENDS && o.end + i128::from(lateness_us) <= i128::from(now);
        let mut closed = Vec::new();
        for (key, open) in &mut self.open {
            let gone = open.extract_if(.., |_, o| passed(o));
            closed.extend(gone.map(|(_, o)| (key.clone(), o)));
        }
        self.open.retain(|_, open| !open.is_empty());
        closed.sort_by(|a, b| (a.1.end, &a.0).cmp(&(b.1.end, &b.0)));
        closed
    }

    /// The earliest end.
    pub fn first_end(&self) -> i128 {
        let ends = self.open.values().flat_map(BTreeMap::values).map(|o| o.end);
        ends.min().unwrap_or(NEVER_ENDS)
    }

    /// All that is open.
    pub fn each(&self) -> impl Iterator<Item = (&Row, &Open)> {
        self.open
            .iter()
            .flat_map(|(key, open)| open.values().map(move |o| (key, o)))
    }
}

impl Open {
    /// What a row says of the window, the first of it part of the key.
    pub fn values(&self, window: Option<&Window>) -> Vec<Value> {
        let time = |at: i128| Value::Time(at as i64);
        match window.map(|w| w.kind) {
            None => Vec::new(),
            Some(Kinds::Count { .. }) => vec![Value::Int(self.mark as i64)],
            Some(Kinds::Session { .. }) => vec![time(self.mark), time(self.end)],
            Some(_) => vec![time(self.mark)],
        }
    }
}
