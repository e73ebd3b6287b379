//! The JSON header of a safetensors file and the index of a sharded model. Both are read by
//! visitors that see every key, since a map would silently keep the last of two equal ones.

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// Most tensors of a file.
const TENSORS_MAX: usize = 1 << 16;
/// Most tensors of a sharded model.
const INDEX_TENSORS_MAX: usize = 1 << 18;
/// Longest tensor name in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most dimensions of a tensor.
const DIMS_MAX: usize = 8;
/// Most keys of the free-form metadata.
const METADATA_MAX: usize = 4096;
/// Most files of a sharded model.
const SHARDS_MAX: usize = 1024;

/// One tensor as its header describes it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Box<str>,
    pub(super) dtype: String,
    pub(super) shape: Vec<u64>,
    pub(super) data_offsets: [u64; 2],
}

/// The tensors of a header, in the order of the file.
pub(super) fn parse_header(json: &[u8]) -> serde_json::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    HeaderVisitor(&mut rows).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(rows)
}

/// File names of a sharded model, and for each tensor the index of its file.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) files: Vec<String>,
    pub(super) tensors: Vec<(Box<str>, usize)>,
}

/// The `weight_map` of `model.safetensors.index.json`.
pub(super) fn parse_index(json: &[u8]) -> serde_json::Result<Index> {
    #[derive(Deserialize)]
    struct File {
        weight_map: Index,
    }
    serde_json::from_slice::<File>(json).map(|file| file.weight_map)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    dtype: String,
    #[serde(deserialize_with = "bounded_shape")]
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

struct HeaderVisitor<'a>(&'a mut Vec<Row>);

impl<'de> DeserializeSeed<'de> for HeaderVisitor<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut metadata_seen = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if std::mem::replace(&mut metadata_seen, true) {
                    return Err(A::Error::custom("__metadata__ stands there twice"));
                }
                map.next_value::<FreeForm>()?;
                continue;
            }
            check_name::<A::Error>(&name)?;
            check_count::<A::Error>(self.0.len(), TENSORS_MAX)?;
            let Description {
                dtype,
                shape,
                data_offsets,
            } = map.next_value()?;
            self.0.push(Row {
                name: name.into(),
                dtype,
                shape,
                data_offsets,
            });
        }
        Ok(())
    }
}

/// `__metadata__`: strings by name, checked and not kept.
struct FreeForm;

impl<'de> Deserialize<'de> for FreeForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = FreeForm;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FreeForm, A::Error> {
                let mut keys = BTreeSet::new();
                while let Some((key, _)) = map.next_entry::<String, String>()? {
                    check_count::<A::Error>(keys.len(), METADATA_MAX)?;
                    if let Some(key) = keys.replace(key) {
                        return Err(A::Error::custom(format!(
                            "key {key:.80?} stands there twice"
                        )));
                    }
                }
                Ok(FreeForm)
            }
        }
        deserializer.deserialize_map(Strings)
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WeightMap;
        impl<'de> Visitor<'de> for WeightMap {
            type Value = Index;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of file names by tensor")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Index, A::Error> {
                let mut index = Index::default();
                let mut known = HashMap::new();
                while let Some((name, file)) = map.next_entry::<String, String>()? {
                    check_name::<A::Error>(&name)?;
                    check_count::<A::Error>(index.tensors.len(), INDEX_TENSORS_MAX)?;
                    let next = index.files.len();
                    let file = *known.entry(file).or_insert_with_key(|file| {
                        index.files.push(file.clone());
                        next
                    });
                    if index.files.len() > SHARDS_MAX {
                        return Err(A::Error::custom(format!("more than {SHARDS_MAX} files")));
                    }
                    index.tensors.push((name.into(), file));
                }
                Ok(index)
            }
        }
        deserializer.deserialize_map(WeightMap)
    }
}

fn bounded_shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Shape;
    impl<'de> Visitor<'de> for Shape {
        type Value = Vec<u64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {DIMS_MAX} dimensions")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u64>, A::Error> {
            let mut shape = Vec::new();
            while shape.len() < DIMS_MAX {
                match seq.next_element()? {
                    Some(dim) => shape.push(dim),
                    None => return Ok(shape),
                }
            }
            match seq.next_element::<IgnoredAny>()? {
                Some(_) => Err(A::Error::invalid_length(DIMS_MAX + 1, &self)),
                None => Ok(shape),
            }
        }
    }
    deserializer.deserialize_seq(Shape)
}

fn check_name<E: serde::de::Error>(name: &str) -> Result<(), E> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    let len = name.len();
    Err(E::custom(format!(
        "a tensor name of {len} bytes, allowed 1 to {NAME_BYTES_MAX}"
    )))
}

fn check_count<E: serde::de::Error>(count: usize, max: usize) -> Result<(), E> {
    if count < max {
        return Ok(());
    }
    Err(E::custom(format!("more than {max} entries")))
}
