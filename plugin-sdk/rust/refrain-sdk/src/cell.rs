//! What one field of a row may be, and how it is read from and written to a column.

use serde::{Deserialize, Serialize};

use crate::bindings::{Column, Spans, Values};

/// Microseconds since 1970-01-01T00:00:00Z, may be negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// So much later, or earlier; at the end of time, the end.
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// A length of time in microseconds, may be negative. As an option of the pipeline file: a number and one of `us`, `ms`,
/// `s`, `m`, `h`, `d`, as in `"90s"`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Span(pub i64);

/// What a span is counted in, with microseconds each.
const UNITS: [(&str, i64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Span {
    /// From text; none when it is no span.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (count, name) = text.split_at(digits);
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        let count: i64 = count.trim().parse().ok()?;
        count.checked_mul(*unit).map(Self)
    }

    /// As text, in the largest unit that fits.
    pub fn show(self) -> String {
        let fits = |(_, unit): &&(&str, i64)| self.0 % unit == 0;
        let (name, unit) = match self.0 {
            0 => ("s", 1),
            _ => *UNITS
                .iter()
                .find(fits)
                .expect("every span is whole microseconds"),
        };
        format!("{}{name}", self.0 / unit)
    }
}

impl std::ops::Neg for Span {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl From<&str> for Span {
    /// # Panics
    /// When it is no span: for constants.
    fn from(text: &str) -> Self {
        Self::parse(text).expect("a span is a number and one of us, ms, s, m, h, d")
    }
}

/// Logical type of a field, as the contract names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Bool,
    I64,
    F64,
    Text,
    Bytes,
    Timestamp,
}

impl Kind {
    /// Its name in wit/types.wit.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::I64 => "i64",
            Kind::F64 => "f64",
            Kind::Text => "text",
            Kind::Bytes => "bytes",
            Kind::Timestamp => "timestamp",
        }
    }

    /// A column of this type without values.
    pub(crate) fn no_values(self) -> Column {
        let values = match self {
            Kind::Bool => Values::Bools(Vec::new()),
            Kind::I64 | Kind::Timestamp => Values::Ints(Vec::new()),
            Kind::F64 => Values::Floats(Vec::new()),
            Kind::Text | Kind::Bytes => Values::Spans(Spans {
                ends: Vec::new(),
                bytes: Vec::new(),
            }),
        };
        Column {
            values,
            valid: Vec::new(),
        }
    }
}

/// The type of one field of a row.
///
/// | type | field |
/// | --- | --- |
/// | `bool`, `i64`, `f64`, [`Timestamp`] | of that type |
/// | `&str`, or `String` where a copy is wanted | `text` |
/// | `&[u8]`, or `Vec<u8>` where a copy is wanted | `bytes` |
/// | `Option` of one of these | nullable |
///
/// ```compile_fail
/// # use refrain_sdk::prelude::*;
/// #[derive(Row)]
/// struct Flight {
///     delay: std::net::IpAddr, // `IpAddr` cannot be a field of a row
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a row",
    label = "no column has this type",
    note = "a field is one of: bool, i64, f64, Timestamp, &'a str, &'a [u8], String, Vec<u8>, or an Option of one of these"
)]
pub trait Cell<'a>: Sized {
    /// Logical type.
    const KIND: Kind;
    /// Whether nulls can be read.
    const NULLABLE: bool = false;
    /// The column as it is read, borrowed from the batch.
    type Column: Copy;
    /// The column as it is written.
    type Builder: Default;

    /// Finds the values of a column; none when it is of another type.
    fn bind(column: &'a Column) -> Option<Self::Column>;
    /// Number of values.
    fn count(column: &Self::Column) -> usize;
    /// The first values of a column, which has so many: a loop up to `count` then needs no check of its own.
    fn first(column: &Self::Column, count: usize) -> Self::Column;
    /// The value of one row.
    fn get(column: &Self::Column, row: usize) -> Self;
    /// Appends a value.
    fn put(self, builder: &mut Builder<Self::Builder>);
    /// Appends what stands in the place of a null.
    fn put_nothing(builder: &mut Builder<Self::Builder>);
    /// Forgets the values from `count` on.
    fn truncate(builder: &mut Self::Builder, count: usize);
    /// The finished values.
    fn finish(builder: Self::Builder) -> Values;
}

