//! The task that reads documents, one at a time: text out of the file, passages out of the text; and,
//! when nothing waits to be read, what the passages mean, by the encoder that is served. What
//! it was at when the server died it takes again; a document at which reading breaks off again and
//! again is given up.

use std::sync::Arc;
use std::time::Duration;

use terang_documents::{Document, DocumentError, Format, passages};
use terang_store::{NewPassage, StoreError, TakenDocument, now_ms};

use super::encoding;
use crate::app::App;
use crate::error::ApiError;

/// So often it is looked for documents that another process has taken in.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Who has read at a document for so long has died: reading ends itself long before.
const LOST_MS: i64 = 10 * 60_000;
/// Passages that are encoded together: answers get the processor in between.
const ENCODED_AT_ONCE: usize = 8;
const ENCODE_PAUSE_MS: i64 = 60_000;
/// After an error of the database.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads documents until the server ends.
pub(crate) async fn run(app: Arc<App>) {
    // With nobody else at the database, whatever is being read is read by one that died.
    let mut lost_ms = if app.web.store.is_alone() {
        now_ms()
    } else {
        now_ms() - LOST_MS
    };
    let mut last_person = String::new();
    let mut encoded = Encoded::default();
    // At the server's end what waits stays for the next start.
    while !app.is_draining() {
        let taken = match app.web.store.take_document(&last_person, lost_ms).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "documents cannot be read yet");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(taken) = taken else {
            if encode(&app, &mut encoded).await {
                continue;
            }
            lost_ms = now_ms() - LOST_MS;
            let _ = tokio::time::timeout(LOOK_EVERY, app.web.to_read.notified()).await;
            continue;
        };
        last_person.clone_from(&taken.user_id);
        encoded.after = 0;
        if let Err(error) = read(&app, taken).await {
            tracing::warn!(%error, "what was read of a document could not be kept");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// How far passages have been encoded.
#[derive(Default)]
struct Encoded {
    /// By this model; another begins anew.
    model: String,
    /// All up to this one, unless others came since.
    after: i64,
    /// What went wrong is not tried again at once.
    not_before_ms: i64,
}

/// Encodes some passages that the model of now has not encoded yet. False: there are none, or it
/// cannot be done now.
async fn encode(app: &App, encoded: &mut Encoded) -> bool {
    let Some(model) = encoding::model(app) else {
        return false;
    };
    if now_ms() < encoded.not_before_ms {
        return false;
    }
    if encoded.model != model {
        encoded.model = model;
        encoded.after = 0;
    }
    let store = &app.web.store;
    let work = async {
        let found = store.passages_to_encode(&encoded.model, encoded.after, ENCODED_AT_ONCE);
        let found = found.await?;
        let Some(last) = found.last().map(|passage| passage.seq) else {
            return Ok(None);
        };
        let vectors = encoding::passages(app, found).await?;
        store.keep_vectors(&encoded.model, vectors).await?;
        Ok::<_, ApiError>(Some(last))
    };
    match work.await {
        Ok(Some(last)) => {
            encoded.after = last;
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(error = %error.message, "passages cannot be encoded yet");
            encoded.not_before_ms = now_ms() + ENCODE_PAUSE_MS;
            false
        }
    }
}

/// Reads one document, and keeps what came of it.
async fn read(app: &App, mut taken: TakenDocument) -> Result<(), StoreError> {
    let store = &app.web.store;
    if taken.is_given_up() {
        let error = DocumentError::BrokeOff;
        return store
            .document_failed(&taken, error.code(), &error.to_string())
            .await;
    }
    let data = std::mem::take(&mut taken.data);
    let read = match Format::detect(&taken.name, &data) {
        Ok(format) => app.web.reading.read(format, data).await,
        Err(error) => Err(error),
    };
    let cut = match read {
        Ok(document) => cut(document).await,
        Err(error) => Err(error),
    };
    let (document, ranges) = match cut {
        Ok(cut) => cut,
        Err(error) => {
            return store
                .document_failed(&taken, error.code(), &error.to_string())
                .await;
        }
    };
    let passages: Vec<NewPassage<'_>> = ranges
        .iter()
        .map(|passage| NewPassage {
            page: passage.page,
            heading: passage.heading.as_deref(),
            range: passage.range.clone(),
            content: &document.text[passage.range.clone()],
        })
        .collect();
    let pages = document.pages.last().map(|page| page.number);
    store
        .document_read(&taken, &document.text, pages, &passages)
        .await?;
    Ok(())
}

/// Cuts a document, away from the threads that serve.
async fn cut(
    document: Document,
) -> Result<(Document, Vec<terang_documents::Passage>), DocumentError> {
    let cut = tokio::task::spawn_blocking(move || {
        let ranges = passages(&document)?;
        Ok::<_, DocumentError>((document, ranges))
    });
    cut.await.unwrap_or(Err(DocumentError::BrokeOff))
}
