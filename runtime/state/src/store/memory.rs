//! State in memory: keys and states end to end in blocks, and an index from key to its place.
//!
//! A put allocates nothing for itself: a state of the same length is overwritten where it is, another one is appended
//! and the old one marked dead. A block more than half dead is emptied: what lives in it is appended again.
//!
//! A walk goes through the blocks that were there when it began, and nothing new is put into them. What is appended again
//! out of one of them goes to blocks of its own, which join them: so what is left of a walk never grows.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::{StateChanges, Store, Walked, WalkedTo};
use crate::Result;
use crate::commit::KeyedState;

/// Bytes of a block; a larger record has a block of its own.
const BLOCK_BYTES: usize = 256 << 10;
/// Bytes before each record: length of the key with the mark of the dead, length of the state.
const HEAD_BYTES: usize = 8;
/// In the length of a key: the record is dead.
const DEAD: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    block: u32,
    at: u32,
}

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    dead_bytes: usize,
}

/// A [`Store`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    blocks: Vec<Block>,
    free: Vec<u32>,
    current: u32,
    index: HashTable<Place>,
    live_bytes: u64,
    /// Blocks that a walk has not begun.
    unwalked: BTreeSet<u32>,
    /// The block that it is in, and how far.
    walking: Option<(u32, usize)>,
    /// Takes what is appended again out of blocks that it has not been through.
    carry: Option<u32>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            blocks: vec![Block::default()],
            free: Vec::new(),
            current: 0,
            index: HashTable::new(),
            live_bytes: 0,
            unwalked: BTreeSet::new(),
            walking: None,
            carry: None,
        }
    }
}

/// One record in a block.
#[derive(Clone, Copy)]
struct Record {
    key: (usize, usize),
    state: (usize, usize),
    dead: bool,
}

impl Record {
    fn at(bytes: &[u8], at: usize) -> Record {
        let number =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let (key, state) = (number(at), number(at + 4) as usize);
        let start = at + HEAD_BYTES;
        let middle = start + (key & !DEAD) as usize;
        Record {
            key: (start, middle),
            state: (middle, middle + state),
            dead: key & DEAD != 0,
        }
    }

    fn end(self) -> usize {
        self.state.1
    }
}

impl Block {
    fn record(&self, at: u32) -> Record {
        Record::at(&self.bytes, at as usize)
    }

    fn key(&self, at: u32) -> &[u8] {
        let (start, end) = self.record(at).key;
        &self.bytes[start..end]
    }

    fn state(&self, at: u32) -> &[u8] {
        let (start, end) = self.record(at).state;
        &self.bytes[start..end]
    }

    fn mark_dead(&mut self, at: u32) {
        let record = self.record(at);
        self.bytes[at as usize + 3] |= 0x80;
        self.dead_bytes += record.end() - at as usize;
    }

    fn is_mostly_dead(&self) -> bool {
        self.dead_bytes * 2 > self.bytes.len()
    }
}

fn hash_of(key: &[u8]) -> u32 {
    (xxh3_64(key) >> 32) as u32
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl MemoryStore {
    /// Number of keys.
    pub fn keys(&self) -> u64 {
        self.index.len() as u64
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<Place> {
        let same = |p: &Place| p.hash == hash && self.blocks[p.block as usize].key(p.at) == key;
        self.index.find(spread(hash), same).copied()
    }

    /// Appends a record to the current block; where it is.
    fn append(&mut self, hash: u32, key: &[u8], state: &[u8]) -> Place {
        let length = HEAD_BYTES + key.len() + state.len();
        if !self.has_room(self.current, length) {
            self.current = self.fresh_block();
        }
        self.append_to(self.current, hash, key, state)
    }

    /// Appends a record to what is left of a walk; where it is.
    fn append_unwalked(&mut self, hash: u32, key: &[u8], state: &[u8]) -> Place {
        let length = HEAD_BYTES + key.len() + state.len();
        let block = match self.carry {
            Some(block) if self.has_room(block, length) => block,
            _ => self.fresh_block(),
        };
        self.carry = Some(block);
        if self.walking.is_none_or(|(walking, _)| walking != block) {
            self.unwalked.insert(block);
        }
        self.append_to(block, hash, key, state)
    }

    fn has_room(&self, block: u32, length: usize) -> bool {
        let bytes = &self.blocks[block as usize].bytes;
        bytes.is_empty() || bytes.len() + length <= BLOCK_BYTES
    }

    fn append_to(&mut self, number: u32, hash: u32, key: &[u8], state: &[u8]) -> Place {
        let length = HEAD_BYTES + key.len() + state.len();
        let block = &mut self.blocks[number as usize];
        if block.bytes.capacity() == 0 && !self.index.is_empty() {
            block.bytes.reserve_exact(BLOCK_BYTES.max(length));
        }
        let at = block.bytes.len() as u32;
        let key_length = u32::try_from(key.len()).ok().filter(|n| n & DEAD == 0);
        let state_length = u32::try_from(state.len()).expect("a state stays below 4 GiB");
        let key_length = key_length.expect("a key stays below 2 GiB");
        block.bytes.extend_from_slice(&key_length.to_le_bytes());
        block.bytes.extend_from_slice(&state_length.to_le_bytes());
        block.bytes.extend_from_slice(key);
        block.bytes.extend_from_slice(state);
        Place {
            hash,
            block: number,
            at,
        }
    }

    fn fresh_block(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.blocks.len() as u32 - 1
        })
    }

    /// Marks a record dead and empties its block when most of it is.
    fn bury(&mut self, place: Place) {
        let block = &mut self.blocks[place.block as usize];
        block.mark_dead(place.at);
        if place.block != self.current && block.is_mostly_dead() {
            self.empty_block(place.block);
        }
    }

    /// Appends what lives in a block again and frees it.
    fn empty_block(&mut self, number: u32) {
        let block = std::mem::take(&mut self.blocks[number as usize]);
        let walked = self.leave_block(number);
        let mut at = 0;
        while at < block.bytes.len() {
            let record = Record::at(&block.bytes, at);
            if !record.dead {
                let key = &block.bytes[record.key.0..record.key.1];
                let state = &block.bytes[record.state.0..record.state.1];
                self.relocate(number, at as u32, key, state, walked);
            }
            at = record.end();
        }
        self.free.push(number);
    }

    /// Takes a block out of the walk; whether it was no more to be walked through.
    fn leave_block(&mut self, number: u32) -> bool {
        self.carry.take_if(|block| *block == number);
        let walking = self.walking.take_if(|(block, _)| *block == number);
        !self.unwalked.remove(&number) && walking.is_none()
    }

    /// Appends a record of a block that is being emptied again.
    fn relocate(&mut self, block: u32, at: u32, key: &[u8], state: &[u8], walked: bool) {
        let hash = hash_of(key);
        let new = match walked {
            true => self.append(hash, key, state),
            false => self.append_unwalked(hash, key, state),
        };
        let place = self
            .index
            .find_mut(spread(hash), |p| p.block == block && p.at == at);
        *place.expect("a living record is indexed") = new;
    }

    /// All places, in order of key.
    fn sorted(&self) -> Vec<Place> {
        let key = |p: &Place| self.blocks[p.block as usize].key(p.at);
        let mut places: Vec<Place> = self.index.iter().copied().collect();
        places.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        places
    }
}

