//! What a node grants its plugin: `grants = ["wasi", "logging"]`. It decides whether a component runs, never what it comes
//! to, since what stands behind a grant answers with constants.

use refrain_plugin::Grants;

use super::section::{Reader, Section};

/// The words of the list that are grants; others are told.
pub(super) fn grants(section: &mut Section, reader: &mut Reader) -> Vec<String> {
    let Some(words) = section.texts("grants", reader) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for word in words.into_inner() {
        match Grants::parse([word.get_ref().as_str()]) {
            Ok(_) => found.push(word.into_inner()),
            Err(message) => {
                let help = "a plugin reads another topic by a join (plugins of the kind `process`), and settings by its \
                            options; there is no clock, file or network to be had";
                reader
                    .findings
                    .error("bad-grant", word.span(), message, help);
            }
        }
    }
    found
}
