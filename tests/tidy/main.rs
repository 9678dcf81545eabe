//! The project's rules as ordinary tests: each reads the files git knows (tracked, or new and not ignored) and
//! fails with every line that breaks the rule. Nothing is passed over because it is missing: what a rule needs
//! and does not find is a failure too. No rule may look at what the product does; that is for the other tests.

mod alarms;
mod code;
mod environment;
mod files;
mod functions;
mod graph;
mod markdown;
mod migrations;
mod names;
mod permissions;
mod project;
mod requirements;
