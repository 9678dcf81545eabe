//! API Gateway on one machine: WebSocket API, Management API and HTTP API.
//! It must behave as AWS does, not as would be handy: what passes here has to pass there.

pub mod connection;
pub mod cors;
pub mod frames;
pub mod front;
pub mod handshake;
pub mod http_api;
pub mod http_event;
pub mod http_response;
pub mod http_router;
pub mod management;
pub mod parameters;
pub mod posts;
pub mod registry;
pub mod selection;
#[cfg(test)]
mod tests;
pub mod websocket_event;
