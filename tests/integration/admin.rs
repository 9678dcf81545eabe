//! Operators' commands over a real Postgres, as the owner of the schema: what each makes, that repeating one changes
//! nothing, what is refused, and that a command for one tenant never reaches another.

mod disabled;
mod refused;

use futures_util::future::join_all;
use konstruct_domain::{AgentId, ConversationId, TenantId};
use konstruct_ports::SecretContext;
use konstruct_postgres::TenantPool;
use konstruct_postgres::admin::Administration;
use konstruct_runtime::admin::answer_with;
use konstruct_tests::app::secrets;
use konstruct_tests::{TestApp, id};
use serde_json::{Value, json};
use uuid::Uuid;

/// Where commands are carried out.
pub struct Desk<'a> {
    app: &'a TestApp,
    door: Administration,
}

impl<'a> Desk<'a> {
    pub async fn open(app: &'a TestApp) -> Self {
        let door = Administration::connect(&app.world.postgres_url("konstruct_owner")).await.unwrap();
        Self { app, door }
    }

    /// A command's answer; `words` are its arguments.
    pub async fn ask(&self, command: &str, words: Value) -> Value {
        let mut asked = words;
        asked["command"] = command.into();
        answer_with(&self.door, self.app.world.ids.as_ref(), Some(&secrets()), &asked).await
    }

    /// A tenant with an admin and an agent, made by commands; its slug.
    pub async fn tenant(&self) -> String {
        let slug = format!("t-{}", id().simple());
        let made = self.ask("tenant create", json!({"slug": slug, "name": "Test"})).await;
        assert_eq!(made["outcome"], "created", "{made}");
        let admin = json!({"tenant": slug, "email": email(&slug), "role": "tenant_admin"});
        assert_eq!(self.ask("user create", admin).await["outcome"], "created");
        let agent = json!({"tenant": slug, "name": "Ada", "role": "support agent"});
        assert_eq!(self.ask("agent create", agent).await["outcome"], "created");
        slug
    }

    /// All that commands show of a tenant.
    pub async fn all(&self, slug: &str) -> Vec<Value> {
        let mut all = vec![self.ask("tenant show", json!({"slug": slug})).await];
        for list in ["user list", "agent list", "server list", "key list"] {
            all.push(self.ask(list, json!({"tenant": slug})).await);
        }
        all
    }
}

pub fn email(slug: &str) -> String {
    format!("carol@{slug}.example")
}

pub fn uuid(value: &Value) -> Uuid {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no id: {value}"))
}

