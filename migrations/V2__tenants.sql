-- Who there is: tenants, people, agents, installations. The service reads these; administration writes them.
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    messages_per_minute integer NOT NULL DEFAULT 30 CHECK (messages_per_minute > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE portal_users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tenant_members (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id uuid NOT NULL REFERENCES portal_users (id),
    role text NOT NULL CHECK (role IN ('tenant_admin', 'tenant_member')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX tenant_members_by_user ON tenant_members (user_id);

CREATE TABLE agents (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    persona text NOT NULL DEFAULT '',
    instructions text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT '',
    model text,
    is_active boolean NOT NULL DEFAULT true,
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX agents_one_default ON agents (tenant_id) WHERE is_default;

CREATE TABLE channel_connections (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    channel text NOT NULL CHECK (channel IN
        ('web', 'slack', 'whatsapp', 'telegram', 'teams', 'mattermost', 'rocketchat', 'signal')),
    workspace_id text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'removed')),
    config jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, channel, workspace_id)
);

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE portal_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE portal_users FORCE ROW LEVEL SECURITY;
ALTER TABLE tenant_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_members FORCE ROW LEVEL SECURITY;
ALTER TABLE agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE agents FORCE ROW LEVEL SECURITY;
ALTER TABLE channel_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE channel_connections FORCE ROW LEVEL SECURITY;

-- NULLIF: after a commit the setting is '', not NULL, and ''::uuid raises. The sub-select is evaluated once.
CREATE POLICY tenant_only ON tenants
    USING (id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON tenant_members
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON agents
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
CREATE POLICY tenant_only ON channel_connections
    USING (tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid));
-- A person is no tenant's own: a tenant sees its members.
CREATE POLICY members_only ON portal_users
    USING (EXISTS (
        SELECT 1 FROM tenant_members m
        WHERE m.user_id = portal_users.id
          AND m.tenant_id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid)));

GRANT SELECT ON tenants, portal_users, tenant_members, agents TO konstruct_app;
GRANT SELECT (tenant_id, id, channel, workspace_id, status, created_at) ON channel_connections TO konstruct_app;
