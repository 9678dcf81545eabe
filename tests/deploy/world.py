"""What a stack's database begins with: tenants, their people and agents. Put there as an operator would."""

import uuid

from client import Person

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
AGENTS = {
    "Ada": {"tenant": "test", "default": True, "tools": ["current_time", "search_history", "stub_echo"],
            "confirm": ["search_history"]},
    "on bedrock": {"tenant": "test", "models": [f"bedrock:{CLAUDE}"]},
    "by profile": {"tenant": "test", "models": [f"bedrock:eu.{CLAUDE}"]},
    "Own": {"tenant": "own", "default": True},
}


def roles(servers):
    """The owner of the schema; the other roles are the migration's."""
    servers.psql(f"CREATE ROLE konstruct_owner LOGIN CREATEROLE PASSWORD '{servers.password}'")


def passwords(servers):
    """What the migration leaves to the deployment: that its roles can log in."""
    for role in ("app", "channels", "agent", "platform"):
        servers.psql(f"ALTER ROLE konstruct_{role} LOGIN PASSWORD '{servers.password}'")


def populate(stack):
    """The tenants; `stack` knows ids and people from here on. The second one has a key of its own for its model."""
    tenants = {slug: create(stack, "tenant", slug=slug, name=slug, messages_per_minute=60000)
               for slug in ("test", "own")}
    stack.tenant = tenants["test"]

    def person(tenant, name, role):
        ident = create(stack, "user", tenant=tenant, email=f"{name}@example.com", role=role)
        return Person(stack, tenants[tenant], ident, role)
    stack.admin = person("test", "admin", "tenant_admin")
    stack.member = person("test", "member", "tenant_member")
    stack.owner = person("own", "owner", "tenant_member")
    # By SQL, for it is reached by plain http, which no operator may say.
    stack.psql(f"INSERT INTO tool_servers (tenant_id, id, name, url) "
               f"VALUES ('{stack.tenant}', '{uuid.uuid4()}', 'stub', '{stack.model.url}/mcp')")
    stack.agents = {name: create(stack, "agent", name=name, role="support agent", **more)
                    for name, more in AGENTS.items()}


def create(stack, what, **arguments):
    """Something that an operator makes; its id."""
    return stack.operator(f"{what} create", **arguments)[what]["id"]