#[tokio::test]
async fn what_is_created_twice_is_there_once_and_unchanged() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = format!("t-{}", id().simple());
    let (tenant_id, user_id, agent_id) = (id(), id(), id());
    let commands = [
        (
            "tenant create",
            json!({"slug": slug, "name": " Acme Ltd ", "id": tenant_id, "messages_per_minute": 60}),
        ),
        (
            "user create",
            json!({"tenant": slug, "email": email(&slug), "role": "tenant_admin", "id": user_id}),
        ),
        ("server create", json!({"tenant": slug, "name": "crm", "url": "https://crm.example/mcp"})),
        (
            "agent create",
            json!({"tenant": slug, "name": "Ada", "role": "support agent", "id": agent_id, "persona": "Calm.",
                "models": ["anthropic:claude-sonnet-4-5", "openai:gpt-4.1-mini"], "language": "de",
                "tools": ["http_get", "crm_close", "current_time"], "confirm": ["crm_close"],
                "http_hosts": ["www.example.com", "example.com"], "failures_until_human": 3}),
        ),
    ];
    for (command, words) in &commands {
        let first = desk.ask(command, words.clone()).await;
        assert_eq!(first["outcome"], "created", "{command}: {first}");
        let again = desk.ask(command, words.clone()).await;
        assert_eq!(again["outcome"], "unchanged", "{command}: {again}");
        for what in ["tenant", "user", "server", "agent"] {
            assert_eq!(first[what], again[what], "{command}");
        }
    }
    let shown = desk.ask("tenant show", json!({"slug": slug})).await;
    assert_eq!(
        (uuid(&shown["id"]), &shown["name"]),
        (tenant_id, &json!("Acme Ltd")),
        "without the blanks around it"
    );
    assert_eq!(
        (&shown["users"], &shown["agents"], &shown["tokens_this_month"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!((&shown["messages_per_minute"], &shown["tokens_per_month"]), (&json!(60), &Value::Null));
    let agent = desk.ask("agent show", json!({"tenant": slug, "name": "Ada"})).await;
    assert_eq!(
        (uuid(&agent["id"]), &agent["is_default"]),
        (agent_id, &json!(true)),
        "a tenant's first is its default"
    );
    assert_eq!(
        agent["models"],
        json!(["anthropic:claude-sonnet-4-5", "openai:gpt-4.1-mini"]),
        "in their order"
    );
    assert_eq!(agent["tools"], json!(["crm_close", "current_time", "http_get"]));
    assert_eq!(agent["confirm"], json!(["crm_close"]));
    // And it is what the agent's own role finds at its next turn.
    let agents = TenantPool::new(&app.world.postgres_url("konstruct_agent"), 1).unwrap();
    let (tenant, conversation) = (TenantId(tenant_id), id());
    let sql = "INSERT INTO web_conversations (tenant_id, id, agent_id, user_id) VALUES ($1, $2, $3, $4)";
    app.root.execute(sql, &[&tenant_id, &conversation, &agent_id, &user_id]).await.unwrap();
    let tx = agents.begin(tenant).await.unwrap();
    let kit = tx.equipment(AgentId(agent_id), ConversationId(conversation)).await.unwrap();
    assert_eq!(kit.models.len(), 2);
    assert_eq!(kit.grants.iter().filter(|grant| grant.needs_confirmation).count(), 1);
    assert_eq!((kit.servers[0].name.as_str(), kit.failures_until_human), ("crm", Some(3)));
    assert_eq!(kit.http_hosts, ["www.example.com", "example.com"]);
}

#[tokio::test]
async fn what_is_there_otherwise_is_refused_and_stays_as_it_is() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = desk.tenant().await;
    desk.ask("server create", json!({"tenant": slug, "name": "crm", "url": "https://crm.example/mcp"})).await;
    let other = desk.tenant().await;
    let other_id = desk.ask("tenant show", json!({"slug": other})).await["id"].clone();
    let other_user = desk.ask("user list", json!({"tenant": other})).await[0]["id"].clone();
    let before = (desk.all(&slug).await, desk.all(&other).await);
    let email = email(&slug);
    let commands = [
        ("tenant create", json!({"slug": slug, "name": "Another"}), "name"),
        ("tenant create", json!({"slug": slug, "name": "Test", "id": id()}), "id"),
        ("tenant create", json!({"slug": slug, "name": "Test", "tokens_per_month": 1}), "tokens_per_month"),
        ("tenant create", json!({"slug": format!("n-{}", id().simple()), "name": "T", "id": other_id}), "id"),
        ("user create", json!({"tenant": slug, "email": email, "role": "tenant_member"}), "role"),
        ("user create", json!({"tenant": slug, "email": email, "role": "tenant_admin", "id": id()}), "id"),
        (
            "user create",
            json!({"tenant": slug, "email": "new@n.example", "role": "tenant_admin", "id": other_user}),
            "id",
        ),
        ("agent create", json!({"tenant": slug, "name": "Ada", "role": "sales"}), "role"),
        (
            "agent create",
            json!({"tenant": slug, "name": "Ada", "role": "support agent", "persona": "Loud."}),
            "persona",
        ),
        (
            "agent create",
            json!({"tenant": slug, "name": "Ada", "role": "support agent", "tools": ["http_get"]}),
            "tools",
        ),
        (
            "agent create",
            json!({"tenant": slug, "name": "Ada", "role": "support agent", "models": ["openai:x"]}),
            "models",
        ),
        ("agent create", json!({"tenant": slug, "name": "Ada", "role": "support agent", "id": id()}), "id"),
        ("server create", json!({"tenant": slug, "name": "crm", "url": "https://other.example/mcp"}), "url"),
    ];
    for (command, words, field) in commands {
        let refused = desk.ask(command, words.clone()).await;
        assert_eq!(refused["error"]["code"], "conflict", "{command} {words}: {refused}");
        assert_eq!(refused["error"]["field"], field, "{command} {words}: {refused}");
    }
    assert_eq!((desk.all(&slug).await, desk.all(&other).await), before, "a refusal changes nothing");
}

#[tokio::test]
async fn setting_changes_what_is_given_and_nothing_else() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = desk.tenant().await;
    let steps = [
        ("tenant set", json!({"slug": slug, "name": "New", "tokens_per_month": 5_000_000}), "updated"),
        ("tenant set", json!({"slug": slug, "messages_per_minute": 7}), "updated"),
        ("tenant set", json!({"slug": slug, "tokens_per_month": 5_000_000}), "unchanged"),
        (
            "user set",
            json!({"tenant": slug, "email": email(&slug).to_uppercase(), "role": "tenant_member"}),
            "updated",
        ),
        ("user set", json!({"tenant": slug, "email": email(&slug), "role": "tenant_member"}), "unchanged"),
        (
            "agent set",
            json!({"tenant": slug, "name": "Ada", "tools": ["http_get", "current_time"], "confirm": ["http_get"]}),
            "updated",
        ),
        (
            "agent set",
            json!({"tenant": slug, "name": "Ada", "models": ["openai:a", "bedrock:b:0"]}),
            "updated",
        ),
        (
            "agent set",
            json!({"tenant": slug, "name": "Ada", "failures_until_human": 2, "instructions": "Help."}),
            "updated",
        ),
        ("agent set", json!({"tenant": slug, "name": "Ada"}), "unchanged"),
        ("agent create", json!({"tenant": slug, "name": "Bruno", "role": "sales"}), "created"),
        ("agent set", json!({"tenant": slug, "name": "Bruno", "default": true}), "updated"),
        ("agent disable", json!({"tenant": slug, "name": "Bruno"}), "updated"),
        ("agent disable", json!({"tenant": slug, "name": "Bruno"}), "unchanged"),
    ];
    for (command, words, outcome) in steps {
        let answer = desk.ask(command, words.clone()).await;
        assert_eq!(answer["outcome"], outcome, "{command} {words}: {answer}");
    }
    let shown = desk.ask("tenant show", json!({"slug": slug})).await;
    assert_eq!((&shown["name"], &shown["messages_per_minute"]), (&json!("New"), &json!(7)));
    let cleared = desk.ask("tenant set", json!({"slug": slug, "tokens_per_month": null})).await;
    assert_eq!(
        (&cleared["outcome"], &cleared["tenant"]["tokens_per_month"]),
        (&json!("updated"), &Value::Null)
    );
    let agents = desk.ask("agent list", json!({"tenant": slug})).await;
    let (ada, bruno) = (&agents[0], &agents[1]);
    assert_eq!((&ada["name"], &bruno["name"]), (&json!("Ada"), &json!("Bruno")), "by name");
    assert_eq!(
        (&ada["is_default"], &bruno["is_default"]),
        (&json!(false), &json!(true)),
        "one is the default"
    );
    assert_eq!((&ada["is_active"], &bruno["is_active"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&ada["tools"], &ada["confirm"]),
        (&json!(["current_time", "http_get"]), &json!(["http_get"]))
    );
    assert_eq!(
        (&ada["models"], &ada["instructions"]),
        (&json!(["openai:a", "bedrock:b:0"]), &json!("Help."))
    );
    let never =
        json!({"tenant": slug, "id": ada["id"], "failures_until_human": null, "tools": [], "models": []});
    let never = desk.ask("agent set", never).await["agent"].clone();
    assert_eq!(
        (&never["failures_until_human"], &never["tools"], &never["models"]),
        (&Value::Null, &json!([]), &json!([]))
    );
    assert_eq!(never["instructions"], "Help.", "what was not given stays");
}

#[tokio::test]
async fn a_person_of_two_tenants_is_one_and_is_removed_from_one() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let (one, two) = (desk.tenant().await, desk.tenant().await);
    let email = format!("Both.{}@people.example", id().simple());
    let join = |slug: &str, role: &str| json!({"tenant": slug, "email": email, "role": role});
    let first = desk.ask("user create", join(&one, "tenant_member")).await;
    let second = desk.ask("user create", join(&two, "tenant_admin")).await;
    assert_eq!((&first["outcome"], &second["outcome"]), (&json!("created"), &json!("created")));
    assert_eq!(first["user"]["id"], second["user"]["id"], "one person, one sub");
    assert_eq!(first["user"]["email"], email.to_lowercase());
    let who = json!({"tenant": one, "email": email});
    let removed = desk.ask("user remove", who.clone()).await;
    assert_eq!((&removed["outcome"], &removed["user"]["role"]), (&json!("removed"), &json!("tenant_member")));
    assert_eq!(desk.ask("user remove", who).await["outcome"], "unchanged", "and again");
    let listed =
        |users: Value| users.as_array().unwrap().iter().any(|user| user["id"] == first["user"]["id"]);
    assert!(!listed(desk.ask("user list", json!({"tenant": one})).await));
    assert!(listed(desk.ask("user list", json!({"tenant": two})).await), "the other membership stays");
    let back = desk.ask("user create", join(&one, "tenant_admin")).await;
    assert_eq!(
        (&back["outcome"], &back["user"]["id"]),
        (&json!("created"), &first["user"]["id"]),
        "and comes back"
    );
}

