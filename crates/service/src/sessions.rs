//! A connection's life between `$connect` and `$disconnect`: authenticate, join, resume. Verifying a token is not
//! done here: a [`Principal`] comes in.

use konstruct_domain::access::{Access, in_tenant, with_conversation};
use konstruct_domain::{ConversationId, Principal, Seq, TenantId};
use konstruct_ports::Ids;
use konstruct_postgres::TenantPool;
use konstruct_postgres::conversations::ConversationRow;
use konstruct_protocol::frame::ConnectionStatus;
use konstruct_protocol::{Auth, ErrorCode, ServerFrame};
use konstruct_redis::connections::{Connection, Identity};

use crate::connections::Connections;
use crate::delivery::catch_up::{Joining, LogEnd, catch_up_and_join, log_end};
use crate::error::Error;
use crate::patience::Patience;

/// Authenticates connections.
#[derive(Clone)]
pub struct Sessions<'a> {
    /// Conversations and members.
    pub db: TenantPool,
    /// The registry.
    pub connections: Connections,
    /// Ids of new conversations.
    pub ids: &'a dyn Ids,
    /// Until when to try while something is away.
    pub patience: Patience,
}

impl std::fmt::Debug for Sessions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions<'_> {
    /// Authenticates a connection: settles its conversation, answers `connection`, sends what it missed, joins. A
    /// second `auth` renews the token.
    ///
    /// # Errors
    /// A refusal; `Away` when patience ended.
    pub async fn authenticate(
        &self,
        connection_id: &str,
        connection: Connection,
        caller: &Principal,
        auth: &Auth,
    ) -> Result<(), Error> {
        let tenant = claims_agree(caller, auth)?;
        if let Some(identity) = connection.identity.clone() {
            return self.renew(connection_id, connection, identity, caller, auth).await;
        }
        let named = named_conversation(&connection, auth)?;
        let row = self.patience.retry(|| self.conversation(tenant, named, &connection, caller, auth)).await?;
        let identity = Identity {
            tenant_id: tenant,
            user_id: caller.user_id,
            conversation_id: row.conversation.id,
            expires_at: caller.expires_at,
            telemetry: auth.telemetry,
            resumed: auth.last_seq.is_some(),
        };
        let connection = Connection { identity: Some(identity), ..connection };
        let looked = self.patience.retry(|| self.look(&row)).await?;
        tracing::info!(tenant_id = %tenant, conversation_id = %row.conversation.id, user_id = %caller.user_id,
            resumed = auth.last_seq.is_some(), "authenticated");
        let joined = self.welcome(connection_id, &connection, looked, auth.last_seq.map(Seq)).await;
        self.settle(connection_id, joined).await
    }

    /// What a connection may have missed, and where the log ends: in this order.
    async fn look(&self, row: &ConversationRow) -> Result<LogEnd, Error> {
        let conversation = &row.conversation;
        let missable = self.db.begin(conversation.tenant_id).await?.missable(conversation.id).await?;
        log_end(&self.connections, row, missable).await
    }

    /// A connection whose catching up broke off is closed: frames may have been sent, and nothing is sent twice on a
    /// guess. It comes back with what it has.
    async fn settle(&self, connection_id: &str, joined: Result<bool, Error>) -> Result<(), Error> {
        match joined {
            Ok(true) => {}
            Ok(false) => tracing::info!("a connection went away, or was too slow, while it caught up"),
            Err(error) => {
                tracing::warn!(%error, "a connection that could not catch up was closed");
                self.connections.close(connection_id).await?;
            }
        }
        Ok(())
    }

    /// The conversation of a connection: the one that is named, else the caller's with the agent.
    async fn conversation(
        &self,
        tenant: TenantId,
        named: Option<ConversationId>,
        connection: &Connection,
        caller: &Principal,
        auth: &Auth,
    ) -> Result<ConversationRow, Error> {
        let tx = self.db.begin(tenant).await?;
        if let Some(id) = named {
            let (membership, row) = tx.conversation(id, caller.user_id).await?;
            in_tenant(caller, membership, Access::Write).map_err(|_| no_member(caller))?;
            let row = row.ok_or_else(|| Error::not_found("conversation"))?;
            with_conversation(caller, membership, &row.conversation, row.human, Access::Write)?;
            return Ok(row);
        }
        let fresh = ConversationId(self.ids.new_id());
        let session = connection.query_session.as_ref();
        let opened = tx.open_conversation(fresh, caller.user_id, auth.agent_id, session).await?;
        in_tenant(caller, opened.membership, Access::Write).map_err(|_| no_member(caller))?;
        opened.row.map(|(row, _)| row).ok_or_else(|| Error::not_found("agent"))
    }

    /// `connection` first, then what was missed, then live. `false`: the connection is gone.
    async fn welcome(
        &self,
        connection_id: &str,
        connection: &Connection,
        end: LogEnd,
        after: Option<Seq>,
    ) -> Result<bool, Error> {
        let (Some(viewer), Some(identity)) = (connection.viewer(), connection.identity.as_ref()) else {
            return Ok(false);
        };
        if !self.connections.redis.update_connection(connection_id, connection).await? {
            return Ok(false);
        }
        let frame = ServerFrame::Connection { status: ConnectionStatus::Connected, last_seq: end.last.0 };
        if !self.connections.send(connection_id, Some(&viewer), &frame).await {
            return Ok(false);
        }
        let joining = Joining { tenant: identity.tenant_id, connection_id, viewer: &viewer };
        catch_up_and_join(&self.connections, joining, end, after).await
    }

    /// Renews the token of a live connection: same user and conversation only.
    async fn renew(
        &self,
        connection_id: &str,
        connection: Connection,
        identity: Identity,
        caller: &Principal,
        auth: &Auth,
    ) -> Result<(), Error> {
        let same = caller.user_id == identity.user_id
            && claims_agree(caller, auth)? == identity.tenant_id
            && auth.conversation_id.is_none_or(|id| id == identity.conversation_id);
        if !same {
            let text = "A live connection can be renewed for the same user and conversation only.";
            return Err(Error::refused(ErrorCode::AuthFailed, text));
        }
        let find = || async {
            let tx = self.db.begin(identity.tenant_id).await?;
            tx.conversation(identity.conversation_id, identity.user_id).await
        };
        let (membership, row) = self.patience.retry(find).await?;
        in_tenant(caller, membership, Access::Write).map_err(|_| no_member(caller))?;
        let row = row.ok_or_else(|| Error::not_found("conversation"))?;
        let connection = Connection {
            identity: Some(Identity { expires_at: caller.expires_at, ..identity.clone() }),
            ..connection
        };
        let (tenant, conversation) = (identity.tenant_id, identity.conversation_id);
        let live = self.patience.retry(|| self.connections.redis.live(tenant, conversation)).await?;
        if !live.iter().any(|c| c.connection_id == connection_id) {
            // Its first `auth` died before it joined, or a post to it failed: it would never be sent a frame.
            return self.connections.close(connection_id).await;
        }
        self.connections.redis.update_connection(connection_id, &connection).await?;
        let last_seq = self.patience.retry(|| self.look(&row)).await?.last.0;
        let frame = ServerFrame::Connection { status: ConnectionStatus::Connected, last_seq };
        self.connections.send(connection_id, connection.viewer().as_ref(), &frame).await;
        match (auth.last_seq, &connection.identity) {
            // The connection's one resume, if it has not had it.
            (Some(after), Some(identity)) if !identity.resumed => {
                self.resume(connection_id, &connection, identity, Seq(after)).await
            }
            _ => Ok(()),
        }
    }

    /// Starts over behind `after`: once per connection, before the first new numbered frame.
    ///
    /// # Errors
    /// `invalid_message` later on; `Away` when patience ended.
    pub async fn resume(
        &self,
        connection_id: &str,
        connection: &Connection,
        identity: &Identity,
        after: Seq,
    ) -> Result<(), Error> {
        let too_late = || {
            let text = "A connection can resume once, before its first new frame: reconnect instead.";
            Error::refused(ErrorCode::InvalidMessage, text)
        };
        let (tenant, conversation) = (identity.tenant_id, identity.conversation_id);
        let find =
            || async { self.db.begin(tenant).await?.conversation(conversation, identity.user_id).await };
        let (membership, row) = self.patience.retry(find).await?;
        if membership.is_none() {
            return Err(Error::refused(ErrorCode::AuthFailed, "You are not a member of this tenant."));
        }
        let row = row.ok_or_else(|| Error::not_found("conversation"))?;
        let live = self.connections.redis.live(tenant, conversation).await?;
        let Some(own) = live.into_iter().find(|c| c.connection_id == connection_id) else {
            return Err(too_late());
        };
        if identity.resumed
            || !self.connections.redis.leave_if_quiet(tenant, conversation, connection_id, own.joined).await?
        {
            return Err(too_late());
        }
        let resumed = Connection {
            identity: Some(Identity { resumed: true, ..identity.clone() }),
            ..connection.clone()
        };
        let joined = async {
            self.connections.redis.update_connection(connection_id, &resumed).await?;
            let end = self.look(&row).await?;
            let joining = Joining { tenant, connection_id, viewer: &own.viewer };
            catch_up_and_join(&self.connections, joining, end, Some(after)).await
        };
        self.settle(connection_id, joined.await).await
    }
}

