//! Adapters as the server is told of them: `NAME=PATH`, with `@MODEL` after it where several models
//! are served.

use std::path::Path;

use terang_server::AdapterSource;

use crate::messages::Msg;
use crate::problem::{Outcome, fail};

/// What a setting says: the adapter, and the number of its model. `models` are the names of each.
pub(crate) fn parse(called: &str, models: &[Vec<String>]) -> Outcome<(usize, AdapterSource)> {
    let parts = called.split_once('=');
    let named = parts.filter(|(name, place)| !name.is_empty() && !place.is_empty());
    let Some((name, place)) = named else {
        return Err(fail(Msg::AdapterForm {
            adapter: called.to_owned(),
        }));
    };
    let bound = place.rsplit_once('@').and_then(|(path, model)| {
        let meant = |names: &Vec<String>| names.iter().any(|name| name == model);
        Some((models.iter().position(meant)?, path))
    });
    let (model, path) = match (bound, models) {
        (Some(bound), _) => bound,
        // What no model is called may be part of the path.
        (None, [_]) => (0, place),
        (None, _) => {
            let models: Vec<&str> = models
                .iter()
                .filter_map(|it| Some(it.first()?.as_str()))
                .collect();
            return Err(fail(Msg::AdapterModel {
                name: name.to_owned(),
                models: models.join(", "),
            }));
        }
    };
    check(Path::new(path))?;
    let adapter = AdapterSource {
        name: name.to_owned(),
        path: path.into(),
    };
    Ok((model, adapter))
}

/// Sees whether an adapter could lie there. Pipes and devices are none: opening one could block for
/// ever.
pub(crate) fn check(path: &Path) -> Outcome<()> {
    let name = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(meta) if meta.is_dir() && path.join("adapter_config.json").is_file() => Ok(()),
        Ok(_) => Err(fail(Msg::AdapterPathWrong { path: name })),
        Err(_) => Err(fail(Msg::AdapterPathMissing { path: name })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_bound_to_the_model_that_is_named_or_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a@b.gguf");
        std::fs::write(&path, "").unwrap();
        let path = path.display().to_string();
        let one = [vec!["small".to_owned()]];
        let two = [
            one[0].clone(),
            vec!["large:1b".to_owned(), "large".to_owned()],
        ];
        let found = |called: &str, models: &[Vec<String>]| {
            let (model, adapter) = parse(called, models).map_err(|error| error.to_string())?;
            assert_eq!(adapter.name, "pirate");
            assert_eq!(adapter.path.display().to_string(), path);
            Ok::<_, String>(model)
        };
        assert_eq!(found(&format!("pirate={path}"), &one), Ok(0));
        assert_eq!(found(&format!("pirate={path}@small"), &one), Ok(0));
        assert_eq!(found(&format!("pirate={path}@small"), &two), Ok(0));
        assert_eq!(found(&format!("pirate={path}@large"), &two), Ok(1));
        assert_eq!(found(&format!("pirate={path}@large:1b"), &two), Ok(1));
        let error = found(&format!("pirate={path}"), &two).unwrap_err();
        assert!(
            error.contains("pirate") && error.contains("small, large:1b"),
            "{error}"
        );
        for (called, part) in [
            ("pirate", "NAME=PATH"),
            ("=x", "NAME=PATH"),
            ("pirate=", "NAME=PATH"),
        ] {
            let error = found(called, &one).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = found(&format!("pirate={path}@other"), &one).unwrap_err();
        assert!(error.contains("no such adapter"), "{error}");
        let error = found(&format!("pirate={}", folder.path().display()), &one).unwrap_err();
        assert!(error.contains("adapter_config.json"), "{error}");
    }
}
