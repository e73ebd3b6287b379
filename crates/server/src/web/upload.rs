//! Bodies that are files: read in pieces with a limit, in memory or into a file without a name.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::BodyExt;

use crate::error::{ApiError, ApiResult};

/// A piece must come within this time.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// Gives each piece to `take`, up to `limit` bytes in all.
async fn pieces(
    mut body: Body,
    limit: usize,
    mut take: impl FnMut(&Bytes) -> ApiResult<()>,
) -> ApiResult<()> {
    let mut length = 0;
    loop {
        let frame = match tokio::time::timeout(PIECE_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Ok(()),
            Ok(Some(Err(_))) => return Err(ApiError::bad("body: it broke off")),
            Err(_) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "invalid_request_error",
                    Some("body_timeout"),
                    "body: nothing came for a while",
                ));
            }
        };
        if let Some(data) = frame.data_ref() {
            length += data.len();
            if length > limit {
                return Err(ApiError::too_large(limit));
            }
            take(data)?;
        }
    }
}

/// A body in memory.
pub(super) async fn in_memory(body: Body, limit: usize) -> ApiResult<Vec<u8>> {
    let mut bytes = Vec::new();
    pieces(body, limit, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .await?;
    Ok(bytes)
}

/// A body in a file that is gone when it is closed.
pub(super) async fn in_file(body: Body, limit: usize) -> ApiResult<std::fs::File> {
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "an upload cannot be put aside");
        ApiError::unavailable(
            "no_space",
            "the server cannot put the upload aside now; try again",
        )
    };
    let mut file = tempfile::tempfile().map_err(failed)?;
    pieces(body, limit, |piece| file.write_all(piece).map_err(failed)).await?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(file)
}