/// A column being written: values, and which of them are there.
#[derive(Default)]
pub struct Builder<V> {
    values: V,
    valid: Vec<bool>,
    nulls: bool,
}

impl<V> Builder<V> {
    /// Forgets the values from `count` on.
    pub fn truncate<'a, C: Cell<'a, Builder = V>>(&mut self, count: usize) {
        C::truncate(&mut self.values, count);
        self.valid.truncate(count);
    }

    /// The finished column.
    pub fn finish<'a, C: Cell<'a, Builder = V>>(self) -> Column {
        Column {
            values: C::finish(self.values),
            valid: if self.nulls {
                bitmap(&self.valid)
            } else {
                Vec::new()
            },
        }
    }
}

/// Packs flags, least significant bit first.
pub(crate) fn bitmap(flags: &[bool]) -> Vec<u8> {
    flags
        .chunks(8)
        .map(|eight| {
            (0..)
                .zip(eight)
                .fold(0, |byte, (bit, flag)| byte | u8::from(*flag) << bit)
        })
        .collect()
}

/// Bit `row` of a bitmap; an empty bitmap is all ones.
pub(crate) fn bit(bitmap: &[u8], row: usize) -> bool {
    bitmap.is_empty() || bitmap[row / 8] >> (row % 8) & 1 == 1
}

macro_rules! plain {
    ($type:ty, $kind:ident, $case:ident, $raw:ty, $read:expr, $write:expr, $nothing:expr) => {
        impl<'a> Cell<'a> for $type {
            const KIND: Kind = Kind::$kind;
            type Column = &'a [$raw];
            type Builder = Vec<$raw>;

            fn bind(column: &'a Column) -> Option<Self::Column> {
                match &column.values {
                    Values::$case(values) => Some(values),
                    _ => None,
                }
            }

            fn count(column: &Self::Column) -> usize {
                column.len()
            }

            #[inline(always)]
            fn first(column: &Self::Column, count: usize) -> Self::Column {
                &column[..count]
            }

            #[inline(always)]
            fn get(column: &Self::Column, row: usize) -> Self {
                $read(column[row])
            }

            #[inline]
            fn put(self, builder: &mut Builder<Self::Builder>) {
                builder.values.push($write(self));
            }

            fn put_nothing(builder: &mut Builder<Self::Builder>) {
                builder.values.push($nothing);
            }

            fn truncate(builder: &mut Self::Builder, count: usize) {
                builder.truncate(count);
            }

            fn finish(builder: Self::Builder) -> Values {
                Values::$case(builder)
            }
        }
    };
}

plain!(bool, Bool, Bools, bool, |raw| raw, |value| value, false);
plain!(i64, I64, Ints, i64, |raw| raw, |value| value, 0);
plain!(f64, F64, Floats, f64, |raw| raw, |value| value, 0.0);
plain!(
    Timestamp,
    Timestamp,
    Ints,
    i64,
    Timestamp,
    |value: Timestamp| value.0,
    0
);

/// Values of different lengths, as they are read.
#[derive(Clone, Copy)]
pub struct SpanColumn<'a> {
    ends: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> SpanColumn<'a> {
    fn bind(column: &'a Column) -> Option<Self> {
        match &column.values {
            Values::Spans(Spans { ends, bytes }) => Some(Self { ends, bytes }),
            _ => None,
        }
    }

    #[inline(always)]
    fn bytes(&self, row: usize) -> &'a [u8] {
        let end = self.ends[row] as usize;
        let start = self
            .ends
            .get(row.wrapping_sub(1))
            .map_or(0, |end| *end as usize);
        &self.bytes[start..end]
    }

    /// The one place that believes the host instead of checking: a column that the contract calls text is UTF-8, which
    /// the host has checked once for the whole column.
    #[inline(always)]
    #[expect(
        unsafe_code,
        reason = "a check for each value would cost more than most updates"
    )]
    fn text(&self, row: usize) -> &'a str {
        // SAFETY: the contract (wit/types.wit) says that the values of a `text` column are UTF-8, and the host, which
        // could read and write all memory of this component anyway, vouches for it. In native tests the columns are
        // made from `str`.
        unsafe { std::str::from_utf8_unchecked(self.bytes(row)) }
    }
}

