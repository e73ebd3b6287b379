//! What people keep: accounts, sessions, chats and their messages, and what belongs to them. A leaf:
//! it knows users and databases, and neither HTTP nor models.
//!
//! - [`Store`]: opened from a URL; its methods are the whole of what is asked of a database.
//! - `db`: the seam between SQLite and PostgreSQL. `dialect`: what they say differently.
//! - `migrate`: forward-only changes of the schema, in a transaction at the start.
//! - `users`, `identities`, `passkeys`, `embeds`, `chats`, `messages`, `library`, `files`, `search`,
//!   `tools`, `calls`, `record`: parts of the store; `collections` and `passages`: documents, and what
//!   is found in them.
//!
//! Invariants: whatever belongs to somebody is asked for together with whose it is, in one
//! statement, so that another's identity finds nothing; what a method has returned from is on disk.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod calls;
mod chats;
mod collections;
mod db;
mod dialect;
mod embeds;
mod error;
mod files;
mod id;
mod identities;
mod library;
mod messages;
mod migrate;
mod passages;
mod passkeys;
mod record;
mod search;
mod store;
mod tools;
mod users;

pub use calls::{CallState, ToolCall};
pub use chats::{Chat, ChatChange, ChatFilter, NewChat, Page};
pub use collections::{Collection, DocumentState, NewDocument, StoredDocument, TakenDocument};
pub use dialect::Dialect;
pub use embeds::{Embed, EmbedChange};
pub use error::{Result, StoreError};
pub use files::{Attachment, NewAttachment, Share, SharedChat};
pub use id::{new_id, now_ms};
pub use identities::{Identity, Subject};
pub use library::{Assistant, Folder, Prompt};
pub use messages::{Ending, ImportedChat, Message, Role, Status, TokenCounts};
pub use passages::{NewPassage, PassageToEncode, StoredPassage, StoredVector};
pub use passkeys::{Credential, Passkey};
pub use record::{AuditEntry, UsageRow};
pub use search::Hit;
pub use store::Store;
pub use tools::{Allowed, ToolConsent, ToolServer};
pub use users::{Invitation, NewUser, Session, User, UserRole};
