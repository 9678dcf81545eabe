//! What must hold of a conversation whatever went wrong: CHAT-08, CHAT-09 and CHAT-12, looked up in the history and in
//! every frame a device got. It repairs and forgives nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::{Rest, text_of};
use crate::device::{Device, Kept};

/// `w1 … wN`, what the model answers to `/tokens N RATE`.
pub fn words(count: usize) -> String {
    let words: Vec<String> = (1..=count).map(|n| format!("w{n}")).collect();
    words.join(" ")
}

/// What was found of a conversation that holds.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages whose turn ended in an error.
    pub failed: Vec<String>,
    /// Answers that were begun anew.
    pub discards: usize,
    pub gaps: usize,
    pub connections: usize,
}

impl Device {
    /// Waits until every message has ended: a frame says so or, after a `replay_gap`, the history does.
    pub async fn until_ended(&self, ids: &[String], within: Duration) {
        let until = Instant::now() + within;
        let rest = Rest::on(self.stack, &self.user);
        loop {
            let open: Vec<&String> = ids.iter().filter(|id| self.look(|k| k.ends(id).is_empty())).collect();
            if open.is_empty() {
                return;
            }
            if self.look(Kept::gaps) > 0 {
                let history = rest.history(&self.conversation()).await;
                if open.iter().all(|id| history.iter().any(|m| ends(m, id))) {
                    return;
                }
            }
            if Instant::now() > until {
                let (first, rest) = (open[0].clone(), open.len() - 1);
                println!("{rest} more messages have not ended");
                self.end_of(&first, Duration::ZERO).await;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Holds the conversation against the promise. `said`: every message, with the whole text of its answer where that
    /// is known; in the order in which they were accepted where `in_order`.
    pub async fn verify(&self, said: &[(String, Option<String>)], in_order: bool) -> Found {
        let history = Rest::on(self.stack, &self.user).history(&self.conversation()).await;
        let conversation = self.conversation();
        let stored: Vec<&str> =
            history.iter().filter(|m| m["role"] == "user").filter_map(|m| m["id"].as_str()).collect();
        let ids: Vec<&str> = said.iter().map(|(id, _)| id.as_str()).collect();
        if in_order {
            assert_eq!(stored, ids, "{conversation}: stored once each, in the order of their acceptance");
        } else {
            let (once, all): (BTreeSet<&str>, BTreeSet<&str>) =
                (stored.iter().copied().collect(), ids.iter().copied().collect());
            assert_eq!((stored.len(), once), (ids.len(), all), "{conversation}: stored once each");
        }
        let answers = history.iter().filter(|m| m["role"] == "assistant").count();
        let mut found = Found::default();
        for (id, text) in said {
            self.one(&history, id, text.as_deref(), &mut found);
        }
        assert_eq!(answers + found.failed.len(), said.len(), "{conversation}: answers and failures");
        self.look(|kept| {
            let seqs: Vec<i64> = kept.numbered().filter_map(|f| f["seq"].as_i64()).collect();
            let repeated = seqs.windows(2).find(|w| w[0] >= w[1]);
            assert_eq!(repeated, None, "{conversation}: a frame came twice or out of order");
            let ends: BTreeMap<usize, i64> = stored
                .iter()
                .enumerate()
                .filter_map(|(n, id)| Some((n, kept.ends(id).first()?["seq"].as_i64()?)))
                .collect();
            assert!(ends.values().is_sorted(), "{conversation}: answered in another order than accepted");
            found.discards = kept.numbered().filter(|f| f["type"] == "discard").count();
            found.gaps = kept.gaps();
            found.connections = kept.connections;
        });
        found
    }

    fn one(&self, history: &[Value], id: &str, text: Option<&str>, found: &mut Found) {
        let stored: Vec<&Value> = history.iter().filter(|m| m["in_reply_to"] == id).collect();
        let failed = history.iter().find(|m| m["id"] == id).and_then(|m| m["error"].as_str());
        assert_eq!(stored.len() + usize::from(failed.is_some()), 1, "{id}: one answer or one error");
        if failed.is_some() {
            found.failed.push(id.to_owned());
        }
        if let (Some(text), Some(answer)) = (text, stored.first()) {
            assert_eq!(answer["content"], text, "{id}: the stored answer");
        }
        self.look(|kept| {
            let ends = kept.ends(id);
            assert!(ends.len() <= 1, "{id}: ended {} times", ends.len());
            let Some(end) = ends.first() else {
                assert!(kept.gaps() > 0, "{id}: never ended on this device, and no gap was told");
                return;
            };
            match stored.first() {
                Some(answer) => {
                    assert_eq!(end["message_id"], answer["id"], "{id}: another answer than the stored one");
                    assert_eq!(text_of(end), answer["content"].as_str().unwrap_or("?"), "{id}");
                    if kept.gaps() == 0 {
                        assert_eq!(kept.text(&end["message_id"]), text_of(end), "{id}: pieces and whole");
                    }
                }
                None => assert_eq!(end["code"].as_str(), failed, "{id}: ended otherwise than stored"),
            }
        });
    }
}

fn ends(message: &Value, id: &str) -> bool {
    message["in_reply_to"] == id || message["id"] == id && message["error"].is_string()
}