/// Values of different lengths, as they are written.
#[derive(Default)]
pub struct SpanBuilder {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl SpanBuilder {
    #[inline]
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends
            .push(u32::try_from(self.bytes.len()).expect("a Wasm memory has at most 4 GiB"));
    }
}

macro_rules! span {
    ($type:ty, $kind:ident, $read:expr, $write:expr) => {
        impl<'a> Cell<'a> for $type {
            const KIND: Kind = Kind::$kind;
            type Column = SpanColumn<'a>;
            type Builder = SpanBuilder;

            fn bind(column: &'a Column) -> Option<Self::Column> {
                SpanColumn::bind(column)
            }

            fn count(column: &Self::Column) -> usize {
                column.ends.len()
            }

            #[inline(always)]
            fn first(column: &Self::Column, count: usize) -> Self::Column {
                let ends = &column.ends[..count];
                SpanColumn { ends, ..*column }
            }

            #[inline(always)]
            fn get(column: &Self::Column, row: usize) -> Self {
                $read(column, row)
            }

            #[inline]
            fn put(self, builder: &mut Builder<Self::Builder>) {
                builder.values.push($write(&self));
            }

            fn put_nothing(builder: &mut Builder<Self::Builder>) {
                builder.values.push(&[]);
            }

            fn truncate(builder: &mut Self::Builder, count: usize) {
                builder.ends.truncate(count);
                builder
                    .bytes
                    .truncate(builder.ends.last().map_or(0, |end| *end as usize));
            }

            fn finish(builder: Self::Builder) -> Values {
                Values::Spans(Spans {
                    ends: builder.ends,
                    bytes: builder.bytes,
                })
            }
        }
    };
}

span!(&'a str, Text, SpanColumn::text, |value: &'a str| value
    .as_bytes());
span!(&'a [u8], Bytes, SpanColumn::bytes, |value: &'a [u8]| value);
span!(
    String,
    Text,
    |column: &SpanColumn<'a>, row| column.text(row).to_string(),
    String::as_bytes
);
span!(
    Vec<u8>,
    Bytes,
    |column: &SpanColumn<'a>, row| column.bytes(row).to_vec(),
    Vec::as_slice
);

impl<'a, C: Cell<'a>> Cell<'a> for Option<C> {
    const KIND: Kind = C::KIND;
    const NULLABLE: bool = true;
    type Column = (C::Column, &'a [u8]);
    type Builder = C::Builder;

    fn bind(column: &'a Column) -> Option<Self::Column> {
        const {
            assert!(
                !C::NULLABLE,
                "an Option of an Option cannot be a field of a row"
            )
        };
        Some((C::bind(column)?, &column.valid))
    }

    fn count(column: &Self::Column) -> usize {
        C::count(&column.0)
    }

    #[inline(always)]
    fn first(column: &Self::Column, count: usize) -> Self::Column {
        (C::first(&column.0, count), column.1)
    }

    #[inline(always)]
    fn get(column: &Self::Column, row: usize) -> Self {
        bit(column.1, row).then(|| C::get(&column.0, row))
    }

    #[inline]
    fn put(self, builder: &mut Builder<Self::Builder>) {
        builder.valid.push(self.is_some());
        match self {
            Some(value) => value.put(builder),
            None => {
                builder.nulls = true;
                C::put_nothing(builder);
            }
        }
    }

    fn put_nothing(builder: &mut Builder<Self::Builder>) {
        None::<C>.put(builder);
    }

    fn truncate(builder: &mut Self::Builder, count: usize) {
        C::truncate(builder, count);
    }

    fn finish(builder: Self::Builder) -> Values {
        C::finish(builder)
    }
}
