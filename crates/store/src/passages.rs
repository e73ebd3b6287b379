//! Passages of documents: found by their words, or by where they stand in a model's space of meanings.
//! Every search is of one person's passages in given collections alone, before anything is ranked.

use std::fmt::Write as _;

use crate::collections::TakenDocument;
use crate::db::{Row, Tx, Value, values};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::search;
use crate::store::Store;

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 50;

/// A passage to be kept.
#[derive(Clone, Debug)]
pub struct NewPassage<'a> {
    /// The page on which it begins.
    pub page: Option<usize>,
    /// The heading under which it begins.
    pub heading: Option<&'a str>,
    /// Bytes of the document's text.
    pub range: std::ops::Range<usize>,
    /// What it says.
    pub content: &'a str,
}

/// A passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPassage {
    /// Its place among all passages there are.
    pub seq: i64,
    /// Its document.
    pub document_id: String,
    /// That document's name.
    pub name: String,
    /// The collection it is in.
    pub collection_id: String,
    /// Its place in the document, counted from 0.
    pub number: i64,
    /// The page on which it begins.
    pub page: Option<i64>,
    /// The heading under which it begins.
    pub heading: Option<String>,
    /// Where it begins in the document's text, in bytes.
    pub begins: i64,
    /// Where it ends.
    pub ends: i64,
    /// What it says.
    pub content: String,
}

/// Where a passage stands in a model's space of meanings: codes times a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVector {
    /// The passage.
    pub passage: i64,
    /// A byte a dimension, with sign.
    pub codes: Vec<u8>,
    /// The step.
    pub scale: f32,
}

/// A passage that has no vector of a model yet.
#[derive(Clone, Debug)]
pub struct PassageToEncode {
    /// Its place among all passages.
    pub seq: i64,
    /// The heading under which it begins.
    pub heading: Option<String>,
    /// What it says.
    pub content: String,
}

const PASSAGE: &str = "p.seq, p.document_id, d.name, p.collection_id, p.number, p.page, p.heading, \
                       p.begins, p.ends, p.content";

fn passage(row: &mut Row) -> Result<StoredPassage> {
    Ok(StoredPassage {
        seq: row.int()?,
        document_id: row.text()?,
        name: row.text()?,
        collection_id: row.text()?,
        number: row.int()?,
        page: row.int_or_none()?,
        heading: row.text_or_none()?,
        begins: row.int()?,
        ends: row.int()?,
        content: row.text()?,
    })
}

/// `$4, $5, …` for so many values.
fn places(first: usize, count: usize) -> String {
    let places: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    places.join(", ")
}

pub(crate) async fn insert_passages(
    tx: &mut Tx,
    taken: &TakenDocument,
    passages: &[NewPassage<'_>],
) -> Result<()> {
    for (chunk_index, chunk) in passages.chunks(ROWS_AT_ONCE).enumerate() {
        let mut sql = "INSERT INTO passages (document_id, collection_id, user_id, number, page, \
                       heading, begins, ends, content) VALUES "
            .to_owned();
        let mut all: Vec<Value> = Vec::with_capacity(chunk.len() * 9);
        for (index, passage) in chunk.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}({})", places(index * 9 + 1, 9));
            all.extend(values![
                &taken.id,
                &taken.collection_id,
                &taken.user_id,
                chunk_index * ROWS_AT_ONCE + index,
                passage.page.map(|page| page as i64),
                passage.heading,
                passage.range.start,
                passage.range.end,
                passage.content
            ]);
        }
        tx.execute(&sql, all).await?;
    }
    Ok(())
}

impl Store {
    /// One passage of one of somebody's documents.
    pub async fn passage(
        &self,
        user_id: &str,
        document_id: &str,
        number: i64,
    ) -> Result<StoredPassage> {
        let sql = format!(
            "SELECT {PASSAGE} FROM passages p JOIN documents d ON d.id = p.document_id \
             WHERE p.document_id = $1 AND p.user_id = $2 AND p.number = $3"
        );
        let mut row = self
            .db
            .one(&sql, values![document_id, user_id, number])
            .await?;
        passage(&mut row)
    }

