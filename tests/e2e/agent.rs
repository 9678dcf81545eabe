//! The agent with the real binaries: tools over MCP, a yes from several devices at once, what everything costs.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{Rest, Ws, text_of};
use crate::device::{Device, Kept};
use crate::dice::Dice;
use crate::stack::Stack;
use crate::trouble::Trouble;

/// Mixed turns whose bill is compared with the model's own.
const TURNS: usize = 500;
/// Confirmations raced by two devices.
const RACES: usize = 25;

async fn list(url: String) -> Vec<Value> {
    let answer = Rest::with(None).get(&url).await;
    answer.body.as_array().unwrap_or_else(|| panic!("no list at {url}")).clone()
}

/// What the development model counted: calls, and tokens of prompts and answers.
async fn counted(stack: &Stack) -> (i64, i64, i64) {
    let calls = list(format!("{}/_model/calls", stack.url("model_url"))).await;
    let sum = |name: &str| calls.iter().map(|call| call[name].as_i64().unwrap_or(0)).sum();
    let paid = calls.iter().filter(|call| call["prompt_tokens"].as_i64() > Some(0)).count();
    (i64::try_from(paid).unwrap_or(i64::MAX), sum("prompt_tokens"), sum("completion_tokens"))
}

/// What the tenant was billed.
async fn billed(stack: &'static Stack, slug: &str) -> (i64, i64, i64) {
    let rest = Rest::on(stack, &stack.admin(slug));
    let path = format!(
        "!/api/portal/usage?tenant_id={}&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z",
        stack.tenant_id(slug)
    );
    let answer = rest.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let lines = answer.body.as_array().expect("a list").clone();
    let sum = |name: &str| lines.iter().map(|line| line[name].as_i64().unwrap_or(0)).sum();
    (sum("calls"), sum("prompt_tokens"), sum("completion_tokens"))
}

/// How often a ticket was closed.
async fn closed(stack: &Stack, ticket: &str) -> usize {
    let calls = list(format!("{}/_tickets/calls", stack.url("recorder_url"))).await;
    calls
        .iter()
        .filter(|call| call["tool"] == "tickets_close" && call["arguments"]["ticket"] == ticket)
        .count()
}

/// proves AGNT-04, AGNT-05, WS-03
#[tokio::test]
async fn a_yes_and_a_no_from_two_devices_at_once_make_one_decision_and_the_tool_runs_accordingly() {
    let stack = Stack::get();
    let mut dice = Dice::new();
    println!("TEST_SEED={}", dice.seed);
    let user = stack.member("acme");
    let (mut yes, mut no) = (0, 0);
    for race in 0..RACES {
        let mut one = Ws::session(&user).await;
        let mut two = Ws::portal(&user, &one.conversation()).await;
        let ticket = format!("race-{race}-{}", dice.between(0, 1 << 40));
        let id = one.say(&format!("/tool tickets_close {{\"ticket\": \"{ticket}\"}}")).await;
        let asked = one.until(|f| f["type"] == "tool_confirm").await;
        let says = |approve: bool| json!({"type": "tool_confirm", "tool_call_id": asked["tool_call_id"], "approve": approve});
        let first = dice.between(0, 1) == 0;
        let (this, that) = (says(first), says(!first));
        tokio::join!(one.send(&this), two.send(&that));
        let result = one.until(|f| f["type"] == "tool_result").await;
        let end = one.end_of(&id).await;
        let ran = closed(stack, &ticket).await;
        let denied = result["result"] == "not run: denied";
        assert_eq!(ran, usize::from(!denied), "{result}");
        assert!(text_of(&end).contains(result["result"].as_str().unwrap_or("?")));
        yes += usize::from(!denied);
        no += usize::from(denied);
        one.send(&says(true)).await;
        one.until(|f| f["code"] == "not_found").await;
        assert_eq!(closed(stack, &ticket).await, ran, "a decision that comes again runs nothing");
    }
    println!("of {RACES} races between two devices yes won {yes} and no {no}");
}

/// One conversation's share of mixed turns; what a stop cuts is cut while the model is provably between two pieces.
async fn mixed(stack: &'static Stack, n: usize, turns: usize) {
    let device = Device::fresh(stack, &stack.member("acme")).await;
    let kinds = [
        "hello there",
        "/tokens 40 0",
        "/tool current_time {\"timezone\": \"Asia/Tokyo\"}",
        "/error 500 once",
        "/tool tickets_lookup {\"ticket\": \"7\"}",
        "/error 400",
        "/tool no_such_tool",
        "/tokens 400 0.5",
        "/error midstream",
        "/tool search_history {\"query\": \"hello\"}",
        "/slow 300",
        "/history",
    ];
    for turn in 0..turns {
        let kind = kinds[(n * 5 + turn) % kinds.len()];
        let pieces =
            |kept: &Kept| kept.numbered().filter(|f| f["type"] == "chunk" || f["streaming"] == true).count();
        let before = device.look(pieces);
        let id = device.said(kind).await;
        if kind == "/tokens 400 0.5" {
            // A piece every two seconds: the stop comes right behind one.
            device
                .wait("a piece", Duration::from_secs(60), |kept| (pieces(kept) > before).then_some(()))
                .await;
            device.cancel().await;
        }
        device.end_of(&id, Duration::from_secs(90)).await;
    }
}

