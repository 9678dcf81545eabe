//! Stories of tools, of a yes, and of humans.

use std::collections::BTreeMap;

use konstruct_domain::{Content, MessageId};
use konstruct_protocol::TaskKind;
use konstruct_service::confirm::{MemberYes, decide_as_member};
use konstruct_service::patience::{Patience, WEBSOCKET};
use konstruct_service::replies::reply;
use konstruct_tests::app::in_trace;
use konstruct_tests::fakes::model::Script;
use konstruct_tests::id;
use serde_json::Value;

use super::{Stage, TEXT};
use crate::process::{Death, run};

type Reached = BTreeMap<&'static str, usize>;

impl Stage {
    /// A server of tools: one runs at once, one asks first; and a way to a human.
    fn equipped(&self) {
        let Self { runtime, app, tenant, .. } = self;
        runtime.block_on(async {
            app.tool_server(tenant, "shop", "https://tools.example/mcp").await;
            app.grant(tenant, "shop_find", false).await;
            app.grant(tenant, "shop_buy", true).await;
            app.grant(tenant, "escalate_to_human", false).await;
        });
    }

    fn frames_of(&self, kind: &str) -> Vec<Value> {
        self.client.numbered(&self.app).into_iter().filter(|frame| frame["type"] == kind).collect()
    }

    /// Every call that was shown has one result, and no tool ran twice.
    fn calls_hold(&self, death: Option<Death>, tool: &str) {
        let (calls, results) = (self.frames_of("tool_call"), self.frames_of("tool_result"));
        let ids = |frames: &[Value]| -> Vec<String> {
            frames.iter().map(|frame| frame["tool_call_id"].to_string()).collect()
        };
        assert_eq!(ids(&calls), ids(&results), "{death:?}");
        assert!(self.app.tools().times(tool) <= 1, "{death:?}: {tool} ran twice");
        if self.app.tools().times(tool) == 0 {
            let told = results.iter().any(|frame| frame["result"].to_string().contains("interrupted"));
            assert!(told, "{death:?}: it did not run, and nobody says so: {results:?}");
        }
    }
}

/// The agent calls a tool and answers; it dies.
pub fn tool(stage: &mut Stage, death: Option<Death>) -> Reached {
    stage.equipped();
    // A model that is asked once more, by whoever comes next, answers.
    let says = || Script::say(&["It is ", "there."]);
    stage.app.model().script([Script::call("c1", "shop_find", r#"{"what": "x"}"#), says(), says()]);
    let (_, task) = stage.message();
    let reached = stage.work(&task, death);
    let end = stage.ended_once(death);
    assert!(end.answer.is_some(), "{death:?}");
    if !stage.frames_of("tool_call").is_empty() {
        stage.calls_hold(death, "find");
    }
    assert_eq!(stage.said().len(), 2, "{death:?}");
    reached
}

/// A tool asks; the person says yes; agent, decision or agent dies.
pub fn confirmed(stage: &mut Stage, death: Option<Death>) -> Reached {
    stage.equipped();
    stage.app.model().script([
        Script::call("c1", "shop_buy", r#"{"what": "x"}"#),
        Script::say(&["Bought."]),
        Script::say(&["Bought."]),
    ]);
    let (message, task) = stage.message();
    let mut reached = stage.work(&task, death);
    stage.time_passes();
    if stage.frames_of("tool_confirm").is_empty() {
        // The model was asked anew, and its second answer is the end: nothing waits.
        stage.ended_once(death);
        return reached;
    }
    let (world, tenant, conversation) = (stage.app.world.clone(), stage.tenant, stage.conversation);
    let say_yes = async || {
        let app = world.app().await;
        let yes = MemberYes { conversation, user: tenant.user, call_id: "c1", approve: true };
        decide_as_member(&app.wake(), tenant.id, yes, Patience::of(WEBSOCKET)).await.unwrap()
    };
    let decided = run(death, say_yes);
    if decided.done.is_none() {
        run(None, say_yes);
    }
    // The continue that was queued, or the janitor's wake where it was lost: the same turn either way.
    let task = konstruct_protocol::Task::new(TaskKind::Continue, task.epoch, task.message);
    let after = stage.work(&task, death);
    let end = stage.ended_once(death);
    assert_eq!(end.in_reply_to, message.to_string());
    stage.calls_hold(death, "buy");
    reached.extend(decided.reached);
    for (point, times) in after {
        let most = reached.entry(point).or_default();
        *most = times.max(*most);
    }
    reached
}

/// The tool hands the conversation to a human; the agent dies.
pub fn escalated(stage: &mut Stage, death: Option<Death>) -> Reached {
    stage.equipped();
    stage.app.model().script([
        Script::call("c1", "escalate_to_human", "{}"),
        Script::say(&["Somebody comes."]),
        Script::say(&["Somebody comes."]),
    ]);
    let (_, task) = stage.message();
    let reached = stage.work(&task, death);
    stage.ended_once(death);
    let told = stage.frames_of("escalation").len();
    let human = "SELECT 1 FROM web_conversations WHERE tenant_id = $1 AND status = 'human'";
    let human = stage.runtime.block_on(stage.app.count(human, &[&stage.tenant.id.0]));
    assert_eq!(told, usize::try_from(human).unwrap(), "{death:?}: who has it is told once");
    assert!(death.is_some() || human == 1);
    reached
}

/// A person plainly asks for a human; the agent dies.
pub fn wished(stage: &mut Stage, death: Option<Death>) -> Reached {
    stage.equipped();
    let (_, task) =
        stage.runtime.block_on(stage.app.message(&stage.tenant, stage.conversation, "human, please"));
    let reached = stage.work(&task, death);
    let end = stage.ended_once(death);
    assert_eq!(end.answer.unwrap().1, konstruct_service::turn::wish::HANDED_OVER, "{death:?}");
    assert_eq!(stage.frames_of("escalation").len(), 1, "{death:?}");
    reached
}

/// A take-over during an answer, then a reply; both are asked for again.
pub fn taken_over(stage: &mut Stage, death: Option<Death>) -> Reached {
    let (message, task) = stage.message();
    let dies = Some(Death { point: "log.appended", time: 4 });
    let world = stage.app.world.clone();
    assert!(
        run(dies, async || world.agent().work(&task, &konstruct_tests::app::record()).await).done.is_none()
    );
    stage.time_passes();
    let (tenant, conversation) = (stage.tenant, stage.conversation);
    let (reply_id, content) = (MessageId(id()), Content::parse("I am here.").unwrap());
    let answer = async || {
        let app = world.app().await;
        reply(&app.on_behalf(), tenant.id, conversation, reply_id, &content, in_trace()).await.unwrap();
    };
    let first = run(death, answer);
    if first.done.is_none() {
        stage.time_passes();
        assert!(run(None, answer).done.is_some(), "{death:?}");
    }
    stage.work(&task, None);
    let end = stage.ended_once(death);
    assert_eq!((end.in_reply_to, end.stopped), (message.to_string(), true), "{death:?}");
    assert_eq!(stage.frames_of("escalation").len(), 1, "{death:?}");
    let replies =
        stage.client.numbered(&stage.app).into_iter().filter(|frame| frame["by"] == "human").count();
    assert_eq!(replies, 1, "{death:?}: the reply came {replies} times");
    assert_eq!(stage.said().first().map(String::as_str), Some(TEXT));
    assert_eq!(stage.said().len(), 3, "{death:?}");
    first.reached
}
