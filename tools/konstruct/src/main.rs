//! `konstruct`: an operator's commands. It parses arguments, brings a command to where the database is and shows the
//! answer; what a command means is decided there (`konstruct_runtime::admin`), never here.

mod arguments;
mod function;
mod place;
mod shown;

use std::process::ExitCode;

use clap::Parser as _;
use serde_json::{Value, json};

use crate::arguments::Konstruct;
use crate::place::Place;

/// The command was refused (as clap itself ends with 2 where it makes no sense).
const REFUSED: u8 = 1;
/// Makes no sense, found out behind clap.
const USAGE: u8 = 2;
/// Whoever carries commands out could not be reached, or says: come again.
const UNREACHABLE: u8 = 3;

/// Why there is no answer.
struct Failure {
    code: u8,
    message: String,
}

fn main() -> ExitCode {
    let asked = Konstruct::parse();
    let json = asked.json;
    match run(&asked) {
        Ok(answer) => show(&answer, json),
        Err(failure) if json => {
            let code = if failure.code == USAGE { "usage" } else { "unreachable" };
            shown::json(&json!({ "error": { "code": code, "message": failure.message } }));
            ExitCode::from(failure.code)
        }
        Err(failure) => {
            shown::failure(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// What whoever carries commands out answers, refusals included.
fn run(asked: &Konstruct) -> Result<Value, Failure> {
    let failure = |code: u8| move |message: String| Failure { code, message };
    let command = asked.about.command().map_err(failure(USAGE))?;
    let place = Place::of(&asked.place).map_err(failure(UNREACHABLE))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure { code: UNREACHABLE, message: error.to_string() })?;
    runtime.block_on(place.ask(&command)).map_err(failure(UNREACHABLE))
}

fn show(answer: &Value, json: bool) -> ExitCode {
    let error = answer.get("error");
    match error {
        _ if json => shown::json(answer),
        Some(error) => {
            shown::failure(
                error.get("message").and_then(Value::as_str).unwrap_or("refused, without a word why"),
            );
        }
        None => shown::table(answer),
    }
    match error.map(|error| error.get("code").and_then(Value::as_str)) {
        None => ExitCode::SUCCESS,
        Some(Some("away")) => ExitCode::from(UNREACHABLE),
        Some(_) => ExitCode::from(REFUSED),
    }
}
