"""What a stack's database begins with: tenants, their people and agents. Put there as an operator would."""

import uuid

from client import Person

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
AGENTS = {"Ada": None, "on bedrock": CLAUDE, "by profile": f"eu.{CLAUDE}", "Own": None}
TOOLS = "('current_time', false), ('search_history', true), ('stub_echo', false)"


def roles(servers):
    """The owner of the schema; the other roles are the migration's."""
    servers.psql(f"CREATE ROLE konstruct_owner LOGIN CREATEROLE PASSWORD '{servers.password}'")


def passwords(servers):
    """What the migration leaves to the deployment: that its roles can log in."""
    for role in ("app", "channels", "agent", "platform"):
        servers.psql(f"ALTER ROLE konstruct_{role} LOGIN PASSWORD '{servers.password}'")


def populate(stack):
    """The tenants; `stack` knows ids and people from here on. The second one has a key of its own for its model."""
    stack.tenant, own, admin, member, owner = (str(uuid.uuid4()) for _ in range(5))
    stack.agents = {name: str(uuid.uuid4()) for name in AGENTS}
    stack.admin = Person(stack, stack.tenant, admin, "tenant_admin")
    stack.member = Person(stack, stack.tenant, member)
    stack.owner = Person(stack, own, owner)
    stack.psql(f"""
        INSERT INTO tenants (id, slug, name, messages_per_minute) VALUES
            ('{stack.tenant}', 'test', 'Test', 60000), ('{own}', 'own', 'Own', 60000);
        INSERT INTO portal_users (id, email) VALUES ('{admin}', 'a@example.com'), ('{member}', 'm@example.com'),
            ('{owner}', 'o@example.com');
        INSERT INTO tenant_members (tenant_id, user_id, role) VALUES
            ('{stack.tenant}', '{admin}', 'tenant_admin'), ('{stack.tenant}', '{member}', 'tenant_member'),
            ('{own}', '{owner}', 'tenant_member');
        INSERT INTO tool_servers (tenant_id, id, name, url)
            VALUES ('{stack.tenant}', '{uuid.uuid4()}', 'stub', '{stack.model.url}/mcp');
    """)
    for name, ident in stack.agents.items():
        tenant = own if name == "Own" else stack.tenant
        stack.psql(f"""
            INSERT INTO agents (tenant_id, id, name, role, persona, instructions, language, is_default) VALUES
                ('{tenant}', '{ident}', '{name}', 'support agent', '', '', '', {str(name in ("Ada", "Own")).lower()});
        """)
        if AGENTS[name]:
            stack.psql(f"INSERT INTO agent_models (tenant_id, agent_id, place, provider, model) "
                       f"VALUES ('{tenant}', '{ident}', 1, 'bedrock', '{AGENTS[name]}')")
    stack.psql(f"""
        INSERT INTO agent_tools (tenant_id, agent_id, tool, needs_confirmation)
            SELECT '{stack.tenant}', '{stack.agents["Ada"]}', * FROM (VALUES {TOOLS}) AS tools;
    """)
