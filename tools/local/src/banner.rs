//! What start-up prints: where everything is and a token for everyone.
//! It goes to the terminal only, never to a log.

use std::io::Write;

use crate::addresses::Addresses;
use crate::config::Config;
use crate::demo::Demo;
use crate::secrets::Secrets;

/// Prints one line.
pub fn say(line: &str) {
    // A terminal that has gone is no reason to end: the stack runs on.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints the addresses and the demo users' tokens.
pub fn print(config: &Config, secrets: &Secrets, demo: &Demo) {
    let addresses = Addresses::of(config);
    for person in demo.people(&secrets.jwt) {
        say(&format!("\n{} ({})\n{}", person.email, person.role, person.token));
    }
    say("");
    let rows = [
        ("portal", addresses.portal()),
        ("HTTP API", addresses.http()),
        ("WebSocket API", addresses.websocket()),
        ("Management API", addresses.management()),
        ("SQS", addresses.sqs()),
        ("model", addresses.model()),
        ("recorder", addresses.recorder()),
        ("more", config.state_dir.join("stack.json").display().to_string()),
        ("logs", config.logs().display().to_string()),
    ];
    for (name, address) in rows {
        say(&format!("{name:<15} {address}"));
    }
    say("\nIt runs until Ctrl-C.");
}
