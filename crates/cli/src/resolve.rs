//! What a person means by a model's name: an entry of the catalogue by name or alias, or a path to
//! a GGUF file or a Hugging Face folder.

use std::path::{Path, PathBuf};

use crate::catalogue::{Catalogue, Entry};
use crate::messages::Msg;
use crate::problem::{Outcome, fail};

/// What a name means.
#[derive(Debug)]
pub(crate) enum Meant {
    /// A model of the catalogue.
    Entry(Box<Entry>),
    /// A file or folder.
    Path(PathBuf),
}

/// Finds what `name` means.
pub(crate) fn resolve(catalogue: &Catalogue, name: &str) -> Outcome<Meant> {
    if let Some(entry) = catalogue.find(name) {
        return Ok(Meant::Entry(Box::new(entry.clone())));
    }
    let path = Path::new(name);
    let path_like = name.contains(['/', '\\']) || path.extension().is_some_and(|x| x == "gguf");
    match std::fs::metadata(path) {
        Ok(meta) => {
            // Pipes and devices are refused here: opening one could block for ever.
            let is_model = meta.is_file() || (meta.is_dir() && path.join("config.json").is_file());
            if is_model {
                Ok(Meant::Path(path.to_owned()))
            } else {
                Err(fail(Msg::ModelPathWrong {
                    path: name.to_owned(),
                }))
            }
        }
        Err(_) if path_like => Err(fail(Msg::ModelPathMissing {
            path: name.to_owned(),
        })),
        Err(_) => Err(unknown(catalogue, name)),
    }
}

/// Finds the catalogue entry that `name` means, where a path would not do.
pub(crate) fn entry<'a>(catalogue: &'a Catalogue, name: &str) -> Outcome<&'a Entry> {
    catalogue.find(name).ok_or_else(|| unknown(catalogue, name))
}

fn unknown(catalogue: &Catalogue, name: &str) -> crate::problem::Problem {
    let known = catalogue.nearest(name).map(str::to_owned);
    let name = name.to_owned();
    fail(match known {
        Some(nearest) => Msg::ModelUnknownNear { name, nearest },
        None => Msg::ModelUnknown { name },
    })
}
