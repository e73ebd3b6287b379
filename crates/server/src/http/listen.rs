//! Takes connections, each with its limits, and lets them finish when the server is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::connection::Connection;
use super::heads::StrictHeads;
use crate::app::App;
use crate::web::Peer;

/// Bytes that hyper may hold of a request's head and of a body on its way.
const BUFFER_BYTES: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
/// After an error of `accept` such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` becomes true and all answers have ended, or the time for that is over.
/// Says how many connections had to be broken off.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) -> usize {
    let router = super::router::build(Arc::clone(&app));
    let places = Arc::new(Semaphore::new(app.config.max_connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some((stream, peer, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (app, router, stop) = (Arc::clone(&app), router.clone(), stop.clone());
        connections.spawn(async move {
            app.metrics.connected();
            converse(&app, stream, Peer(peer), router, stop).await;
            app.metrics.disconnected();
            drop(place);
        });
    }
    // The listener stays open: who comes now is told 503 rather than nothing, and then let go.
    let (_never, never) = watch::channel(false);
    let timeout = Duration::from_secs(app.config.drain_timeout_s);
    let deadline = tokio::time::sleep(timeout);
    let mut deadline = std::pin::pin!(deadline);
    loop {
        tokio::select! {
            ended = connections.join_next() => {
                if ended.is_none() {
                    return 0;
                }
            }
            accepted = accept(&listener, &places) => {
                if let Some((stream, peer, place)) = accepted {
                    let (app, router, stop) = (Arc::clone(&app), router.clone(), never.clone());
                    tokio::spawn(async move {
                        converse(&app, stream, Peer(peer), router, stop).await;
                        drop(place);
                    });
                }
            }
            () = &mut deadline => {
                let left = connections.len();
                // Answers that are cut end with an event that says so.
                app.cut();
                let grace = tokio::time::sleep(Duration::from_secs(2));
                let mut grace = std::pin::pin!(grace);
                loop {
                    tokio::select! {
                        ended = connections.join_next() => if ended.is_none() { break },
                        () = &mut grace => break,
                    }
                }
                connections.abort_all();
                return left;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    // More connections than there are places wait in the kernel's line.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            None
        }
    }
}

async fn converse(
    app: &App,
    stream: TcpStream,
    peer: Peer,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    // Small events are to go out at once.
    let _ = stream.set_nodelay(true);
    let io = Connection::new(stream, Duration::from_secs(app.config.write_timeout_s));
    let Some(tls) = &app.tls else {
        return speak(app, io, peer, router, stop).await;
    };
    // Who does not finish the handshake holds a place no longer than who does not finish a head.
    let limit = Duration::from_secs(app.config.header_timeout_s);
    let handshake = TlsAcceptor::from(tls.config()).accept(io);
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(io)) => speak(app, io, peer, router, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// HTTP/1.1 over a connection, in the clear or not.
async fn speak(
    app: &App,
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(app.config.header_timeout_s))
        .max_buf_size(BUFFER_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(
            TokioIo::new(StrictHeads::new(io)),
            TowerToHyperService::new(router),
        );
    let mut connection = std::pin::pin!(connection);
    let told = async {
        // Of the guard that comes nothing may be held while waiting.
        let _ = stop.wait_for(|stop| *stop).await.is_ok();
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told => {
            // Idle ones close now, the others after the answer at hand.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
