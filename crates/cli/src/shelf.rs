//! The catalogue and the data folder as the server's administrators see them: what can be fetched, what
//! is here, and both by the same means as `terang pull` and `terang rm`.

use std::sync::Arc;

use terang_server::{Depot, DepotError, FetchWatch, Stocked, Task};

use crate::catalogue::{self, Catalogue, Entry, is_model_name};
use crate::commands::rm;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::Msg;
use crate::problem::Problem;
use crate::pull::{self, Progress, partial_bytes};
use crate::store::{self, Receipt};

/// The models of a data folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    data: DataDir,
}

impl Shelf {
    pub(crate) fn new(data: DataDir) -> Self {
        Self { data }
    }

    fn of_entry(&self, entry: &Entry) -> Stocked {
        let folder = self.data.model(&entry.name);
        let installed = store::installed(&self.data, &entry.name).ok().flatten();
        let bytes_here = match &installed {
            Some(installed) => installed.receipt.bytes_here(),
            None => partial_bytes(&folder),
        };
        Stocked {
            name: entry.name.clone(),
            title: entry.title.clone(),
            task: task(entry.task),
            licence: entry.licence.clone(),
            languages: entry.languages.clone(),
            parameters: entry.parameters.clone(),
            bytes: entry.bytes,
            bytes_here,
            installed: installed.is_some(),
            folder,
        }
    }

    /// A model that an earlier catalogue had.
    fn of_receipt(&self, receipt: &Receipt) -> Stocked {
        Stocked {
            name: receipt.name.clone(),
            title: receipt.name.clone(),
            task: Task::default(),
            licence: "?".to_owned(),
            languages: Vec::new(),
            parameters: "?".to_owned(),
            bytes: receipt.bytes,
            bytes_here: receipt.bytes_here(),
            installed: true,
            folder: self.data.model(&receipt.name),
        }
    }
}

impl Depot for Shelf {
    fn list(&self) -> Result<Vec<Stocked>, DepotError> {
        let catalogue = Catalogue::load().map_err(told)?;
        let known = catalogue.models.iter().map(|entry| self.of_entry(entry));
        let receipts = store::receipts(&self.data);
        let others = receipts
            .iter()
            .filter(|it| catalogue.find(&it.name).is_none());
        Ok(known.chain(others.map(|it| self.of_receipt(it))).collect())
    }

    fn fetch(&self, name: &str, watch: &Arc<FetchWatch>) -> Result<(), DepotError> {
        let catalogue = Catalogue::load().map_err(told)?;
        let unknown = || DepotError::Unknown(name.to_owned());
        let entry = catalogue.find(name).ok_or_else(unknown)?;
        let progress = Progress::told_to(Arc::clone(watch));
        let watch = Arc::clone(watch);
        let pull = || pull::pull(&self.data, entry, None, &progress);
        let pulled = interrupt::unless(move || watch.is_stopped(), pull);
        pulled.map(drop).map_err(told)
    }

    fn remove(&self, name: &str) -> Result<(), DepotError> {
        let known = is_model_name(name) && self.data.model(name).is_dir();
        if !known {
            return Err(DepotError::Unknown(name.to_owned()));
        }
        rm::remove(&self.data, name).map_err(told)
    }
}

/// What the catalogue says a model is for, as the server says it.
pub(crate) fn task(task: catalogue::Task) -> Task {
    match task {
        catalogue::Task::Generate => Task::Generate,
        catalogue::Task::Embed => Task::Embed,
    }
}

fn told(problem: Problem) -> DepotError {
    let text = problem.to_string();
    match problem {
        Problem::Interrupted | Problem::Stopped(_) => DepotError::Stopped,
        Problem::Failed(message) => match *message {
            Msg::RemoveBusy { .. } => DepotError::Busy(text),
            Msg::NoSpace { .. } | Msg::DiskFull { .. } => DepotError::NoSpace(text),
            Msg::AllSourcesFailed { .. } => DepotError::NoSource(text),
            _ => DepotError::Failed(text),
        },
        _ => DepotError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_removes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(root.path().join("data"))).unwrap();
        std::fs::create_dir_all(root.path().join("data/models/.locks")).unwrap();
        std::fs::create_dir_all(root.path().join("data/keep")).unwrap();
        let shelf = Shelf::new(data);
        for name in ["../keep", "..", "", ".locks", "a/b", "nothing"] {
            let removed = shelf.remove(name);
            assert!(matches!(removed, Err(DepotError::Unknown(_))), "{name}");
        }
        assert!(root.path().join("data/keep").is_dir());
    }
}
