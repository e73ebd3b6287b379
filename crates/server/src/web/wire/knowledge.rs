//! Collections, documents, passages.

use serde::{Deserialize, Serialize};
use terang_store as store;
use utoipa::ToSchema;

/// Documents that belong together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Collection {
    /// Its identity.
    id: String,
    /// Its name.
    name: String,
    /// What is in it.
    description: String,
    /// How many documents it has.
    documents: i64,
    /// How many passages those have.
    passages: i64,
    /// Milliseconds since 1970.
    created_at: i64,
}

impl From<store::Collection> for Collection {
    fn from(collection: store::Collection) -> Self {
        Self {
            id: collection.id,
            name: collection.name,
            description: collection.description,
            documents: collection.documents,
            passages: collection.passages,
            created_at: collection.created_at,
        }
    }
}

/// Collections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Collections {
    /// By name.
    pub(crate) collections: Vec<Collection>,
}

/// A collection to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCollection {
    /// Its name.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) description: Option<String>,
}

/// What of a collection is to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionChange {
    /// Another name.
    pub(crate) name: Option<String>,
    /// Another description.
    pub(crate) description: Option<String>,
}

/// How far a document is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DocumentState {
    /// It will be read.
    Waiting,
    /// It is being read.
    Reading,
    /// It can be found.
    Ready,
    /// It cannot be read.
    Failed,
}

impl From<store::DocumentState> for DocumentState {
    fn from(state: store::DocumentState) -> Self {
        match state {
            store::DocumentState::Waiting => Self::Waiting,
            store::DocumentState::Reading => Self::Reading,
            store::DocumentState::Ready => Self::Ready,
            store::DocumentState::Failed => Self::Failed,
        }
    }
}

/// A document of a collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Document {
    /// Its identity.
    id: String,
    /// The collection it is in.
    collection_id: String,
    /// Its name.
    name: String,
    /// Its type.
    mime: String,
    /// Its size.
    bytes: i64,
    /// How far it is.
    state: DocumentState,
    /// Why it cannot be read.
    reason: Option<String>,
    /// The same for programs.
    code: Option<String>,
    /// How many pages it has, if it has pages.
    pages: Option<i64>,
    /// How many passages it was cut into.
    passages: i64,
    /// Milliseconds since 1970.
    created_at: i64,
}

impl From<store::StoredDocument> for Document {
    fn from(document: store::StoredDocument) -> Self {
        Self {
            id: document.id,
            collection_id: document.collection_id,
            name: document.name,
            mime: document.mime,
            bytes: document.bytes,
            state: document.state.into(),
            reason: document.reason,
            code: document.code,
            pages: document.pages,
            passages: document.passages,
            created_at: document.created_at,
        }
    }
}

/// Documents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Documents {
    /// The newest first.
    pub(crate) documents: Vec<Document>,
    /// How many of their passages were looked at for what they mean; null: no model here does that.
    pub(crate) encoded: Option<i64>,
}

/// A passage that fits a question.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundPassage {
    /// Its document.
    document_id: String,
    /// That document's name.
    name: String,
    /// Its place in the document, counted from 0.
    passage: i64,
    /// The page on which it begins.
    page: Option<i64>,
    /// The heading under which it begins.
    heading: Option<String>,
    /// What it says.
    text: String,
}

impl From<store::StoredPassage> for FoundPassage {
    fn from(passage: store::StoredPassage) -> Self {
        Self {
            document_id: passage.document_id,
            name: passage.name,
            passage: passage.number,
            page: passage.page,
            heading: passage.heading,
            text: passage.content,
        }
    }
}

/// Passages that fit a question.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundPassages {
    /// The best first.
    pub(crate) passages: Vec<FoundPassage>,
}

/// A passage where it stands in its document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShownPassage {
    /// The document.
    pub(crate) document: Document,
    /// Its place in the document, counted from 0.
    pub(crate) number: i64,
    /// The page on which it begins.
    pub(crate) page: Option<i64>,
    /// The heading under which it begins.
    pub(crate) heading: Option<String>,
    /// Some of what stands before it.
    pub(crate) before: String,
    /// What it says.
    pub(crate) text: String,
    /// Some of what stands after it.
    pub(crate) after: String,
    /// The passage before it.
    pub(crate) previous: Option<i64>,
    /// The passage after it.
    pub(crate) next: Option<i64>,
}

/// A passage that an answer's prompt held, as it was called then.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Source {
    /// The number that the answer may name, counted from 1.
    pub(crate) number: usize,
    /// The document; it may have been deleted since.
    pub(crate) document_id: String,
    /// The passage's place in the document, counted from 0.
    pub(crate) passage: i64,
    /// The document's name.
    pub(crate) name: String,
    /// The page on which the passage begins.
    pub(crate) page: Option<i64>,
    /// The heading under which it begins.
    pub(crate) heading: Option<String>,
}

impl Source {
    pub(crate) fn of(number: usize, passage: &store::StoredPassage) -> Self {
        Self {
            number,
            document_id: passage.document_id.clone(),
            passage: passage.number,
            name: passage.name.clone(),
            page: passage.page,
            heading: passage.heading.clone(),
        }
    }
}
