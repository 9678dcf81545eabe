//! Turning rows into the domain's types. A row that is not what the schema says is an error, never a panic.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::DbError;

/// A column by its name.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, DbError> {
    row.try_get(column).map_err(|error| DbError::Configuration(format!("column {column}: {error}")))
}

/// A text column parsed into a type of a closed set.
pub(crate) fn closed<T>(row: &Row, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, DbError> {
    let text: &str = get(row, column)?;
    parse(text).ok_or_else(|| DbError::Configuration(format!("column {column} holds an unknown word")))
}