    /// Passages of somebody by their places among all, in no order.
    pub async fn passages_of(&self, user_id: &str, seqs: &[i64]) -> Result<Vec<StoredPassage>> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {PASSAGE} FROM passages p JOIN documents d ON d.id = p.document_id \
             WHERE p.user_id = $1 AND p.seq IN ({})",
            places(2, seqs.len())
        );
        let mut all = values![user_id];
        all.extend(seqs.iter().map(|&seq| Value::from(seq)));
        let mut rows = self.db.fetch(&sql, all).await?;
        rows.iter_mut().map(passage).collect()
    }

    /// Passages in somebody's collections that have words of a question, the best first.
    pub async fn passages_with_words(
        &self,
        user_id: &str,
        collections: &[String],
        question: &str,
        limit: usize,
    ) -> Result<Vec<StoredPassage>> {
        let words = search::question_words(question);
        if words.is_empty() || collections.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.db.dialect();
        let any = dialect.match_any(&words);
        let own = places(4, collections.len());
        let (wanted, sql) = match dialect {
            Dialect::Sqlite => {
                // The index itself leaves out what is in other collections.
                let own_phrases: Vec<String> = collections
                    .iter()
                    .map(|id| format!("\"{}\"", id.replace('"', "")))
                    .collect();
                let wanted = format!(
                    "(collection_id : ({})) AND ({{content heading}} : ({any}))",
                    own_phrases.join(" OR ")
                );
                let sql = format!(
                    "SELECT {PASSAGE} FROM passages_index JOIN passages p \
                     ON p.seq = passages_index.rowid JOIN documents d ON d.id = p.document_id \
                     WHERE passages_index MATCH $1 AND p.user_id = $2 AND p.collection_id IN ({own}) \
                     ORDER BY bm25(passages_index, 1.0, 0.6, 0.0), p.seq LIMIT $3"
                );
                (wanted, sql)
            }
            Dialect::Postgres => {
                let text = "terang_words(COALESCE(p.heading, '') || ' ' || p.content)";
                // Whose it is comes first; what is left is ranked.
                let sql = format!(
                    "WITH found AS MATERIALIZED (SELECT p.seq, \
                     ts_rank({text}, to_tsquery('simple', $1), 1) AS rank FROM passages p \
                     WHERE p.user_id = $2 AND p.collection_id IN ({own}) \
                     AND {text} @@ to_tsquery('simple', $1)), \
                     best AS MATERIALIZED (SELECT seq, rank FROM found \
                     ORDER BY rank DESC, seq LIMIT $3) \
                     SELECT {PASSAGE} FROM best JOIN passages p ON p.seq = best.seq \
                     JOIN documents d ON d.id = p.document_id ORDER BY best.rank DESC, p.seq"
                );
                (any, sql)
            }
        };
        let mut all = values![wanted, user_id, limit.clamp(1, 200)];
        all.extend(collections.iter().map(Value::from));
        let mut rows = self.db.fetch(&sql, all).await?;
        rows.iter_mut().map(passage).collect()
    }

    /// Vectors of a model in somebody's collections, from the passage after `after` on.
    pub async fn vectors(
        &self,
        user_id: &str,
        collections: &[String],
        model: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredVector>> {
        if collections.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT passage, codes, scale FROM vectors WHERE user_id = $1 AND model = $2 \
             AND passage > $3 AND collection_id IN ({}) ORDER BY passage LIMIT $4",
            places(5, collections.len())
        );
        let mut all = values![user_id, model, after, limit];
        all.extend(collections.iter().map(Value::from));
        let mut rows = self.db.fetch(&sql, all).await?;
        let vectors = rows.iter_mut().map(|row| {
            Ok(StoredVector {
                passage: row.int()?,
                codes: row.bytes()?,
                scale: f32::from_bits(row.int()? as u32),
            })
        });
        vectors.collect()
    }

    /// Passages of all people that have no vector of this model, from the one after `after` on: the
    /// work of who makes vectors, and shown to nobody.
    pub async fn passages_to_encode(
        &self,
        model: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<PassageToEncode>> {
        let sql = "SELECT p.seq, p.heading, p.content FROM passages p LEFT JOIN vectors v \
                   ON v.passage = p.seq AND v.model = $1 WHERE v.passage IS NULL AND p.seq > $2 \
                   ORDER BY p.seq LIMIT $3";
        let mut rows = self.db.fetch(sql, values![model, after, limit]).await?;
        let passages = rows.iter_mut().map(|row| {
            Ok(PassageToEncode {
                seq: row.int()?,
                heading: row.text_or_none()?,
                content: row.text()?,
            })
        });
        passages.collect()
    }

    /// Keeps vectors of a model, in the place of those of another. Passages that are gone are left out.
    pub async fn keep_vectors(&self, model: &str, vectors: Vec<StoredVector>) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for vector in vectors {
            tx.execute(
                "INSERT INTO vectors (passage, collection_id, user_id, model, codes, scale) \
                 SELECT p.seq, p.collection_id, p.user_id, $2, $3, $4 FROM passages p \
                 WHERE p.seq = $1 ON CONFLICT (passage) DO UPDATE SET model = excluded.model, \
                 codes = excluded.codes, scale = excluded.scale",
                values![
                    vector.passage,
                    model,
                    vector.codes,
                    i64::from(vector.scale.to_bits())
                ],
            )
            .await?;
        }
        tx.commit().await
    }

    /// How many passages of one of somebody's collections have a vector of this model.
    pub async fn vector_count(
        &self,
        user_id: &str,
        collection_id: &str,
        model: &str,
    ) -> Result<i64> {
        let sql = "SELECT COUNT(*) FROM vectors WHERE user_id = $1 AND collection_id = $2 \
                   AND model = $3";
        let mut row = self
            .db
            .one(sql, values![user_id, collection_id, model])
            .await?;
        row.int()
    }
}
