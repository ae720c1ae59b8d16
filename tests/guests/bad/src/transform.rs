//! The transform: each row gives one with `count` 1 and `sum` its value.

use refrain_sdk::bindings::transform_plugin::exports::refrain::plugin::about::{self, Description};
use refrain_sdk::bindings::transform_plugin::exports::refrain::plugin::transform::{
    self, Transformed,
};
use refrain_sdk::bindings::{Column, Failure, Rows, Values};

use crate::{MAGIC, harm, ints, is, rejects, spoil, texts, values};

struct Component;

impl about::Guest for Component {
    fn describe() -> Description {
        crate::describe!(about)
    }

    fn configure(options: Vec<(String, String)>) -> Result<(), String> {
        crate::configure(options)
    }
}

impl transform::Guest for Component {
    fn process(input: Rows) -> Result<Transformed, Failure> {
        harm::call();
        let values = values(&input);
        if is("fatal") && values.contains(&MAGIC) {
            return Err(Failure::Fatal("thirteen".to_string()));
        }
        values.iter().for_each(|value| harm::row(*value));
        let rejects = rejects(values);
        let kept =
            |row: &u32| rejects.iter().all(|reject| reject.row != *row) || is("rejects-kept");
        let mut origins: Vec<u32> = (0..input.count).filter(kept).collect();
        let value = |row: &u32| values[*row as usize];
        let mut rows = Rows {
            count: origins.len() as u32,
            columns: vec![
                ints(origins.iter().map(|_| 1).collect()),
                ints(origins.iter().map(value).collect()),
                Column {
                    values: Values::Floats(origins.iter().map(|row| value(row) as f64).collect()),
                    valid: Vec::new(),
                },
                texts(
                    &origins
                        .iter()
                        .map(|row| name(value(row)))
                        .collect::<Vec<_>>(),
                ),
            ],
        };
        spoil(&mut rows);
        spoil_origins(&mut origins);
        Ok(Transformed {
            rows,
            origins,
            rejects,
        })
    }
}

fn spoil_origins(origins: &mut Vec<u32>) {
    if is("origins-falling") {
        origins.reverse();
    }
    if is("origins-beyond")
        && let Some(last) = origins.last_mut()
    {
        *last += 1;
    }
    if is("origins-short") {
        origins.pop();
    }
    if is("origins-left-out") {
        origins.clear();
    }
}

fn name(value: i64) -> Vec<u8> {
    match is("huge") {
        true => vec![b'x'; 100 << 20],
        false => format!("n{value}").into_bytes(),
    }
}

#[cfg(target_arch = "wasm32")]
refrain_sdk::bindings::transform_plugin::export_transform_plugin!(Component with_types_in refrain_sdk::bindings::transform_plugin);
