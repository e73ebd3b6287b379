//! What somebody keeps beside chats: folders, prompts, assistants.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Of each kind.
const KEPT_MAX: usize = 1000;
const FULL: StoreError = StoreError::Full("there are as many of these as one account may have");

/// A folder of chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the model is told in each of its chats.
    pub instructions: Option<String>,
}

/// A text to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Its identity.
    pub id: String,
    /// What it is called by.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A model with instructions and a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assistant {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What the model is told.
    pub instructions: String,
    /// The model; `None`: the default.
    pub model: Option<String>,
    /// A JSON object.
    pub settings: String,
}

fn folder(row: &mut Row) -> Result<Folder> {
    Ok(Folder {
        id: row.text()?,
        name: row.text()?,
        instructions: row.text_or_none()?,
    })
}

fn prompt(row: &mut Row) -> Result<Prompt> {
    Ok(Prompt {
        id: row.text()?,
        name: row.text()?,
        text: row.text()?,
    })
}

fn assistant(row: &mut Row) -> Result<Assistant> {
    Ok(Assistant {
        id: row.text()?,
        name: row.text()?,
        description: row.text()?,
        instructions: row.text()?,
        model: row.text_or_none()?,
        settings: row.text()?,
    })
}

impl Store {
    async fn kept(&self, table: &str, columns: &str, user_id: &str) -> Result<Vec<Row>> {
        let sql = format!("SELECT {columns} FROM {table} WHERE user_id = $1 ORDER BY name, id");
        self.db.fetch(&sql, values![user_id]).await
    }

    async fn drop_kept(&self, table: &str, user_id: &str, id: &str) -> Result<()> {
        let sql = format!("DELETE FROM {table} WHERE id = $1 AND user_id = $2");
        if self.db.execute(&sql, values![id, user_id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    async fn has_room(&self, table: &str, user_id: &str) -> Result<()> {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE user_id = $1");
        let count = self.db.one(&sql, values![user_id]).await?.int()?;
        if count as usize >= KEPT_MAX {
            return Err(FULL);
        }
        Ok(())
    }

    /// Somebody's folders by name.
    pub async fn folders(&self, user_id: &str) -> Result<Vec<Folder>> {
        let mut rows = self
            .kept("folders", "id, name, instructions", user_id)
            .await?;
        rows.iter_mut().map(folder).collect()
    }

    /// One of somebody's folders.
    pub async fn folder(&self, user_id: &str, id: &str) -> Result<Folder> {
        let sql = "SELECT id, name, instructions FROM folders WHERE id = $1 AND user_id = $2";
        folder(&mut self.db.one(sql, values![id, user_id]).await?)
    }

    /// Makes a folder.
    pub async fn create_folder(
        &self,
        user_id: &str,
        name: &str,
        instructions: Option<&str>,
    ) -> Result<Folder> {
        self.has_room("folders", user_id).await?;
        let id = new_id()?;
        self.db
            .execute(
                "INSERT INTO folders (id, user_id, name, instructions, created_at) \
                 VALUES ($1, $2, $3, $4, $5)",
                values![&id, user_id, name, instructions, now_ms()],
            )
            .await?;
        self.folder(user_id, &id).await
    }

    /// Changes a folder; `None` leaves as it is.
    pub async fn change_folder(
        &self,
        user_id: &str,
        id: &str,
        name: Option<&str>,
        instructions: Option<&str>,
    ) -> Result<Folder> {
        self.db
            .execute(
                "UPDATE folders SET name = COALESCE($3, name), \
                 instructions = COALESCE($4, instructions) WHERE id = $1 AND user_id = $2",
                values![id, user_id, name, instructions],
            )
            .await?;
        self.folder(user_id, id).await
    }

    /// Deletes a folder; its chats stay.
    pub async fn delete_folder(&self, user_id: &str, id: &str) -> Result<()> {
        self.drop_kept("folders", user_id, id).await
    }

    /// Somebody's prompts by name.
    pub async fn prompts(&self, user_id: &str) -> Result<Vec<Prompt>> {
        let mut rows = self.kept("prompts", "id, name, text", user_id).await?;
        rows.iter_mut().map(prompt).collect()
    }

    /// Makes a prompt.
    pub async fn create_prompt(&self, user_id: &str, name: &str, text: &str) -> Result<Prompt> {
        self.has_room("prompts", user_id).await?;
        let made = Prompt {
            id: new_id()?,
            name: name.to_owned(),
            text: text.to_owned(),
        };
        self.db
            .execute(
                "INSERT INTO prompts (id, user_id, name, text, created_at) \
                 VALUES ($1, $2, $3, $4, $5)",
                values![&made.id, user_id, name, text, now_ms()],
            )
            .await?;
        Ok(made)
    }

    /// Deletes a prompt.
    pub async fn delete_prompt(&self, user_id: &str, id: &str) -> Result<()> {
        self.drop_kept("prompts", user_id, id).await
    }

    /// Somebody's assistants by name.
    pub async fn assistants(&self, user_id: &str) -> Result<Vec<Assistant>> {
        let columns = "id, name, description, instructions, model, settings";
        let mut rows = self.kept("assistants", columns, user_id).await?;
        rows.iter_mut().map(assistant).collect()
    }

    /// Makes an assistant; its identity is set here.
    pub async fn create_assistant(&self, user_id: &str, new: Assistant) -> Result<Assistant> {
        self.has_room("assistants", user_id).await?;
        let made = Assistant {
            id: new_id()?,
            ..new
        };
        self.db
            .execute(
                "INSERT INTO assistants (id, user_id, name, description, instructions, model, \
                 settings, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    &made.id,
                    user_id,
                    &made.name,
                    &made.description,
                    &made.instructions,
                    &made.model,
                    &made.settings,
                    now_ms()
                ],
            )
            .await?;
        Ok(made)
    }

    /// One of somebody's assistants.
    pub async fn assistant(&self, user_id: &str, id: &str) -> Result<Assistant> {
        let sql = "SELECT id, name, description, instructions, model, settings FROM assistants \
                   WHERE id = $1 AND user_id = $2";
        assistant(&mut self.db.one(sql, values![id, user_id]).await?)
    }

    /// Puts an assistant in the place of the one with its identity.
    pub async fn replace_assistant(&self, user_id: &str, new: &Assistant) -> Result<()> {
        let changed = self
            .db
            .execute(
                "UPDATE assistants SET name = $3, description = $4, instructions = $5, \
                 model = $6, settings = $7 WHERE id = $1 AND user_id = $2",
                values![
                    &new.id,
                    user_id,
                    &new.name,
                    &new.description,
                    &new.instructions,
                    &new.model,
                    &new.settings
                ],
            )
            .await?;
        if changed == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Deletes an assistant.
    pub async fn delete_assistant(&self, user_id: &str, id: &str) -> Result<()> {
        self.drop_kept("assistants", user_id, id).await
    }
}
