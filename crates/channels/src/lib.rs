//! One adapter per channel.
