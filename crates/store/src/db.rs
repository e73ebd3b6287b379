//! The seam between the two databases: one text of SQL with `$1`, values of three kinds, and rows
//! that are read before they are given. What differs beyond that is in `dialect`.
//!
//! SQLite has one writer, so it has one connection that writes and some that read; a transaction
//! that will write says so at its beginning, lest it find at its end that another was first.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow, Postgres};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, PgPool, Row as _, Sqlite, SqlitePool,
    Transaction, TypeInfo as _, ValueRef as _,
};

use crate::dialect::Dialect;
use crate::error::{Result, StoreError};

const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
/// Who waits longer for a connection is told that the database is not there.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A value on its way into a statement. The kind of a missing one is known too: PostgreSQL asks.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

macro_rules! into_value {
    ($($from:ty => |$value:ident| $into:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $into
            }
        })*
    };
}

into_value! {
    i64 => |value| Self::Int(Some(value));
    usize => |value| Self::Int(Some(value as i64));
    bool => |value| Self::Int(Some(i64::from(value)));
    Option<i64> => |value| Self::Int(value);
    Option<bool> => |value| Self::Int(value.map(i64::from));
    &str => |value| Self::Text(Some(value.to_owned()));
    &String => |value| Self::Text(Some(value.clone()));
    String => |value| Self::Text(Some(value));
    Option<&str> => |value| Self::Text(value.map(str::to_owned));
    Option<String> => |value| Self::Text(value);
    &Option<String> => |value| Self::Text(value.clone());
    Vec<u8> => |value| Self::Bytes(value);
}

/// The values of a statement, in the order of `$1`, `$2` and so on.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use values;

#[derive(Debug)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row, whose columns are taken from left to right.
#[derive(Debug)]
pub(crate) struct Row {
    cells: std::vec::IntoIter<Cell>,
}

impl Row {
    fn next(&mut self) -> Result<Cell> {
        let cell = self.cells.next();
        cell.ok_or_else(|| StoreError::Damaged("a row is too short".to_owned()))
    }

    fn wrong<T>(cell: &Cell) -> Result<T> {
        let found = match cell {
            Cell::Null => "nothing",
            Cell::Int(_) => "a number",
            Cell::Text(_) => "a text",
            Cell::Bytes(_) => "bytes",
        };
        Err(StoreError::Damaged(format!("a column holds {found}")))
    }

    pub(crate) fn int(&mut self) -> Result<i64> {
        match self.next()? {
            Cell::Int(value) => Ok(value),
            other => Self::wrong(&other),
        }
    }

    pub(crate) fn int_or_none(&mut self) -> Result<Option<i64>> {
        match self.next()? {
            Cell::Int(value) => Ok(Some(value)),
            Cell::Null => Ok(None),
            other => Self::wrong(&other),
        }
    }

    pub(crate) fn flag(&mut self) -> Result<bool> {
        Ok(self.int()? != 0)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        match self.next()? {
            Cell::Text(value) => Ok(value),
            other => Self::wrong(&other),
        }
    }

    pub(crate) fn text_or_none(&mut self) -> Result<Option<String>> {
        match self.next()? {
            Cell::Text(value) => Ok(Some(value)),
            Cell::Null => Ok(None),
            other => Self::wrong(&other),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.next()? {
            Cell::Bytes(value) => Ok(value),
            other => Self::wrong(&other),
        }
    }
}

fn of_sqlite(row: &SqliteRow) -> Result<Row> {
    let mut cells = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let raw = row.try_get_raw(index)?;
        let kind = raw.type_info().name().to_owned();
        cells.push(match kind.as_str() {
            _ if raw.is_null() => Cell::Null,
            "INTEGER" => Cell::Int(row.try_get_unchecked(index)?),
            "TEXT" => Cell::Text(row.try_get_unchecked(index)?),
            "BLOB" => Cell::Bytes(row.try_get_unchecked(index)?),
            other => return Err(unknown(row.column(index).name(), other)),
        });
    }
    Ok(Row {
        cells: cells.into_iter(),
    })
}

fn of_postgres(row: &PgRow) -> Result<Row> {
    let mut cells = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let raw = row.try_get_raw(index)?;
        let kind = raw.type_info().name().to_owned();
        cells.push(match kind.as_str() {
            _ if raw.is_null() => Cell::Null,
            "INT8" => Cell::Int(row.try_get(index)?),
            "INT4" => Cell::Int(i64::from(row.try_get::<i32, _>(index)?)),
            "TEXT" | "VARCHAR" | "NAME" => Cell::Text(row.try_get_unchecked(index)?),
            "BYTEA" => Cell::Bytes(row.try_get(index)?),
            other => return Err(unknown(row.column(index).name(), other)),
        });
    }
    Ok(Row {
        cells: cells.into_iter(),
    })
}

