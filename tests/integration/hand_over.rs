//! A conversation between the AI and a human: taken over, replied in, handed back; by the tool, by an admin, after
//! failures. Nothing of the AI comes behind a take-over, at whatever frame it happens.

use std::time::Duration;

use konstruct_domain::{Content, ConversationId, MessageId, Seq};
use konstruct_protocol::Event;
use konstruct_protocol::event::Holder;
use konstruct_service::confirm::{MemberYes, decide_as_member};
use konstruct_service::conversations::{Filter, history, list};
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::replies::{administered, reply};
use konstruct_service::turn::Disposition;
use konstruct_service::turn::wish::HANDED_OVER;
use konstruct_tests::app::in_trace;
use konstruct_tests::builders::principal;
use konstruct_tests::fakes::model::{Beat, Script, echo, fatal};
use konstruct_tests::history::endings;
use konstruct_tests::{TestApp, TestTenant, id};

use crate::tools::{frame, kinds, shop};
use crate::turn::{said, session};

async fn log(app: &TestApp, tenant: &TestTenant, conversation: ConversationId) -> Vec<(Seq, Event)> {
    app.redis.frames_after(tenant.id, conversation, Seq(0), 10_000).await.unwrap()
}

fn admin(tenant: &TestTenant) -> konstruct_domain::Principal {
    principal(konstruct_domain::Role::TenantAdmin, tenant.admin, Some(tenant.id))
}

async fn says(app: &TestApp, tenant: &TestTenant, conversation: ConversationId, text: &str) -> MessageId {
    let (message, task) = app.message(tenant, conversation, text).await;
    app.work_until_done(&task).await;
    message
}

/// proves AGNT-06
#[tokio::test]
async fn the_tool_ends_the_answer_first_and_then_a_human_has_it_until_it_is_handed_back() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    app.grant(&tenant, "escalate_to_human", false).await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.model().script([Script::call("c1", "escalate_to_human", "{}"), Script::say(&["A colleague comes."])]);
    says(&app, &tenant, conversation, "my order is wrong").await;
    let frames = kinds(&client, &app);
    assert_eq!(frames[frames.len() - 2..], ["whole", "escalation"]);
    assert_eq!(frame(&client, &app, "escalation")["status"], "human");

    let asked = app.model().asked().len();
    says(&app, &tenant, conversation, "anybody there?").await;
    assert_eq!(app.model().asked().len(), asked, "the AI is silent");
    let on_behalf = app.on_behalf();
    let place = administered(&on_behalf, &admin(&tenant), conversation).await.unwrap();
    let (reply_id, content) = (MessageId(id()), Content::parse("The code is 4711.").unwrap());
    for _ in 0..2 {
        reply(&on_behalf, place, conversation, reply_id, &content, in_trace()).await.unwrap();
    }
    let replies: Vec<_> = client.numbered(&app).into_iter().filter(|f| f["by"] == "human").collect();
    assert_eq!(replies.len(), 1, "sent twice, said once");
    assert_eq!(
        (&replies[0]["content"], &replies[0]["in_reply_to"]),
        (&"The code is 4711.".into(), &().into())
    );

    for _ in 0..2 {
        on_behalf.hand_over(place, conversation, false).await.unwrap();
    }
    let told = kinds(&client, &app).iter().filter(|kind| *kind == "escalation").count();
    assert_eq!(told, 2, "handing back what is back tells nobody");
    assert_eq!(frame(&client, &app, "escalation")["status"], "ai");
    says(&app, &tenant, conversation, "and now?").await;
    assert_eq!(
        app.model().prompts().pop().unwrap(),
        [
            "my order is wrong",
            "A colleague comes.",
            "anybody there?",
            "[A human colleague wrote:] The code is 4711.",
            "and now?"
        ]
    );
    let (messages, _) = history(&app.db, &tenant.caller(), conversation, None, 50).await.unwrap();
    let by_human: Vec<bool> = messages.iter().map(|m| m.by_human).collect();
    assert_eq!(by_human, [false, false, false, true, false, false]);
}

