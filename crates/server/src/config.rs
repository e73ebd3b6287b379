//! Settings of the server, from four places: a flag counts before the environment, the environment
//! before the file, the file before the default. Each layer is checked by itself, so that an error
//! names the layer it stands in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use crate::web::tools::given;

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// And what may.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And each request.
    Debug,
}

/// Who shares beginnings of prompts in the cache.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum CacheSharing {
    /// Requests of one API key: nobody can tell by the clock what somebody else asked.
    #[default]
    Key,
    /// All requests.
    All,
}

/// What must not be seen in a log: it prints as dots.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for whoever it is sent to.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "..." })
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $kind:ident;)*) => {
        /// The settings.
        #[derive(Clone, Debug, Deserialize, PartialEq)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $type,)*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// Name, kind and meaning of every setting.
        pub const SETTINGS: &[(&str, Kind, &str)] = &[
            $((stringify!($name), Kind::$kind, concat!($($doc),+)),)*
        ];
    };
}

/// How a setting is written in the environment and in flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Separated by commas.
    List,
    /// Tables with names, which only the file can hold.
    Tables,
}

/// A server of tools, as the file gives it: a program (`command`) or an address (`url`).
#[derive(Clone, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ToolServerSetting {
    /// The program: a path, or a name that is looked for in `PATH`. No shell reads it.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that it gets.
    pub env: BTreeMap<String, String>,
    /// Variables of this server's environment that it gets.
    pub inherit: Vec<String>,
    /// The address.
    pub url: Option<String>,
    /// Sent there as a bearer token.
    pub token: Option<String>,
    /// The address may be of this machine or its network.
    pub allow_private: bool,
    /// Longest time of a call, in seconds.
    pub timeout_s: Option<u64>,
}

impl std::fmt::Debug for ToolServerSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolServerSetting")
            .field("command", &self.command)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

