//! Tools: the servers that offer them, and what people allowed of them. Calls are in `calls`.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Servers of tools.
const SERVERS_MAX: i64 = 100;
/// What one person allowed for good.
const CONSENTS_MAX: i64 = 10_000;

/// A server of tools.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolServer {
    /// Its identity.
    pub id: String,
    /// What it is called; no two are called the same.
    pub name: String,
    /// How it is reached: a JSON object.
    pub spec: String,
    /// What it is reached with, a JSON object; shown to nobody.
    pub secrets: String,
    /// Whether its tools are offered.
    pub enabled: bool,
    /// Grows with each change.
    pub version: i64,
    /// It stands in the settings' file.
    pub given: bool,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl std::fmt::Debug for ToolServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolServer")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// What somebody allowed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolConsent {
    /// By which it is taken back.
    pub id: String,
    /// In this chat alone; `None`: in all.
    pub chat_id: Option<String>,
    /// The server.
    pub server_id: String,
    /// Its name.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// A tool as somebody allows it.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// The server.
    pub server_id: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// Of how the tool describes itself.
    pub digest: &'a str,
}

const SERVER: &str = "id, name, spec, secrets, enabled, version, given, created_at";
const NAME_TAKEN: StoreError = StoreError::Conflict("name: another server of tools has it already");

fn server(row: &mut Row) -> Result<ToolServer> {
    Ok(ToolServer {
        id: row.text()?,
        name: row.text()?,
        spec: row.text()?,
        secrets: row.text()?,
        enabled: row.flag()?,
        version: row.int()?,
        given: row.flag()?,
        created_at: row.int()?,
    })
}

fn taken(error: StoreError) -> StoreError {
    if error.is_collision() {
        NAME_TAKEN
    } else {
        error
    }
}

impl Store {
    /// All servers of tools by name. They are the server's own, nobody's in particular.
    pub async fn tool_servers(&self) -> Result<Vec<ToolServer>> {
        let sql = format!("SELECT {SERVER} FROM tool_servers ORDER BY name");
        let mut rows = self.db.fetch(&sql, vec![]).await?;
        rows.iter_mut().map(server).collect()
    }

    /// One of them.
    pub async fn tool_server(&self, id: &str) -> Result<ToolServer> {
        let sql = format!("SELECT {SERVER} FROM tool_servers WHERE id = $1");
        server(&mut self.db.one(&sql, values![id]).await?)
    }

    /// Sets up a server of tools.
    pub async fn create_tool_server(
        &self,
        name: &str,
        spec: &str,
        secrets: &str,
    ) -> Result<ToolServer> {
        let id = new_id()?;
        let made = self
            .db
            .execute(
                "INSERT INTO tool_servers (id, name, spec, secrets, created_at) \
                 SELECT $1, $2, $3, $4, $5 WHERE (SELECT COUNT(*) FROM tool_servers) < $6",
                values![&id, name, spec, secrets, now_ms(), SERVERS_MAX],
            )
            .await
            .map_err(taken)?;
        if made == 0 {
            return Err(StoreError::Full(
                "there are as many servers of tools as may be",
            ));
        }
        self.tool_server(&id).await
    }

    /// Puts a server of tools in the place of the one with its identity. What was allowed of its
    /// tools is forgotten where it is reached in another way.
    pub async fn replace_tool_server(&self, new: &ToolServer) -> Result<ToolServer> {
        let mut tx = self.db.begin().await?;
        let was = format!(
            "SELECT {SERVER} FROM tool_servers WHERE id = $1{}",
            self.db.dialect().for_update()
        );
        let was = server(&mut tx.one(&was, values![&new.id]).await?)?;
        tx.execute(
            "UPDATE tool_servers SET name = $2, spec = $3, secrets = $4, enabled = $5, \
             version = version + 1 WHERE id = $1",
            values![&new.id, &new.name, &new.spec, &new.secrets, new.enabled],
        )
        .await
        .map_err(taken)?;
        if was.spec != new.spec {
            tx.execute(
                "DELETE FROM tool_consents WHERE server_id = $1",
                values![&new.id],
            )
            .await?;
        }
        tx.commit().await?;
        self.tool_server(&new.id).await
    }