#[tokio::test]
async fn commands_that_race_make_one_of_each() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = format!("t-{}", id().simple());
    let commands = [
        ("tenant create", json!({"slug": slug, "name": "Raced"})),
        ("user create", json!({"tenant": slug, "email": email(&slug), "role": "tenant_admin"})),
        (
            "agent create",
            json!({"tenant": slug, "name": "Ada", "role": "support", "default": true, "tools": ["http_get"]}),
        ),
        ("server create", json!({"tenant": slug, "name": "crm", "url": "https://crm.example/mcp"})),
    ];
    let desks = join_all((0..8).map(|_| Desk::open(&app))).await;
    for (command, words) in commands {
        let answers = join_all(desks.iter().map(|desk| desk.ask(command, words.clone()))).await;
        let outcomes: Vec<&Value> = answers.iter().map(|answer| &answer["outcome"]).collect();
        assert_eq!(
            outcomes.iter().filter(|outcome| **outcome == "created").count(),
            1,
            "{command}: {answers:?}"
        );
        assert_eq!(
            outcomes.iter().filter(|outcome| **outcome == "unchanged").count(),
            7,
            "{command}: {answers:?}"
        );
    }
    // Two defaults at once: one after the other, and one is it.
    let names = ["Bruno", "Cleo"];
    let both = join_all(names.iter().zip(&desks).map(|(name, desk)| {
        desk.ask("agent create", json!({"tenant": slug, "name": name, "role": "sales", "default": true}))
    }));
    assert!(both.await.iter().all(|answer| answer["outcome"] == "created"));
    let agents = desk.ask("agent list", json!({"tenant": slug})).await;
    let defaults = agents.as_array().unwrap().iter().filter(|agent| agent["is_default"] == true).count();
    assert_eq!((agents.as_array().unwrap().len(), defaults), (3, 1));
    let keys = join_all(
        desks
            .iter()
            .map(|desk| desk.ask("key set", json!({"tenant": slug, "provider": "openai", "key": "sk-1"}))),
    );
    let keys = keys.await;
    assert_eq!(keys.iter().filter(|answer| answer["outcome"] == "created").count(), 1, "{keys:?}");
    assert!(keys.iter().all(|answer| answer["error"].is_null()), "{keys:?}");
}