/// proves AGNT-06
#[tokio::test]
async fn who_plainly_asks_for_a_human_gets_one_also_where_no_model_answers() {
    let app = TestApp::start().await;
    for granted in [true, false] {
        let tenant = app.tenant().await;
        if granted {
            app.grant(&tenant, "escalate_to_human", false).await;
        }
        let conversation = app.conversation(&tenant).await;
        let client = session(&app, &tenant, conversation).await;
        let asked = app.model().asked().len();
        says(&app, &tenant, conversation, "I want to talk to a human, please.").await;
        let told = endings(&client.numbered(&app)).unwrap();
        let handed = kinds(&client, &app).contains(&"escalation".to_owned());
        assert_eq!(handed, granted);
        assert_eq!(app.model().asked().len() - asked, usize::from(!granted), "{:?}", told[0]);
        assert_eq!(told[0].answer.as_ref().unwrap().1 == HANDED_OVER, granted);
    }
}

/// proves AGNT-06, CHAT-04
#[tokio::test]
async fn an_admin_sees_replies_in_and_takes_over_what_is_his_tenants_and_nobody_else_does() {
    let app = TestApp::start().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let conversation = app.conversation(&tenant).await;
    says(&app, &tenant, conversation, "hello").await;
    let on_behalf = app.on_behalf();
    let may = async |caller| administered(&on_behalf, &caller, conversation).await.is_ok();
    assert!(may(admin(&tenant)).await);
    assert!(!may(tenant.caller()).await && !may(admin(&other)).await);
    let content = Content::parse("I am here.").unwrap();
    let read = async || history(&app.db, &admin(&tenant), conversation, None, 9).await.is_ok();
    let listed = async |human| {
        let filter = Filter { tenant: Some(tenant.id), human: Some(human), limit: 50, cursor: None };
        let rows = list(&app.db, &app.platform, &admin(&tenant), filter).await.unwrap().0;
        rows.iter().any(|row| row.conversation.id == conversation)
    };
    assert!(!read().await && !listed(true).await);
    reply(&on_behalf, tenant.id, conversation, MessageId(id()), &content, in_trace()).await.unwrap();
    assert!(read().await && listed(true).await && !listed(false).await, "a reply takes it over");
    let unknown = on_behalf.hand_over(other.id, conversation, true).await;
    assert!(unknown.is_err(), "another tenant's");
}

