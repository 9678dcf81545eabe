//! What calls cost: booked whole, failed, cut and dead; a budget that is weighed before each call.

use konstruct_domain::{Provider, Role};
use konstruct_ports::TokenUsage;
use konstruct_service::turn::Disposition;
use konstruct_service::usage::report;
use konstruct_tests::app::NOW;
use konstruct_tests::builders::principal;
use konstruct_tests::crash::invoke_until;
use konstruct_tests::fakes::model::{Beat, Script, Signal, echo, fatal, retryable};
use konstruct_tests::history::endings;
use konstruct_tests::{TestApp, TestTenant};
use time::{Duration, OffsetDateTime};

use crate::turn::{said, session};

fn used(prompt_tokens: u32, completion_tokens: u32) -> Beat {
    let total_tokens = prompt_tokens + completion_tokens;
    Beat::Usage(TokenUsage { prompt_tokens, completion_tokens, total_tokens })
}

async fn total(app: &TestApp, tenant: &TestTenant) -> i64 {
    let sql = "SELECT coalesce(sum(total_tokens), 0)::bigint FROM llm_usage WHERE tenant_id = $1";
    let booked: i64 = app.root.query_one(sql, &[&tenant.id.0]).await.unwrap().get(0);
    let sql = "SELECT coalesce(sum(spent), 0)::bigint FROM token_months WHERE tenant_id = $1";
    let months: i64 = app.root.query_one(sql, &[&tenant.id.0]).await.unwrap().get(0);
    assert_eq!(booked, months, "the month is the sum of the bill");
    let sql = "SELECT 1 FROM turn_steps WHERE tenant_id = $1 AND reserved > 0";
    assert_eq!(app.count(sql, &[&tenant.id.0]).await, 0, "nothing stays reserved");
    booked
}

/// proves AGNT-02
#[tokio::test]
async fn each_call_is_booked_once_with_the_providers_count_also_one_that_broke() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    app.model().script([
        Script::busy(),
        Script::Stream(vec![used(10, 0), Beat::Say("It".into()), used(10, 1), Beat::Fail(retryable())]),
        Script::Stream(vec![used(20, 0), Beat::Say("It is.".into()), used(20, 2), Beat::Finish]),
    ]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    assert_eq!(app.work(&task).await, Disposition::Done);
    assert_eq!(total(&app, &tenant).await, 11 + 22, "what was refused used nothing");
    app.work(&task).await;
    assert_eq!(total(&app, &tenant).await, 33);
}

/// proves AGNT-02
#[tokio::test]
async fn a_call_that_died_with_its_invocation_is_booked_as_estimated() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let first = Script::Stream(vec![Beat::Say("Half ".into()), Beat::Hang]);
    app.model().script([first, Script::Stream(vec![Beat::Say("Whole.".into()), used(20, 2), Beat::Finish])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    let dies = Signal::default();
    let dead = invoke_until(&app.world, &task, dies.clone());
    app.gateway().wait_for(client.connection(), |frame| frame["content"] == "Half ").await;
    dies.give();
    tokio::task::spawn_blocking(|| dead.join()).await.unwrap().unwrap();
    app.lease_runs_out(conversation).await;
    app.keys.push_lease_runs_out(tenant.id, conversation).await;
    app.work_until_done(&task).await;
    let sql = "SELECT asking, estimated FROM llm_usage WHERE tenant_id = $1 ORDER BY asking";
    let rows = app.root.query(sql, &[&tenant.id.0]).await.unwrap();
    let rows: Vec<(i32, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(1, true), (2, false)]);
    assert!(total(&app, &tenant).await > 22);
}

/// proves AGNT-02
#[tokio::test]
async fn a_spent_budget_ends_turns_with_a_sentence_and_asks_no_model() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let set = "UPDATE tenants SET tokens_per_month = $2 WHERE id = $1";
    app.root.execute(set, &[&tenant.id.0, &1_000_i64]).await.unwrap();
    app.model().script([Script::Stream(vec![Beat::Say("Yes.".into()), used(600, 350), Beat::Finish])]);
    for text in ["one", "two"] {
        let (_, task) = app.message(&tenant, conversation, text).await;
        assert_eq!(app.work(&task).await, Disposition::Done);
    }
    let asked = app.model().asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].tokens_max < 1_000, "no answer is longer than what is left: {}", asked[0].tokens_max);
    let told = endings(&client.numbered(&app)).unwrap();
    assert_eq!(told[1].error.as_deref(), Some("budget_spent"));
    assert_eq!(said(&app, &tenant, conversation).await, ["one", "Yes.", "two"]);
    assert_eq!(total(&app, &tenant).await, 950);
    app.root.execute(set, &[&tenant.id.0, &100_000_i64]).await.unwrap();
    let (_, task) = app.message(&tenant, conversation, "three").await;
    app.work(&task).await;
    assert_eq!(said(&app, &tenant, conversation).await.pop().unwrap(), echo("three"));
}

