//! Which interfaces of wit/ a component exports, and that it wants nothing from outside.
//!
//! Found by name and checked by type once, when the component is loaded; an instance then looks its functions up by
//! index.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, TypedFunc,
};

use crate::about::PluginKind;
use crate::limits::Guard;
use crate::wire::{
    Declaration, Description, EntriesIn, Evaluated, Failure, PartIn, Processed, Reject, RowsIn,
    Spans, SpansIn, Transformed,
};

/// Version of wit/ that this host speaks.
pub const WIT_VERSION: &str = "0.1.0";
const PACKAGE: &str = "refrain:plugin/";

type Answer<T> = (Result<T, Failure>,);

pub(crate) type Describe = ((), (Description,));
pub(crate) type Configure<'a> = ((&'a [(String, String)],), (Result<(), String>,));
pub(crate) type Process<'a> = ((RowsIn<'a>,), Answer<Transformed>);
pub(crate) type Update<'a> = ((RowsIn<'a>, EntriesIn<'a>), Answer<Vec<Reject>>);
pub(crate) type Evaluate<'a> = ((&'a [u32], RowsIn<'a>), Answer<Evaluated>);
pub(crate) type Save<'a> = ((&'a [u32],), Answer<Spans>);
pub(crate) type Restore<'a> = ((&'a [u32], SpansIn<'a>), Answer<()>);
pub(crate) type Release<'a> = ((&'a [u32],), ());
pub(crate) type Declare = ((), (Declaration,));
pub(crate) type Take<'a> = ((&'a [PartIn<'a>], &'a [u32], i64), Answer<Processed>);
pub(crate) type Fire<'a> = ((&'a [u32], &'a [i64], i64), Answer<Processed>);
pub(crate) type Migrate<'a> = ((u32, SpansIn<'a>), Answer<Spans>);
pub(crate) type Merge<'a> = ((&'a [u32], &'a [u32]), Answer<()>);

/// A function of a signature given as (parameters, results).
pub(crate) type Callable<S> = TypedFunc<<S as Signature>::Params, <S as Signature>::Results>;

/// A pair of parameters and results.
pub(crate) trait Signature {
    /// Parameters.
    type Params: ComponentNamedList + Lower + 'static;
    /// Results.
    type Results: ComponentNamedList + Lift + 'static;
}

impl<P, R> Signature for (P, R)
where
    P: ComponentNamedList + Lower + 'static,
    R: ComponentNamedList + Lift + 'static,
{
    type Params = P;
    type Results = R;
}

/// Where the functions of a component are.
#[derive(Clone, Debug)]
pub(crate) struct Exports {
    pub(crate) describe: ComponentExportIndex,
    pub(crate) configure: ComponentExportIndex,
    pub(crate) work: Work,
}

/// Where the functions of its kind are.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Transform { process: ComponentExportIndex },
    Fold(Box<FoldWork>),
    Process(Box<ProcessWork>),
}

/// Where the functions about states are, of every kind that has some.
#[derive(Clone, Debug)]
pub(crate) struct SlotWork {
    pub(crate) save: ComponentExportIndex,
    pub(crate) restore: ComponentExportIndex,
    pub(crate) release: ComponentExportIndex,
    /// Of the optional interface `migrate`.
    pub(crate) migrate: Option<ComponentExportIndex>,
}

/// Where the functions of a fold are.
#[derive(Clone, Debug)]
pub(crate) struct FoldWork {
    pub(crate) update: ComponentExportIndex,
    pub(crate) evaluate: ComponentExportIndex,
    pub(crate) slots: SlotWork,
    /// Of the optional interface `merge`.
    pub(crate) merge: Option<ComponentExportIndex>,
}

/// Where the functions of a process plugin are.
#[derive(Clone, Debug)]
pub(crate) struct ProcessWork {
    pub(crate) declare: ComponentExportIndex,
    pub(crate) process: ComponentExportIndex,
    pub(crate) fire: ComponentExportIndex,
    pub(crate) slots: SlotWork,
}