/// proves AGNT-02
#[tokio::test]
async fn the_bill_of_five_hundred_mixed_turns_is_the_models_own_count_to_the_token() {
    let trouble = Trouble::outages().await;
    let stack = trouble.stack;
    trouble.drained(Duration::from_secs(120)).await;
    let (counted_before, billed_before) = (counted(stack).await, billed(stack, "acme").await);
    let conversations = 10;
    join_all((0..conversations).map(|n| mixed(stack, n, TURNS / conversations))).await;
    trouble.drained(Duration::from_secs(120)).await;
    let (counted, billed) = (counted(stack).await, billed(stack, "acme").await);
    let since = |now: (i64, i64, i64), before: (i64, i64, i64)| {
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    };
    let (model, ledger) = (since(counted, counted_before), since(billed, billed_before));
    println!(
        "{TURNS} mixed turns: the model counted {} calls, {} + {} tokens; billed {} calls, {} + {}",
        model.0, model.1, model.2, ledger.0, ledger.1, ledger.2
    );
    assert_eq!(ledger, model);
}

/// proves AGNT-06, AGNT-02, CHAT-04
#[tokio::test]
async fn what_operators_may_ask_is_answered_by_the_book() {
    let stack = Stack::get();
    let (admin, member) = (Rest::of(&stack.admin("acme")), Rest::of(&stack.member("acme")));
    let stranger = Rest::of(&stack.admin("globex"));
    let conversation = member.conversation("acme").await;
    let escalation = format!("/conversations/{conversation}/escalation");
    let replies = format!("/conversations/{conversation}/replies");
    let unknown = "/conversations/00000000-0000-4000-8000-000000000000/escalation";
    let human = json!({"status": "human"});
    for (rest, path, body, status) in [
        (&member, &escalation, human.clone(), 403),
        (&stranger, &escalation, human.clone(), 404),
        (&Rest::with(None), &escalation, human.clone(), 401),
        (&admin, &unknown.to_owned(), human.clone(), 404),
        (&admin, &escalation, json!({"status": "robot"}), 422),
        (&admin, &escalation, json!({}), 422),
        (&admin, &escalation, json!([]), 422),
        (&admin, &escalation, human.clone(), 200),
        (&admin, &escalation, human, 200),
    ] {
        let answer = rest.call("PUT", path, Some(body.clone())).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
    }
    let id = uuid::Uuid::new_v4();
    for (rest, body, status) in [
        (&member, json!({"content": "x"}), 403),
        (&stranger, json!({"content": "x"}), 404),
        (&admin, json!({}), 422),
        (&admin, json!({"content": " "}), 422),
        (&admin, json!({"content": "x".repeat(32_001)}), 422),
        (&admin, json!({"content": "x", "id": "7"}), 422),
        (&admin, json!({"content": "once", "id": id}), 202),
        (&admin, json!({"content": "once", "id": id}), 202),
    ] {
        let answer = rest.post(&replies, body.clone()).await;
        assert_eq!(answer.status, status, "{body:.60}: {}", answer.body);
    }
    let history = member.history(&conversation).await;
    assert_eq!(history.len(), 1);
    assert_eq!((&history[0]["content"], &history[0]["by"]), (&json!("once"), &json!("human")));
    let tenant = stack.tenant_id("acme");
    let usage = |query: &str| format!("!/api/portal/usage?tenant_id={tenant}&{query}");
    for (rest, query, status) in [
        (&admin, "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", 200),
        (&admin, "from=2026-01-01T00:00:00%2B02:00&to=2026-02-01T00:00:00Z", 200),
        (&admin, "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400),
        (&admin, "from=yesterday&to=2026-02-01T00:00:00Z", 400),
        (&admin, "to=2026-02-01T00:00:00Z", 400),
        (&member, "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", 403),
        (&stranger, "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", 403),
        (
            &Rest::with(Some(stack.platform_admin_token())),
            "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z",
            200,
        ),
    ] {
        let answer = rest.get(&usage(query)).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
    }
    let bad = admin.get(&format!("/conversations?tenant_id={tenant}&status=robot")).await;
    assert_eq!(bad.status, 400);
}
