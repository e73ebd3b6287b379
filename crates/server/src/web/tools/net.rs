//! The way to a server of tools over the network. A name is resolved once; what it came to is judged,
//! and that very address is connected to, so that no spelling and no second answer of a name server
//! leads anywhere else. No proxy is asked, and no redirect is followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ToolError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// As it stands in the Host header.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
    /// Whoever set the server up said that it may be of this machine or its network.
    local: bool,
}

impl Target {
    /// Reads an address. `local`: it may be of this machine or its network.
    pub(super) fn parse(url: &str, local: bool) -> Result<Self, ToolError> {
        let wrong = ToolError::Url;
        if url.len() > 2000 || url.chars().any(|c| c.is_whitespace() || c == '\\') {
            return Err(wrong(
                "allowed are 2000 characters without blanks and backslashes",
            ));
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| wrong("it is no address such as https://mcp.example.org/mcp"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            // Who listens on the way would read the token.
            Some("http") if local => false,
            Some("http") => {
                return Err(wrong("allowed is https, but for a server of this network"));
            }
            _ => return Err(wrong("allowed are https:// and http://")),
        };
        let authority = uri.authority().ok_or(wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it may hold no name and password"));
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > 253 || !host.chars().all(fine) {
            return Err(wrong("its host is neither a name nor an address"));
        }
        let port = match authority.port() {
            Some(port) => port
                .as_str()
                .parse()
                .map_err(|_| wrong("its port is no port"))?,
            // A number that no port has is told like none.
            None if authority.as_str() != authority.host() => {
                return Err(wrong("its port is no port"));
            }
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or("/", axum::http::uri::PathAndQuery::as_str)
                .to_owned(),
            local,
        })
    }

    /// Whether two addresses lead to one server: what is told to one may be told to the other.
    pub(super) fn same_server(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Box<dyn Line>, ToolError> {
        let work = async {
            let addresses = self.resolve().await?;
            let stream = TcpStream::connect(&addresses[..]).await;
            let stream = stream.map_err(|_| ToolError::Unreachable(self.authority.clone()))?;
            let peer = stream.peer_addr().map_err(|_| ToolError::Ended)?;
            self.judge(peer.ip())?;
            let _ = stream.set_nodelay(true);
            if !self.tls {
                return Ok(Box::new(stream) as Box<dyn Line>);
            }
            let name = ServerName::try_from(self.host.clone())
                .map_err(|_| ToolError::Url("its host is neither a name nor an address"))?;
            let connector = TlsConnector::from(tls_config()?);
            let stream = connector.connect(name, stream).await.map_err(|error| {
                ToolError::Secure(
                    self.authority.clone(),
                    super::shorten(&error.to_string(), 200),
                )
            })?;
            Ok(Box::new(stream) as Box<dyn Line>)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, work)
            .await
            .unwrap_or_else(|_| Err(ToolError::Unreachable(self.authority.clone())))
    }

    /// The addresses of the host, all of which may be connected to.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, ToolError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|_| ToolError::Unknown(self.authority.clone()))?;
        let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        if found.is_empty() {
            return Err(ToolError::Unknown(self.authority.clone()));
        }
        // One that is not allowed among others that are is a trap, and not chance.
        found
            .iter()
            .try_for_each(|address| self.judge(address.ip()))?;
        Ok(found)
    }

    fn judge(&self, address: IpAddr) -> Result<(), ToolError> {
        if is_public(address) || (self.local && is_local(address)) {
            return Ok(());
        }
        Err(ToolError::Private(self.authority.clone()))
    }
}

/// A connection's two directions.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// What never is a server that somebody meant, even where local ones may be.
fn is_local(address: IpAddr) -> bool {
    let address = address.to_canonical();
    // Where clouds tell their machines' secrets.
    let metadata = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.segments()[..4] == [0xfd00, 0xec2, 0, 0] || (v6.segments()[0] & 0xffc0) == 0xfe80
        }
    };
    !metadata && !address.is_multicast() && !address.is_unspecified()
}

/// Whether an address is of the public network: not of this machine, its network, or a kind that
/// leads back to one of these.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let embedded = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
    };
    match s {
        // IPv4 in IPv6: mapped, translated (NAT64) and tunnelled (6to4) lead to the IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, 0 | 2 | 0x10..=0x2f | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All that is given out to the public begins with these three bits.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn tls_config() -> Result<Arc<ClientConfig>, ToolError> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        // Certificates of an organisation's own authority.
        if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
            if let Ok(certificates) = CertificateDer::pem_file_iter(path) {
                let _ = roots.add_parsable_certificates(certificates.flatten());
            } else {
                tracing::warn!("SSL_CERT_FILE cannot be read");
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Some(Arc::new(config))
    });
    config.clone().ok_or(ToolError::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_network_are_public() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        // Where local ones may be, what tells a cloud machine's secrets may not.
        for never in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "fe80::1",
            "0.0.0.0",
        ] {
            assert!(!is_local(never.parse().unwrap()), "{never}");
        }
        assert!(is_local("127.0.0.1".parse().unwrap()) && is_local("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn addresses_are_read_strictly() {
        for bad in [
            "",
            "mcp.example.org",
            "ftp://example.org/",
            "file:///etc/passwd",
            "http://example.org/",
            "https://",
            "https://user:secret@example.org/",
            "https://example.org\\@127.0.0.1/",
            "https://exa mple.org/",
            "https://example.org:99999/",
            "https://ex%61mple.org/",
            "https://[fe80::1%25eth0]/",
            "javascript:alert(1)",
            "https:///path",
        ] {
            assert!(Target::parse(bad, false).is_err(), "{bad}");
        }
        let target = Target::parse("https://[2606:4700::1]:8443/mcp?a=b", false).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("2606:4700::1", 8443));
        assert_eq!(
            (target.authority.as_str(), target.path.as_str()),
            ("[2606:4700::1]:8443", "/mcp?a=b")
        );
        assert!(Target::parse("http://127.0.0.1/", true).is_ok());
    }

    /// Every spelling of this machine, at a port where somebody listens: nobody is connected to.
    #[test]
    fn no_spelling_of_this_machine_is_connected_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "0",
            "0.0.0.0",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::1]",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "10.0.0.1",
            "192.168.0.1",
        ] {
            let target = Target::parse(&format!("https://{host}:{port}/mcp"), false).unwrap();
            let Err(error) = runtime.block_on(target.connect()) else {
                panic!("{host}")
            };
            assert!(
                matches!(error, ToolError::Private(_) | ToolError::Unknown(_)),
                "{host}: {error}"
            );
        }
        let nobody = listener.accept().map(|_| ()).map_err(|error| error.kind());
        assert_eq!(nobody, Err(std::io::ErrorKind::WouldBlock));
        // And where whoever set it up said so, it is connected to.
        let target = Target::parse(&format!("http://127.1:{port}/"), true).unwrap();
        assert!(runtime.block_on(target.connect()).is_ok());
        assert!(listener.accept().is_ok());
    }
}
