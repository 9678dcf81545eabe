-- Administration: a role that its commands run as, and tenants that are disabled.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'konstruct_admin') THEN
        CREATE ROLE konstruct_admin NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration made it this moment
END
$$;
-- Nobody logs in as it: whoever migrates becomes it, for one transaction (SET LOCAL ROLE).
GRANT konstruct_admin TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO konstruct_admin;

ALTER TABLE tenants ADD COLUMN is_active boolean NOT NULL DEFAULT true;

-- Of a disabled tenant nobody is a member: every function asks for the membership, so no token is good for it. For all
-- who ask but the commands, which must see whom they enable.
CREATE POLICY active_tenants_only ON tenant_members AS RESTRICTIVE FOR SELECT TO konstruct_app, konstruct_channels
    USING ((SELECT t.is_active FROM tenants t
            WHERE t.id = (SELECT NULLIF(current_setting('app.current_tenant', true), '')::uuid)));

-- Tenants and people are above tenants: a command finds a tenant by its slug, a person by the address.
CREATE POLICY administration ON tenants TO konstruct_admin USING (true);
CREATE POLICY administration ON portal_users TO konstruct_admin USING (true);

-- Everything else it sees and writes of the current tenant only, and nothing that was said in it.
GRANT SELECT, INSERT ON tenants, portal_users, tenant_members, agents, agent_models, agent_tools TO konstruct_admin;
GRANT UPDATE (name, messages_per_minute, tokens_per_month, is_active) ON tenants TO konstruct_admin;
GRANT UPDATE (role), DELETE ON tenant_members TO konstruct_admin;
GRANT UPDATE (name, role, persona, instructions, language, model, is_active, is_default, http_hosts, failures_until_human)
    ON agents TO konstruct_admin;
GRANT DELETE ON agent_models, agent_tools TO konstruct_admin;
-- Sealed keys it may write and take away, and cannot read: only whether there is one.
ALTER TABLE tool_servers ADD COLUMN has_key boolean NOT NULL GENERATED ALWAYS AS (key IS NOT NULL) STORED;
GRANT SELECT (tenant_id, id, name, url, status, has_key, created_at), INSERT, UPDATE (url, key, status) ON tool_servers
    TO konstruct_admin;
GRANT SELECT (tenant_id, id, provider, created_at), INSERT, UPDATE (key), DELETE ON provider_keys TO konstruct_admin;
GRANT SELECT ON token_months TO konstruct_admin;
