//! Top N: the items of each key that rank first, as a view.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

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
    type Score: Ord + 'static;
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
pub struct Ranking<I, T, S> {
    items: BTreeMap<I, Item<T>>,
    top: Vec<I>,
    /// The one timer of the key: no item is dropped before.
    timer: Option<Timestamp>,
    /// The first items with their scores: those of `top`, and others that follow, so that not all items need to be looked
    /// through whenever one of the first falls behind. No part of the state: made from the rest of it.
    #[serde(skip)]
    first: Vec<(Reverse<S>, I)>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Kept")]
struct Item<T> {
    last: Timestamp,
    kept: T,
}

impl<I, T, S> Default for Ranking<I, T, S> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            top: Vec::new(),
            timer: None,
            first: Vec::new(),
        }
    }
}

impl<I: Ord + Kept, T: Kept, S: 'static> State for Ranking<I, T, S> {}

type RankingOf<J> = Ranking<<J as TopN>::Id, <J as TopN>::Item, <J as TopN>::Score>;

/// How many items are known to follow those that have a rank, at most: as many again, and so many more.
const FOLLOWING: usize = 32;

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

    /// How many of the first items are known at most.
    fn first_max(&self) -> usize {
        self.count.saturating_mul(2).saturating_add(FOLLOWING)
    }

    /// Knows the first items of a ranking that was restored.
    fn know(&self, ranking: &mut RankingOf<J>) {
        if ranking.first.is_empty() {
            let scored = |id: &J::Id| {
                let item = ranking.items.get(id)?;
                Some((Reverse(self.top.score(&item.kept)), id.clone()))
            };
            ranking.first = ranking.top.iter().filter_map(scored).collect();
        }
    }

    /// Puts an item in its place whose score was another one before, or that had none; the ranks, from 0, whose rows are
    /// other ones now.
    fn place(
        &self,
        ranking: &mut RankingOf<J>,
        id: J::Id,
        before: Option<J::Score>,
        score: J::Score,
    ) -> Range<usize> {
        let first = &mut ranking.first;
        let fell = before.as_ref().is_some_and(|before| score < *before);
        let old = before.and_then(|before| {
            let old = first.binary_search_by(|other| order(other, &before, &id));
            old.ok().inspect(|old| drop(first.remove(*old)))
        });
        let new = first.partition_point(|other| order(other, &score, &id).is_lt());
        let known_all = first.len() == ranking.items.len() - 1;
        let new = match new < first.len() || known_all || (old.is_some() && !fell) {
            true => {
                first.insert(new, (Reverse(score), id));
                first.truncate(self.first_max());
                Some(new)
            }
            // One that is not known may be before it.
            false => {
                self.fill(ranking);
                let first = &ranking.first;
                first
                    .binary_search_by(|other| order(other, &score, &id))
                    .ok()
            }
        };
        self.moved(ranking, old, new)
    }

    /// The ranks that have other rows when an item is in another place.
    fn moved(
        &self,
        ranking: &mut RankingOf<J>,
        old: Option<usize>,
        new: Option<usize>,
    ) -> Range<usize> {
        let ranked = |place: &usize| *place < self.count;
        let end = self.count.min(ranking.first.len());
        let ranks = match (old.filter(ranked), new.filter(ranked)) {
            (None, None) => 0..0,
            (Some(old), Some(new)) => old.min(new)..old.max(new) + 1,
            (Some(begin), None) | (None, Some(begin)) => begin..end,
        };
        for rank in ranks.clone() {
            let (_, id) = &ranking.first[rank];
            match ranking.top.get_mut(rank) {
                Some(known) if known == id => {}
                Some(known) => known.clone_from(id),
                None => ranking.top.push(id.clone()),
            }
        }
        ranks
    }

    /// Where there are fewer first items than ranks, looks through all of them.
    fn fill(&self, ranking: &mut RankingOf<J>) {
        let Ranking { items, first, .. } = ranking;
        if first.len() >= self.count.min(items.len()) {
            return;
        }
        let scored = |(id, item): (_, &Item<J::Item>)| (Reverse(self.top.score(&item.kept)), id);
        let mut all: Vec<(Reverse<J::Score>, &J::Id)> = items.iter().map(scored).collect();
        let most = self.first_max();
        if all.len() > most {
            all.select_nth_unstable(most - 1);
            all.truncate(most);
        }
        all.sort_unstable();
        *first = all
            .into_iter()
            .map(|(score, id)| (score, id.clone()))
            .collect();
    }

    fn emit(
        &self,
        ranking: &RankingOf<J>,
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
    fn expire(&self, ranking: &mut RankingOf<J>, horizon: Span, context: &mut Context<J::Output>) {
        self.know(ranking);
        let watermark = context.watermark();
        let over = |item: &Item<J::Item>| item.last.plus(horizon) <= watermark;
        let gone: Vec<(J::Id, Item<J::Item>)> =
            ranking.items.extract_if(.., |_, item| over(item)).collect();
        let Some((any, item)) = gone.last() else {
            return;
        };
        let before = std::mem::take(&mut ranking.top);
        let items = &ranking.items;
        ranking.first.retain(|(_, id)| items.contains_key(id));
        self.fill(ranking);
        let ids = ranking.first.iter().map(|(_, id)| id.clone());
        ranking.top = ids.take(self.count).collect();
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
    type State = RankingOf<J>;
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
        self.know(ranking);
        let (id, at) = (self.top.id(&row.0), context.time());
        let (item, before) = match ranking.items.entry(id.clone()) {
            Entry::Occupied(known) => {
                let item = known.into_mut();
                let before = self.top.score(&item.kept);
                (item, Some(before))
            }
            Entry::Vacant(new) => {
                let kept = J::Item::default();
                (new.insert(Item { last: at, kept }), None)
            }
        };
        item.last = item.last.max(at);
        self.top.update(&mut item.kept, row.0);
        let score = self.top.score(&item.kept);
        if let Some(horizon) = self.horizon {
            let over = item.last.plus(horizon);
            if ranking.timer.is_none_or(|timer| over < timer) {
                move_timer(context, ranking.timer.replace(over), Some(over));
            }
        }
        let ranks = self.place(ranking, id, before, score);
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

/// How a known item ranks to one with this score.
fn order<S: Ord, I: Ord>(known: &(Reverse<S>, I), score: &S, id: &I) -> Ordering {
    score.cmp(&known.0.0).then_with(|| known.1.cmp(id))
}

#[cfg(test)]
mod tests;