#[tokio::test]
async fn keys_are_sealed_for_their_row_and_never_shown() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let slug = desk.tenant().await;
    desk.ask("server create", json!({"tenant": slug, "name": "crm", "url": "https://crm.example/mcp"})).await;
    let tenant = uuid(&desk.ask("tenant show", json!({"slug": slug})).await["id"]);
    let steps = [
        (json!({"provider": "anthropic"}), "first", "created"),
        (json!({"provider": "anthropic"}), "second\n", "updated"),
        (json!({"server": "crm"}), "third", "created"),
    ];
    for (whom, key, outcome) in steps {
        let mut words = whom;
        words["tenant"] = slug.as_str().into();
        words["key"] = key.into();
        let answer = desk.ask("key set", words).await;
        assert_eq!(answer["outcome"], outcome, "{answer}");
        assert!(!answer.to_string().contains(key.trim()), "no answer has the key");
    }
    let opened = async |sql: &str, purpose: &'static str| {
        let row = app.root.query_one(sql, &[&tenant]).await.unwrap();
        let context = SecretContext { tenant, row: row.get(0), purpose };
        secrets().open(&context, &row.get::<_, Value>(1)).await.unwrap().to_string()
    };
    let provider = "SELECT id, key FROM provider_keys WHERE tenant_id = $1";
    assert_eq!(opened(provider, "provider_key").await, "second");
    assert_eq!(
        opened("SELECT id, key FROM tool_servers WHERE tenant_id = $1", "tool_server_key").await,
        "third"
    );
    let listed = desk.ask("key list", json!({"tenant": slug})).await;
    assert_eq!((&listed[0]["provider"], &listed[1]["server"]), (&json!("anthropic"), &json!("crm")));
    for outcome in ["removed", "unchanged"] {
        let answer = desk.ask("key remove", json!({"tenant": slug, "provider": "anthropic"})).await;
        assert_eq!(answer["outcome"], outcome);
        let answer = desk.ask("key remove", json!({"tenant": slug, "server": "crm"})).await;
        assert_eq!(answer["outcome"], outcome);
    }
    assert_eq!(desk.ask("key list", json!({"tenant": slug})).await, json!([]));
    // A server that is removed takes its key with it, and comes back without.
    desk.ask("key set", json!({"tenant": slug, "server": "crm", "key": "k"})).await;
    for outcome in ["removed", "unchanged"] {
        let answer = desk.ask("server remove", json!({"tenant": slug, "name": "crm"})).await;
        assert_eq!((&answer["outcome"], &answer["server"]["has_key"]), (&json!(outcome), &json!(false)));
    }
    let back = desk
        .ask("server create", json!({"tenant": slug, "name": "crm", "url": "https://crm.example/mcp"}))
        .await;
    assert_eq!((&back["outcome"], &back["server"]["is_active"]), (&json!("updated"), &json!(true)));
}

