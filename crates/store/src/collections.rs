//! Collections of documents, and documents on their way from a file to passages that can be found.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::passages::{NewPassage, insert_passages};
use crate::store::Store;

/// Collections that one person may have.
const COLLECTIONS_MAX: i64 = 200;
/// Documents of one collection.
const DOCUMENTS_MAX: i64 = 1000;
/// Bytes of all documents of one person, as files.
const BYTES_MAX: i64 = 2 << 30;
/// A document at which reading broke off so often is not tried again by itself.
const TRIES_MAX: i64 = 3;

/// Documents that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What is in it.
    pub description: String,
    /// How many documents it has.
    pub documents: i64,
    /// How many passages those have.
    pub passages: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// How it is with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentState {
    /// It will be read.
    Waiting,
    /// It is being read.
    Reading,
    /// It can be found.
    Ready,
    /// It cannot be read.
    Failed,
}

impl DocumentState {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "waiting" => Ok(Self::Waiting),
            "reading" => Ok(Self::Reading),
            "ready" => Ok(Self::Ready),
            "failed" => Ok(Self::Failed),
            other => Err(StoreError::Damaged(format!("a document is {other}"))),
        }
    }
}

/// A document, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// Its identity.
    pub id: String,
    /// The collection it is in.
    pub collection_id: String,
    /// Its name, as it was given.
    pub name: String,
    /// Its type.
    pub mime: String,
    /// Its size.
    pub bytes: i64,
    /// How it is with it.
    pub state: DocumentState,
    /// Why it cannot be read, for people.
    pub reason: Option<String>,
    /// The same for programs.
    pub code: Option<String>,
    /// How many pages it has, if it has pages.
    pub pages: Option<i64>,
    /// How many passages it was cut into.
    pub passages: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// A document to be kept.
#[derive(Clone, Debug)]
pub struct NewDocument<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub mime: &'a str,
    /// What it holds.
    pub data: Vec<u8>,
}

/// A document that one process has taken to read.
#[derive(Clone, Debug)]
pub struct TakenDocument {
    /// Its identity.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The collection it is in.
    pub collection_id: String,
    /// Its name.
    pub name: String,
    /// What it holds.
    pub data: Vec<u8>,
    /// How often it was taken before without an end.
    pub tries: i64,
    /// When it was taken: who takes it later has another.
    taken_at: i64,
}

const COLLECTION: &str = "c.id, c.name, c.description, \
    (SELECT COUNT(*) FROM documents d WHERE d.collection_id = c.id), \
    CAST((SELECT COALESCE(SUM(d.passages), 0) FROM documents d WHERE d.collection_id = c.id) AS BIGINT), \
    c.created_at";

const DOCUMENT: &str = "id, collection_id, name, mime, bytes, state, reason, code, pages, passages, \
                        created_at";

fn collection(row: &mut Row) -> Result<Collection> {
    Ok(Collection {
        id: row.text()?,
        name: row.text()?,
        description: row.text()?,
        documents: row.int()?,
        passages: row.int()?,
        created_at: row.int()?,
    })
}

fn document(row: &mut Row) -> Result<StoredDocument> {
    Ok(StoredDocument {
        id: row.text()?,
        collection_id: row.text()?,
        name: row.text()?,
        mime: row.text()?,
        bytes: row.int()?,
        state: DocumentState::of(&row.text()?)?,
        reason: row.text_or_none()?,
        code: row.text_or_none()?,
        pages: row.int_or_none()?,
        passages: row.int()?,
        created_at: row.int()?,
    })
}

impl Store {
    /// Makes a collection.
    pub async fn create_collection(
        &self,
        user_id: &str,
        name: &str,
        description: &str,
    ) -> Result<Collection> {
        let id = new_id()?;
        let made = self
            .db
            .execute(
                "INSERT INTO collections (id, user_id, name, description, created_at) \
                 SELECT $1, $2, $3, $4, $5 \
                 WHERE (SELECT COUNT(*) FROM collections WHERE user_id = $2) < $6",
                values![&id, user_id, name, description, now_ms(), COLLECTIONS_MAX],
            )
            .await?;
        if made == 0 {
            return Err(StoreError::Full(
                "collections: there are 200, as many as one account may have",
            ));
        }
        self.collection(user_id, &id).await
    }

