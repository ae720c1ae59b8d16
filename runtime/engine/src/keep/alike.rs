//! When a topic's name stands for another one: rules are said of a topic, and hold for all versions of it.

use crate::versions::VersionName;

/// The topic of the pipeline file behind a topic of the log: `clean` for `clean@2`, `clean.late` for `clean@2.late`.
pub fn alike(topic: &str) -> String {
    let Some((name, rest)) = topic.split_once('@') else {
        return topic.to_owned();
    };
    let suffix = rest.find('.').map_or("", |dot| &rest[dot..]);
    format!("{}{suffix}", VersionName::parse(name).name)
}

#[cfg(test)]
mod tests {
    use super::alike;

    #[test]
    fn versions_of_a_topic_are_alike() {
        assert_eq!(alike("clean"), "clean");
        assert_eq!(alike("clean@2"), "clean");
        assert_eq!(alike("clean@12.late"), "clean.late");
        assert_eq!(alike("a.b@3.rejected"), "a.b.rejected");
    }
}