settings! {
    /// Address and port to listen on.
    listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080), Text;
    /// Models to serve: names of the catalogue, paths, or NAME=PATH.
    models: Vec<String> = Vec::new(), List;
    /// LoRA adapters of the models: NAME=PATH, or NAME=PATH@MODEL where several models are served.
    adapters: Vec<String> = Vec::new(), List;
    /// Positions of a model's context; 0: the model's own.
    context: usize = 0, Number;
    /// Positions for all requests of a model together, and for what is kept of those that ended; 0:
    /// two contexts.
    cache_len: usize = 0, Number;
    /// Requests that run together on a model.
    max_sequences: usize = 64, Number;
    /// Requests that may wait for a model; more are refused with 429.
    queue_len: usize = 256, Number;
    /// Most answers to one prompt.
    max_n: usize = 16, Number;
    /// Bytes that loaded models may take together; 0: no limit. The one used longest ago is unloaded.
    memory_limit_bytes: u64 = 0, Number;
    /// Seconds after which an answer ends with an error.
    request_timeout_s: u64 = 600, Number;
    /// Seconds in which a request's head must arrive.
    header_timeout_s: u64 = 15, Number;
    /// Seconds in which a request's body must arrive.
    body_timeout_s: u64 = 30, Number;
    /// Seconds for which a client may take nothing of what is sent to it.
    write_timeout_s: u64 = 30, Number;
    /// Responses of /v1/responses kept in memory; 0: none. Who holds most loses the oldest.
    stored_responses: usize = 1024, Number;
    /// Bytes of all of them.
    stored_bytes: usize = 32 << 20, Number;
    /// Largest body of a request.
    max_body_bytes: usize = 8 << 20, Number;
    /// Connections held at once; more wait to be taken.
    max_connections: usize = 1024, Number;
    /// Seconds that answers have to finish after SIGTERM.
    drain_timeout_s: u64 = 30, Number;
    /// Web pages of these origins may use the API from a browser.
    cors_origins: Vec<String> = Vec::new(), List;
    /// Names by which this server is reached, besides loopback's own; checked against DNS rebinding.
    allowed_hosts: Vec<String> = Vec::new(), List;
    /// File of the certificate and those above it, in PEM; with it the server speaks TLS alone.
    tls_cert: String = String::new(), Text;
    /// File of the certificate's private key, in PEM.
    tls_key: String = String::new(), Text;
    /// Where chats and accounts are kept: `postgres://USER:PASSWORD@HOST/NAME`, or `sqlite:FILE`; a file
    /// in the data folder when absent.
    database: Secret = Secret::default(), Text;
    /// People have accounts in the web app, on loopback too. On any other address they do anyway.
    accounts: bool = false, Switch;
    /// Address by which people reach this server, such as `https://chat.example.org`; where an identity
    /// provider sends them back to.
    public_url: String = String::new(), Text;
    /// Identity provider (OpenID Connect) that people may log in with, such as
    /// `https://id.example.org/realms/main`.
    oidc_issuer: String = String::new(), Text;
    /// What the provider calls this server.
    oidc_client_id: String = String::new(), Text;
    /// The secret that goes with it; better in the environment or the file than in a flag.
    oidc_client_secret: Secret = Secret::default(), Text;
    /// What people call the provider.
    oidc_name: String = "OpenID".to_owned(), Text;
    /// People whose address is in one of these domains, and confirmed by the provider, get an account by
    /// themselves; others need one first, and connect it in their settings.
    oidc_domains: Vec<String> = Vec::new(), List;
    /// Where people have accounts, the owner may set up programs of this machine as servers of tools.
    tool_commands: bool = false, Switch;
    /// Servers of tools, a table `[tool_servers.NAME]` each.
    tool_servers: BTreeMap<String, ToolServerSetting> = BTreeMap::new(), Tables;
    /// Ask for an API key on loopback too.
    require_keys: bool = false, Switch;
    /// Who shares beginnings of prompts in the cache: key or all.
    cache_sharing: CacheSharing = CacheSharing::Key, Text;
    /// Bytes after which the file of usage records is set aside; nine such files are kept.
    usage_file_bytes: u64 = 16 << 20, Number;
    /// Form of the log: human or json.
    log_format: LogFormat = LogFormat::Human, Text;
    /// What the log holds: off, error, warn, info or debug. Never a prompt, an answer or a key.
    log_level: LogLevel = LogLevel::Info, Text;
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ConfigError {
    /// The file, variable or flag.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Joins the layers. `flags` are pairs of a setting's name and its text.
    pub fn assemble(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut joined = match file {
            Some(path) => read_file(path)?,
            None => Table::new(),
        };
        for (name, kind, _) in SETTINGS {
            let variable = format!("TERANG_{}", name.to_uppercase());
            if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
                set(&mut joined, &variable, name, *kind, &text)?;
            }
        }
        for (name, text) in flags {
            let place = format!("--set {name}");
            let Some((name, kind, _)) = SETTINGS.iter().find(|(known, ..)| known == name) else {
                let known: Vec<&str> = SETTINGS.iter().map(|(name, ..)| *name).collect();
                return Err(ConfigError {
                    place,
                    reason: format!("no such setting; there are {}", known.join(", ")),
                });
            };
            set(&mut joined, &place, name, *kind, text)?;
        }
        check("settings", joined)
    }
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let place = path.display().to_string();
    let wrong = |reason: String| ConfigError {
        place: place.clone(),
        reason,
    };
    let meta = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(wrong(format!(
            "allowed is a file of at most {FILE_BYTES_MAX} bytes"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let table: Table = toml::from_str(&text).map_err(|e| wrong(one_line(&e)))?;
    check(&place, table.clone())?;
    Ok(table)
}

fn set(
    table: &mut Table,
    place: &str,
    name: &str,
    kind: Kind,
    text: &str,
) -> Result<(), ConfigError> {
    let wrong = |allowed: &str| ConfigError {
        place: place.to_owned(),
        reason: format!("found {text}, allowed {allowed}"),
    };
    let value = match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Number => Value::Integer(text.parse().map_err(|_| wrong("a whole number"))?),
        Kind::Switch => Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
        Kind::List => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        ),
        Kind::Tables => return Err(wrong(&format!("tables [{name}.NAME] of the file alone"))),
    };
    let alone = Table::from_iter([(name.to_owned(), value.clone())]);
    check(place, alone)?;
    table.insert(name.to_owned(), value);
    Ok(())
}