impl Exports {
    pub(crate) fn kind(&self) -> PluginKind {
        match self.work {
            Work::Transform { .. } => PluginKind::Transform,
            Work::Fold(_) => PluginKind::Fold,
            Work::Process(_) => PluginKind::Process,
        }
    }

    /// Whether states can be joined.
    pub(crate) fn merges(&self) -> bool {
        matches!(&self.work, Work::Fold(fold) if fold.merge.is_some())
    }

    /// Whether states of an older version can be taken over.
    pub(crate) fn migrates(&self) -> bool {
        match &self.work {
            Work::Transform { .. } => false,
            Work::Fold(fold) => fold.slots.migrate.is_some(),
            Work::Process(process) => process.slots.migrate.is_some(),
        }
    }

    /// Finds them all and checks their types.
    pub(crate) fn find(pre: &InstancePre<Guard>) -> Result<Self, String> {
        let names = export_names(pre.component());
        let kind = kind_of(&names)?;
        let about = Interface::open(pre, "about", &names)?;
        let work = match kind {
            PluginKind::Transform => transform(&Interface::open(pre, "transform", &names)?)?,
            PluginKind::Fold => {
                let migrate = optional::<Migrate<'static>>(pre, &names, "migrate")?;
                let merge = optional::<Merge<'static>>(pre, &names, "merge")?;
                fold(&Interface::open(pre, "fold", &names)?, merge, migrate)?
            }
            PluginKind::Process => {
                let migrate = optional::<Migrate<'static>>(pre, &names, "migrate")?;
                process(&Interface::open(pre, "process", &names)?, migrate)?
            }
        };
        Ok(Self {
            describe: about.function::<Describe>("describe")?,
            configure: about.function::<Configure<'static>>("configure")?,
            work,
        })
    }
}

fn transform(transform: &Interface<'_>) -> Result<Work, String> {
    Ok(Work::Transform {
        process: transform.function::<Process<'static>>("process")?,
    })
}

/// The function of an optional interface that is called like it; another version of it is refused like one of `fold`.
fn optional<S: Signature>(
    pre: &InstancePre<Guard>,
    names: &[String],
    interface: &'static str,
) -> Result<Option<ComponentExportIndex>, String> {
    if !names.iter().any(|name| speaks(name, interface)) {
        return Ok(None);
    }
    let found = Interface::open(pre, interface, names)?;
    found.function::<S>(interface).map(Some)
}

fn fold(
    fold: &Interface<'_>,
    merge: Option<ComponentExportIndex>,
    migrate: Option<ComponentExportIndex>,
) -> Result<Work, String> {
    Ok(Work::Fold(Box::new(FoldWork {
        update: fold.function::<Update<'static>>("update")?,
        evaluate: fold.function::<Evaluate<'static>>("evaluate")?,
        slots: slots(fold, migrate)?,
        merge,
    })))
}

fn process(process: &Interface<'_>, migrate: Option<ComponentExportIndex>) -> Result<Work, String> {
    Ok(Work::Process(Box::new(ProcessWork {
        declare: process.function::<Declare>("declare")?,
        process: process.function::<Take<'static>>("process")?,
        fire: process.function::<Fire<'static>>("fire")?,
        slots: slots(process, migrate)?,
    })))
}

fn slots(of: &Interface<'_>, migrate: Option<ComponentExportIndex>) -> Result<SlotWork, String> {
    Ok(SlotWork {
        save: of.function::<Save<'static>>("save")?,
        restore: of.function::<Restore<'static>>("restore")?,
        release: of.function::<Release<'static>>("release")?,
        migrate,
    })
}

/// One exported interface.
struct Interface<'a> {
    pre: &'a InstancePre<Guard>,
    name: &'static str,
    index: ComponentExportIndex,
}

impl<'a> Interface<'a> {
    fn open(
        pre: &'a InstancePre<Guard>,
        name: &'static str,
        found: &[String],
    ) -> Result<Self, String> {
        let wanted = format!("{PACKAGE}{name}@{WIT_VERSION}");
        let index = pre
            .component()
            .get_export_index(None, wanted.as_str())
            .ok_or_else(|| missing(name, found))?;
        Ok(Self { pre, name, index })
    }