/// proves TEN-01
#[tokio::test]
async fn a_command_for_one_tenant_reaches_no_other() {
    let app = TestApp::start().await;
    let desk = Desk::open(&app).await;
    let (ours, theirs) = (desk.tenant().await, desk.tenant().await);
    desk.ask("server create", json!({"tenant": theirs, "name": "crm", "url": "https://crm.example/mcp"}))
        .await;
    desk.ask("key set", json!({"tenant": theirs, "provider": "openai", "key": "sk-theirs"})).await;
    let before = desk.all(&theirs).await;
    let their_agent = before[2][0]["id"].clone();
    let their_admin = email(&theirs);
    let blind = [
        ("user set", json!({"tenant": ours, "email": their_admin, "role": "tenant_member"}), "not_found"),
        ("agent show", json!({"tenant": ours, "id": their_agent}), "not_found"),
        ("agent set", json!({"tenant": ours, "id": their_agent, "persona": "Ours."}), "not_found"),
        ("agent disable", json!({"tenant": ours, "id": their_agent}), "not_found"),
        (
            "server set",
            json!({"tenant": ours, "name": "crm", "url": "https://evil.example/mcp"}),
            "not_found",
        ),
        ("server remove", json!({"tenant": ours, "name": "crm"}), "not_found"),
        ("key set", json!({"tenant": ours, "server": "crm", "key": "k"}), "not_found"),
        ("agent set", json!({"tenant": ours, "name": "Ada", "tools": ["crm_close"]}), "invalid"),
    ];
    for (command, words, code) in blind {
        let answer = desk.ask(command, words.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{command} {words}: {answer}");
    }
    let own = [
        ("user remove", json!({"tenant": ours, "email": their_admin})),
        ("key remove", json!({"tenant": ours, "provider": "openai"})),
        ("key set", json!({"tenant": ours, "provider": "openai", "key": "sk-ours"})),
        (
            "agent set",
            json!({"tenant": ours, "name": "Ada", "persona": "Ours.", "default": true, "tools": []}),
        ),
        ("agent create", json!({"tenant": ours, "name": "Bruno", "role": "sales", "default": true})),
        ("server create", json!({"tenant": ours, "name": "crm", "url": "https://ours.example/mcp"})),
        ("tenant set", json!({"slug": ours, "name": "Ours", "tokens_per_month": 1})),
        ("tenant disable", json!({"slug": ours})),
    ];
    for (command, words) in own {
        let answer = desk.ask(command, words.clone()).await;
        assert!(answer["outcome"].is_string(), "{command} {words}: {answer}");
    }
    assert_eq!(desk.all(&theirs).await, before, "nothing of theirs has changed");
}

#[tokio::test]
async fn a_database_that_is_away_says_so_and_one_with_another_role_refuses() {
    let command = json!({"command": "tenant list"});
    let away = "postgres://konstruct_owner:x@127.0.0.1:1/konstruct?sslmode=disable";
    let answer = konstruct_runtime::admin::answer(away, &command).await;
    assert_eq!(answer["error"]["code"], "away", "{answer}");
    // Who may not become konstruct_admin may nothing here, not even list.
    let app = TestApp::start().await;
    let answer = konstruct_runtime::admin::answer(&app.world.postgres_url("konstruct_app"), &command).await;
    assert_eq!(answer["error"]["code"], "internal", "{answer}");
    let answer = konstruct_runtime::admin::answer("not a url", &command).await;
    assert_eq!(answer["error"]["code"], "internal", "{answer}");
}