    /// Keeps the servers of tools of the settings' file, each a name, how it is reached, and its secrets:
    /// those that stood there before and do no more are taken away, and one that was set up otherwise
    /// under such a name is the file's from now on.
    pub async fn give_tool_servers(&self, given: &[(String, String, String)]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "SELECT {SERVER} FROM tool_servers ORDER BY id{}",
            self.db.dialect().for_update()
        );
        let mut rows = tx.fetch(&sql, vec![]).await?;
        let known: Vec<ToolServer> = rows.iter_mut().map(server).collect::<Result<_>>()?;
        for was in known.iter().filter(|was| was.given) {
            if given.iter().all(|(name, ..)| *name != was.name) {
                let sql = "DELETE FROM tool_servers WHERE id = $1";
                tx.execute(sql, values![&was.id]).await?;
            }
        }
        for (name, spec, secrets) in given {
            let was = known.iter().find(|was| was.name == *name);
            if was.is_some_and(|was| was.given && (&was.spec, &was.secrets) == (spec, secrets)) {
                continue;
            }
            // Another process may have been first with a name that was not there.
            tx.execute(
                "INSERT INTO tool_servers (id, name, spec, secrets, given, created_at) \
                 VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT (name) DO UPDATE SET \
                 spec = excluded.spec, secrets = excluded.secrets, given = 1, \
                 version = tool_servers.version + 1",
                values![new_id()?, name, spec, secrets, now_ms()],
            )
            .await?;
            if let Some(was) = was.filter(|was| was.spec != *spec) {
                let sql = "DELETE FROM tool_consents WHERE server_id = $1";
                tx.execute(sql, values![&was.id]).await?;
            }
        }
        tx.commit().await
    }

    /// Takes a server of tools away, with what was allowed of its tools.
    pub async fn delete_tool_server(&self, id: &str) -> Result<()> {
        let sql = "DELETE FROM tool_servers WHERE id = $1";
        if self.db.execute(sql, values![id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// What somebody allowed for good, the newest first.
    pub async fn tool_consents(&self, user_id: &str) -> Result<Vec<ToolConsent>> {
        let sql = "SELECT k.id, k.chat_id, k.server_id, s.name, k.tool, k.created_at \
                   FROM tool_consents k JOIN tool_servers s ON s.id = k.server_id \
                   WHERE k.user_id = $1 ORDER BY k.created_at DESC, k.id DESC";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        let consent = |row: &mut Row| {
            Ok(ToolConsent {
                id: row.text()?,
                chat_id: row.text_or_none()?,
                server_id: row.text()?,
                server: row.text()?,
                tool: row.text()?,
                created_at: row.int()?,
            })
        };
        rows.iter_mut().map(consent).collect()
    }

    /// Whether somebody allowed a tool, as it is now, for good: everywhere or in this chat.
    pub async fn is_tool_allowed(
        &self,
        user_id: &str,
        chat_id: &str,
        tool: Allowed<'_>,
    ) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM tool_consents WHERE user_id = $1 \
                   AND (chat_id IS NULL OR chat_id = $2) AND server_id = $3 AND tool = $4 \
                   AND digest = $5";
        let values = values![user_id, chat_id, tool.server_id, tool.tool, tool.digest];
        Ok(self.db.one(sql, values).await?.int()? > 0)
    }

    /// Keeps that somebody allows a tool for good, in one of their chats or in all.
    pub async fn allow_tool(
        &self,
        user_id: &str,
        chat_id: Option<&str>,
        tool: Allowed<'_>,
    ) -> Result<()> {
        if let Some(chat_id) = chat_id {
            self.chat(user_id, chat_id).await?;
        }
        let count = "SELECT COUNT(*) FROM tool_consents WHERE user_id = $1";
        if self.db.one(count, values![user_id]).await?.int()? >= CONSENTS_MAX {
            return Err(StoreError::Full(
                "as many tools are allowed for good as may be",
            ));
        }
        self.db
            .execute(
                "INSERT INTO tool_consents (id, user_id, chat_id, server_id, tool, digest, \
                 created_at) SELECT $1, $2, $3, id, $5, $6, $7 FROM tool_servers WHERE id = $4 \
                 ON CONFLICT (user_id, COALESCE(chat_id, ''), server_id, tool) \
                 DO UPDATE SET digest = excluded.digest, created_at = excluded.created_at",
                values![
                    new_id()?,
                    user_id,
                    chat_id,
                    tool.server_id,
                    tool.tool,
                    tool.digest,
                    now_ms()
                ],
            )
            .await
            .map(drop)
    }

    /// Takes back what somebody allowed.
    pub async fn disallow_tool(&self, user_id: &str, id: &str) -> Result<()> {
        let sql = "DELETE FROM tool_consents WHERE id = $1 AND user_id = $2";
        if self.db.execute(sql, values![id, user_id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }
}
