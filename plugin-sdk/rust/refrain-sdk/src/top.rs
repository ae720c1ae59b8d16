//! Top N: the items of each key that rank first, as a view.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cell::{Span, Timestamp};
use crate::late::{self, Kept, move_timer};
use crate::plugin::{Plugin, Reject};
use crate::process::{Context, Moment, Process};
use crate::row::Row;
use crate::states::State;
use crate::wrapped::{one_input, wrapped};

/// The items of each key with the highest scores: a view with one row for each rank, from 1. Exported as
/// `export_process!(Top<MyTop>);`; the node has to write a view.
///
/// - Rows of an item are taken into what is kept of it, in log order: the last row, a count, a sum.
/// - Higher scores rank first; of equal scores, the smaller id. No two items share a rank.
/// - An item that has had no row for the [`horizon`](TopN::horizon), by the watermark, is dropped, and starts anew with its
///   next row. A row that is older than the horizon already is late: it is rejected. Without a horizon nothing is late, and
///   nothing is forgotten.
/// - The view is that of all rows so far. A rank that nobody has is not there.
/// - State: what is kept of each item that has had a row within the horizon.
pub trait TopN: Plugin {
    /// A row.
    type Row<'a>: Row<'a>;
    /// What tells items of one key apart.
    type Id: Ord + Clone + Kept;
    /// What is kept of an item; its default before its first row.
    type Item: Default + Kept;
    /// What ranks items.
    type Score: Ord;
    /// A row of the view. Its field `rank` is the rank that it is made with: a part of the view's key.
    type Output: Row<'static>;
    /// Name of the input.
    const INPUT: &'static str;

    /// How many ranks there are, at least 1.
    fn count(&self) -> usize;

    /// How long an item without rows is kept; for ever when left out.
    fn horizon(&self) -> Option<Span> {
        None
    }

    /// Which item a row is about.
    fn id(&self, row: &Self::Row<'_>) -> Self::Id;

    /// Takes a row into its item.
    fn update(&self, item: &mut Self::Item, row: Self::Row<'_>);

    /// What ranks the item.
    fn score(&self, item: &Self::Item) -> Self::Score;

    /// The view's row of a rank.
    fn ranked(&self, rank: i64, id: &Self::Id, item: &Self::Item) -> Self::Output;
}

/// A [`TopN`] as a process.
pub struct Top<J: TopN> {
    top: J,
    count: usize,
    horizon: Option<Span>,
}

/// A row.
pub struct TopInput<'a, J: TopN>(pub J::Row<'a>);

/// The items of a key, and which of them rank first.
#[derive(Serialize, Deserialize)]
#[serde(bound = "I: Ord + Kept, T: Kept")]
pub struct Ranking<I, T> {
    items: BTreeMap<I, Item<T>>,
    top: Vec<I>,
    /// The one timer of the key: no item is dropped before.
    timer: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Kept")]
struct Item<T> {
    last: Timestamp,
    kept: T,
}

impl<I, T> Default for Ranking<I, T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            top: Vec::new(),
            timer: None,
        }
    }
}

impl<I: Ord + Kept, T: Kept> State for Ranking<I, T> {}

wrapped!(Top, TopN);
one_input!(TopInput, TopN, J::INPUT);

impl<J: TopN> Top<J> {
    fn try_new(top: J) -> Result<Self, String> {
        let (count, horizon) = (top.count(), top.horizon());
        if count == 0 {
            return Err(format!("{}: there has to be at least one rank", J::NAME));
        }
        match horizon {
            Some(Span(horizon)) if horizon <= 0 => Err(format!(
                "{}: the horizon is {}, and has to be longer than zero",
                J::NAME,
                Span(horizon).show()
            )),
            _ => Ok(Self {
                top,
                count,
                horizon,
            }),
        }
    }

    /// Whether the first item ranks before the second.
    fn is_before(&self, ranking: &Ranking<J::Id, J::Item>, a: &J::Id, b: &J::Id) -> bool {
        let score = |id: &J::Id| ranking.items.get(id).map(|item| self.top.score(&item.kept));
        match score(a).cmp(&score(b)) {
            std::cmp::Ordering::Equal => a < b,
            order => order.is_gt(),
        }
    }

