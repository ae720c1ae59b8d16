//! A part of the keys of a fold, chosen by their hash: what it gives for them does not depend on the others.
//!
//! Rows of other keys are read, move the watermark and close windows as ever, and take no slot. So it costs reading and
//! the states of the keys that are in it.

use arrow_array::ArrayRef;
use refrain_log::schema::Field;
use refrain_plugin::PluginKind;
use refrain_state::digest;
use refrain_state::view::{Pages, View};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::rows::{PAGE_BYTES, PAGE_ROWS};
use crate::error::Result;
use crate::keys;
use crate::pipeline::PlannedNode;

/// All keys.
const WHOLE_PPM: u32 = 1_000_000;
/// Not that of partitions: each of them has its part of the sample.
const SEED: u64 = 0x7361_6d70_6c65;

/// Which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The share of them, in millionths.
    pub ppm: u32,
}

/// The rows of a sample of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// How many.
    pub rows: u64,
    /// How many of them are final.
    pub finals: u64,
    /// Their digest, as of a view of them alone, hex.
    pub digest: String,
}

impl Sample {
    /// A share of the keys, above 0 and at most all.
    pub fn of_ppm(ppm: u32) -> Option<Sample> {
        (1..=WHOLE_PPM).contains(&ppm).then_some(Sample { ppm })
    }

    /// Whether a node's results can be computed for a part of its keys.
    pub fn fits(node: &PlannedNode) -> bool {
        node.about.kind == PluginKind::Fold
    }

    /// Whether the key of a row is in it.
    pub(crate) fn takes_row(
        self,
        columns: &[ArrayRef],
        fields: &[Field],
        row: usize,
        scratch: &mut Vec<u8>,
    ) -> bool {
        scratch.clear();
        keys::encode(columns, fields, row, scratch);
        self.takes(scratch)
    }

    /// Whether a key, as [`keys::encode`] writes it, is in it.
    pub fn takes(self, key: &[u8]) -> bool {
        xxh3_64_with_seed(key, SEED) % u64::from(WHOLE_PPM) < u64::from(self.ppm)
    }

    /// The rows of a view whose key is in it.
    pub(super) fn of_view(
        self,
        node: &PlannedNode,
        view: &View,
        mut pages: Pages,
    ) -> Result<Sampled> {
        let (mut rows, mut finals, mut sum) = (0, 0, 0_u128);
        let mut key = Vec::new();
        while !pages.is_done() {
            let page = pages.next(PAGE_ROWS, PAGE_BYTES)?;
            // A fold's rows begin with its key.
            let columns = &page.rows.columns()[..node.key_fields.len()];
            let hashes = digest::row_hashes(&page.rows, view.schema());
            for (row, hash) in hashes.into_iter().enumerate() {
                if self.takes_row(columns, &node.key_fields, row, &mut key) {
                    rows += 1;
                    finals += u64::from(page.finals.value(row));
                    sum = sum.wrapping_add(hash);
                }
            }
        }
        Ok(Sampled {
            rows,
            finals,
            digest: format!("{sum:032x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_about_its_share_of_the_keys_and_a_larger_one_has_all_of_them() {
        let (tenth, half) = (Sample { ppm: 100_000 }, Sample { ppm: 500_000 });
        let keys = (0..20_000_i64).map(keys::sortable);
        let of_tenth: Vec<_> = keys.clone().filter(|key| tenth.takes(key)).collect();
        assert!(
            (1_700..2_300).contains(&of_tenth.len()),
            "{}",
            of_tenth.len()
        );
        assert!(of_tenth.iter().all(|key| half.takes(key)));
        let whole = Sample::of_ppm(WHOLE_PPM).expect("all is a share");
        assert!(keys.clone().all(|key| whole.takes(&key)));
        assert_eq!(Sample::of_ppm(0), None);
        assert_eq!(Sample::of_ppm(WHOLE_PPM + 1), None);
    }
}
