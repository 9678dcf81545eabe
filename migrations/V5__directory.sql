-- The only reads before a tenant is known: narrow SECURITY DEFINER functions of konstruct_directory, with
-- policies and column grants of its own. FORCE would blind a function of the owner: it returned no row.
GRANT konstruct_directory TO CURRENT_USER;

CREATE SCHEMA directory;
GRANT USAGE, CREATE ON SCHEMA directory TO konstruct_directory;
GRANT USAGE ON SCHEMA directory TO konstruct_app;

CREATE POLICY directory_reads ON web_conversations FOR SELECT TO konstruct_directory USING (true);
CREATE POLICY directory_reads ON turns FOR SELECT TO konstruct_directory USING (true);
GRANT SELECT (tenant_id, id, epoch, lease_until) ON web_conversations TO konstruct_directory;
GRANT SELECT (tenant_id, id, conversation_id, epoch, state, created_at, ended_at, delivered_at)
    ON turns TO konstruct_directory;

SET LOCAL ROLE konstruct_directory;

CREATE FUNCTION directory.conversation_tenant(conversation uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT tenant_id FROM public.web_conversations WHERE id = conversation $$;

-- Turns that somebody should be at work on and nobody is (delivery.md section 2, "janitor").
CREATE FUNCTION directory.due_turns(older_than interval, most integer)
    RETURNS TABLE (tenant_id uuid, conversation_id uuid, message_id uuid, epoch bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT t.tenant_id, t.conversation_id, t.id, t.epoch
        FROM public.turns t
        JOIN public.web_conversations c ON c.tenant_id = t.tenant_id AND c.id = t.conversation_id
        WHERE t.delivered_at IS NULL
          AND t.state <> 'waiting'
          AND coalesce(t.ended_at, t.created_at) < now() - older_than
          AND (c.lease_until IS NULL OR c.lease_until < now())
        ORDER BY t.created_at
        LIMIT most
    $$;

REVOKE ALL ON FUNCTION directory.conversation_tenant(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION directory.due_turns(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.conversation_tenant(uuid) TO konstruct_app;
GRANT EXECUTE ON FUNCTION directory.due_turns(interval, integer) TO konstruct_app;

RESET ROLE;
REVOKE CREATE ON SCHEMA directory FROM konstruct_directory;

-- A platform admin's list over all tenants: a role and a door of its own.
CREATE POLICY platform_reads ON web_conversations FOR SELECT TO konstruct_platform USING (true);
CREATE POLICY platform_reads ON web_conversation_messages FOR SELECT TO konstruct_platform USING (true);
CREATE POLICY platform_reads ON agents FOR SELECT TO konstruct_platform USING (true);
GRANT SELECT (tenant_id, id, channel, agent_id, user_id, session_id, status, created_at, updated_at)
    ON web_conversations TO konstruct_platform;
GRANT SELECT (tenant_id, id, conversation_id, position, content) ON web_conversation_messages TO konstruct_platform;
GRANT SELECT (tenant_id, id, name, is_active) ON agents TO konstruct_platform;
