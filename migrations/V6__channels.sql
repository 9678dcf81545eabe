-- Channels where people write elsewhere (Slack). Their threads are rows of web_conversations without a user; what is
-- said of an installation's secrets is readable by one role, which only the functions that call a channel connect as.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'konstruct_channels') THEN
        CREATE ROLE konstruct_channels LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration made it this moment
END
$$;
-- What konstruct_app may do, and one thing more: read and write an installation's sealed secrets.
GRANT USAGE ON SCHEMA public, directory TO konstruct_channels;
GRANT SELECT ON tenants, portal_users, tenant_members, agents, channel_connections TO konstruct_channels;
GRANT INSERT, UPDATE (status, config) ON channel_connections TO konstruct_channels;
GRANT SELECT, INSERT, UPDATE ON web_conversations, turns TO konstruct_channels;
GRANT SELECT, INSERT, UPDATE, DELETE ON web_conversation_messages, turn_steps TO konstruct_channels;
GRANT SELECT, INSERT ON llm_usage TO konstruct_channels;
-- An admin takes an installation away, and its secrets with it, without reading them.
GRANT UPDATE (status, config) ON channel_connections TO konstruct_app;

-- Where the answer to a message goes, off the web: the native ids of room, thread and author.
ALTER TABLE turns ADD COLUMN channel_metadata jsonb NOT NULL DEFAULT '{}';

-- Whose an installation is: asked before a tenant is known.
CREATE POLICY directory_reads ON channel_connections FOR SELECT TO konstruct_directory USING (true);
GRANT SELECT (tenant_id, id, channel, workspace_id, status, created_at) ON channel_connections TO konstruct_directory;

GRANT CREATE ON SCHEMA directory TO konstruct_directory;
SET LOCAL ROLE konstruct_directory;

-- One workspace is one tenant's: of several the first.
CREATE FUNCTION directory.installation(of_channel text, workspace text)
    RETURNS TABLE (tenant_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT c.tenant_id, c.id FROM public.channel_connections c
        WHERE c.channel = of_channel AND c.workspace_id = workspace AND c.status = 'active'
        ORDER BY c.created_at, c.id LIMIT 1
    $$;
REVOKE ALL ON FUNCTION directory.installation(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.installation(text, text) TO konstruct_app, konstruct_channels;

RESET ROLE;
REVOKE CREATE ON SCHEMA directory FROM konstruct_directory;
