-- The trace a message was accepted in (W3C's 16 bytes), so that whoever works on it later, or again, logs under the same
-- id. NULL: it was accepted before there was one.
ALTER TABLE turns ADD COLUMN trace_id uuid;
GRANT SELECT (trace_id) ON turns TO konstruct_directory;

GRANT CREATE ON SCHEMA directory TO konstruct_directory;
SET LOCAL ROLE konstruct_directory;

-- One column more than before, which only a new function can have. Who still asks for the others gets them.
DROP FUNCTION directory.due_turns(interval, integer);
CREATE FUNCTION directory.due_turns(older_than interval, most integer)
    RETURNS TABLE (tenant_id uuid, conversation_id uuid, message_id uuid, epoch bigint, trace_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT t.tenant_id, t.conversation_id, t.id, t.epoch, t.trace_id
        FROM public.turns t
        JOIN public.web_conversations c ON c.tenant_id = t.tenant_id AND c.id = t.conversation_id
        WHERE t.delivered_at IS NULL
          AND t.state <> 'waiting'
          AND coalesce(t.ended_at, t.created_at) < now() - older_than
          AND (c.lease_until IS NULL OR c.lease_until < now())
        ORDER BY t.created_at
        LIMIT most
    $$;
REVOKE ALL ON FUNCTION directory.due_turns(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION directory.due_turns(interval, integer) TO konstruct_app;

RESET ROLE;
REVOKE CREATE ON SCHEMA directory FROM konstruct_directory;
