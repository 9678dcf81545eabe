-- What was said. A thread of any channel is one row of web_conversations.
CREATE TABLE web_conversations (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    channel text NOT NULL DEFAULT 'web' CHECK (channel IN
        ('web', 'slack', 'whatsapp', 'telegram', 'teams', 'mattermost', 'rocketchat', 'signal')),
    agent_id uuid NOT NULL,
    user_id uuid REFERENCES portal_users (id),
    -- '' is the empty session; off the web the channel's native thread key.
    session_id text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'ai' CHECK (status IN ('ai', 'human')),
    -- Grows on reset, take-over and hand-back; a write under an old epoch writes nothing.
    epoch bigint NOT NULL DEFAULT 0,
    last_position bigint NOT NULL DEFAULT 0,
    -- The agent at work, and the number that fences off those before it.
    lease_until timestamptz,
    fence bigint NOT NULL DEFAULT 0,
    -- NULL until a first frame log is begun; raised each time one was lost.
    log_generation bigint,
    last_seq bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, agent_id, user_id, session_id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);
CREATE INDEX web_conversations_by_user ON web_conversations (tenant_id, user_id, updated_at DESC, id DESC);
CREATE INDEX web_conversations_newest ON web_conversations (tenant_id, updated_at DESC, id DESC);
CREATE INDEX web_conversations_of_all ON web_conversations (updated_at DESC, id DESC);
CREATE INDEX web_conversations_by_id ON web_conversations (id);

CREATE TABLE web_conversation_messages (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    -- Orders the history: a message when accepted, an answer when it ends.
    position bigint NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'assistant')),
    content text NOT NULL,
    in_reply_to uuid,
    stopped boolean NOT NULL DEFAULT false,
    by text CHECK (by IN ('human')),
    -- The code with which this message's turn ended without an answer.
    error text CHECK (error IN ('agent_failed', 'agent_unavailable', 'budget_spent')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, conversation_id, position),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES web_conversations (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX web_conversation_messages_by_time
    ON web_conversation_messages (tenant_id, conversation_id, created_at);
-- One answer of the agent to a message, whatever redelivers it.
CREATE UNIQUE INDEX web_conversation_messages_one_answer
    ON web_conversation_messages (tenant_id, in_reply_to) WHERE in_reply_to IS NOT NULL;

ALTER TABLE web_conversations ENABLE ROW LEVEL SECURITY;
ALTER TABLE web_conversations FORCE ROW LEVEL SECURITY;
ALTER TABLE web_conversation_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE web_conversation_messages FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON web_conversations
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON web_conversation_messages
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));

GRANT SELECT, INSERT, UPDATE ON web_conversations TO konstruct_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON web_conversation_messages TO konstruct_app;
