//! One file a verb.

pub(crate) mod check;
pub(crate) mod cost;
pub(crate) mod day;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod freshness;
pub(crate) mod init;
pub(crate) mod keep;
pub(crate) mod plugin;
pub(crate) mod receipt;
pub(crate) mod rejected;
pub(crate) mod reopen;
pub(crate) mod rhythm;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod tap;
pub(crate) mod tiers;
pub(crate) mod topic;
pub(crate) mod version;
pub(crate) mod view;
