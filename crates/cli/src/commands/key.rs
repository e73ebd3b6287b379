//! `terang key`: API keys of the server.

use std::fmt::Write as _;

use serde_json::json;
use terang_server::keys::{KeyError, KeyFile, KeyLimits, KeyRecord};

use crate::args::{Key, KeyCreate, KeyRevoke, Output};
use crate::data_dir::DataDir;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};
use crate::store;

/// Makes, lists or revokes keys.
pub(crate) fn run(data: &DataDir, what: &Key) -> Outcome<()> {
    let file = KeyFile::new(&data.keys());
    match what {
        Key::Create(args) => create(&file, args),
        Key::List(args) => list(&file, args),
        Key::Revoke(args) => revoke(&file, args),
    }
}

fn create(file: &KeyFile, args: &KeyCreate) -> Outcome<()> {
    let limits = KeyLimits {
        requests_per_minute: args.requests_per_minute,
        tokens_per_minute: args.tokens_per_minute,
        tokens_per_day: args.tokens_per_day,
    };
    let (key, record) = file.create(&args.name, limits).map_err(below)?;
    if args.json {
        let mut object = public(&record);
        object["key"] = key.into();
        return output::json(&object);
    }
    // The key stands alone on standard output, for a pipe.
    output::note(&Msg::KeyShownOnce { id: record.id }.to_string());
    output::line(&key)
}

fn list(file: &KeyFile, args: &Output) -> Outcome<()> {
    let keys = file.list().map_err(below)?;
    if args.json {
        return output::json(&keys.iter().map(public).collect::<Vec<_>>());
    }
    if keys.is_empty() {
        output::note(&Msg::KeyNone {}.to_string());
    }
    for key in keys {
        let mut line = format!(
            "{}  {}  {}",
            key.id,
            store::rfc3339(key.created_s),
            key.name
        );
        let limits = [
            ("requests_per_minute", key.limits.requests_per_minute),
            ("tokens_per_minute", key.limits.tokens_per_minute),
            ("tokens_per_day", key.limits.tokens_per_day),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                let _ = write!(line, "  {name}={limit}");
            }
        }
        output::line(&line)?;
    }
    Ok(())
}

fn revoke(file: &KeyFile, args: &KeyRevoke) -> Outcome<()> {
    let record = file.revoke(&args.key).map_err(below)?;
    if args.json {
        return output::json(&public(&record));
    }
    output::note(
        &Msg::KeyRevoked {
            id: record.id,
            name: record.name,
        }
        .to_string(),
    );
    Ok(())
}

/// What may be shown of a key: not its digest.
fn public(key: &KeyRecord) -> serde_json::Value {
    json!({
        "id": key.id,
        "name": key.name,
        "created": store::rfc3339(key.created_s),
        "limits": key.limits,
    })
}

#[allow(clippy::needless_pass_by_value, reason = "map_err gives it by value")]
fn below(error: KeyError) -> Problem {
    Problem::Below(error.to_string())
}
