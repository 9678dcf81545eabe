//! All Redis keys and Lua scripts. Redis carries what is live and may lose it at any moment: nothing here is the
//! only copy of anything that was promised.

pub mod admission;
pub mod breaker;
pub mod cancel;
pub mod client;
pub mod confirm;
pub mod connections;
pub mod error;
pub mod frame_log;
pub mod install;
pub mod key;
pub mod live;
pub mod login;
pub mod memory;
pub mod push;
pub mod response;
pub mod threads;
pub mod tool_list;

pub use client::Redis;
pub use error::RedisError;
pub use key::Key;
pub use login::{FreshPassword, Login, Roots};
