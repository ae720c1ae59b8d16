//! From a core module with the SDK's type sections to a component.

use std::path::Path;

use wit_component::ComponentEncoder;

use super::BuildError;

/// What a component starts with; a core module has version 1 and layer 0.
const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];

/// Makes the module of `package` a component. One that is a component already stays as it is.
pub(super) fn encode(package: &Path, module: &[u8]) -> Result<Vec<u8>, BuildError> {
    if module.starts_with(&COMPONENT) {
        return Ok(module.to_vec());
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|why| BuildError::NoComponent {
            package: package.to_path_buf(),
            why: format!("{why:#}"),
        })
}
