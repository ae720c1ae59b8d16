//! Laws of the records: what is written is read back, and other bytes are refused.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use proptest::prelude::*;

use super::*;

fn records(drafts: &[Draft]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for draft in drafts {
        let rows = draft.rows.as_ref().unwrap();
        let column = rows.column(0).as_binary::<i32>();
        all.extend((0..column.len()).map(|i| column.value(i).to_vec()));
    }
    all
}

fn spans(values: &[Vec<u8>]) -> Spans {
    let mut spans = Spans::default();
    values.iter().for_each(|v| spans.push(v));
    spans
}

fn read_states(record: &[u8]) -> StateChanges {
    let part = Part::read(record).unwrap();
    let Tail::States { puts, deletes } = part.head.tail else {
        panic!("states expected")
    };
    part.states(puts, deletes).unwrap()
}

proptest! {
    #[test]
    fn states_come_back_as_they_went(
        puts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec(any::<u8>(), 0..9)), 1..20),
        deleted in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..9),
    ) {
        let (keys, states): (Vec<_>, Vec<_>) = puts.into_iter().unzip();
        let changes = StateChanges { put_keys: spans(&keys), put_states: spans(&states), deleted: spans(&deleted) };
        let mut frames = Frames::new(7, Timestamp(1));
        frames.add_states("n", 3, &changes);
        let records = records(&frames.take());
        prop_assert_eq!(records.len(), 2);
        let put = read_states(&records[0]);
        prop_assert_eq!((put.put_keys, put.put_states), (changes.put_keys, changes.put_states));
        prop_assert_eq!(read_states(&records[1]).deleted, changes.deleted);
        let head = Part::read(&records[0]).unwrap().head;
        prop_assert_eq!((head.commit, head.node.as_str(), head.task), (7, "n", 3));
    }

    #[test]
    fn damaged_records_are_errors_or_other_states_never_panics(at in 0usize..200, bit in 0u8..8) {
        let changes = StateChanges {
            put_keys: spans(&[vec![1; 9], vec![2; 9]]),
            put_states: spans(&[vec![3; 30], vec![4; 30]]),
            deleted: Spans::default(),
        };
        let mut frames = Frames::new(7, Timestamp(1));
        frames.add_states("node", 3, &changes);
        let mut record = records(&frames.take()).remove(0);
        let at = at % record.len();
        record[at] ^= 1 << bit;
        if let Ok(part) = Part::read(&record)
            && let Tail::States { puts, deletes } = part.head.tail
        {
            let _ = part.states(puts, deletes);
        }
    }
}

#[test]
fn large_changes_are_split_into_records_and_frames() {
    let states: Vec<Vec<u8>> = (0..12_000_u32).map(|i| vec![i as u8; 1000]).collect();
    let keys: Vec<Vec<u8>> = (0..12_000_u32).map(|i| i.to_be_bytes().to_vec()).collect();
    let changes = StateChanges {
        put_keys: spans(&keys),
        put_states: spans(&states),
        deleted: Spans::default(),
    };
    let mut frames = Frames::new(1, Timestamp(1));
    frames.add_states("n", 0, &changes);
    frames.add_states(
        "n",
        1,
        &StateChanges {
            put_keys: spans(&[vec![1]]),
            put_states: spans(&[vec![9; 6 << 20]]),
            ..StateChanges::default()
        },
    );
    let drafts = frames.take();
    for draft in &drafts[..drafts.len() - 1] {
        let column = draft
            .rows
            .as_ref()
            .unwrap()
            .column(0)
            .as_binary::<i32>()
            .clone();
        assert!(column.values().len() <= FRAME_BYTES_MAX);
    }
    let records = records(&drafts);
    assert!(records.len() > 10);
    let again: Vec<Vec<u8>> = records
        .iter()
        .flat_map(|r| {
            read_states(r)
                .put_states
                .iter()
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(again[..12_000], states[..]);
    assert_eq!(again[12_000].len(), 6 << 20);
}
