//! One conversation of a schedule: who writes in it, with what, and what they believe happened.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use konstruct_domain::{Access, ConversationId, MessageId, TenantId};
use konstruct_protocol::Dialect;
use konstruct_redis::connections::Connection;
use konstruct_service::Error;
use konstruct_service::conversations::find;
use konstruct_service::patience::Patience;
use konstruct_service::stop::stop;
use konstruct_tests::app::received;
use konstruct_tests::client::TestClient;
use konstruct_tests::seeds::Chance;
use konstruct_tests::{TestApp, TestTenant, id};

use super::tally::Tally;

/// As long as a WebSocket function tries.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a person knows of a message.
#[derive(Debug, Clone)]
pub struct Sent {
    pub id: MessageId,
    pub text: String,
    /// It was acknowledged.
    pub accepted: bool,
    /// A reset came after it was acknowledged (or while nobody knew whether it was stored).
    pub gone: Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    No,
    Yes,
    Perhaps,
}

#[derive(Debug)]
pub struct Room {
    pub tenant: TestTenant,
    /// A word that nobody else may ever see.
    pub canary: String,
    pub conversation: ConversationId,
    pub devices: Vec<TestClient>,
    pub sent: Vec<Sent>,
    pub cancels: usize,
    pub resets: usize,
    pub flushes: usize,
}

impl Room {
    pub async fn open(app: &TestApp, canary: &str, chance: &mut Chance) -> Self {
        let tenant = app.tenant().await;
        app.tool_server(&tenant, "shop", "https://tools.example/mcp").await;
        app.grant(&tenant, "shop_find", false).await;
        let conversation = app.conversation(&tenant).await;
        let mut devices = Vec::new();
        for _ in 0..1 + chance.below(2) {
            let dialect = if chance.once_in(2) { Dialect::Portal } else { Dialect::Session };
            devices.push(TestClient::connected(app, dialect, tenant.caller(), conversation).await);
        }
        let canary = canary.to_owned();
        Self { tenant, canary, conversation, devices, sent: Vec::new(), cancels: 0, resets: 0, flushes: 0 }
    }

    pub const fn place(&self) -> (TenantId, ConversationId) {
        (self.tenant.id, self.conversation)
    }

    /// A new message; sometimes its way to the queue fails.
    pub async fn send(&mut self, app: &TestApp, chance: &mut Chance) {
        if self.sent.len() >= 4 {
            return;
        }
        let text = format!("{} message {}", self.canary, self.sent.len());
        self.sent.push(Sent { id: MessageId(id()), text, accepted: false, gone: Gone::No });
        if chance.once_in(5) {
            app.queue().fail_next(1_000);
        }
        self.accept(app, self.sent.len() - 1).await;
        app.queue().fail_next(0);
    }

    /// A message that was sent is sent again, acknowledged or not.
    pub async fn send_again(&mut self, app: &TestApp, chance: &mut Chance) {
        if !self.sent.is_empty() {
            let n = usize::try_from(chance.below(self.sent.len() as u64)).unwrap();
            self.accept(app, n).await;
        }
    }

    /// As clients do: again until it is acknowledged.
    pub async fn send_what_is_left(&mut self, app: &TestApp) {
        for n in 0..self.sent.len() {
            for _ in 0..20 {
                if !self.sent[n].accepted {
                    self.accept(app, n).await;
                }
            }
            assert!(self.sent[n].accepted, "{}: message {n} is never accepted", self.canary);
        }
    }

    async fn accept(&mut self, app: &TestApp, n: usize) {
        let Self { tenant, conversation, sent, .. } = self;
        let message = received(tenant.id, tenant.user, *conversation, sent[n].id, &sent[n].text);
        match app.inbound().accept(message).await {
            Ok(_) => sent[n].accepted = true,
            Err(Error::Away(_)) => {}
            Err(error) => panic!("{}: {error}", self.canary),
        }
    }

    /// The socket is gone; `$disconnect` comes or does not.
    pub async fn lose_a_device(&mut self, app: &TestApp, chance: &mut Chance) {
        let n = usize::try_from(chance.below(self.devices.len() as u64)).unwrap();
        let connection = self.devices[n].connection();
        app.gateway().hang_up(connection);
        if chance.once_in(2) {
            app.connections().disconnect(connection).await.unwrap();
        }
    }

    /// `$disconnect` is handled before `$connect` has finished.
    pub async fn a_device_that_was_gone_before_it_came(&mut self, app: &TestApp) {
        let connection_id = format!("{}=", id().simple());
        app.gateway().hang_up(&connection_id);
        app.connections().disconnect(&connection_id).await.unwrap();
        let connection = Connection {
            connected_at_ms: 0,
            dialect: Dialect::Portal,
            query_conversation: Some(self.conversation),
            query_session: None,
            identity: None,
        };
        app.connections().connect(&connection_id, &connection).await.unwrap();
    }

    /// Who notices that the socket is gone connects again with the last `seq` seen.
    pub async fn bring_devices_back(&mut self, app: &TestApp) {
        for device in &mut self.devices {
            // A `ping` tells a device that Redis does not know its connection any more.
            if app.connections().find(device.connection()).await.unwrap().is_none() {
                app.connections().close(device.connection()).await.unwrap();
            }
            // Also a new connection may fail at once.
            for _ in 0..20 {
                if app.gateway().is_open(device.connection()) {
                    break;
                }
                match device.connect(app).await {
                    Ok(()) | Err(Error::Away(_)) => {}
                    Err(error) => panic!("{}: {error}", self.canary),
                }
            }
        }
    }

    /// As after a reload: with nothing but the last `seq`.
    pub async fn reconnect_all(&mut self, app: &TestApp) {
        for device in &mut self.devices {
            app.gateway().hang_up(device.connection());
        }
        self.bring_devices_back(app).await;
    }

    pub async fn cancel(&mut self, app: &TestApp, tally: &Tally) {
        let (wake, connections, patience) = (app.wake(), app.connections(), Patience::of(PATIENCE));
        let stopping =
            stop(&wake, &connections, self.tenant.id, self.tenant.user, self.conversation, patience);
        if stopping.await.unwrap() {
            self.cancels += 1;
            tally.cancels.fetch_add(1, Relaxed);
        }
    }

    /// Asked for until it succeeds, as a client does after a 503.
    pub async fn reset(&mut self, app: &TestApp, tally: &Tally) {
        for message in &mut self.sent {
            message.gone = if message.accepted { Gone::Yes } else { Gone::Perhaps };
        }
        self.resets += 1;
        tally.resets.fetch_add(1, Relaxed);
        for _ in 0..20 {
            let reset = async {
                let row = find(&app.db, &self.tenant.caller(), self.conversation, Access::Write).await?;
                app.on_behalf().reset(&row).await
            };
            match reset.await {
                Ok(()) => return,
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("{}: {error}", self.canary),
            }
        }
        panic!("{}: the reset never succeeds", self.canary);
    }

    /// Redis loses its data.
    pub async fn flush(&mut self, app: &TestApp, tally: &Tally) {
        app.keys.flush(self.tenant.id).await;
        for device in &self.devices {
            app.keys.forget_connection(device.connection()).await;
        }
        self.flushes += 1;
        tally.flushes.fetch_add(1, Relaxed);
    }
}
