//! The values that a template computes with.
//!
//! Invariant: lists and maps know their depth and are never deeper than [`DEPTH_MAX`], and hold
//! plain data only, so that walking, comparing and dropping them cannot exhaust the stack and no
//! value can hold itself.

use super::budget::{Budget, Failure, Outcome};
use indexmap::{Equivalent, IndexMap};
use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};

/// Deepest nesting of lists and maps.
pub(super) const DEPTH_MAX: u32 = 96;

/// A value; what it can do is what the Python value of the same kind can do.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Undefined,
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    List(Rc<List>),
    Map(Rc<Map>),
    Namespace(Rc<RefCell<IndexMap<Rc<str>, Value>>>),
    Loop(Rc<LoopState>),
    Macro(Rc<MacroValue>),
    /// A global function or, with its object, a method.
    Function(&'static str),
    Method(Box<Value>, Rc<str>),
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    depth: u32,
}

/// The key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Str(Rc<str>),
    Int(i128),
}

impl Hash for Key {
    /// Equal to that of the plain string, so that maps can be searched by one.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Str(text) => text.hash(state),
            Self::Int(int) => int.hash(state),
        }
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::Str(text) if **text == *self)
    }
}

impl Key {
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Str(text) => Value::Str(Rc::clone(text)),
            Self::Int(int) => Value::Int(*int),
        }
    }

    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Str(text) => Some(Self::Str(Rc::clone(text))),
            other => other.as_int().map(Self::Int),
        }
    }
}

#[derive(Debug)]
pub(super) struct Map {
    pub(super) entries: IndexMap<Key, Value>,
    depth: u32,
}

/// What `loop` is inside a `for`.
#[derive(Debug)]
pub(super) struct LoopState {
    pub(super) items: Rc<[Value]>,
    pub(super) index0: Cell<usize>,
    pub(super) depth0: usize,
    pub(super) last_changed: RefCell<Option<Vec<Value>>>,
}

/// A macro: the number of its declaration and the scope that it was declared in.
#[derive(Debug)]
pub(super) struct MacroValue {
    pub(super) declaration: usize,
    pub(super) scope: Weak<Scope>,
}

/// Variables, and the scope around them.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) variables: RefCell<IndexMap<Rc<str>, Value>>,
    pub(super) parent: Option<Rc<Scope>>,
}

impl Value {
    pub(super) fn str(text: &str) -> Self {
        Self::Str(Rc::from(text))
    }

    /// A list; `Err` if it is too deep or holds what lists may not hold.
    pub(super) fn list(items: Vec<Value>, budget: &mut Budget) -> Outcome<Self> {
        budget.allocate(items.len() * size_of::<Value>() + 48)?;
        let depth = depth_around(&items)?;
        Ok(Self::List(Rc::new(List { items, depth })))
    }

    /// A map; `Err` as for [`Self::list`].
    pub(super) fn map(entries: IndexMap<Key, Value>, budget: &mut Budget) -> Outcome<Self> {
        budget.allocate(entries.len() * 2 * size_of::<(Key, Value, usize)>() + 96)?;
        let depth = depth_around(entries.values())?;
        Ok(Self::Map(Rc::new(Map { entries, depth })))
    }

    /// A string that was just made.
    pub(super) fn new_str(text: String, budget: &mut Budget) -> Outcome<Self> {
        budget.allocate(text.len() + 16)?;
        Ok(Self::Str(Rc::from(text)))
    }

    /// `Err` for what may not be stored in lists, maps and namespaces.
    pub(super) fn plain_depth(&self) -> Outcome<u32> {
        match self {
            Self::List(list) => Ok(list.depth),
            Self::Map(map) => Ok(map.depth),
            Self::Namespace(_)
            | Self::Loop(_)
            | Self::Macro(_)
            | Self::Function(_)
            | Self::Method(..) => Err(Failure::new(format!(
                "a {} cannot be stored in a list, map or namespace",
                self.kind()
            ))),
            _ => Ok(0),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined value",
            Self::None => "none",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "string",
            Self::List(_) => "list",
            Self::Map(_) => "mapping",
            Self::Namespace(_) => "namespace",
            Self::Loop(_) => "loop",
            Self::Macro(_) => "macro",
            Self::Function(_) => "function",
            Self::Method(..) => "method",
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            _ => true,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Integers, and bools as Python counts them.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            other => other.as_int().map(|value| value as f64),
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined)
    }

    /// Elements, characters or keys: what a `for` walks over.
    pub(super) fn iterate(&self, budget: &mut Budget) -> Outcome<Rc<[Value]>> {
        match self {
            Self::Undefined => Ok(Rc::from([])),
            Self::List(list) => {
                budget.allocate(list.items.len() * size_of::<Value>())?;
                budget.step(list.items.len() as u64)?;
                Ok(Rc::from(list.items.as_slice()))
            }
            Self::Map(map) => {
                budget.allocate(map.entries.len() * size_of::<Value>())?;
                budget.step(map.entries.len() as u64)?;
                Ok(map.entries.keys().map(Key::to_value).collect())
            }
            Self::Str(text) => {
                // Each character becomes a string of its own.
                budget.allocate(text.len().saturating_mul(size_of::<Value>() + 24))?;
                budget.step(text.len() as u64)?;
                let mut buffer = [0; 4];
                Ok(text
                    .chars()
                    .map(|c| Self::str(c.encode_utf8(&mut buffer)))
                    .collect())
            }
            other => Err(Failure::new(format!(
                "a {} cannot be iterated",
                other.kind()
            ))),
        }
    }

    /// Number of elements, characters or entries.
    pub(super) fn length(&self, budget: &mut Budget) -> Outcome<usize> {
        match self {
            Self::Undefined => Ok(0),
            Self::Str(text) => {
                budget.step_bytes(text.len())?;
                Ok(text.chars().count())
            }
            Self::List(list) => Ok(list.items.len()),
            Self::Map(map) => Ok(map.entries.len()),
            other => Err(Failure::new(format!("a {} has no length", other.kind()))),
        }
    }
}

fn depth_around<'v>(items: impl IntoIterator<Item = &'v Value>) -> Outcome<u32> {
    let mut depth = 0;
    for item in items {
        depth = depth.max(item.plain_depth()?);
    }
    if depth >= DEPTH_MAX {
        return Err(Failure::new(format!(
            "lists and maps nested over {DEPTH_MAX} deep"
        )));
    }
    Ok(depth + 1)
}

impl Scope {
    pub(super) fn inside(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self {
            variables: RefCell::default(),
            parent: Some(Rc::clone(parent)),
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<Value> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(value) = here.variables.borrow().get(name) {
                return Some(value.clone());
            }
            scope = here.parent.as_deref();
        }
        None
    }

    pub(super) fn set(&self, name: &str, value: Value) {
        self.variables.borrow_mut().insert(Rc::from(name), value);
    }
}
