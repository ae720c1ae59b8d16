//! One table of a pipeline file, read key by key: each key is asked for once with its type, environment variables are
//! put in, and what nobody asked for is an unknown key.

use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Findings, suggestion};
use super::units;

/// What reading needs beside the table.
pub(super) struct Reader<'e> {
    pub(super) findings: Findings,
    pub(super) env: &'e dyn Fn(&str) -> Option<String>,
}

/// One table, and which of its keys were asked for.
pub(super) struct Section<'a, 'i> {
    /// As people call it: `[node.delays]`.
    path: String,
    span: Range<usize>,
    table: &'a DeTable<'i>,
    known: Vec<&'static str>,
}

type Value<'a, 'i> = &'a Spanned<DeValue<'i>>;

impl<'a, 'i> Section<'a, 'i> {
    /// The table in `value`, or a finding that it is none.
    pub(super) fn open(
        path: String,
        span: Range<usize>,
        value: Value<'a, 'i>,
        reader: &mut Reader,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(path, span, table)),
            other => {
                reader.wrong_type(&path, value.span(), other, "a table");
                None
            }
        }
    }

    pub(super) fn new(path: String, span: Range<usize>, table: &'a DeTable<'i>) -> Self {
        Self {
            path,
            span,
            table,
            known: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'a, 'i>> {
        self.know(key);
        self.table.get(key)
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    /// Every key with its value: for tables whose keys the user chooses.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a Spanned<toml::de::DeString<'i>>, Value<'a, 'i>)> {
        self.table.iter()
    }

    pub(super) fn text(
        &mut self,
        key: &'static str,
        reader: &mut Reader,
    ) -> Option<Spanned<String>> {
        let value = self.get(key)?;
        reader.text(key, value)
    }

    /// The text of a key that must be there.
    pub(super) fn required(
        &mut self,
        key: &'static str,
        example: &str,
        reader: &mut Reader,
    ) -> Option<Spanned<String>> {
        if self.table.contains_key(key) {
            return self.text(key, reader);
        }
        self.know(key);
        let message = format!("{} has no `{key}`", self.path);
        reader.findings.error(
            "missing-key",
            self.span(),
            message,
            format!("add `{example}`"),
        );
        None
    }

    pub(super) fn texts(
        &mut self,
        key: &'static str,
        reader: &mut Reader,
    ) -> Option<Spanned<Vec<Spanned<String>>>> {
        let value = self.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            reader.wrong_type(
                key,
                value.span(),
                value.get_ref(),
                "a list of texts such as [\"origin\"]",
            );
            return None;
        };
        let texts = items
            .iter()
            .filter_map(|item| reader.text(key, item))
            .collect();
        Some(Spanned::new(value.span(), texts))
    }

    pub(super) fn duration_us(&mut self, key: &'static str, reader: &mut Reader) -> Option<i64> {
        self.measure(
            key,
            "duration",
            units::DURATION_HELP,
            reader,
            units::duration_us,
        )
    }

    pub(super) fn size_bytes(&mut self, key: &'static str, reader: &mut Reader) -> Option<u64> {
        self.measure(key, "size", units::SIZE_HELP, reader, units::size_bytes)
    }

    /// A text that `read` understands.
    pub(super) fn measure<T>(
        &mut self,
        key: &'static str,
        what: &str,
        help: &str,
        reader: &mut Reader,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key, reader)?;
        let measure = read(text.get_ref());
        if measure.is_none() {
            let message = format!("`{key}`: `{}` is no {what}", text.get_ref());
            reader
                .findings
                .error(&format!("bad-{what}"), text.span(), message, help);
        }
        measure
    }

    /// A whole number in a range; also as text when it came from the environment.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
        reader: &mut Reader,
    ) -> Option<i64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok(),
            DeValue::String(s) if s.contains("${env:") => {
                reader.text(key, value)?.get_ref().trim().parse().ok()
            }
            other => {
                reader.wrong_type(key, value.span(), other, "a whole number");
                return None;
            }
        };
        let fits = number.filter(|n| range.contains(n));
        if fits.is_none() {
            let message = format!(
                "`{key}` is a whole number from {} to {}",
                range.start(),
                range.end()
            );
            reader
                .findings
                .error("out-of-range", value.span(), message, "");
        }
        fits
    }

    pub(super) fn boolean(&mut self, key: &'static str, reader: &mut Reader) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(b) => Some(*b),
            other => {
                reader.wrong_type(key, value.span(), other, "true or false");
                None
            }
        }
    }

    /// A table under this one.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        reader: &mut Reader,
    ) -> Option<Section<'a, 'i>> {
        let value = self.get(key)?;
        let path = format!("{} {key}", self.path);
        Section::open(path, value.span(), value, reader)
    }

    /// Reports every key that nobody asked for.
    pub(super) fn close(self, reader: &mut Reader) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let message = format!("{} has no key `{name}`", self.path);
                let help = suggestion(name, "keys", self.known.iter().copied());
                reader
                    .findings
                    .error("unknown-key", key.span(), message, help);
            }
        }
    }
}

impl Reader<'_> {
    /// A text with its environment variables put in.
    pub(super) fn text(&mut self, key: &str, value: &Spanned<DeValue>) -> Option<Spanned<String>> {
        match value.get_ref() {
            DeValue::String(text) => {
                let text = self.interpolated(text, value.span())?;
                Some(Spanned::new(value.span(), text))
            }
            other => {
                self.wrong_type(key, value.span(), other, "a text in quotes");
                None
            }
        }
    }

    /// `${env:NAME}` and `${env:NAME:-default}` replaced. Nothing else is special.
    pub(super) fn interpolated(&mut self, text: &str, span: Range<usize>) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${env:") {
            out.push_str(before);
            let Some((variable, remainder)) = after.split_once('}') else {
                let message = "`${env:` without its `}`";
                self.findings.error(
                    "bad-interpolation",
                    span,
                    message,
                    "write ${env:NAME} or ${env:NAME:-default}",
                );
                return None;
            };
            out.push_str(&self.variable(variable, span.clone())?);
            rest = remainder;
        }
        out.push_str(rest);
        Some(out)
    }

    fn variable(&mut self, variable: &str, span: Range<usize>) -> Option<String> {
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        let value = (self.env)(name).or(default.map(str::to_owned));
        if value.is_none() {
            let message = format!("the environment variable {name} is not set");
            let help = format!("set {name}, or give a default: ${{env:{name}:-default}}");
            self.findings.error("missing-variable", span, message, help);
        }
        value
    }

    pub(super) fn wrong_type(
        &mut self,
        key: &str,
        span: Range<usize>,
        found: &DeValue,
        wanted: &str,
    ) {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{key}` is {found}; {wanted} is wanted");
        self.findings.error("wrong-type", span, message, "");
    }
}
