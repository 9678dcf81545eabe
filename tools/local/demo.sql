-- Demo data of the local stack: the tenants, agents and people of demo.json, with the same ids.
-- Run by psql as superuser after the migrations, at every start: each statement must be repeatable.
INSERT INTO tenants (id, slug, name, messages_per_minute) VALUES
    ('0192f0a1-0000-7000-8000-0000000000aa', 'acme', 'Acme Tools', 6000),
    ('0192f0a2-0000-7000-8000-0000000000bb', 'globex', 'Globex Logistics', 30)
ON CONFLICT DO NOTHING;

INSERT INTO portal_users (id, email) VALUES
    ('0192f0a0-0000-7000-8000-000000000001', 'platform@konstruct.example'),
    ('0192f0a1-0000-7000-8000-000000000001', 'alice@acme.example'),
    ('0192f0a1-0000-7000-8000-000000000002', 'bob@acme.example'),
    ('0192f0a1-0000-7000-8000-000000000003', 'carol@acme.example'),
    ('0192f0a2-0000-7000-8000-000000000001', 'gina@globex.example'),
    ('0192f0a2-0000-7000-8000-000000000002', 'hugo@globex.example'),
    ('0192f0a2-0000-7000-8000-000000000003', 'iris@globex.example')
ON CONFLICT DO NOTHING;

INSERT INTO tenant_members (tenant_id, user_id, role) VALUES
    ('0192f0a1-0000-7000-8000-0000000000aa', '0192f0a1-0000-7000-8000-000000000001', 'tenant_admin'),
    ('0192f0a1-0000-7000-8000-0000000000aa', '0192f0a1-0000-7000-8000-000000000002', 'tenant_member'),
    ('0192f0a1-0000-7000-8000-0000000000aa', '0192f0a1-0000-7000-8000-000000000003', 'tenant_member'),
    ('0192f0a2-0000-7000-8000-0000000000bb', '0192f0a2-0000-7000-8000-000000000001', 'tenant_admin'),
    ('0192f0a2-0000-7000-8000-0000000000bb', '0192f0a2-0000-7000-8000-000000000002', 'tenant_member'),
    ('0192f0a2-0000-7000-8000-0000000000bb', '0192f0a2-0000-7000-8000-000000000003', 'tenant_member')
ON CONFLICT DO NOTHING;

INSERT INTO agents (tenant_id, id, name, role, persona, instructions, language, is_default) VALUES
    ('0192f0a1-0000-7000-8000-0000000000aa', '0192f0a1-0000-7000-8000-00000000a001', 'Ada', 'support agent',
     'You are calm and precise.', 'Help customers of Acme Tools with their orders.', '', true),
    ('0192f0a1-0000-7000-8000-0000000000aa', '0192f0a1-0000-7000-8000-00000000a002', 'Bruno', 'sales agent',
     'You are cheerful and never pushy.', 'Advise people which tool of Acme Tools suits them.', '', false),
    ('0192f0a2-0000-7000-8000-0000000000bb', '0192f0a2-0000-7000-8000-00000000b001', 'Cleo', 'support agent',
     'You are brief.', 'Tell customers of Globex Logistics where their parcels are.', '', true),
    ('0192f0a2-0000-7000-8000-0000000000bb', '0192f0a2-0000-7000-8000-00000000b002', 'Dario', 'onboarding agent',
     'You are patient.', 'Help new customers of Globex Logistics with their first parcel.', '', false)
ON CONFLICT DO NOTHING;

INSERT INTO channel_connections (tenant_id, id, channel, workspace_id) VALUES
    ('0192f0a1-0000-7000-8000-0000000000aa', '0192f0a1-0000-7000-8000-00000000c001', 'slack', 'T00FAKE00AA'),
    ('0192f0a2-0000-7000-8000-0000000000bb', '0192f0a2-0000-7000-8000-00000000c001', 'slack', 'T00FAKE00BB')
ON CONFLICT DO NOTHING;

-- Every demo agent may call everything there is; closing a ticket asks the person first.
UPDATE agents SET http_hosts = '{example.com}' WHERE http_hosts = '{}';

INSERT INTO tool_servers (tenant_id, id, name, url)
SELECT id, '0192f0a1-0000-7000-8000-00000000d001', 'tickets', :'tickets_url' FROM tenants
ON CONFLICT (tenant_id, name) DO UPDATE SET url = excluded.url;

INSERT INTO agent_tools (tenant_id, agent_id, tool, needs_confirmation)
SELECT agents.tenant_id, agents.id, tool, tool = 'tickets_close' FROM agents
CROSS JOIN unnest(ARRAY['current_time', 'search_history', 'escalate_to_human', 'http_get', 'tickets_lookup',
    'tickets_close']) AS tool
ON CONFLICT DO NOTHING;