/// proves AGNT-02
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_cannot_spend_more_than_the_budget() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let set = "UPDATE tenants SET tokens_per_month = 30000 WHERE id = $1";
    app.root.execute(set, &[&tenant.id.0]).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..10 {
        let conversation = app.conversation_of(&tenant, tenant.user, &format!("s{n}")).await;
        tasks.push(app.message(&tenant, conversation, "hello").await.1);
    }
    app.model().script((0..10).map(|_| {
        Script::Stream(vec![
            Beat::Pause(std::time::Duration::from_millis(400)),
            Beat::Say("x".into()),
            used(100, 16_000),
            Beat::Finish,
        ])
    }));
    let agents: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let agent = app.world.agent();
            tokio::spawn(async move { agent.work(&task, &konstruct_tests::app::record()).await })
        })
        .collect();
    for agent in agents {
        agent.await.unwrap();
    }
    let asked = app.model().asked();
    let promised: u64 = asked.iter().map(|request| u64::from(request.tokens_max)).sum();
    assert!(promised <= 30_000, "all answers together: {promised}");
    assert!((1..10).contains(&asked.len()), "{}", asked.len());
}

/// proves AGNT-02
#[tokio::test]
async fn the_next_model_answers_where_the_one_before_fails_and_is_billed_by_its_name() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let models = "INSERT INTO agent_models (tenant_id, agent_id, place, provider, model)
        VALUES ($1, $2, 1, 'anthropic', 'first'), ($1, $2, 2, 'openai', 'second')";
    app.root.execute(models, &[&tenant.id.0, &tenant.agent.0]).await.unwrap();
    let conversation = app.conversation(&tenant).await;
    app.model().script([Script::Refuse(fatal()), Script::say(&["Second."])]);
    let (_, task) = app.message(&tenant, conversation, "hello").await;
    app.work(&task).await;
    let routes: Vec<_> =
        app.model().asked().into_iter().map(|asked| (asked.route.provider, asked.route.model)).collect();
    assert_eq!(routes, [(Provider::Anthropic, "first".to_owned()), (Provider::OpenAi, "second".to_owned())]);
    let billed = "SELECT 1 FROM llm_usage WHERE tenant_id = $1 AND model = 'second'";
    assert_eq!(app.count(billed, &[&tenant.id.0]).await, 1);
    // Five failures in a row, and the first is left alone for a while.
    for _ in 0..5 {
        app.model().script([Script::busy()]);
        let (_, task) = app.message(&tenant, conversation, "again").await;
        app.work(&task).await;
    }
    let before = app.model().asked().len();
    let (_, task) = app.message(&tenant, conversation, "at last").await;
    app.work(&task).await;
    let asked: Vec<_> = app.model().asked().into_iter().skip(before).map(|asked| asked.route.model).collect();
    assert_eq!(asked, ["second"]);
}

/// proves AGNT-02, CHAT-04
#[tokio::test]
async fn the_report_adds_up_by_agent_and_model_for_admins_only() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    for tenant in [&tenant, &tenant, &other] {
        let conversation = app.conversation(tenant).await;
        let (_, task) = app.message(tenant, conversation, "hello").await;
        app.work(&task).await;
    }
    let admin = principal(Role::TenantAdmin, tenant.admin, Some(tenant.id));
    let now: OffsetDateTime = app.root.query_one("SELECT now()", &[]).await.unwrap().get(0);
    let (from, to) = (now - Duration::hours(1), now + Duration::hours(1));
    let lines = report(&app.db, &admin, tenant.id, from, to).await.unwrap();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!((line.agent, line.calls, line.total_tokens), (tenant.agent, 2, 36));
    assert!(
        report(&app.db, &admin, tenant.id, NOW - Duration::days(9), NOW - Duration::days(8))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(report(&app.db, &tenant.caller(), tenant.id, from, to).await.is_err());
    assert!(report(&app.db, &admin, other.id, from, to).await.is_err());
}
