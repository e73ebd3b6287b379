//! The schema and its changes: forward only, each once, all in one transaction at the start.

use crate::db::{Db, values};
use crate::error::{Result, StoreError};
use crate::id::now_ms;

/// Each entry leads from the schema before it to the next. One that was released is never changed.
const MIGRATIONS: [&str; 7] = [
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
];

/// Brings the schema up to date. Another process that starts at the same time waits.
pub(crate) async fn run(db: &Db) -> Result<()> {
    let mut tx = db.begin().await?;
    if db.dialect() == crate::Dialect::Postgres {
        // Any fixed number will do: it only has to be the same in all of these programs.
        tx.script("SELECT pg_advisory_xact_lock(7310857190234)")
            .await?;
    }
    tx.script(
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, at BIGINT NOT NULL)",
    )
    .await?;
    let mut row = tx
        .one("SELECT COALESCE(MAX(version), 0) FROM migrations", vec![])
        .await?;
    let found = row.int()?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (index, text) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        tx.script(&db.dialect().migration(text)).await?;
        tx.execute(
            "INSERT INTO migrations (version, at) VALUES ($1, $2)",
            values![index + 1, now_ms()],
        )
        .await?;
    }
    tx.commit().await
}
