//! Tells a service manager that the server listens, and that it ends: the protocol of `sd_notify`,
//! one datagram to the socket that `NOTIFY_SOCKET` names. Without that variable nothing is told.

/// Connections are taken from now on.
pub(crate) fn ready() {
    tell("READY=1");
}

/// Started answers finish, new work is refused.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

#[cfg(target_os = "linux")]
fn tell(state: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    // A name that begins with @ is in the abstract name space, which has no files.
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(&name),
    };
    let told = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up the server.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    if let Err(error) = told {
        tracing::warn!(%error, state, "the service manager cannot be told");
    }
}

#[cfg(not(target_os = "linux"))]
fn tell(_state: &str) {}
