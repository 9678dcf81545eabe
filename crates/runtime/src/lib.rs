//! Lambda glue: the only crate that knows Lambda events.
