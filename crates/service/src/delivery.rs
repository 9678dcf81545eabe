//! Getting numbered frames to people: logged first ([`writer`]), then pushed by one poster ([`poster`]), and sent
//! to those that join by their own handler ([`catch_up`]). No frame is posted that is not in the log.

pub mod batch;
pub mod catch_up;
pub mod once;
pub mod poster;
pub mod shown;
pub mod writer;

pub use poster::Poster;
pub use writer::{Gate, LogWriter, Write};
