//! The WebSocket API and the Management API over real sockets, with functions that are closures.

mod close_codes;
mod fixture;
mod handshake;
mod management;
mod routes;
