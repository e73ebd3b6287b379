//! Text out of what people upload. Parsers run in child processes, few at once for all people together.

use axum::http::StatusCode;
use terang_documents::{Document, DocumentError, Format, PictureError, isolated};
use tokio::sync::Semaphore;

use crate::error::{ApiError, ApiResult};

/// Documents that are read at once, each with a core and some hundred MiB at worst.
const AT_ONCE: usize = 2;
/// Who finds more than this waiting is asked to come again.
const WAITING_MAX: usize = 32;

/// Reads documents.
#[derive(Debug)]
pub(super) struct Reading {
    reader: isolated::Reader,
    places: Semaphore,
    waiting: Semaphore,
}

impl Reading {
    pub(super) fn new(reader: isolated::Reader) -> Self {
        Self {
            reader,
            places: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Reads a document that somebody waits for.
    pub(super) async fn read_now(
        &self,
        name: &str,
        format: Format,
        data: Vec<u8>,
    ) -> ApiResult<Document> {
        let _turn = self.waiting.try_acquire().map_err(|_| {
            ApiError::too_many(
                "too_many_documents",
                5,
                "many documents are being read; try again in a moment",
            )
        })?;
        self.read(format, data)
            .await
            .map_err(|error| refused(name, &error))
    }

    /// Reads a document, when there is a place.
    pub(super) async fn read(
        &self,
        format: Format,
        data: Vec<u8>,
    ) -> Result<Document, DocumentError> {
        let broke = |_| DocumentError::BrokeOff;
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|_| DocumentError::BrokeOff)?;
        let reader = self.reader.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(format, data));
        let read = read.await.map_err(broke)?;
        if let Err(DocumentError::Unavailable { why }) = &read {
            tracing::error!(%why, "documents cannot be read");
        }
        read
    }
}

/// The error as who uploads the file sees it.
pub(super) fn refused(name: &str, error: &DocumentError) -> ApiError {
    let status = match error {
        DocumentError::FileTooLarge { .. }
        | DocumentError::TooMuchText { .. }
        | DocumentError::TooManyPages { .. }
        | DocumentError::UnpacksToTooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        DocumentError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    told(status, error.code(), name, error)
}

/// The same for a picture.
pub(super) fn refused_picture(name: &str, error: PictureError) -> ApiError {
    let status = match error {
        PictureError::TooLarge { .. } | PictureError::TooManyPixels { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        PictureError::Unsupported | PictureError::Damaged => StatusCode::BAD_REQUEST,
    };
    told(status, error.code(), name, &error)
}

fn told(
    status: StatusCode,
    code: &'static str,
    name: &str,
    error: &dyn std::error::Error,
) -> ApiError {
    let kind = if status.is_server_error() {
        "server_error"
    } else {
        "invalid_request_error"
    };
    let mut refused = ApiError::new(status, kind, Some(code), format!("{name}: {error}"));
    refused.param = Some("name".to_owned());
    refused
}