fn unknown(column: &str, kind: &str) -> StoreError {
    StoreError::Damaged(format!("column {column} is of type {kind}"))
}

type SqliteQuery = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;
type PostgresQuery = sqlx::query::Query<'static, Postgres, PgArguments>;

fn sqlite_query(sql: &str, values: Vec<Value>) -> SqliteQuery {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        };
    }
    query
}

/// PostgreSQL's texts hold no NUL; it stands for nothing that anybody wrote on purpose.
fn without_nul(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

fn postgres_query(sql: &str, values: Vec<Value>) -> PostgresQuery {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for value in values {
        query = match value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value.map(without_nul)),
            Value::Bytes(value) => query.bind(value),
        };
    }
    query
}

/// A database.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Db {
    /// The file at `path`, made where it is not there.
    pub(crate) async fn sqlite(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // What is deleted is to be gone from the file too.
            .pragma("secure_delete", "on")
            .disable_statement_logging();
        let pool = |connections, options| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // Nothing gets lost on the way to a file: no need to ask each time.
                .test_before_acquire(false)
                .connect_with(options)
        };
        // The writer comes first, since it makes the file.
        let writer = pool(1, options.clone().create_if_missing(true)).await?;
        let readers = pool(READERS, options.create_if_missing(false)).await?;
        Ok(Self::Sqlite { writer, readers })
    }

    /// The database that `url` names.
    pub(crate) async fn postgres(url: &str) -> Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let options = options
            .application_name("terang")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Changes something; says how many rows.
    pub(crate) async fn execute(&self, sql: &str, values: Vec<Value>) -> Result<u64> {
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                let done = sqlite_query(sql, values).execute(writer).await?;
                done.rows_affected()
            }
            Self::Postgres(pool) => {
                let done = postgres_query(sql, values).execute(pool).await?;
                done.rows_affected()
            }
        })
    }

    /// Reads rows.
    pub(crate) async fn fetch(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite { readers, .. } => {
                let rows = sqlite_query(sql, values).fetch_all(readers).await?;
                rows.iter().map(of_sqlite).collect()
            }
            Self::Postgres(pool) => {
                let rows = postgres_query(sql, values).fetch_all(pool).await?;
                rows.iter().map(of_postgres).collect()
            }
        }
    }

    /// Reads the one row that there is.
    pub(crate) async fn one(&self, sql: &str, values: Vec<Value>) -> Result<Row> {
        let row = self.fetch(sql, values).await?.into_iter().next();
        row.ok_or(StoreError::NotFound)
    }

    /// Reads the one row that there may be.
    pub(crate) async fn maybe(&self, sql: &str, values: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, values).await?.into_iter().next())
    }

    /// Begins a transaction that writes. Dropped without [`Tx::commit`] it has changed nothing.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Waits until all that was begun has ended.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction.
#[derive(Debug)]
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(crate) async fn execute(&mut self, sql: &str, values: Vec<Value>) -> Result<u64> {
        Ok(match self {
            Self::Sqlite(tx) => {
                let done = sqlite_query(sql, values).execute(&mut **tx).await?;
                done.rows_affected()
            }
            Self::Postgres(tx) => {
                let done = postgres_query(sql, values).execute(&mut **tx).await?;
                done.rows_affected()
            }
        })
    }

    /// Several statements without values.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<()> {
        let script = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(tx) => script.execute(&mut **tx).await.map(|_| ())?,
            Self::Postgres(tx) => script.execute(&mut **tx).await.map(|_| ())?,
        }
        Ok(())
    }

    pub(crate) async fn fetch(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(tx) => {
                let rows = sqlite_query(sql, values).fetch_all(&mut **tx).await?;
                rows.iter().map(of_sqlite).collect()
            }
            Self::Postgres(tx) => {
                let rows = postgres_query(sql, values).fetch_all(&mut **tx).await?;
                rows.iter().map(of_postgres).collect()
            }
        }
    }

    pub(crate) async fn one(&mut self, sql: &str, values: Vec<Value>) -> Result<Row> {
        let row = self.fetch(sql, values).await?.into_iter().next();
        row.ok_or(StoreError::NotFound)
    }

    pub(crate) async fn maybe(&mut self, sql: &str, values: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, values).await?.into_iter().next())
    }

    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}
