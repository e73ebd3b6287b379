//! The passages that fit a question: by its words and, where an encoder is there, by its meaning. The
//! two lists are put together by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009), which
//! needs no common measure.

use std::cmp::Ordering;
use std::collections::HashMap;

use terang_store::StoredPassage;

use super::encoding::{self, Codes};
use crate::app::App;
use crate::error::ApiResult;

/// The constant of the fusion: how little first places count more than others.
const RANK_OFFSET: f32 = 60.0;
/// Passages of each list.
const LISTED_MAX: usize = 50;
/// Vectors that are read at once.
const VECTORS_AT_ONCE: usize = 4096;
/// What is less alike than this is about something else. Of sentences about one office's rules and some
/// articles, all-MiniLM likens questions to the passage that answers them by 0.21 to 0.57, bar one in
/// ten, and to the likest passage that has nothing to do with them by 0.07 to 0.19.
const LIKENESS_MIN: f32 = 0.2;

/// The passages of somebody's collections that fit a question, the best first.
pub(super) async fn passages(
    app: &App,
    user_id: &str,
    collections: &[String],
    question: &str,
    limit: usize,
) -> ApiResult<Vec<StoredPassage>> {
    let store = &app.web.store;
    let by_words = store
        .passages_with_words(user_id, collections, question, LISTED_MAX)
        .await?;
    let by_meaning = match encoding::model(app) {
        None => Vec::new(),
        Some(model) => match like(app, user_id, collections, &model, question).await {
            Ok(found) => found,
            // Words alone are better than nothing; what is wrong is in the log.
            Err(error) => {
                tracing::warn!(error = %error.message, "documents are searched by words alone");
                Vec::new()
            }
        },
    };
    let words: Vec<i64> = by_words.iter().map(|passage| passage.seq).collect();
    let order = fused(&[&words, &by_meaning], limit);
    let mut known: HashMap<i64, StoredPassage> = by_words
        .into_iter()
        .map(|passage| (passage.seq, passage))
        .collect();
    let missing: Vec<i64> = order
        .iter()
        .copied()
        .filter(|seq| !known.contains_key(seq))
        .collect();
    for passage in store.passages_of(user_id, &missing).await? {
        known.insert(passage.seq, passage);
    }
    Ok(order.iter().filter_map(|seq| known.remove(seq)).collect())
}

/// Passages whose meaning is like the question's, the likest first.
async fn like(
    app: &App,
    user_id: &str,
    collections: &[String],
    model: &str,
    question: &str,
) -> ApiResult<Vec<i64>> {
    if question.trim().is_empty() || collections.is_empty() {
        return Ok(Vec::new());
    }
    let Some(codes) = encoding::question(app, question).await? else {
        return Ok(Vec::new());
    };
    let store = &app.web.store;
    let mut best: Vec<(f32, i64)> = Vec::new();
    let mut after = 0;
    loop {
        let vectors = store
            .vectors(user_id, collections, model, after, VECTORS_AT_ONCE)
            .await?;
        let Some(last) = vectors.last() else { break };
        after = last.passage;
        let is_last = vectors.len() < VECTORS_AT_ONCE;
        keep_best(&mut best, &codes, &vectors);
        if is_last {
            break;
        }
    }
    Ok(best.into_iter().map(|(_, passage)| passage).collect())
}

fn keep_best(best: &mut Vec<(f32, i64)>, codes: &Codes, vectors: &[terang_store::StoredVector]) {
    for vector in vectors {
        if let Some(likeness) = codes.likeness(vector)
            && likeness >= LIKENESS_MIN
        {
            best.push((likeness, vector.passage));
        }
    }
    best.sort_by(|a, b| {
        b.0.partial_cmp(&a.0)
            .unwrap_or(Ordering::Equal)
            .then(a.1.cmp(&b.1))
    });
    best.truncate(LISTED_MAX);
}

/// Puts lists together: each gives what stands in it one over its place and a constant.
fn fused(lists: &[&[i64]], limit: usize) -> Vec<i64> {
    let mut scores: HashMap<i64, f32> = HashMap::new();
    for list in lists {
        for (place, &seq) in list.iter().enumerate() {
            *scores.entry(seq).or_default() += 1.0 / (RANK_OFFSET + place as f32 + 1.0);
        }
    }
    let mut order: Vec<(i64, f32)> = scores.into_iter().collect();
    order.sort_by(|a, b| {
        b.1.partial_cmp(&a.1)
            .unwrap_or(Ordering::Equal)
            .then(a.0.cmp(&b.0))
    });
    order.into_iter().take(limit).map(|(seq, _)| seq).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_both_lists_comes_first() {
        assert_eq!(fused(&[&[1, 2, 3], &[4, 3, 5]], 9), [3, 1, 4, 2, 5]);
        assert_eq!(fused(&[&[1, 2], &[]], 1), [1]);
        assert!(fused(&[&[], &[]], 5).is_empty());
    }
}