    /// Somebody's collections by name.
    pub async fn collections(&self, user_id: &str) -> Result<Vec<Collection>> {
        let sql = format!(
            "SELECT {COLLECTION} FROM collections c WHERE c.user_id = $1 ORDER BY c.name, c.id"
        );
        let mut rows = self.db.fetch(&sql, values![user_id]).await?;
        rows.iter_mut().map(collection).collect()
    }

    /// One of somebody's collections.
    pub async fn collection(&self, user_id: &str, id: &str) -> Result<Collection> {
        let sql =
            format!("SELECT {COLLECTION} FROM collections c WHERE c.id = $1 AND c.user_id = $2");
        collection(&mut self.db.one(&sql, values![id, user_id]).await?)
    }

    /// Changes a collection; `None` leaves as it is.
    pub async fn change_collection(
        &self,
        user_id: &str,
        id: &str,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<Collection> {
        self.db
            .execute(
                "UPDATE collections SET name = COALESCE($3, name), \
                 description = COALESCE($4, description) WHERE id = $1 AND user_id = $2",
                values![id, user_id, name, description],
            )
            .await?;
        self.collection(user_id, id).await
    }

    /// Deletes a collection with all that is in it.
    pub async fn delete_collection(&self, user_id: &str, id: &str) -> Result<()> {
        let sql = "DELETE FROM collections WHERE id = $1 AND user_id = $2";
        if self.db.execute(sql, values![id, user_id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Keeps a document in one of somebody's collections; it waits to be read.
    pub async fn add_document(
        &self,
        user_id: &str,
        collection_id: &str,
        new: NewDocument<'_>,
    ) -> Result<StoredDocument> {
        self.collection(user_id, collection_id).await?;
        let sql =
            "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM documents WHERE user_id = $1";
        let held = self.db.one(sql, values![user_id]).await?.int()?;
        let bytes = new.data.len();
        if held + bytes as i64 > BYTES_MAX {
            return Err(StoreError::Full(
                "documents: all of one account may take 2147483648 bytes",
            ));
        }
        let id = new_id()?;
        let made = self
            .db
            .execute(
                "INSERT INTO documents (id, user_id, collection_id, name, mime, bytes, data, state, \
                 created_at) SELECT $1, $2, c.id, $4, $5, $6, $7, 'waiting', $8 FROM collections c \
                 WHERE c.id = $3 AND c.user_id = $2 \
                 AND (SELECT COUNT(*) FROM documents WHERE collection_id = $3) < $9",
                values![
                    &id,
                    user_id,
                    collection_id,
                    new.name,
                    new.mime,
                    bytes,
                    new.data,
                    now_ms(),
                    DOCUMENTS_MAX
                ],
            )
            .await?;
        if made == 0 {
            return Err(StoreError::Full(
                "documents: there are 1000 in this collection, as many as one may have",
            ));
        }
        self.document(user_id, &id).await
    }

    /// The documents of one of somebody's collections, the newest first.
    pub async fn documents(
        &self,
        user_id: &str,
        collection_id: &str,
    ) -> Result<Vec<StoredDocument>> {
        let sql = format!(
            "SELECT {DOCUMENT} FROM documents WHERE collection_id = $1 AND user_id = $2 \
             ORDER BY seq DESC"
        );
        let mut rows = self.db.fetch(&sql, values![collection_id, user_id]).await?;
        rows.iter_mut().map(document).collect()
    }

    /// Identities of all of somebody's documents.
    pub async fn document_ids(&self, user_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT id FROM documents WHERE user_id = $1 ORDER BY seq";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        rows.iter_mut().map(Row::text).collect()
    }

    /// One of somebody's documents.
    pub async fn document(&self, user_id: &str, id: &str) -> Result<StoredDocument> {
        let sql = format!("SELECT {DOCUMENT} FROM documents WHERE id = $1 AND user_id = $2");
        document(&mut self.db.one(&sql, values![id, user_id]).await?)
    }

    /// The file of one of somebody's documents.
    pub async fn document_data(&self, user_id: &str, id: &str) -> Result<Vec<u8>> {
        let sql = "SELECT data FROM documents WHERE id = $1 AND user_id = $2";
        self.db.one(sql, values![id, user_id]).await?.bytes()
    }

    /// What was read of one of somebody's documents; empty while nothing was.
    pub async fn document_text(&self, user_id: &str, id: &str) -> Result<String> {
        let sql = "SELECT COALESCE(text, '') FROM documents WHERE id = $1 AND user_id = $2";
        self.db.one(sql, values![id, user_id]).await?.text()
    }

    /// Deletes a document.
    pub async fn delete_document(&self, user_id: &str, id: &str) -> Result<()> {
        let sql = "DELETE FROM documents WHERE id = $1 AND user_id = $2";
        if self.db.execute(sql, values![id, user_id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Has a document read again that could not be read.
    pub async fn retry_document(&self, user_id: &str, id: &str) -> Result<StoredDocument> {
        let changed = self
            .db
            .execute(
                "UPDATE documents SET state = 'waiting', reason = NULL, code = NULL, tries = 0 \
                 WHERE id = $1 AND user_id = $2 AND state = 'failed'",
                values![id, user_id],
            )
            .await?;
        let document = self.document(user_id, id).await?;
        if changed == 0 {
            return Err(StoreError::Conflict(
                "only a document that could not be read is read again",
            ));
        }
        Ok(document)
    }

    /// Takes the next document to read, or one that was taken before `lost_ms` by somebody who has died
    /// since. People take turns: the one after `after` in the order of identities comes first.
    pub async fn take_document(&self, after: &str, lost_ms: i64) -> Result<Option<TakenDocument>> {
        let skip = match self.db.dialect() {
            crate::Dialect::Sqlite => "",
            crate::Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
        };
        let sql = format!(
            "SELECT id, user_id, collection_id, name, data, tries FROM documents \
             WHERE state = 'waiting' OR (state = 'reading' AND taken_at < $2) \
             ORDER BY CASE WHEN user_id > $1 THEN 0 ELSE 1 END, user_id, seq LIMIT 1{skip}"
        );
        // Most of the time there is none, and a transaction that writes would stand in others' way.
        let any = "SELECT 1 FROM documents WHERE state = 'waiting' \
                   OR (state = 'reading' AND taken_at < $1) LIMIT 1";
        if self.db.maybe(any, values![lost_ms]).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let Some(mut row) = tx.maybe(&sql, values![after, lost_ms]).await? else {
            return Ok(None);
        };
        let taken = TakenDocument {
            id: row.text()?,
            user_id: row.text()?,
            collection_id: row.text()?,
            name: row.text()?,
            data: row.bytes()?,
            tries: row.int()?,
            taken_at: now_ms(),
        };
        tx.execute(
            "UPDATE documents SET state = 'reading', taken_at = $2, tries = tries + 1 WHERE id = $1",
            values![&taken.id, taken.taken_at],
        )
        .await?;
        tx.commit().await?;
        Ok(Some(taken))
    }

    /// Keeps what was read of a document. False: it was deleted or taken by another meanwhile.
    pub async fn document_read(
        &self,
        taken: &TakenDocument,
        text: &str,
        pages: Option<usize>,
        passages: &[NewPassage<'_>],
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let changed = tx
            .execute(
                "UPDATE documents SET state = 'ready', reason = NULL, code = NULL, text = $3, \
                 pages = $4, passages = $5 WHERE id = $1 AND state = 'reading' AND taken_at = $2",
                values![
                    &taken.id,
                    taken.taken_at,
                    text,
                    pages.map(|pages| pages as i64),
                    passages.len()
                ],
            )
            .await?;
        if changed == 0 {
            return Ok(false);
        }
        let sql = "DELETE FROM passages WHERE document_id = $1";
        tx.execute(sql, values![&taken.id]).await?;
        insert_passages(&mut tx, taken, passages).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Says why a document cannot be read.
    pub async fn document_failed(
        &self,
        taken: &TakenDocument,
        code: &str,
        reason: &str,
    ) -> Result<()> {
        self.db
            .execute(
                "UPDATE documents SET state = 'failed', code = $3, reason = $4 \
                 WHERE id = $1 AND state = 'reading' AND taken_at = $2",
                values![&taken.id, taken.taken_at, code, reason],
            )
            .await?;
        Ok(())
    }
}

impl TakenDocument {
    /// Whoever took it before did not come to an end, too often to try again.
    pub fn is_given_up(&self) -> bool {
        self.tries >= TRIES_MAX
    }
}
