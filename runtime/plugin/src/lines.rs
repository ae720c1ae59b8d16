//! Which line of source a place in a component's code is of, by the debug information (DWARF) that it may carry.
//!
//! Places are offsets in the component's bytes, as wasmtime tells them; DWARF counts from the start of a core module's code
//! section. What was inlined is the line that it was written in, which is the one that an author looks for. Debug
//! information is another's words: what is wrong with it says no line, and is no fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use wasmparser::{Encoding, Parser, Payload};

use crate::build::SDK_FOLDER;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// Lines of the core modules of one component.
#[derive(Debug)]
pub(crate) struct Lines {
    modules: Vec<Module>,
}

#[derive(Debug)]
struct Module {
    /// Where its code section is in the component.
    code: Range<usize>,
    /// By address, each up to the next.
    rows: Vec<Row>,
    files: Vec<File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// In the code section.
    address: u64,
    /// Of `files`; none: no line is known from here on.
    file: Option<usize>,
    line: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct File {
    name: String,
    /// Whether the author wrote it: it is neither the compiler's nor the SDK's.
    own: bool,
}

impl Lines {
    /// Whether there is anything to find.
    pub(crate) fn are_in(component: &[u8]) -> bool {
        modules(component)
            .iter()
            .any(|module| module.debug.contains_key(SectionId::DebugLine.name()))
    }

    /// Of all modules of a component.
    pub(crate) fn of(component: &[u8]) -> Lines {
        let modules = modules(component).into_iter().filter_map(|found| {
            let mut module = Module {
                code: found.code.clone(),
                rows: Vec::new(),
                files: Vec::new(),
            };
            module.read(&found.debug).ok()?;
            module.rows.sort();
            Some(module)
        });
        Lines {
            modules: modules.collect(),
        }
    }

    /// `file:line` of the author's own code that is nearest to where it fell; otherwise of what it called. Places are the
    /// innermost first.
    pub(crate) fn place(&self, trace: &[usize]) -> Option<String> {
        let mut known = trace.iter().filter_map(|offset| self.line(*offset));
        let first = known.next()?;
        let own = std::iter::once(first)
            .chain(known)
            .find(|(file, _)| file.own);
        let (file, line) = own.unwrap_or(first);
        Some(format!("{}:{line}", file.name))
    }

    fn line(&self, offset: usize) -> Option<(&File, u64)> {
        let mut modules = self.modules.iter();
        let module = modules.find(|module| module.code.contains(&offset))?;
        let address = (offset - module.code.start) as u64;
        let after = module.rows.partition_point(|row| row.address <= address);
        let row = module.rows[..after].last()?;
        Some((&module.files[row.file?], row.line))
    }
}

impl Module {
    /// All line programs.
    fn read(&mut self, debug: &BTreeMap<&str, &[u8]>) -> Result<(), gimli::Error> {
        let section = |id: SectionId| {
            let bytes = debug.get(id.name()).copied().unwrap_or_default();
            Ok::<_, gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let dwarf = Dwarf::load(section)?;
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            self.unit(&dwarf, &dwarf.unit(header)?)?;
        }
        Ok(())
    }

    fn unit(
        &mut self,
        dwarf: &Dwarf<Reader<'_>>,
        unit: &gimli::Unit<Reader<'_>>,
    ) -> Result<(), gimli::Error> {
        let Some(program) = unit.line_program.clone() else {
            return Ok(());
        };
        let mut files = BTreeMap::new();
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row()? {
            let file = match row.end_sequence() {
                true => None,
                false => {
                    let index = row.file_index();
                    let known = files.get(&index).copied();
                    let place = known.or_else(|| self.file(dwarf, unit, header, index));
                    files.extend(place.map(|place| (index, place)));
                    place
                }
            };
            // The linker puts what it left out behind all code.
            if row.address() <= self.code.len() as u64 {
                self.rows.push(Row {
                    address: row.address(),
                    file,
                    line: row.line().map_or(0, std::num::NonZeroU64::get),
                });
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        dwarf: &Dwarf<Reader<'_>>,
        unit: &gimli::Unit<Reader<'_>>,
        header: &gimli::LineProgramHeader<Reader<'_>>,
        index: u64,
    ) -> Option<usize> {
        let text = |value| Some(dwarf.attr_string(unit, value).ok()?.to_string_lossy());
        let entry = header.file(index)?;
        let name = text(entry.path_name())?.into_owned();
        let folder = entry
            .directory(header)
            .and_then(text)
            .unwrap_or(Cow::Borrowed(""));
        let path = format!("{folder}/{name}");
        let others = [
            format!("/{SDK_FOLDER}/"),
            "/lib/std/".into(),
            "/lib/libc/".into(),
        ];
        let own = !others.iter().any(|part| path.contains(part)) && !name.starts_with('/');
        self.files.push(File { name, own });
        Some(self.files.len() - 1)
    }
}

/// A core module in a component.
#[derive(Default)]
struct Found<'a> {
    /// Its code section; empty where there is none.
    code: Range<usize>,
    debug: BTreeMap<&'a str, &'a [u8]>,
}

/// All core modules of a component and of those in it, as far as its bytes can be read.
fn modules(component: &[u8]) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    // What is being read, the outermost first; none: a component.
    let mut within: Vec<Option<Found<'_>>> = Vec::new();
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match payload {
            Payload::Version { encoding, .. } => {
                within.push((encoding == Encoding::Module).then(Found::default));
            }
            Payload::CodeSectionStart { range, .. } => {
                if let Some(Some(module)) = within.last_mut() {
                    module.code = range;
                }
            }
            Payload::CustomSection(section) => {
                if let Some(Some(module)) = within.last_mut() {
                    module.debug.insert(section.name(), section.data());
                }
            }
            Payload::End(_) => found.extend(within.pop().flatten()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: &[(u64, Option<usize>, u64)]) -> Lines {
        let rows = rows.iter().map(|&(address, file, line)| Row {
            address,
            file,
            line,
        });
        let file = |name: &str, own| File {
            name: name.into(),
            own,
        };
        Lines {
            modules: vec![Module {
                code: 100..200,
                rows: rows.collect(),
                files: vec![file("plugin.zig", true), file("std/mem.zig", false)],
            }],
        }
    }

    #[test]
    fn the_authors_own_line_is_told_before_what_it_called() {
        let lines = lines(&[
            (0, Some(1), 7),
            (10, Some(0), 3),
            (20, None, 0),
            (30, Some(1), 9),
        ]);
        assert_eq!(lines.place(&[105, 112]).unwrap(), "plugin.zig:3");
        assert_eq!(lines.place(&[105, 135]).unwrap(), "std/mem.zig:7");
        assert_eq!(lines.place(&[120, 110]).unwrap(), "plugin.zig:3");
        assert_eq!(lines.place(&[125]), None);
        assert_eq!(lines.place(&[99, 200]), None);
    }

    #[test]
    fn sections_are_found_and_broken_bytes_say_nothing() {
        let module = wat::parse_str("(module (func (export \"f\")))").unwrap();
        let found = modules(&module);
        let [Found { code, .. }] = &found[..] else {
            panic!("one module");
        };
        // The number of functions, the length of the first, no locals, its end.
        assert_eq!(module[code.clone()], [1, 2, 0, 0x0b]);
        let component =
            wat::parse_str("(component (core module (func)) (component (core module (func))))")
                .unwrap();
        assert_eq!(modules(&component).len(), 2);
        assert!(!Lines::are_in(&component));
        for end in 0..component.len() {
            assert_eq!(Lines::of(&component[..end]).place(&[end / 2]), None);
        }
    }
}