/// proves AGNT-06
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_whatever_frame_it_is_taken_over_nothing_of_the_ai_comes_behind() {
    let app = TestApp::start().await;
    let pause = || Beat::Pause(Duration::from_millis(25));
    let say = |text: &str| Beat::Say(text.to_owned());
    let script = || {
        [
            Script::Stream(vec![
                say("One "),
                pause(),
                say("two "),
                pause(),
                say("three."),
                pause(),
                Beat::Call("c1".into(), "shop_find".into(), r#"{"what": "x"}"#.into()),
                Beat::Finish,
            ]),
            Script::Stream(vec![pause(), say("Four "), pause(), say("five."), pause(), Beat::Finish]),
        ]
    };
    let mut cut = 0;
    for at in 1..=11 {
        let tenant = shop(&app).await;
        let conversation = app.conversation(&tenant).await;
        let client = session(&app, &tenant, conversation).await;
        app.model().clear_scripts();
        app.model().script(script());
        let (message, task) = app.message(&tenant, conversation, "count").await;
        let (behind, waits) = app.message(&tenant, conversation, "and then?").await;
        let agent = app.agent();
        let working = {
            let task = task.clone();
            tokio::spawn(async move { agent.work(&task, &konstruct_tests::app::record()).await })
        };
        app.gateway().wait_for(client.connection(), |frame| frame["seq"] == at).await;
        app.on_behalf().hand_over(tenant.id, conversation, true).await.unwrap();
        working.await.unwrap();
        app.work_until_done(&task).await;
        app.work_until_done(&waits).await;
        let log = log(&app, &tenant, conversation).await;
        let handed =
            log.iter().position(|(_, e)| matches!(e, Event::Escalation { status: Holder::Human })).unwrap();
        assert_eq!(handed, log.len() - 1, "at {at}: {:?}", &log[handed..]);
        let ends = log
            .iter()
            .filter(|(_, e)| matches!(e, Event::Answer { in_reply_to, .. } if *in_reply_to == message));
        assert_eq!(ends.count(), 1, "at {at}");
        let told = endings(&client.numbered(&app)).unwrap();
        cut += usize::from(told[0].stopped);
        let results = log.iter().filter(|(_, e)| matches!(e, Event::ToolResult { .. })).count();
        let calls = log.iter().filter(|(_, e)| matches!(e, Event::ToolCall { .. })).count();
        assert_eq!(calls, results, "at {at}: each call has its result");
        let silent = "SELECT 1 FROM turns WHERE id = $1 AND state = 'ended' AND delivered_at IS NOT NULL";
        assert_eq!(app.count(silent, &[&behind.0]).await, 1, "what waited is context");
        assert!(!said(&app, &tenant, conversation).await.contains(&echo("and then?")));
    }
    assert!(cut >= 8, "most were cut: {cut}");
}

/// proves AGNT-06, AGNT-05
#[tokio::test]
async fn what_waits_for_a_yes_is_denied_and_ended_by_a_take_over() {
    let app = TestApp::start().await;
    let tenant = shop(&app).await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.model().script([Script::call("c1", "shop_buy", r#"{"what": "a hat"}"#)]);
    let message = says(&app, &tenant, conversation, "buy").await;
    app.on_behalf().hand_over(tenant.id, conversation, true).await.unwrap();
    let kinds = kinds(&client, &app);
    assert_eq!(kinds[kinds.len() - 4..], ["tool_confirm", "tool_result", "whole", "escalation"]);
    assert_eq!(frame(&client, &app, "tool_result")["result"], "not run: denied");
    assert!(endings(&client.numbered(&app)).unwrap()[0].stopped);
    let yes = MemberYes { conversation, user: tenant.user, call_id: "c1", approve: true };
    let patience = Patience::of(WEBSOCKET);
    assert!(!decide_as_member(&app.wake(), tenant.id, yes, patience).await.unwrap(), "{message}");
    assert_eq!(app.tools().times("buy"), 0);
}

/// proves AGNT-06
#[tokio::test]
async fn after_failures_in_a_row_a_human_gets_the_conversation() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let set = "UPDATE agents SET failures_until_human = 2 WHERE id = $1";
    app.root.execute(set, &[&tenant.agent.0]).await.unwrap();
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    let fails = async |text: &str| {
        app.model().script([Script::Refuse(fatal())]);
        says(&app, &tenant, conversation, text).await;
    };
    fails("one").await;
    says(&app, &tenant, conversation, "two").await;
    fails("three").await;
    assert!(
        !kinds(&client, &app).contains(&"escalation".to_owned()),
        "an answer in between counts from the start"
    );
    fails("four").await;
    let kinds = kinds(&client, &app);
    assert_eq!(kinds[kinds.len() - 2..], ["error", "escalation"]);
}

/// proves AGNT-06
#[tokio::test]
async fn a_take_over_that_died_half_way_is_completed_by_whoever_comes_next() {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    says(&app, &tenant, conversation, "hello").await;
    // As far as the first transaction, and no further.
    app.db.begin(tenant.id).await.unwrap().raise_epoch(conversation, Some(true)).await.unwrap();
    assert!(!kinds(&client, &app).contains(&"escalation".to_owned()));
    app.on_behalf().hand_over(tenant.id, conversation, true).await.unwrap();
    app.on_behalf().hand_over(tenant.id, conversation, true).await.unwrap();
    let told = kinds(&client, &app).into_iter().filter(|kind| kind == "escalation").count();
    assert_eq!(told, 1);
}

/// proves AGNT-06
#[tokio::test]
async fn a_reply_whose_function_died_is_brought_by_the_agent() {
    let app = TestApp::alone().await;
    let tenant = app.tenant().await;
    let conversation = app.conversation(&tenant).await;
    let client = session(&app, &tenant, conversation).await;
    app.on_behalf().hand_over(tenant.id, conversation, true).await.unwrap();
    let (reply_id, content) = (MessageId(id()), Content::parse("Here I am.").unwrap());
    app.db
        .begin(tenant.id)
        .await
        .unwrap()
        .store_reply(conversation, reply_id, &content, in_trace().id)
        .await
        .unwrap();
    let old = "UPDATE turns SET created_at = created_at - interval '2 minutes', ended_at = ended_at - interval '2 minutes'";
    app.root.execute(old, &[]).await.unwrap();
    assert_eq!(konstruct_service::janitor::rescue(&app.wake()).await.unwrap(), 1);
    let task = app.queue().sent().pop().unwrap().task();
    let record = konstruct_service::turn::Record { rescue: true, ..konstruct_tests::app::record() };
    assert_eq!(app.agent().work(&task, &record).await, Disposition::Done);
    let replies: Vec<_> = client.numbered(&app).into_iter().filter(|f| f["by"] == "human").collect();
    assert_eq!((replies.len(), &replies[0]["content"]), (1, &"Here I am.".into()));
    assert_eq!(konstruct_service::janitor::rescue(&app.wake()).await.unwrap(), 0);
}
