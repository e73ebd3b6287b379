//! `terang rm NAME`: removes one model's folder, which lies inside the data folder, and nothing else.

use std::fs;
use std::io::{BufRead, IsTerminal};

use serde_json::json;

use crate::args::Rm;
use crate::catalogue::{Catalogue, is_model_name};
use crate::data_dir::DataDir;
use crate::messages::{Msg, human_bytes};
use crate::problem::{Outcome, Problem, fail, misuse};
use crate::{output, pull, resolve, store};

/// Removes the model after asking.
pub(crate) fn run(data: &DataDir, args: &Rm) -> Outcome<()> {
    let catalogue = Catalogue::load()?;
    // A model of an earlier catalogue can still be removed by its name.
    let name = match catalogue.find(&args.name) {
        Some(entry) => entry.name.clone(),
        None if is_model_name(&args.name) && data.model(&args.name).exists() => args.name.clone(),
        None => resolve::entry(&catalogue, &args.name)?.name.clone(),
    };
    let folder = store::folder(data, &name)?;
    if !folder.is_dir() {
        return Err(fail(Msg::ModelNotInstalled { name }));
    }
    let bytes: u64 = fs::read_dir(&folder)
        .map_err(|e| Problem::file(&folder, &e))?
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    let size = human_bytes(bytes);
    if !args.yes && !agreed(&name, &size)? {
        return output::line(&Msg::NotRemoved { name }.to_string());
    }
    remove(data, &name)?;
    if args.json {
        return output::json(&json!({ "name": name, "removed": true, "bytes": bytes }));
    }
    output::line(&Msg::Removed { name, size }.to_string())
}

/// Removes the folder of the model `name`, unless somebody is filling it.
pub(crate) fn remove(data: &DataDir, name: &str) -> Outcome<()> {
    let folder = store::folder(data, name)?;
    let lock = pull::open_lock(data, name)?;
    if matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)) {
        let name = name.to_owned();
        return Err(fail(Msg::RemoveBusy { name }));
    }
    // Does not follow links, so nothing outside the folder can go with it.
    fs::remove_dir_all(&folder).map_err(|e| Problem::file(&folder, &e))?;
    data.packed_cache(0).sweep();
    Ok(())
}

fn agreed(name: &str, size: &str) -> Outcome<bool> {
    let name = name.to_owned();
    if !std::io::stdin().is_terminal() {
        return Err(misuse(Msg::RemoveNeedsYes { name }));
    }
    let size = size.to_owned();
    eprint!("{}", Msg::RemoveAsk { name, size });
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Problem::output(&e))?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "y" | "yes" | "ya"
    ))
}
