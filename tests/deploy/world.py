"""What a stack's database begins with: a tenant, its people, an agent with tools. Put there as an operator would, by SQL."""

import uuid

from client import Person

TOOLS = "('current_time', false), ('search_history', true)"


def roles(servers):
    """The owner of the schema; the other roles are the migration's."""
    servers.psql(f"CREATE ROLE konstruct_owner LOGIN CREATEROLE PASSWORD '{servers.password}'")


def passwords(servers):
    """What the migration leaves to the deployment: that its roles can log in."""
    for role in ("app", "channels", "agent", "platform"):
        servers.psql(f"ALTER ROLE konstruct_{role} LOGIN PASSWORD '{servers.password}'")


def populate(stack):
    """The tenant; `stack` knows its ids and people from here on."""
    stack.tenant, stack.agent, admin, member = (str(uuid.uuid4()) for _ in range(4))
    stack.admin = Person(stack, stack.tenant, admin, "tenant_admin")
    stack.member = Person(stack, stack.tenant, member)
    stack.psql(f"""
        INSERT INTO tenants (id, slug, name, messages_per_minute) VALUES ('{stack.tenant}', 'test', 'Test', 60000);
        INSERT INTO portal_users (id, email) VALUES ('{admin}', 'a@example.com'), ('{member}', 'm@example.com');
        INSERT INTO tenant_members (tenant_id, user_id, role) VALUES
            ('{stack.tenant}', '{admin}', 'tenant_admin'), ('{stack.tenant}', '{member}', 'tenant_member');
        INSERT INTO agents (tenant_id, id, name, role, persona, instructions, language, is_default) VALUES
            ('{stack.tenant}', '{stack.agent}', 'Ada', 'support agent', '', '', '', true);
        INSERT INTO agent_tools (tenant_id, agent_id, tool, needs_confirmation)
            SELECT '{stack.tenant}', '{stack.agent}', * FROM (VALUES {TOOLS}) AS tools;
    """)