impl Store for MemoryStore {
    fn put(&mut self, key: &[u8], state: &[u8]) -> Result<()> {
        let hash = hash_of(key);
        let old = self.find(hash, key);
        if let Some(place) = old {
            let block = &mut self.blocks[place.block as usize];
            let record = block.record(place.at);
            let (start, end) = record.state;
            if end - start == state.len() {
                block.bytes[start..end].copy_from_slice(state);
                return Ok(());
            }
            self.live_bytes -= (end - start) as u64;
        } else {
            self.live_bytes += key.len() as u64;
        }
        self.live_bytes += state.len() as u64;
        let new = self.append(hash, key, state);
        match old {
            None => {
                self.index
                    .insert_unique(spread(hash), new, |p| spread(p.hash));
            }
            Some(old) => {
                let same = |p: &Place| p.block == old.block && p.at == old.at;
                *self.index.find_mut(spread(hash), same).expect("just found") = new;
                self.bury(old);
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let hash = hash_of(key);
        let Some(place) = self.find(hash, key) else {
            return Ok(());
        };
        let same = |p: &Place| p.block == place.block && p.at == place.at;
        if let Ok(entry) = self.index.find_entry(spread(hash), same) {
            entry.remove();
        }
        let state = self.blocks[place.block as usize].state(place.at).len();
        self.live_bytes -= (key.len() + state) as u64;
        self.bury(place);
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Box<[u8]>>> {
        let place = self.find(hash_of(key), key);
        Ok(place.map(|place| self.blocks[place.block as usize].state(place.at).into()))
    }

    fn each(&self, show: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for place in self.sorted() {
            let block = &self.blocks[place.block as usize];
            show(block.key(place.at), block.state(place.at));
        }
        Ok(())
    }

    fn after(&self, from: &[u8], count: usize) -> Result<Vec<KeyedState>> {
        let of = |place: &Place| {
            let block = &self.blocks[place.block as usize];
            (block.key(place.at).into(), block.state(place.at).into())
        };
        let key = |place: &Place| self.blocks[place.block as usize].key(place.at);
        let places = self.sorted();
        let first = places.partition_point(|place| key(place) < from);
        Ok(places[first..].iter().take(count).map(of).collect())
    }

    fn unordered(&self) -> Result<Vec<KeyedState>> {
        Ok(Vec::new())
    }

    fn begin_walk(&mut self) {
        let blocks = (0..).zip(&self.blocks);
        let filled = blocks.filter(|(_, block)| !block.bytes.is_empty());
        self.unwalked = filled.map(|(number, _)| number).collect();
        self.walking = None;
        self.carry = None;
        if self.unwalked.contains(&self.current) {
            self.current = self.fresh_block();
        }
    }

    fn walk(&self, bytes: usize) -> Result<(StateChanges, Walked)> {
        let mut shown = StateChanges::default();
        let mut rest = self.unwalked.iter();
        let next = |block: &u32| (*block, 0);
        let mut place = self.walking.or_else(|| rest.next().map(next));
        while let Some((number, at)) = place {
            if shown.put_keys.bytes.len() + shown.put_states.bytes.len() >= bytes {
                return Ok((shown, Walked(WalkedTo::Block(number, at))));
            }
            let block = &self.blocks[number as usize].bytes;
            if at == block.len() {
                place = rest.next().map(next);
                continue;
            }
            let record = Record::at(block, at);
            if !record.dead {
                shown.put_keys.push(&block[record.key.0..record.key.1]);
                let state = &block[record.state.0..record.state.1];
                shown.put_states.push(state);
            }
            place = Some((number, record.end()));
        }
        Ok((shown, Walked(WalkedTo::End)))
    }

    fn walked(&mut self, walked: Walked) {
        match walked.0 {
            WalkedTo::End | WalkedTo::Key(_) => {
                self.unwalked.clear();
                self.walking = None;
            }
            WalkedTo::Block(block, at) => {
                if self.walking.is_none_or(|(walking, _)| walking != block) {
                    self.unwalked = self.unwalked.split_off(&block);
                    self.unwalked.remove(&block);
                }
                self.walking = Some((block, at));
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.live_bytes
    }
}

#[cfg(test)]
mod tests;
