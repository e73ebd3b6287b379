//! `terang key`: API keys of the server.

use std::fmt::Write as _;

use serde_json::json;
use terang_server::keys::{KeyError, KeyFile, KeyLimits, KeyRecord};
use terang_server::usage::KeyTotal;

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
        Key::Usage(args) => usage(data, &file, args),
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

/// What each key has used; keys that were revoked are listed by their identity alone.
fn usage(data: &DataDir, file: &KeyFile, args: &Output) -> Outcome<()> {
    let path = data.usage();
    let totals = terang_server::usage::totals(&path).map_err(|e| Problem::file(&path, &e))?;
    let mut by_key = totals.by_key;
    let keys = file.list().map_err(below)?;
    let known = keys.iter().map(|key| {
        let total = by_key.remove(&key.id).unwrap_or_default();
        (key.id.clone(), Some(key), total)
    });
    let mut rows: Vec<(String, Option<&KeyRecord>, KeyTotal)> = known.collect();
    rows.extend(by_key.into_iter().map(|(id, total)| (id, None, total)));
    if args.json {
        let keys = rows.iter().map(|(id, key, total)| {
            json!({
                "id": id,
                "name": key.map(|key| key.name.as_str()),
                "revoked": key.is_none(),
                "requests": total.requests,
                "prompt_tokens": total.prompt_tokens,
                "cached_tokens": total.cached_tokens,
                "completion_tokens": total.completion_tokens,
                "today_tokens": total.today_tokens,
                "tokens_per_day": key.and_then(|key| key.limits.tokens_per_day),
                "last_used": used(total).map(store::rfc3339),
            })
        });
        return output::json(&json!({
            "since": totals.since_s.map(store::rfc3339),
            "keys": keys.collect::<Vec<_>>(),
        }));
    }
    if rows.is_empty() {
        output::note(&Msg::KeyNone {}.to_string());
    }
    for (id, key, total) in rows {
        let name = key.map_or_else(|| Msg::KeyGone {}.to_string(), |key| key.name.clone());
        let today = match key.and_then(|key| key.limits.tokens_per_day) {
            Some(limit) => format!("{}/{limit}", total.today_tokens),
            None => total.today_tokens.to_string(),
        };
        let row = Msg::KeyUsage {
            id,
            name,
            requests: total.requests.to_string(),
            prompt: total.prompt_tokens.to_string(),
            completion: total.completion_tokens.to_string(),
            today,
            last: used(&total).map_or_else(|| "-".to_owned(), store::rfc3339),
        };
        output::line(&row.to_string())?;
    }
    Ok(())
}

fn used(total: &KeyTotal) -> Option<u64> {
    (total.requests > 0).then_some(total.last_s)
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