/// Checks a layer's types, and that no limit is one that nothing passes.
fn check(place: &str, table: Table) -> Result<Config, ConfigError> {
    let wrong = |reason: String| ConfigError {
        place: place.to_owned(),
        reason,
    };
    let config: Config = table.try_into().map_err(|e| wrong(one_line(&e)))?;
    let at_least_one: [(&str, u64); 10] = [
        ("max_sequences", config.max_sequences as u64),
        ("queue_len", config.queue_len as u64),
        ("max_n", config.max_n as u64),
        ("request_timeout_s", config.request_timeout_s),
        ("header_timeout_s", config.header_timeout_s),
        ("body_timeout_s", config.body_timeout_s),
        ("write_timeout_s", config.write_timeout_s),
        ("max_body_bytes", config.max_body_bytes as u64),
        ("max_connections", config.max_connections as u64),
        ("drain_timeout_s", config.drain_timeout_s),
    ];
    for (name, value) in at_least_one {
        // A century of seconds and a billion of anything else are as good as without limit, and far
        // from where arithmetic ends.
        if !(1..=3_200_000_000).contains(&value) {
            return Err(wrong(format!(
                "{name}: found {value}, allowed 1 to 3200000000"
            )));
        }
    }
    if config.usage_file_bytes < 64 << 10 {
        return Err(wrong(format!(
            "usage_file_bytes: found {}, allowed 65536 and more",
            config.usage_file_bytes
        )));
    }
    if config.max_sequences > 4096 || config.max_n > 128 {
        return Err(wrong(
            "allowed are max_sequences up to 4096 and max_n up to 128".to_owned(),
        ));
    }
    check_oidc(&config).map_err(&wrong)?;
    given::check(&config).map_err(&wrong)?;
    for origin in &config.cors_origins {
        // Credentials and wildcards together are how other servers were read by any web page.
        let (scheme, host) = origin.split_once("://").unwrap_or(("", ""));
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['/', '*']) {
            return Err(wrong(format!(
                "cors_origins: found {origin}, allowed origins such as https://chat.example.org"
            )));
        }
    }
    Ok(config)
}

/// A layer may hold some of these settings alone; what there is must be well formed.
fn check_oidc(config: &Config) -> Result<(), String> {
    for (name, url) in [
        ("public_url", &config.public_url),
        ("oidc_issuer", &config.oidc_issuer),
    ] {
        let fine = url.starts_with("https://") || is_loopback_url(url);
        if !url.is_empty() && (!fine || url.contains(['?', '#', ' ', '@']) || url.len() > 512) {
            return Err(format!(
                "{name}: found {url}, allowed https://..., or http:// to this machine's own addresses"
            ));
        }
    }
    let is_domain =
        |domain: &String| domain.contains('.') && !domain.contains(['@', '*', '/', ' ']);
    match config.oidc_domains.iter().find(|domain| !is_domain(domain)) {
        Some(domain) => Err(format!(
            "oidc_domains: found {domain}, allowed domains such as example.org"
        )),
        None => Ok(()),
    }
}

/// Whether a URL without TLS stays on this machine.
pub(crate) fn is_loopback_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn flag_before_environment_before_file_before_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("terang.toml");
        std::fs::write(&file, "queue_len = 1\nmax_n = 1\ncontext = 1\n").unwrap();
        let environment = |name: &str| match name {
            "TERANG_MAX_N" | "TERANG_CONTEXT" => Some("2".to_owned()),
            _ => None,
        };
        let flags = [("context".to_owned(), "3".to_owned())];
        let config = Config::assemble(Some(&file), environment, &flags).unwrap();
        assert_eq!((config.queue_len, config.max_n, config.context), (1, 2, 3));
        assert_eq!(config.max_sequences, Config::default().max_sequences);
    }

    #[test]
    fn secrets_are_not_printed() {
        let set = |name: &str| {
            (
                name.to_owned(),
                "postgres://me:swordfish@host/db".to_owned(),
            )
        };
        let flags = [set("oidc_client_secret"), set("database")];
        let config = Config::assemble(None, none, &flags).unwrap();
        assert!(config.database.reveal().contains("swordfish"));
        let text = format!("{config:?}");
        assert!(
            text.contains("oidc_client_secret: ...") && !text.contains("swordfish"),
            "{text}"
        );
    }

    #[test]
    fn an_error_names_its_layer() {
        let flags = [("queue_len".to_owned(), "many".to_owned())];
        let error = Config::assemble(None, none, &flags).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--set queue_len: found many, allowed a whole number"
        );
        let environment = |name: &str| (name == "TERANG_LISTEN").then(|| "nowhere".to_owned());
        let error = Config::assemble(None, environment, &[]).unwrap_err();
        assert!(error.to_string().starts_with("TERANG_LISTEN: "), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("terang.toml");
        std::fs::write(&file, "queue_length = 1").unwrap();
        let error = Config::assemble(Some(&file), none, &[]).unwrap_err();
        assert!(error.to_string().contains("queue_length"), "{error}");
    }

    #[test]
    fn what_nothing_passes_is_refused() {
        for (name, text) in [
            ("queue_len", "0"),
            ("queue_len", "-1"),
            ("max_n", "129"),
            ("cors_origins", "*"),
            ("cors_origins", "https://*"),
            ("request_timeout_s", "99999999999999999"),
            ("log_level", "loud"),
            ("nothing", "1"),
        ] {
            let flags = [(name.to_owned(), text.to_owned())];
            assert!(
                Config::assemble(None, none, &flags).is_err(),
                "{name}={text}"
            );
        }
    }
}
