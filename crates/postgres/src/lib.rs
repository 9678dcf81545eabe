//! All SQL. [`TenantPool`] is the only door to tenant tables: without a `TenantId` there is no transaction,
//! and a transaction has no query but its methods. No LLM or HTTP call is ever made in here.
//!
//! There is no way in without a tenant:
//! ```compile_fail
//! # async fn f(pool: konstruct_postgres::TenantPool) {
//! pool.begin().await;
//! # }
//! ```
//! A tenant is not any id:
//! ```compile_fail
//! # async fn f(pool: konstruct_postgres::TenantPool, user: konstruct_domain::UserId) {
//! pool.begin(user).await;
//! # }
//! ```
//! A transaction takes no SQL from outside, and hands out no connection:
//! ```compile_fail
//! # async fn f(tx: konstruct_postgres::TenantTx) {
//! tx.run([("SELECT 1", &[])]).await;
//! # }
//! ```
//! ```compile_fail
//! # async fn f(tx: konstruct_postgres::TenantTx) {
//! tx.client.query("SELECT 1", &[]).await;
//! # }
//! ```
//! It ends with its first query, so a second cannot slip into it:
//! ```compile_fail
//! # async fn f(tx: konstruct_postgres::TenantTx, user: konstruct_domain::UserId) {
//! let _ = tx.membership(user).await;
//! let _ = tx.membership(user).await;
//! # }
//! ```

pub mod admin;
pub mod agents;
pub mod channel_messages;
pub mod confirmations;
pub mod conversations;
pub mod directory;
pub mod equipment;
pub mod error;
pub mod hand_over;
pub mod installations;
pub mod lease;
pub mod members;
pub mod memory;
pub mod messages;
pub mod migrate;
pub mod platform;
pub mod replies;
pub mod reset;
mod row;
pub mod steps;
pub mod tenant_tx;
pub mod turns;
pub mod usage;

pub use error::DbError;
pub use platform::PlatformPool;
pub use tenant_tx::{TenantPool, TenantTx};
