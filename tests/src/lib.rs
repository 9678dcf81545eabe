//! TestApp, builders, fakes; integration, end-to-end and tidy tests.
