//! The words of the business. No IO, no async, no clock, no environment: what needs one of these takes it
//! as an argument.

pub mod access;
pub mod agent;
pub mod channel;
pub mod conversation;
pub mod email;
pub mod id;
pub mod message;
pub mod name;
pub mod provider;
pub mod tenant;
pub mod tool;

pub use access::{Access, Denied, Membership, Principal, Role, TenantRole};
pub use agent::Agent;
pub use channel::Channel;
pub use conversation::{Conversation, Epoch, Fence, Generation, Position, Seq, SessionId};
pub use email::Email;
pub use id::{AgentId, ConversationId, MessageId, TenantId, UserId};
pub use message::{Content, ContentError, InboundMessage, Sender};
pub use name::{Language, Name, Prose};
pub use provider::Provider;
pub use tenant::Slug;
pub use tool::{HostName, ModelName, ServerName, ToolName};