/// The tenant of an `auth`, where everything it claims agrees with the token.
fn claims_agree(caller: &Principal, auth: &Auth) -> Result<TenantId, Error> {
    let disagrees = |what: &str| {
        Err(Error::refused(ErrorCode::AuthFailed, format!("The {what} does not agree with the token.")))
    };
    if auth.user_id.is_some_and(|user| user != caller.user_id) {
        return disagrees("userId");
    }
    if auth.role.as_deref().is_some_and(|role| role != caller.role.as_str()) {
        return disagrees("role");
    }
    match (caller.tenant_id, auth.tenant_id) {
        (Some(own), Some(named)) if own != named => disagrees("tenant_id"),
        (Some(tenant), _) => Ok(tenant),
        (None, Some(tenant)) => Ok(tenant),
        (None, None) => {
            Err(Error::refused(ErrorCode::AuthFailed, "The token names no tenant: name one in tenant_id."))
        }
    }
}

/// The conversation that query and frame name; both: they must agree.
fn named_conversation(connection: &Connection, auth: &Auth) -> Result<Option<ConversationId>, Error> {
    match (connection.query_conversation, auth.conversation_id) {
        (Some(query), Some(frame)) if query != frame => {
            let text = "The conversation_id does not agree with that of the connection.";
            Err(Error::refused(ErrorCode::AuthFailed, text))
        }
        (query, frame) => Ok(query.or(frame)),
    }
}

fn no_member(caller: &Principal) -> Error {
    if caller.is_platform_admin() {
        let text = "A platform admin who is no member of the tenant reads over REST.";
        return Error::refused(ErrorCode::Forbidden, text);
    }
    Error::refused(ErrorCode::AuthFailed, "You are not a member of this tenant.")
}
