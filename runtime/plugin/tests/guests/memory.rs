//! Answers of a guest as the canonical ABI lays them out in its memory, right or wrong as the test likes.

/// The bytes of a data segment that starts at `base`.
pub(crate) struct Memory {
    base: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A field of a description: name, type, nullable.
pub(crate) type FieldSpec<'a> = (&'a str, &'a str, bool);
/// A setting of a description: name, type, default.
pub(crate) type SettingSpec<'a> = (&'a str, &'a str, Option<&'a str>);

/// A description, before it is laid out.
#[derive(Clone)]
pub(crate) struct Description<'a> {
    pub(crate) name: &'a str,
    pub(crate) inputs: Vec<FieldSpec<'a>>,
    pub(crate) outputs: Vec<FieldSpec<'a>>,
    pub(crate) wants_keys: bool,
    pub(crate) settings: Vec<SettingSpec<'a>>,
}

/// Values of a column, before they are laid out.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Spans(Vec<u32>, Vec<u8>),
}

/// A column, before it is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) values: Values,
    pub(crate) valid: Vec<u8>,
}

impl From<Values> for Column {
    fn from(values: Values) -> Self {
        Self {
            values,
            valid: vec![],
        }
    }
}

/// Rows, before they are laid out.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) count: u32,
    pub(crate) columns: Vec<Column>,
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

impl Memory {
    pub(crate) fn at(base: u32) -> Self {
        Self {
            base,
            bytes: vec![],
        }
    }

    /// Puts bytes somewhere, aligned to 8, and gives their address.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.base + self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn list(&mut self, len: usize, bytes: &[u8]) -> Vec<u8> {
        let at = self.put(bytes);
        words(&[at, len as u32])
    }

    pub(crate) fn text(&mut self, text: &[u8]) -> Vec<u8> {
        self.list(text.len(), text)
    }

    fn u32s(&mut self, values: &[u32]) -> Vec<u8> {
        self.list(values.len(), &words(values))
    }

    fn spans(&mut self, ends: &[u32], bytes: &[u8]) -> Vec<u8> {
        [self.u32s(ends), self.text(bytes)].concat()
    }

    fn values(&mut self, values: &Values) -> Vec<u8> {
        let (case, mut payload) = match values {
            Values::Bools(v) => (0, {
                let bytes: Vec<u8> = v.iter().map(|&b| u8::from(b)).collect();
                self.list(v.len(), &bytes)
            }),
            Values::Ints(v) => (1, {
                let bytes: Vec<u8> = v.iter().flat_map(|i| i.to_le_bytes()).collect();
                self.list(v.len(), &bytes)
            }),
            Values::Floats(v) => (2, {
                let bytes: Vec<u8> = v.iter().flat_map(|f| f.to_le_bytes()).collect();
                self.list(v.len(), &bytes)
            }),
            Values::Spans(ends, bytes) => (3, self.spans(ends, bytes)),
        };
        payload.resize(16, 0);
        [words(&[case]), payload].concat()
    }

    fn rows(&mut self, rows: &Rows) -> Vec<u8> {
        let columns: Vec<u8> = rows
            .columns
            .iter()
            .flat_map(|column| {
                let values = self.values(&column.values);
                let valid = self.text(&column.valid);
                [values, valid].concat()
            })
            .collect();
        let list = self.list(rows.columns.len(), &columns);
        [words(&[rows.count]), list].concat()
    }

    fn rejects(&mut self, rejects: &[(u32, &[u8])]) -> Vec<u8> {
        let items: Vec<u8> = rejects
            .iter()
            .flat_map(|(row, reason)| [words(&[*row]), self.text(reason)].concat())
            .collect();
        self.list(rejects.len(), &items)
    }

    fn ok(&mut self, answer: Vec<u8>) -> u32 {
        let answer = [words(&[0]), answer].concat();
        self.put(&[answer, vec![0; 16]].concat())
    }

    /// `result<_, failure>` or any other result, as an error.
    pub(crate) fn fatal(&mut self, text: &str) -> u32 {
        let text = self.text(text.as_bytes());
        self.put(&[words(&[1, 0]), text, vec![0; 32]].concat())
    }

    /// `result<_, _>`, done.
    pub(crate) fn done(&mut self) -> u32 {
        self.ok(vec![])
    }

    /// `result<_, string>`, refused.
    pub(crate) fn refused(&mut self, text: &str) -> u32 {
        let text = self.text(text.as_bytes());
        self.put(&[words(&[1]), text].concat())
    }

    pub(crate) fn transformed(
        &mut self,
        rows: &Rows,
        origins: &[u32],
        rejects: &[(u32, &[u8])],
    ) -> u32 {
        let answer = [self.rows(rows), self.u32s(origins), self.rejects(rejects)].concat();
        self.ok(answer)
    }

    pub(crate) fn updated(&mut self, rejects: &[(u32, &[u8])]) -> u32 {
        let answer = self.rejects(rejects);
        self.ok(answer)
    }

    pub(crate) fn evaluated(&mut self, rows: &Rows, present: &[u8]) -> u32 {
        let answer = [self.rows(rows), self.text(present)].concat();
        self.ok(answer)
    }

    pub(crate) fn saved(&mut self, ends: &[u32], bytes: &[u8]) -> u32 {
        let answer = self.spans(ends, bytes);
        self.ok(answer)
    }

    pub(crate) fn description(&mut self, said: &Description<'_>) -> u32 {
        let head = [said.name, "0.0.1", "for tests"].map(|text| self.text(text.as_bytes()));
        let inputs = self.fields(&said.inputs);
        let outputs = self.fields(&said.outputs);
        let settings = self.settings(&said.settings);
        let record = [
            head.concat(),
            inputs,
            outputs,
            words(&[u32::from(said.wants_keys), 1]),
            settings,
        ];
        self.put(&record.concat())
    }

    fn fields(&mut self, fields: &[FieldSpec<'_>]) -> Vec<u8> {
        let items: Vec<u8> = fields
            .iter()
            .flat_map(|(name, kind, nullable)| {
                let name = self.text(name.as_bytes());
                let kind = self.text(kind.as_bytes());
                [name, kind, words(&[u32::from(*nullable)])].concat()
            })
            .collect();
        self.list(fields.len(), &items)
    }

    fn settings(&mut self, settings: &[SettingSpec<'_>]) -> Vec<u8> {
        let items: Vec<u8> = settings
            .iter()
            .flat_map(|(name, kind, default)| {
                let head = [name, kind].map(|text| self.text(text.as_bytes())).concat();
                let default = match default {
                    None => words(&[0, 0, 0]),
                    Some(text) => [words(&[1]), self.text(text.as_bytes())].concat(),
                };
                [head, default, self.text(b"a setting")].concat()
            })
            .collect();
        self.list(settings.len(), &items)
    }
}
