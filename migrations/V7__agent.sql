-- The agent at work: which models it asks, which tools it may call, what waits for a yes, what a human has, what a month
-- may cost.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'konstruct_agent') THEN
        CREATE ROLE konstruct_agent LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration made it this moment
END
$$;
-- Work on turns, and the tenants' secrets: only the agent uses those of models and tools.
GRANT USAGE ON SCHEMA public TO konstruct_agent;
GRANT SELECT ON tenants, agents, channel_connections TO konstruct_agent;
GRANT UPDATE (config) ON channel_connections TO konstruct_agent;
GRANT SELECT, UPDATE ON web_conversations, turns TO konstruct_agent;
GRANT SELECT, INSERT, UPDATE ON web_conversation_messages, turn_steps TO konstruct_agent;
GRANT SELECT, INSERT ON llm_usage TO konstruct_agent;

-- NULL: no limit.
ALTER TABLE tenants ADD COLUMN tokens_per_month bigint CHECK (tokens_per_month >= 0);

ALTER TABLE agents
    -- Hosts that the tool http_get may ask.
    ADD COLUMN http_hosts text[] NOT NULL DEFAULT '{}',
    -- So many messages in a row without an answer, and a human gets the conversation. NULL: never.
    ADD COLUMN failures_until_human integer CHECK (failures_until_human > 0);

-- Which models an agent asks, in order: the next where the one before fails. None: agents.model, else the deployment's.
CREATE TABLE agent_models (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    place integer NOT NULL CHECK (place > 0),
    provider text NOT NULL CHECK (provider IN ('openai', 'anthropic', 'bedrock')),
    model text NOT NULL CHECK (model <> ''),
    PRIMARY KEY (tenant_id, agent_id, place),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);

-- What an agent may call: a built-in tool, or a server's as {server}_{tool}. What is not here is not granted.
CREATE TABLE agent_tools (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    tool text NOT NULL CHECK (tool ~ '^[A-Za-z0-9_-]{1,64}$'),
    needs_confirmation boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, agent_id, tool),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);

-- The tenant's servers of tools (MCP).
CREATE TABLE tool_servers (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    -- Comes before its tools' names.
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9]{0,23}$'),
    url text NOT NULL,
    -- Sealed; NULL: it wants none.
    key jsonb,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'removed')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);

-- The tenant's own keys for providers, sealed. None: the platform's is used.
CREATE TABLE provider_keys (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    provider text NOT NULL CHECK (provider IN ('openai', 'anthropic', 'bedrock')),
    key jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, provider)
);

-- What a tenant's months cost: the sum of llm_usage, so that a budget is checked without adding it up.
CREATE TABLE token_months (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    month date NOT NULL,
    spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    PRIMARY KEY (tenant_id, month)
);

ALTER TABLE turn_steps
    -- Tokens that the model step under way may use at most: counted as spent until its usage is booked.
    ADD COLUMN reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    -- The last asking whose usage is booked, or of which there is none.
    ADD COLUMN settled integer NOT NULL DEFAULT 0,
    -- A tool step: the call, who may decide it, what it was asked with, until when, and what was decided.
    ADD COLUMN call_id text,
    ADD COLUMN person text,
    ADD COLUMN arguments_hash text,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN decision text CHECK (decision IN ('approved', 'denied', 'expired', 'cancelled')),
    ADD COLUMN decided_at timestamptz,
    -- The message that decided it, on channels where people decide by writing.
    ADD COLUMN decided_by uuid,
    ADD CHECK (state <> 'waiting' OR (call_id IS NOT NULL AND arguments_hash IS NOT NULL AND expires_at IS NOT NULL));
CREATE INDEX turn_steps_reserved ON turn_steps (tenant_id) WHERE reserved > 0;
CREATE INDEX turn_steps_waiting ON turn_steps (tenant_id, turn_id) WHERE state = 'waiting';
CREATE INDEX turn_steps_waiting_of_all ON turn_steps (expires_at) WHERE state = 'waiting' AND decision IS NULL;

ALTER TABLE web_conversations
    -- What was said up to a position, in short (AGNT-03).
    ADD COLUMN summary text NOT NULL DEFAULT '',
    ADD COLUMN summary_until bigint NOT NULL DEFAULT 0,
    -- The epoch of the last hand-over, and of the last one that people were told of.
    ADD COLUMN handed_over bigint NOT NULL DEFAULT 0,
    ADD COLUMN handed_over_told bigint NOT NULL DEFAULT 0;
CREATE INDEX web_conversations_human ON web_conversations (tenant_id, updated_at DESC, id DESC) WHERE status = 'human';

-- What was booked so far. FORCE would hide it from the owner.
ALTER TABLE llm_usage NO FORCE ROW LEVEL SECURITY;
INSERT INTO token_months (tenant_id, month, spent)
SELECT tenant_id, date_trunc('month', created_at AT TIME ZONE 'UTC')::date, sum(total_tokens) FROM llm_usage GROUP BY 1, 2;
ALTER TABLE llm_usage FORCE ROW LEVEL SECURITY;

ALTER TABLE agent_models ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_models FORCE ROW LEVEL SECURITY;
ALTER TABLE agent_tools ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_tools FORCE ROW LEVEL SECURITY;
ALTER TABLE tool_servers ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_servers FORCE ROW LEVEL SECURITY;
ALTER TABLE provider_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE token_months ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_months FORCE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON agent_models
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON agent_tools
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON tool_servers
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON provider_keys
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON token_months
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));

GRANT SELECT ON agent_models, agent_tools, tool_servers, provider_keys TO konstruct_agent;
-- Whoever ends a turn on a dead agent's behalf books what it left.
GRANT SELECT, INSERT, UPDATE ON token_months TO konstruct_agent, konstruct_app;

-- Calls that nobody decided in time: asked before a tenant is known, by the janitor.
CREATE POLICY directory_reads ON turn_steps FOR SELECT TO konstruct_directory USING (true);
GRANT SELECT (tenant_id, turn_id, number, state, expires_at, decision) ON turn_steps TO konstruct_directory;

GRANT CREATE ON SCHEMA directory TO konstruct_directory;
SET LOCAL ROLE konstruct_directory;

CREATE FUNCTION directory.expired_confirmations(most integer)
    RETURNS TABLE (tenant_id uuid, conversation_id uuid, message_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT s.tenant_id, t.conversation_id, s.turn_id
        FROM public.turn_steps s
        JOIN public.turns t ON t.tenant_id = s.tenant_id AND t.id = s.turn_id
        WHERE s.state = 'waiting' AND s.decision IS NULL AND s.expires_at <= now() AND t.state <> 'ended'
        ORDER BY s.expires_at
        LIMIT most
    $$;
REVOKE ALL ON FUNCTION directory.expired_confirmations(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.expired_confirmations(integer) TO konstruct_app;

RESET ROLE;
REVOKE CREATE ON SCHEMA directory FROM konstruct_directory;