    fn function<S: Signature>(&self, function: &str) -> Result<ComponentExportIndex, String> {
        let name = self.name;
        let (item, index) = self
            .pre
            .component()
            .get_export(Some(&self.index), function)
            .ok_or_else(|| {
                format!("exports `{name}` without the function `{function}`: {REBUILD}")
            })?;
        let ComponentItem::ComponentFunc(item) = item else {
            return Err(format!("`{name}.{function}` is no function: {REBUILD}"));
        };
        item.typecheck::<S::Params, S::Results>(&self.pre.instance_type())
            .map_err(|why| {
                format!(
                    "`{name}.{function}` has not the type that refrain:plugin@{WIT_VERSION} gives it ({}): {REBUILD}",
                    why.root_cause()
                )
            })?;
        Ok(index)
    }
}

const REBUILD: &str = "build the plugin against the wit/ of this version";

/// Names of what a component exports, in its order.
pub(crate) fn export_names(component: &Component) -> Vec<String> {
    component
        .component_type()
        .exports(component.engine())
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Which kind of plugin exports this; a sentence when none does.
fn kind_of(names: &[String]) -> Result<PluginKind, String> {
    let has = |interface: &str| names.iter().any(|name| speaks(name, interface));
    let found: Vec<(&str, PluginKind)> = KINDS
        .into_iter()
        .filter(|(interface, _)| has(interface))
        .collect();
    match found.as_slice() {
        [] => Err(missing("fold", names)),
        [(_, kind)] => Ok(*kind),
        [(one, _), (other, _), ..] => Err(format!(
            "exports both `{one}` and `{other}`: a plugin is one of them, make two of it"
        )),
    }
}

const KINDS: [(&str, PluginKind); 3] = [
    ("transform", PluginKind::Transform),
    ("fold", PluginKind::Fold),
    ("process", PluginKind::Process),
];

fn speaks(name: &str, interface: &str) -> bool {
    name.strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_prefix(interface))
        .is_some_and(|rest| rest.starts_with('@'))
}

fn missing(interface: &str, found: &[String]) -> String {
    let spoken = format!("{PACKAGE}{interface}@{WIT_VERSION}");
    let other: Vec<&str> = found
        .iter()
        .filter(|name| name.starts_with(PACKAGE) && !name.ends_with(&format!("@{WIT_VERSION}")))
        .map(String::as_str)
        .collect();
    if !other.is_empty() {
        return format!(
            "exports {}, where this host speaks refrain:plugin@{WIT_VERSION}: {REBUILD}",
            other.join(", ")
        );
    }
    let found = match found {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let or = match interface {
        "fold" => format!(", {PACKAGE}transform@{WIT_VERSION} or {PACKAGE}process@{WIT_VERSION}"),
        _ => String::new(),
    };
    format!("does not export {spoken}{or}; it exports {found}: {REBUILD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn the_kind_is_that_of_the_exported_interface() {
        let of = |interface: &str| {
            kind_of(&names(&[
                "refrain:plugin/about@0.1.0",
                &format!("refrain:plugin/{interface}@0.1.0"),
            ]))
        };
        assert_eq!(of("fold"), Ok(PluginKind::Fold));
        assert_eq!(of("transform"), Ok(PluginKind::Transform));
        assert_eq!(of("process"), Ok(PluginKind::Process));
    }

    #[test]
    fn nothing_of_ours_is_answered_with_what_there_is() {
        let why = kind_of(&names(&["wasi:cli/run@0.2.0"])).unwrap_err();
        assert!(why.contains(
            "does not export refrain:plugin/fold@0.1.0, refrain:plugin/transform@0.1.0 or refrain:plugin/process@0.1.0"
        ));
        assert!(why.contains("it exports wasi:cli/run@0.2.0"));
        assert!(kind_of(&[]).unwrap_err().contains("exports nothing"));
    }

    #[test]
    fn another_version_is_named_beside_ours() {
        let why = missing("fold", &names(&["refrain:plugin/fold@0.2.0"]));
        assert!(why.starts_with(
            "exports refrain:plugin/fold@0.2.0, where this host speaks refrain:plugin@0.1.0"
        ));
    }
}
