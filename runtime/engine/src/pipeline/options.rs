//! A node's options against the settings of its plugin: names, types, defaults.

use refrain_log::schema::Kind;
use refrain_plugin::{About, Setting};
use serde_spanned::Spanned;

use super::declaration::{NodeDeclaration, OptionValue};
use super::diagnostic::{Findings, suggestion};

/// Every setting of the plugin with its value as text, in the plugin's order.
pub(super) fn node_options(
    node: &NodeDeclaration,
    about: &About,
    findings: &mut Findings,
) -> Vec<(String, String)> {
    let names: Vec<&str> = about.settings.iter().map(|s| s.name.as_str()).collect();
    for (name, _) in &node.options {
        if !names.contains(&name.get_ref().as_str()) {
            let message = format!(
                "plugin `{}` has no option `{}`",
                node.plugin.get_ref(),
                name.get_ref()
            );
            let help = suggestion(name.get_ref(), "options", names.iter().copied());
            findings.error("unknown-option", name.span(), message, help);
        }
    }
    let values = about.settings.iter().filter_map(|setting| {
        let value = option(node, setting, findings)?;
        Some((setting.name.clone(), value))
    });
    values.collect()
}

fn option(node: &NodeDeclaration, setting: &Setting, findings: &mut Findings) -> Option<String> {
    let given = node
        .options
        .iter()
        .find(|(name, _)| *name.get_ref() == setting.name);
    match (given, &setting.default) {
        (Some((_, value)), _) => typed(value, setting, findings),
        (None, Some(default)) => Some(default.clone()),
        (None, None) => {
            let message = format!(
                "plugin `{}` needs the option `{}`",
                node.plugin.get_ref(),
                setting.name
            );
            let help = format!("add it to `options`: {} ({})", setting.name, setting.doc);
            findings.error("missing-option", node.plugin.span(), message, help);
            None
        }
    }
}

/// The value as text, if it is of the setting's type.
fn typed(
    value: &Spanned<OptionValue>,
    setting: &Setting,
    findings: &mut Findings,
) -> Option<String> {
    let text = match (setting.kind, value.get_ref()) {
        (Kind::Text | Kind::Bytes, OptionValue::Text(text)) => Some(text.clone()),
        (Kind::I64, OptionValue::Integer(n)) => Some(n.to_string()),
        (Kind::F64, OptionValue::Float(x)) => Some(format!("{x:?}")),
        (Kind::F64, OptionValue::Integer(n)) => Some(format!("{n}.0")),
        (Kind::Bool, OptionValue::Bool(b)) => Some(b.to_string()),
        (Kind::Timestamp, OptionValue::Text(time) | OptionValue::Time(time)) => {
            crate::ingest::time::parse(time.as_bytes(), None)
                .ok()
                .map(|us| us.to_string())
        }
        // An option from the environment is always text.
        (Kind::I64, OptionValue::Text(text)) => text.parse::<i64>().ok().map(|n| n.to_string()),
        (Kind::F64, OptionValue::Text(text)) => text.parse::<f64>().ok().map(|x| format!("{x:?}")),
        (Kind::Bool, OptionValue::Text(text)) => text.parse::<bool>().ok().map(|b| b.to_string()),
        _ => None,
    };
    if text.is_none() {
        let message = format!("option `{}` is {}", setting.name, setting.kind.name());
        findings.error("type-mismatch", value.span(), message, setting.doc.clone());
    }
    text
}
