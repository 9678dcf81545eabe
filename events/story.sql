-- Where the samples' story stands on Friday 20 November 2026, 09:30 UTC: README.md names who is in it.
-- Run by psql as superuser on a database of its own, once, after the migrations.
\set tenant '01a01b74-45c0-75ac-a56a-e9713fdfefe6'
\set agent '01a0216a-26c0-754b-af63-cd2c0e108913'
\set person '01a0570f-0fc0-77d5-8cae-8e39e278c19b'
\set administrator '01a01e6f-3640-74b3-bf3f-a312647b630f'
\set conversation '01a1f813-a740-7518-abe0-c1337931db9d'

BEGIN;

INSERT INTO tenants (id, slug, name) VALUES (:'tenant', 'samples', 'Sample Tools');

INSERT INTO portal_users (id, email) VALUES
    (:'person', 'person@samples.example'),
    (:'administrator', 'administrator@samples.example');

INSERT INTO tenant_members (tenant_id, user_id, role) VALUES
    (:'tenant', :'person', 'tenant_member'),
    (:'tenant', :'administrator', 'tenant_admin');

INSERT INTO agents (tenant_id, id, name, role, instructions, is_default) VALUES
    (:'tenant', :'agent', 'Sam', 'support agent', 'Help customers of Sample Tools with their orders.', true);

INSERT INTO web_conversations (tenant_id, id, agent_id, user_id, last_position, created_at, updated_at) VALUES
    (:'tenant', :'conversation', :'agent', :'person', 4, '2026-11-20 08:30:00+00', '2026-11-20 09:20:00+00');

-- A question that was answered; one whose call of a tool waits for the person's yes; and one that nobody works on any
-- more, for the janitor to find.
INSERT INTO web_conversation_messages (tenant_id, id, conversation_id, position, role, content, in_reply_to, created_at) VALUES
    (:'tenant', '01a1f814-0000-7000-8000-000000000001', :'conversation', 1, 'user', 'Hello, is somebody there?', NULL,
     '2026-11-20 08:30:20+00'),
    (:'tenant', '01a1f814-0000-7000-8000-000000000002', :'conversation', 2, 'assistant', 'Yes. What can I do for you?',
     '01a1f814-0000-7000-8000-000000000001', '2026-11-20 08:30:22+00'),
    (:'tenant', '01a1f814-0000-7000-8000-000000000003', :'conversation', 3, 'user', 'Please close ticket 7.', NULL,
     '2026-11-20 09:10:00+00'),
    (:'tenant', '01a1f841-6e00-77c7-a110-9301819a491b', :'conversation', 4, 'user', 'Is there any news?', NULL,
     '2026-11-20 09:20:00+00');

INSERT INTO turns (tenant_id, id, conversation_id, position, epoch, state, answer_id, created_at, began_at, ended_at,
    delivered_at) VALUES
    (:'tenant', '01a1f814-0000-7000-8000-000000000001', :'conversation', 1, 0, 'ended',
     '01a1f814-0000-7000-8000-000000000002', '2026-11-20 08:30:20+00', '2026-11-20 08:30:20+00',
     '2026-11-20 08:30:22+00', '2026-11-20 08:30:22+00'),
    (:'tenant', '01a1f814-0000-7000-8000-000000000003', :'conversation', 3, 0, 'waiting',
     '01a1f814-0000-7000-8000-000000000004', '2026-11-20 09:10:00+00', '2026-11-20 09:10:00+00', NULL, NULL),
    (:'tenant', '01a1f841-6e00-77c7-a110-9301819a491b', :'conversation', 4, 0, 'open', NULL,
     '2026-11-20 09:20:00+00', NULL, NULL, NULL);

INSERT INTO turn_steps (tenant_id, turn_id, number, kind, state, request, call_id, person, arguments_hash, expires_at) VALUES
    (:'tenant', '01a1f814-0000-7000-8000-000000000003', 1, 'tool', 'waiting', '{"name": "tickets_close", "arguments": "{}"}',
     'call_7Nq2', :'person', repeat('0', 64), now() + interval '1 year');

INSERT INTO llm_usage (tenant_id, id, agent_id, turn_id, step, asking, model, prompt_tokens, completion_tokens,
    total_tokens, created_at) VALUES
    (:'tenant', '01a1f814-0000-7000-8000-0000000000b1', :'agent', '01a1f814-0000-7000-8000-000000000001', 0, 1,
     'development', 40, 8, 48, '2026-11-20 08:30:22+00');

INSERT INTO channel_connections (tenant_id, id, channel, workspace_id) VALUES
    (:'tenant', '01a1f9c2-5d80-7a31-9c0e-5b7f2f0d6c11', 'slack', 'T0SAMPLE02');

COMMIT;