    /// Puts an item whose score may have changed in its place; the ranks, from 0, whose rows are other ones now.
    fn place(&self, ranking: &mut Ranking<J::Id, J::Item>, id: J::Id) -> std::ops::Range<usize> {
        let old = ranking.top.iter().position(|other| *other == id);
        if let Some(old) = old {
            ranking.top.remove(old);
        }
        let new = ranking
            .top
            .partition_point(|other| self.is_before(ranking, other, &id));
        if new < ranking.top.len() || ranking.top.len() == ranking.items.len() - 1 {
            if new == self.count {
                return 0..0;
            }
            ranking.top.insert(new, id);
            ranking.top.truncate(self.count);
            let end = old.map_or(ranking.top.len(), |old| old.max(new) + 1);
            return old.map_or(new, |old| old.min(new))..end;
        }
        match old {
            // it was not among the first, and is not now
            None if ranking.top.len() == self.count => 0..0,
            // it was, and comes last of them now: perhaps another one is before it
            _ => {
                self.fill(ranking);
                old.unwrap_or(new).min(new)..ranking.top.len()
            }
        }
    }

    /// Fills the ranks that nobody has with the best of the items that have none.
    fn fill(&self, ranking: &mut Ranking<J::Id, J::Item>) {
        while ranking.top.len() < self.count.min(ranking.items.len()) {
            let unranked = ranking.items.keys().filter(|id| !ranking.top.contains(id));
            let best = unranked.reduce(|best, id| match self.is_before(ranking, id, best) {
                true => id,
                false => best,
            });
            match best.cloned() {
                Some(best) => ranking.top.push(best),
                None => return,
            }
        }
    }

    fn emit(
        &self,
        ranking: &Ranking<J::Id, J::Item>,
        ranks: impl Iterator<Item = usize>,
        context: &mut Context<J::Output>,
    ) {
        for rank in ranks {
            let id = &ranking.top[rank];
            if let Some(item) = ranking.items.get(id) {
                context.emit(self.top.ranked(rank as i64 + 1, id, &item.kept));
            }
        }
    }

    /// Drops the items that have had no row for long enough.
    fn expire(
        &self,
        ranking: &mut Ranking<J::Id, J::Item>,
        horizon: Span,
        context: &mut Context<J::Output>,
    ) {
        let watermark = context.watermark();
        let over = |item: &Item<J::Item>| item.last.plus(horizon) <= watermark;
        let gone: Vec<(J::Id, Item<J::Item>)> =
            ranking.items.extract_if(.., |_, item| over(item)).collect();
        let Some((any, item)) = gone.last() else {
            return;
        };
        let before = ranking.top.clone();
        let items = &ranking.items;
        ranking.top.retain(|id| items.contains_key(id));
        self.fill(ranking);
        let other = |rank: &usize| before.get(*rank) != ranking.top.get(*rank);
        self.emit(ranking, (0..ranking.top.len()).filter(other), context);
        for rank in ranking.top.len()..before.len() {
            // only the rank matters of a row that goes
            context.delete(self.top.ranked(rank as i64 + 1, any, &item.kept));
        }
    }
}

impl<J: TopN> Process for Top<J> {
    type Input<'a> = TopInput<'a, J>;
    type State = Ranking<J::Id, J::Item>;
    type Output = J::Output;
    const VIEW_KEY: &'static [&'static str] = &["rank"];

    #[inline]
    fn check(&self, _: &Self::State, _: &Self::Input<'_>, now: Moment) -> Result<(), Reject> {
        match self.horizon {
            Some(horizon) => late::check(now, Span(horizon.0 - 1)),
            None => Ok(()),
        }
    }

    fn process(
        &self,
        ranking: &mut Self::State,
        row: Self::Input<'_>,
        context: &mut Context<J::Output>,
    ) {
        let (id, at) = (self.top.id(&row.0), context.time());
        let item = ranking.items.entry(id.clone()).or_insert_with(|| Item {
            last: at,
            kept: J::Item::default(),
        });
        item.last = item.last.max(at);
        self.top.update(&mut item.kept, row.0);
        if let Some(horizon) = self.horizon {
            let over = item.last.plus(horizon);
            if ranking.timer.is_none_or(|timer| over < timer) {
                move_timer(context, ranking.timer.replace(over), Some(over));
            }
        }
        let ranks = self.place(ranking, id);
        self.emit(ranking, ranks, context);
    }

    fn fire(&self, ranking: &mut Self::State, context: &mut Context<J::Output>) {
        let Some(horizon) = self.horizon else {
            return;
        };
        self.expire(ranking, horizon, context);
        let last = ranking.items.values().map(|item| item.last).min();
        ranking.timer = last.map(|last| last.plus(horizon));
        move_timer(context, None, ranking.timer);
    }
}

#[cfg(test)]
mod tests;
