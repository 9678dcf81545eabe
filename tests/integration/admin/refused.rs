//! Commands that make no sense: each refusal names the argument, and nothing is done.

use konstruct_tests::TestApp;
use serde_json::{Value, json};

use super::Desk;

/// A command whose words are good but for one, and that one.
fn with(words: &Value, field: &str, value: Value) -> Value {
    let mut words = words.clone();
    words[field] = value;
    words
}

fn names_the_field(answer: &Value, field: &str, told: &str) {
    assert_eq!(answer["error"]["code"], "invalid", "{told}");
    assert_eq!(answer["error"]["field"], field, "{told}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with(field), "{message}");
    let passed_on = message.chars().any(char::is_control);
    assert!(!passed_on, "a refusal does not pass control characters on: {message:?}");
}

#[tokio::test]
async fn an_argument_that_is_not_of_its_form_is_named() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = desk.tenant().await;
    let before = desk.all(&slug).await;
    let tenant = json!({"slug": "never-made", "name": "Never"});
    let user = json!({"tenant": slug, "email": "bob@acme.example", "role": "tenant_member"});
    let agent = json!({"tenant": slug, "name": "Bruno", "role": "sales"});
    let ada = json!({"tenant": slug, "name": "Ada"});
    let server = json!({"tenant": slug, "name": "crm", "url": "https://crm.example/mcp"});
    let key = json!({"tenant": slug, "provider": "openai", "key": "sk"});
    let cases = [
        ("tenant create", &tenant, "slug", json!("Acme")),
        ("tenant create", &tenant, "slug", json!("a b")),
        ("tenant create", &tenant, "slug", json!("x".repeat(64))),
        ("tenant create", &tenant, "slug", json!(7)),
        ("tenant create", &tenant, "slug", Value::Null),
        ("tenant create", &tenant, "name", json!("two\nlines")),
        ("tenant create", &tenant, "name", json!("\u{1b}[2J")),
        ("tenant create", &tenant, "name", json!("")),
        ("tenant create", &tenant, "name", json!("x".repeat(101))),
        ("tenant create", &tenant, "id", json!("7")),
        ("tenant create", &tenant, "messages_per_minute", json!(0)),
        ("tenant create", &tenant, "messages_per_minute", json!(1.5)),
        ("tenant create", &tenant, "tokens_per_month", json!(-1)),
        ("tenant create", &tenant, "tokens_per_month", json!("5")),
        ("tenant create", &tenant, "colour", json!("red")),
        ("user create", &user, "email", json!("bob smith@acme.example")),
        ("user create", &user, "email", json!("bob@acme")),
        ("user create", &user, "role", json!("platform_admin")),
        ("user create", &user, "role", json!("owner")),
        ("user create", &user, "tenant", json!("no such")),
        ("user create", &user, "id", json!("bob")),
        ("agent create", &agent, "role", Value::Null),
        ("agent create", &agent, "name", json!("\u{202e}reversed")),
        ("agent create", &agent, "persona", json!("nul\0")),
        ("agent create", &agent, "instructions", json!("x".repeat(16_001))),
        ("agent create", &agent, "language", json!("German")),
        ("agent create", &agent, "models", json!(["gpt-4.1"])),
        ("agent create", &agent, "models", json!(["azure:gpt"])),
        ("agent create", &agent, "models", json!(["openai:a", "openai:a"])),
        ("agent create", &agent, "models", json!("openai:a")),
        ("agent create", &agent, "tools", json!(["current_tiem"])),
        ("agent create", &agent, "tools", json!(["crm_close"])),
        ("agent create", &agent, "tools", json!(["no tool"])),
        ("agent create", &agent, "confirm", json!(["http_get"])),
        ("agent create", &agent, "http_hosts", json!(["https://example.com"])),
        ("agent create", &agent, "http_hosts", json!(["10.0.0.1"])),
        ("agent create", &agent, "failures_until_human", json!(0)),
        ("agent create", &agent, "default", json!("yes")),
        ("agent set", &ada, "tools", json!(["nope"])),
        ("agent set", &ada, "slug", json!("acme")),
        ("server create", &server, "name", json!("Crm")),
        ("server create", &server, "url", json!("http://crm.example/mcp")),
        ("server create", &server, "url", json!("https://user:pw@crm.example/")),
        ("server create", &server, "url", json!("crm.example")),
        ("key set", &key, "provider", json!("mistral")),
        ("key set", &key, "provider", Value::Null),
        ("key set", &key, "server", json!("crm")),
        ("key set", &key, "key", json!("two words")),
        ("key set", &key, "key", json!("")),
    ];
    for (command, words, field, value) in cases {
        let answer = desk.ask(command, with(words, field, value.clone())).await;
        names_the_field(&answer, field, &format!("{command} {field} {value}: {answer}"));
    }
    assert_eq!(desk.all(&slug).await, before, "nothing was done");
    assert_eq!(desk.ask("tenant show", json!({"slug": "never-made"})).await["error"]["code"], "not_found");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = desk.tenant().await;
    let cases = [
        ("tenant disable", json!({"slug": "nobody"}), "slug"),
        ("user list", json!({"tenant": "nobody"}), "tenant"),
        ("user remove", json!({"tenant": slug, "email": "never@seen.example"}), "email"),
        ("user set", json!({"tenant": slug, "email": "never@seen.example", "role": "tenant_admin"}), "email"),
        ("agent disable", json!({"tenant": slug, "name": "Zoe"}), "name"),
        ("server remove", json!({"tenant": slug, "name": "crm"}), "name"),
        ("key set", json!({"tenant": slug, "server": "crm", "key": "k"}), "server"),
    ];
    for (command, words, field) in cases {
        let answer = desk.ask(command, words).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["field"]),
            (&json!("not_found"), &json!(field)),
            "{command}: {answer}"
        );
    }
    for command in ["", "tenant", "tenant destroy", "DROP TABLE tenants"] {
        let answer = desk.ask(command, json!({})).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["field"]),
            (&json!("invalid"), &json!("command"))
        );
    }
}

#[tokio::test]
async fn of_two_agents_of_one_name_the_id_is_asked_for() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = desk.tenant().await;
    let tenant = super::uuid(&desk.ask("tenant show", json!({"slug": slug})).await["id"]);
    // As somebody once wrote it by hand: the schema lets him.
    let twin = app.agent_of(konstruct_domain::TenantId(tenant), "Ada", true).await;
    let answer = desk.ask("agent disable", json!({"tenant": slug, "name": "Ada"})).await;
    assert_eq!((&answer["error"]["code"], &answer["error"]["field"]), (&json!("conflict"), &json!("name")));
    let answer = desk.ask("agent disable", json!({"tenant": slug, "id": twin.to_string()})).await;
    assert_eq!((&answer["outcome"], &answer["agent"]["is_active"]), (&json!("updated"), &json!(false)));
}
