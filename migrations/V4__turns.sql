-- The work on a message: one turn per message of a person, its journaled steps, and what was used.
CREATE TABLE turns (
    tenant_id uuid NOT NULL,
    -- The person's message. No foreign key: a reset deletes messages and keeps turns, so that a resend stays a copy.
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    position bigint NOT NULL,
    epoch bigint NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waiting', 'ended')),
    -- message_id of the answer; written before its first piece.
    answer_id uuid,
    -- Failed calls of the model; and invocations that died at work on it.
    failures integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    -- An invocation is at work; found set by the next one, it died.
    in_progress boolean NOT NULL DEFAULT false,
    channel_posts jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    began_at timestamptz,
    ended_at timestamptz,
    delivered_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES web_conversations (tenant_id, id) ON DELETE CASCADE,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
);
CREATE INDEX turns_due ON turns (tenant_id, conversation_id, position)
    WHERE delivered_at IS NULL;
CREATE INDEX turns_by_conversation ON turns (tenant_id, conversation_id, position);
CREATE INDEX turns_due_of_all ON turns (created_at) WHERE delivered_at IS NULL;

CREATE TABLE turn_steps (
    tenant_id uuid NOT NULL,
    turn_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 0),
    kind text NOT NULL CHECK (kind IN ('model', 'tool')),
    state text NOT NULL DEFAULT 'begun' CHECK (state IN ('begun', 'waiting', 'done')),
    -- How often the model was asked for this step: each asking is billed once.
    asking integer NOT NULL DEFAULT 1,
    request jsonb NOT NULL DEFAULT '{}',
    result jsonb,
    began_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    PRIMARY KEY (tenant_id, turn_id, number),
    FOREIGN KEY (tenant_id, turn_id) REFERENCES turns (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE llm_usage (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    -- Of which turn, step and asking: no reference, a reset keeps the bill.
    turn_id uuid NOT NULL,
    step integer NOT NULL,
    asking integer NOT NULL,
    model text NOT NULL,
    prompt_tokens bigint NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
    total_tokens bigint NOT NULL CHECK (total_tokens >= 0),
    -- The provider gave no count (a cut call): ours.
    estimated boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, turn_id, step, asking),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);
CREATE INDEX llm_usage_by_time ON llm_usage (tenant_id, created_at);

ALTER TABLE turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE turns FORCE ROW LEVEL SECURITY;
ALTER TABLE turn_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE turn_steps FORCE ROW LEVEL SECURITY;
ALTER TABLE llm_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE llm_usage FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON turns
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON turn_steps
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON llm_usage
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));

GRANT SELECT, INSERT, UPDATE ON turns TO konstruct_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON turn_steps TO konstruct_app;
GRANT SELECT, INSERT ON llm_usage TO konstruct_app;
