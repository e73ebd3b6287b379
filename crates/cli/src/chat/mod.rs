//! `terang chat`: one answer, or a conversation. The engine is reached through [`session`] alone.

mod attachments;
mod commands;
mod conversation;
mod input;
mod one_shot;
mod repl;
mod session;
mod settings;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use terang_engine::{EngineOptions, is_encoder};

use crate::adapters;
use crate::args;
use crate::catalogue::{Catalogue, Recommended, Task};
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::messages::Msg;
use crate::problem::{Outcome, fail};
use crate::pull::{self, Progress};
use crate::resolve::{Meant, resolve};

pub(crate) use session::explain;

/// Runs the verb.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &args::Chat) -> Outcome<()> {
    // Wrong settings, missing files and the like are found before a model is fetched or loaded.
    let settings = settings::Settings::from_args(&args.sampling)?;
    if let Some(adapter) = &args.adapter {
        adapters::check(adapter)?;
    }
    let attachments = attachments::read_files(&args.file)?;
    let asked = args.prompt.join(" ");
    let piped = if std::io::stdin().is_terminal() {
        None
    } else {
        attachments::read_stdin()?
    };
    let question = attachments::question(&asked, piped.as_deref(), &attachments);
    let ready = Ready {
        data,
        compute,
        context: args.sampling.context,
        draft: args.draft.as_deref(),
        adapter: args.adapter.as_deref(),
        quiet: args.quiet || args.json,
    };
    match question {
        Some(question) => one_shot::run(&ready, args, &settings, question),
        None => repl::run(&ready, args, settings, attachments),
    }
}

/// What is needed to make a model ready.
struct Ready<'a> {
    data: &'a DataDir,
    compute: Compute,
    context: Option<u32>,
    /// The smaller model that guesses ahead.
    draft: Option<&'a str>,
    /// What is put on top of the model.
    adapter: Option<&'a Path>,
    quiet: bool,
}

impl Ready<'_> {
    /// Loads the model that `name` means, after fetching it where it is not here; the catalogue's
    /// default where no name is given.
    fn session(&self, name: Option<&str>) -> Outcome<session::Session> {
        let progress = Progress::new(self.quiet);
        let model = locate_answering(self.data, name, &progress)?;
        let draft = self
            .draft
            .map(|name| locate_answering(self.data, Some(name), &progress));
        let draft = draft.transpose()?.map(|draft| draft.path);
        let draft = draft.as_deref();
        let options = EngineOptions {
            context_len: self.context.map(|c| c as usize),
            ..self.compute.engine(self.data)
        };
        let session = session::Session::load(model, draft, &options, &progress)?;
        match self.adapter {
            Some(adapter) => session.with_adapter(adapter),
            None => Ok(session),
        }
    }
}

/// A model that is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// The catalogue's name, or the path.
    pub(crate) name: String,
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// What it is for.
    pub(crate) task: Task,
    /// How to sample from it.
    pub(crate) recommended: Recommended,
}

/// The model that `name` means, which must be one that answers; fetched where it is not here.
pub(crate) fn locate_answering(
    data: &DataDir,
    name: Option<&str>,
    progress: &Progress,
) -> Outcome<Located> {
    let catalogue = Catalogue::load()?;
    // Said before anything is fetched.
    match resolve(&catalogue, name.unwrap_or(&catalogue.default))? {
        Meant::Entry(entry) if entry.task == Task::Embed => {
            Err(fail(Msg::ModelEmbeds { name: entry.name }))
        }
        Meant::Path(path) if is_encoder(&path) => {
            let name = path.display().to_string();
            Err(fail(Msg::ModelEmbeds { name }))
        }
        _ => locate(data, name, progress),
    }
}

/// The model that `name` means; fetched where it is not here.
pub(crate) fn locate(data: &DataDir, name: Option<&str>, progress: &Progress) -> Outcome<Located> {
    let catalogue = Catalogue::load()?;
    match resolve(&catalogue, name.unwrap_or(&catalogue.default))? {
        Meant::Entry(entry) => Ok(Located {
            path: pull::pull(data, &entry, None, progress)?.path,
            task: entry.task,
            name: entry.name,
            recommended: entry.sampling,
        }),
        Meant::Path(path) => Ok(Located {
            name: path.display().to_string(),
            task: if is_encoder(&path) {
                Task::Embed
            } else {
                Task::Generate
            },
            path,
            recommended: Recommended::default(),
        }),
    }
}
