//! The command `konstruct` on a running stack, as an operator types it: a new company from nothing to its first answer,
//! by the database and by the function, and who is out when it is disabled.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Rest, Ws, text_of};
use crate::stack::{Stack, User};

/// What a command printed, and its exit status.
struct Typed {
    status: i32,
    out: String,
    err: String,
}

impl Typed {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {} {}", self.out, self.err))
    }
}

/// Types a command where nothing but `variables` says where; `input` on its standard input.
fn typed(variables: &[(&str, &str)], words: &[&str], input: &str) -> Typed {
    let exe = std::env::current_exe().expect("this test's path");
    let konstruct = exe.ancestors().nth(2).expect("target/local").join("konstruct");
    assert!(konstruct.exists(), "build it first: make build-local ({} is missing)", konstruct.display());
    let mut child = Command::new(konstruct)
        .args(words)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("konstruct");
    // One that reads none has closed it already.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its end");
    Typed {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// On the stack of this run, as one types it in a checkout; the JSON it prints.
fn konstruct(words: &[&str]) -> Value {
    let state = Stack::get().state.display().to_string();
    let typed = typed(&[("STATE_DIR", &state)], &[words, &["--json"]].concat(), "");
    assert_eq!(typed.status, 0, "{words:?}: {} {}", typed.out, typed.err);
    typed.json()
}

/// The same by way of the function, as in AWS.
fn by_function(words: &[&str]) -> Typed {
    let lambda = format!("{}/_local/lambda", Stack::get().url("http_url"));
    let place = ["--function", "migrate", "--region", "us-east-1", "--endpoint-url", &lambda, "--json"];
    let variables = [("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")];
    typed(&variables, &[&place, words].concat(), "")
}

/// A company with an admin and an agent.
fn company() -> (String, User) {
    let slug = format!("e2e-{}", Uuid::new_v4().simple());
    let tenant = konstruct(&["tenant", "create", "--slug", &slug, "--name", "Harbour Parcels"]);
    let email = format!("ines@{slug}.example");
    let admin =
        konstruct(&["user", "create", "--tenant", &slug, "--email", &email, "--role", "tenant_admin"]);
    let agent = ["--tools", "current_time,search_history", "--persona", "You are brief."];
    let agent =
        [&["agent", "create", "--tenant", &slug, "--name", "Ada", "--role", "support agent"], &agent[..]]
            .concat();
    assert_eq!(konstruct(&agent)["agent"]["is_default"], true);
    let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
    let mut user = User { id: id(&admin["user"]), tenant: id(&tenant["tenant"]), token: String::new() };
    user.token = crate::tokens::mint(&user, "tenant_admin");
    (slug, user)
}

#[tokio::test]
async fn a_company_made_by_commands_gets_its_first_answer_and_is_out_when_it_is_disabled() {
    let (slug, admin) = company();
    let mut ws = Ws::session(&admin).await;
    assert!(text_of(&ws.ask("is anybody there?").await).contains("is anybody there?"));
    let prompt = text_of(&ws.ask("/system").await).to_owned();
    assert!(prompt.contains("Ada") && prompt.contains("You are brief."), "{prompt}");
    let time = ws.ask("/tool current_time {}").await;
    assert!(!text_of(&time).contains("not run"), "it was granted: {time}");
    let path = format!("/conversations/{}/messages", ws.conversation());
    assert_eq!(Rest::of(&admin).get(&path).await.status, 200);

    assert_eq!(konstruct(&["agent", "disable", "--tenant", &slug, "--name", "Ada"])["outcome"], "updated");
    assert_eq!(ws.ask("and now?").await["code"], "agent_unavailable");
    konstruct(&["agent", "enable", "--tenant", &slug, "--name", "Ada"]);

    assert_eq!(konstruct(&["tenant", "disable", &slug])["outcome"], "updated");
    let id = ws.say("still in?").await;
    assert_eq!(ws.end_of(&id).await["code"], "auth_failed", "an open socket is out at its next message");
    assert_eq!(Rest::of(&admin).get(&path).await.status, 403);
    let mut again = Ws::open("session_id=again").await;
    again.send(&json!({"type": "auth", "token": admin.token})).await;
    assert_eq!(again.error().await, "auth_failed");
    konstruct(&["tenant", "enable", &slug]);
    let mut ws = Ws::session(&admin).await;
    assert!(text_of(&ws.ask("back again").await).contains("back again"), "nothing of it was lost");
    assert_eq!(Rest::of(&admin).get(&path).await.status, 200);
}

#[tokio::test]
async fn the_function_carries_out_what_the_database_does() {
    let (slug, _) = company();
    for words in [&["tenant", "show", &slug][..], &["agent", "list", "--tenant", &slug]] {
        let (one, other) = (konstruct(words), by_function(words));
        assert_eq!((other.status, other.json()), (0, one), "{words:?}: {}", other.err);
    }
    let user = ["user", "create", "--tenant", &slug, "--email", "j@j.example", "--role", "tenant_member"];
    assert_eq!(by_function(&user).json()["outcome"], "created");
    assert_eq!(konstruct(&user)["outcome"], "unchanged");
    let refused = by_function(&["tenant", "show", "no-such-tenant"]);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (1, &json!("not_found")));
}

/// proves OPS-03
#[tokio::test]
async fn every_sample_of_a_command_is_one() {
    let stack = Stack::get();
    let rest = Rest::of(&stack.admin("acme"));
    let events = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../events/migrate");
    let story = [
        ("admin-tenant-create", json!("created")),
        ("admin-user-create", json!("created")),
        ("admin-agent-create", json!("created")),
        ("admin-agent-set", json!("updated")),
        ("admin-tenant-list", Value::Null),
        ("admin-user-remove", json!("removed")),
        ("admin-tenant-disable", json!("updated")),
    ];
    for (name, outcome) in story {
        let event = std::fs::read_to_string(events.join(format!("{name}.json"))).expect("a sample");
        let event: Value = serde_json::from_str(&event).expect("JSON");
        let answer = rest.post("!/_local/lambda/2015-03-31/functions/migrate/invocations", event).await;
        assert_eq!((answer.status, &answer.body["error"]), (200, &Value::Null), "{name}: {}", answer.body);
        assert_eq!(answer.body["outcome"], outcome, "{name}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_exit_status_says_who_is_to_do_what() {
    let state = Stack::get().state.display().to_string();
    let here = [("STATE_DIR", state.as_str())];
    let nowhere = [("STATE_DIR", "/nowhere")];
    let gone = ["--database-url", "postgres://o:p@127.0.0.1:1/x?sslmode=disable", "tenant", "list"];
    let no_function = [
        "--function",
        "f",
        "--region",
        "us-east-1",
        "--endpoint-url",
        "http://127.0.0.1:1",
        "tenant",
        "list",
    ];
    let key = ["key", "set", "--tenant", "acme", "--provider", "openai"];
    let cases: [(&[(&str, &str)], &[&str], i32); 8] = [
        (&here, &["tenant", "list"], 0),
        (&here, &["--help"], 0),
        (&here, &["tenant", "show", "Not A Slug"], 1),
        (&here, &key, 1),
        (&here, &["tenant", "destroy", "acme"], 2),
        (&here, &gone, 3),
        (&nowhere, &["tenant", "list"], 3),
        (
            &[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_MAX_ATTEMPTS", "1")],
            &no_function,
            3,
        ),
    ];
    for (variables, words, status) in cases {
        let typed = typed(variables, words, "sk-the-key");
        assert_eq!(typed.status, status, "{words:?}: {} {}", typed.out, typed.err);
        assert!(!format!("{}{}", typed.out, typed.err).contains("sk-the-key"), "{words:?}");
        assert_eq!(typed.err.is_empty(), status == 0, "{words:?}: {}", typed.err);
    }
    let table = typed(&here, &["tenant", "list"], "").out;
    assert!(table.starts_with("slug") && table.contains("Acme Tools"), "{table}");
    let refused = typed(&here, &["tenant", "show", "Not A Slug", "--json"], "");
    assert_eq!(refused.json()["error"]["field"], "slug");
}
