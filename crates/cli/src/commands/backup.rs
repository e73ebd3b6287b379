//! `terang backup` and `terang restore`: a copy of chats and accounts, and back.

use crate::args::{Backup, Restore, Serve};
use crate::commands::serve;
use crate::data_dir::DataDir;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};

/// The database of the server's settings.
fn database(data: &DataDir, given: Option<&String>) -> Outcome<String> {
    let serve = Serve {
        database: given.cloned(),
        ..Serve::default()
    };
    Ok(serve::config(data, &serve)?.database.reveal().to_owned())
}

/// Copies the database to a new file.
pub(crate) fn backup(data: &DataDir, args: &Backup) -> Outcome<()> {
    let database = database(data, args.database.as_ref())?;
    terang_server::backup::backup(&database, &data.database(), &args.file)
        .map_err(|error| Problem::Below(error.to_string()))?;
    let path = args.file.display().to_string();
    output::line(&Msg::BackedUp { path }.to_string())
}

/// Puts a copy in the place of the database.
pub(crate) fn restore(data: &DataDir, args: &Restore) -> Outcome<()> {
    let database = database(data, args.database.as_ref())?;
    let before = terang_server::backup::restore(&database, &data.database(), &args.file)
        .map_err(|error| Problem::Below(error.to_string()))?;
    let path = args.file.display().to_string();
    output::line(&Msg::Restored { path }.to_string())?;
    if let Some(before) = before {
        let path = before.display().to_string();
        output::note(&Msg::RestoredBefore { path }.to_string());
    }
    Ok(())
}
