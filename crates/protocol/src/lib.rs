//! What crosses a process boundary: frames of the WebSocket, tasks of the queue, bodies of REST, error codes.
//! No behaviour lives here: nothing is looked up, sent or decided.

pub mod asyncapi;
pub mod error;
pub mod event;
pub mod fields;
pub mod frame;
pub mod request;
pub mod rest;
pub mod task;
pub mod trace;

pub use error::ErrorCode;
pub use event::Event;
pub use fields::{BadJson, FieldError, Fields};
pub use frame::{Dialect, Envelope, FRAME_BYTES_MAX, ServerFrame, Viewer};
pub use request::{Auth, ClientFrame, ClientMessage, FrameError};
pub use task::{Task, TaskKind};
pub use trace::TraceParent;
