#!/usr/bin/env python3
"""What a month costs on AWS, and which quota binds first: the tables of docs/COSTS.md.

Usage: bill.py [NAME=VALUE ...]   prints every table, with other assumptions where some are named
       bill.py --check FILE       fails where a table, as printed without arguments, is not in the file
It asks nobody: prices and assumptions stand below.
"""
import math
import sys
from pathlib import Path

MONTH_DAYS, MONTH_HOURS, DAY_S = 30, 730, 86_400
MILLION, GB = 1e6, 1e9

# name: (value, unit, what it is, how it is known)
ASSUMPTIONS = {
    "messages": (10, "a user and day", "messages that are answered", "assumed"),
    "devices": (1.2, "", "connections that see an answer", "assumed"),
    "connects": (3, "a device and day", "times a device connects (each is opened, authenticated, closed)", "assumed"),
    "minutes": (30, "a device and day", "minutes a device is connected", "assumed"),
    "ping_minutes": (5, "minutes", "between two pings of a client", "protocol"),
    "calls": (9, "a user and day", "REST calls: three times list, history, agents", "assumed"),
    "peak": (3, "times the mean", "the busiest hour", "assumed"),
    "prompt_tokens": (1_500, "tokens", "of a prompt: persona, tools, memory", "assumed"),
    "answer_tokens": (300, "tokens", "of an answer", "assumed"),
    "tokens_s": (60, "a second", "how fast a model writes", "assumed"),
    "first_token_ms": (800, "ms", "until it begins", "assumed"),
    "piece_ms": (20, "ms", "least time between two pieces (`PIECE_EVERY`)", "code"),
    "post_ms": (20, "ms", "one post to the Management API; one is in flight per connection", "assumed"),
    "frame_bytes": (205, "bytes", "of a `chunk` frame", "measured"),
    "frame_wire_bytes": (270, "bytes", "the same, with WebSocket, TLS and TCP around it", "assumed"),
    "post_bytes": (2_600, "bytes", "one post through NAT, both ways: 1,134 measured, a role's token, the answer", "assumed"),
    "model_bytes": (83_000, "bytes", "one asking through NAT: the prompt, and 250 bytes a streamed token", "assumed"),
    "sqs_bytes": (15_000, "bytes", "SQS calls of one message through NAT", "assumed"),
    "agent_ms": (300, "ms", "the agent's own part of a turn", "assumed"),
    "agent_gb": (0.5, "GB", "the agent's memory", "template"),
    "function_gb": (0.25, "GB", "the other functions' memory", "template"),
    "message_ms": (100, "ms", "`ws-message`", "assumed"),
    "connect_ms": (115, "ms", "`ws-connect`, `ws-auth`, `ws-disconnect` and the deadline together", "assumed"),
    "ping_ms": (35, "ms", "`ws-control`", "assumed"),
    "call_ms": (25, "ms", "a REST function", "assumed"),
    "commits": (15, "a message", "transactions, from accept to delivery", "measured"),
    "acu_commits": (250, "a second", "transactions that one capacity unit carries", "assumed"),
    "turn_bytes": (5_900, "bytes", "a message, its answer, turn, steps and usage in Postgres, indexes included", "measured"),
    "history_months": (12, "months", "of history (nothing is ever deleted)", "assumed"),
    "turn_ios": (12, "a message", "I/O operations of Aurora", "assumed"),
    "frame_log_bytes": (134, "bytes", "a frame in Redis, for 25 hours; a log keeps 1,000", "measured"),
    "thread_bytes": (11_500, "bytes", "what else Redis holds of a conversation for a day", "measured"),
    "script_us": (50, "µs", "one script in Redis: 37 measured in its commands, the rest guessed", "assumed"),
    "script_bytes": (900, "bytes", "to and from Redis for one script", "measured"),
    "message_log_bytes": (7_700, "bytes", "log lines of one message (10 of ours, Lambda's, the access log's)", "assumed"),
    "connect_log_bytes": (5_400, "bytes", "log lines of one connection", "assumed"),
    "small_log_bytes": (1_200, "bytes", "log lines of a ping or a REST call", "assumed"),
    "traced": (0.05, "of all", "invocations that X-Ray samples", "X-Ray's default"),
}

# name: (value, unit, source). US East (N. Virginia), on demand, no free tier, US dollars.
PRICES = {
    "ws_message": ([(1e9, 1.00), (math.inf, 0.80)], "a million messages of up to 32 KB: the first 1,000 million, above",
                   "1, 2; above: check"),
    "ws_minute": (0.25, "a million connection minutes", "2"),
    "http_call": (1.00, "a million calls of the HTTP API", "2"),
    "invocation": (0.20, "a million invocations", "3"),
    "gb_s": (13.3334, "a million GB-seconds on arm64", "3"),
    "sqs_fifo": (0.50, "a million requests to a FIFO queue", "4"),
    "sqs": (0.40, "a million requests to a standard queue", "4"),
    "acu_hour": (0.12, "a capacity unit and hour of Aurora", "5"),
    "aurora_gb": (0.10, "a GB and month of Aurora", "6"),
    "aurora_io": (0.20, "a million I/O operations", "6"),
    "nat_hour": (0.05, "an hour of NAT gateway with its address", "7"),
    "nat_gb": (0.045, "a GB through it", "7"),
    "zone_gb": (0.01, "a GB to another zone, each way", "7"),
    "out_gb": (0.09, "a GB from the network to the internet", "7"),
    "log_gb": (0.53, "a GB of logs, taken in and kept for a month", "8"),
    "metric": (0.30, "a metric of our own and month", "8"),
    "alarm": (0.10, "a metric in an alarm and month", "8"),
    "dashboard": (3.00, "a dashboard and month", "8"),
    "trace": (5.00, "a million traces", "9"),
    "edge_gb": ([(10e3, 0.085), (50e3, 0.080), (150e3, 0.060), (math.inf, 0.040)],
                "a GB from CloudFront: the first 10 TB, to 50, to 150, above", "10"),
    "edge_call": (1.00, "a million requests to CloudFront", "10; check"),
    "key": (1.00, "a KMS key and month", "general knowledge, check"),
    "secret": (0.40, "a secret and month; there are two", "general knowledge, check"),
    "secret_call": (5.00, "a million reads of a secret", "general knowledge, check"),
    "prompt": (0.40, "a million prompt tokens of `gpt-4.1-mini`", "12"),
    "answer": (1.60, "a million answer tokens", "12"),
}
# Valkey nodes: (GB, dollars an hour). Redis' list price less a fifth.
NODES = {
    "cache.t4g.small": (1.37, 0.0256), "cache.t4g.medium": (3.09, 0.052), "cache.r7g.large": (13.07, 0.175),
    "cache.r7g.xlarge": (26.32, 0.350), "cache.r7g.2xlarge": (52.82, 0.698), "cache.r7g.4xlarge": (105.81, 1.396),
    "cache.r7g.8xlarge": (209.55, 2.793),
}
NODE_USABLE = 0.75  # ElastiCache keeps a quarter back
CACHE_BUSY = 0.8  # the alarm's threshold
CUSTOM_METRICS = 45 + 120  # ours; the HTTP API's detailed ones
ALARM_METRICS = 39
CELL_LIMITS = {"mapping": 1_000, "connections": 5_000}


def pieces(a):
    """Frames of one answer that one device gets: a post waits for the one before."""
    stream_ms = a["answer_tokens"] / a["tokens_s"] * 1000
    return min(a["answer_tokens"], stream_ms / max(a["piece_ms"] + 3, a["post_ms"] + 3))


def demand(a):
    """What one daily user causes: a day, and a second of the busiest hour."""
    d = {}
    d["turn_s"] = (a["first_token_ms"] + a["agent_ms"]) / 1000 + a["answer_tokens"] / a["tokens_s"]
    d["frames"] = pieces(a) + 1
    d["posts"] = a["messages"] * (a["devices"] * (d["frames"] + 1) + 1)  # typing to all, ack to one
    d["connects"] = a["connects"] * a["devices"]
    d["minutes"] = a["minutes"] * a["devices"]
    d["pings"] = d["minutes"] / a["ping_minutes"]
    d["frames_in"] = a["messages"] + d["connects"] + d["pings"]
    d["ws_messages"] = d["posts"] + d["frames_in"] + d["connects"] + d["pings"]  # `connection`, `pong`
    d["requests"] = d["ws_messages"] + 2 * d["connects"] + a["calls"]  # what the account's throttle counts
    d["invocations"] = 2 * a["messages"] + 4 * d["connects"] + d["pings"] + a["calls"]
    # An append per piece, a look around every 100 ms, some at begin and end.
    d["scripts"] = a["messages"] * (d["frames"] + d["turn_s"] * 10 + 6)
    d["commits"] = a["messages"] * a["commits"] + 2 * d["connects"] + a["calls"]
    d["cache_bytes"] = min(1_000, a["messages"] * (d["frames"] + 2)) * a["frame_log_bytes"] + a["thread_bytes"]
    d["busy"] = a["peak"] / DAY_S
    return d


def small_ms(a, d):
    """Milliseconds a day in functions that are not the agent."""
    return (a["messages"] * a["message_ms"] + d["connects"] * a["connect_ms"] + d["pings"] * a["ping_ms"]
            + a["calls"] * a["call_ms"])


def users_per_cell(a, d):
    """Most daily users of one stack: its cache has one thread, its mapping 1,000 agents."""
    return min(
        CACHE_BUSY * MILLION / a["script_us"] / (d["scripts"] * d["busy"]),
        CELL_LIMITS["mapping"] / (a["messages"] * d["busy"] * d["turn_s"]),
        CELL_LIMITS["connections"] / (2 * a["messages"] * d["busy"] * d["turn_s"]),
        max(gb for gb, _ in NODES.values()) * GB * NODE_USABLE / d["cache_bytes"],
    )


def node_for(bytes_):
    """The smallest node that holds it."""
    return next((name for name, (gb, _) in NODES.items() if gb * GB * NODE_USABLE >= bytes_), list(NODES)[-1])


def tiered(amount, steps, per):
    """A price in steps; `amount` and the steps' ends in units, the prices per `per` units."""
    cost, begin = 0.0, 0.0
    for end, price in steps:
        cost += max(0.0, min(amount, end) - begin) / per * price
        begin = end
    return cost


def bill(a, users):
    """Lines of a month: (what, how much, dollars). The model's tokens come last."""
    d, p = demand(a), {name: value for name, (value, _, _) in PRICES.items()}
    month = users * MONTH_DAYS
    cells = math.ceil(users / users_per_cell(a, d))
    posts, messages = d["posts"] * month, a["messages"] * month
    ws, minutes = d["ws_messages"] * month, d["minutes"] * month
    gb_s = messages * d["turn_s"] * a["agent_gb"]
    gb_s += month * small_ms(a, d) / 1000 * a["function_gb"]
    fifo = messages * 4 + cells * 648_000  # send, receive, hide, delete; five idle polls every 20 s
    acu = max(cells * 0.5 * (2 if users > 100_000 else 1), d["commits"] * users / DAY_S / a["acu_commits"])
    stored = messages * a["history_months"] * a["turn_bytes"] / GB
    nat = (posts * a["post_bytes"] + messages * (a["model_bytes"] + a["sqs_bytes"])) / GB
    gateways = cells * (2 if users > 100_000 else 1)
    node = node_for(d["cache_bytes"] * users / cells)
    logs = month * (a["messages"] * a["message_log_bytes"] + d["connects"] * a["connect_log_bytes"]
                    + (d["pings"] + a["calls"]) * a["small_log_bytes"]) / GB
    edge = posts * a["frame_wire_bytes"] / GB
    agents = messages / MONTH_DAYS / DAY_S * d["turn_s"]
    crossed = d["scripts"] * month * a["script_bytes"] / 2 / GB  # half of the functions are in the cache's zone
    asked = messages * 8_000 / GB
    calls, invoked = a["calls"] * month, d["invocations"] * month
    requests = d["connects"] * month * 3 + cells * 648_000  # of the deadlines' queue
    ios = messages * a["turn_ios"]
    return cells, node, [
        ("WebSocket messages", f"{ws / MILLION:,.0f} million", tiered(ws, p["ws_message"], MILLION)),
        ("Connection minutes", f"{minutes / MILLION:,.0f} million", minutes / MILLION * p["ws_minute"]),
        ("HTTP API", f"{calls / MILLION:,.1f} million calls", calls / MILLION * p["http_call"]),
        ("Lambda: time", f"{gb_s / MILLION:,.1f} million GB-s", gb_s / MILLION * p["gb_s"]),
        ("Lambda: invocations", f"{invoked / MILLION:,.0f} million", invoked / MILLION * p["invocation"]),
        ("SQS", f"{fifo / MILLION:,.0f} million FIFO requests", (fifo * p["sqs_fifo"] + requests * p["sqs"]) / MILLION),
        ("Aurora: capacity", f"{acu:,.1f} units in the mean, twice", 2 * acu * MONTH_HOURS * p["acu_hour"]),
        ("Aurora: storage, I/O", f"{stored:,.0f} GB, {ios / MILLION:,.0f} million",
         stored * p["aurora_gb"] + ios / MILLION * p["aurora_io"]),
        ("ElastiCache", f"{2 * cells} {node}", 2 * cells * MONTH_HOURS * NODES[node][1]),
        ("NAT gateways", f"{gateways}, {nat:,.0f} GB", gateways * MONTH_HOURS * p["nat_hour"] + nat * p["nat_gb"]),
        ("Between zones, to models", f"{crossed:,.0f} GB, {asked:,.0f} GB", crossed * 2 * p["zone_gb"] + asked * p["out_gb"]),
        ("CloudFront", f"{edge:,.0f} GB",
         tiered(edge, p["edge_gb"], 1) + (d["connects"] * month + calls) / MILLION * p["edge_call"]),
        ("Logs", f"{logs:,.0f} GB", logs * p["log_gb"]),
        ("Metrics, alarms, dashboards", f"{cells} of each set",
         cells * (CUSTOM_METRICS * p["metric"] + ALARM_METRICS * p["alarm"] + p["dashboard"])),
        ("X-Ray", f"{invoked * a['traced'] / MILLION:,.1f} million traces", invoked * a["traced"] / MILLION * p["trace"]),
        ("Keys and secrets", f"{cells} of each",
         cells * (p["key"] + 2 * p["secret"]) + agents * MONTH_DAYS * 288 / MILLION * p["secret_call"]),
        ("**AWS**", "", None),
        ("Model", f"{messages * a['prompt_tokens'] / MILLION:,.0f} + {messages * a['answer_tokens'] / MILLION:,.0f} million tokens",
         messages * (a["prompt_tokens"] * p["prompt"] + a["answer_tokens"] * p["answer"]) / MILLION),
    ]


def quotas(a):
    """(name, default, what one daily user takes of it in the busiest hour, unit, what to do)."""
    d = demand(a)
    per_s = {name: value * d["busy"] for name, value in d.items()}
    agents = a["messages"] * d["busy"] * d["turn_s"]
    others = d["busy"] / 1000 * small_ms(a, d)
    tokens = a["prompt_tokens"] + a["answer_tokens"]
    small, large = NODES["cache.t4g.small"][0], NODES["cache.r7g.large"][0]
    asked = a["messages"] * d["busy"]
    return [
        ("Memory of two `cache.t4g.small` (default)", small * NODE_USABLE, d["cache_bytes"] / GB, "GB",
         "`CacheNodeType`. When it is full writes fail (noeviction); the alarm `cache-full1` comes at three quarters"),
        ("`AgentMaximumConcurrency` 100 (default)", 100, agents, "agents", "Raise it; it bounds database and model too"),
        ("Memory of two `cache.r7g.large` (prod)", large * NODE_USABLE, d["cache_bytes"] / GB, "GB", "The next size"),
        ("API Gateway: 10,000 requests a second, account and region, posts included", 10_000, per_s["requests"], "/s",
         "Fewer pieces; Service Quotas, early"),
        ("`AgentMaximumConcurrency` 200 (prod)", 200, agents, "agents", "Raise it"),
        ("The cache's one thread, to 80 %", CACHE_BUSY * MILLION / a["script_us"], per_s["scripts"], "scripts/s",
         "Fewer pieces; then another cell: cluster mode is not possible (scripts touch several keys)"),
        ("Aurora: 1,669 connections (0.5 to 8 units, default)", 1_669, 2 * agents, "connections",
         "`DatabaseMinCapacity` 1 or more and `DatabaseMaxCapacity` 16 (3,360), 32 (5,000: the most); needs a reboot"),
        ("Event source mapping: 1,000 at once", 1_000, agents, "agents",
         "Another cell, or provisioned pollers in place of `MaximumConcurrency`"),
        ("Lambda: 1,000 at once, account and region", 1_000, agents + others, "invocations",
         "Service Quotas; before `AgentMaximumConcurrency` goes above 500"),
        ("API Gateway: 500 new connections a second", 500, per_s["connects"], "/s",
         "Not by daily use, but when everybody comes back at once (below)"),
        ("`SocketRate` 1,000 frames and connections a second", 1_000, per_s["frames_in"] + per_s["connects"], "/s",
         "Raise it with the account's quota"),
        ("`HttpRate` 500 calls a second", 500, a["calls"] * d["busy"], "/s", "Raise it"),
        ("OpenAI, tier 5: 30,000 requests a minute", 30_000, asked * 60, "/min",
         "A second provider in `agent_models`; tenants' own keys; Bedrock"),
        ("OpenAI, tier 5: 150 million tokens a minute", 150e6, asked * 60 * tokens, "tokens/min",
         "The same. Tier 1 (500 requests a minute) binds at a sixtieth"),
        ("SQS FIFO, high throughput: 19,000 sends a second (Frankfurt; Virginia 70,000)", 19_000, asked, "/s",
         "Service Quotas"),
        ("SQS FIFO: 120,000 records in flight", 120_000, agents, "records", "A backlog only waits; nothing fails"),
        ("NAT: 55,000 connections to one address and port", 55_000, agents * (a["devices"] + 2), "connections",
         "`NatGateways=each`"),
        ("ElastiCache: 65,000 connections a node", 65_000, 2 * (agents + others), "connections", "Not before the thread"),
        ("KMS: 20,000 calls a second", 20_000, asked, "/s", "Only turns with a tenant's own key ask it"),
        ("Secrets Manager: 10,000 reads a second", 10_000, agents / 300, "/s", "Once in five minutes for each environment"),
    ]


def short(value):
    """A number as people say it."""
    for limit, unit in ((1e9, "billion"), (1e6, "million")):
        if value >= limit:
            return f"{value / limit:,.1f} {unit}"
    if value >= 1_000:
        return f"{round(value, -3 if value >= 10_000 else -2):,.0f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def assumptions_table(a):
    yield "| assumption | value | meaning | from |\n| --- | --- | --- | --- |"
    for name, (_, unit, meaning, known) in ASSUMPTIONS.items():
        yield f"| `{name}` | {a[name]:,} {unit}".rstrip() + f" | {meaning} | {known} |"


def prices_table():
    yield "| price | US dollars | for | source |\n| --- | --- | --- | --- |"
    for name, (value, unit, source) in PRICES.items():
        shown = ", ".join(f"{price:g}" for _, price in value) if isinstance(value, list) else f"{value:g}"
        yield f"| `{name}` | {shown} | {unit} | {source} |"
    shown = "; ".join(f"{name.removeprefix('cache.')} {hour:g}" for name, (_, hour) in NODES.items())
    yield f"| `NODES` | {shown} | a Valkey node and hour | 11 |"


def bill_table(columns):
    bills = [bill(a, users) for _, a, users in columns]
    yield "| a month | " + " | ".join(name for name, _, _ in columns) + " |\n| --- |" + " --- |" * len(columns)
    totals = [0.0] * len(columns)
    for row in zip(*(lines for _, _, lines in bills)):
        cells = []
        for index, (what, amount, dollars) in enumerate(row):
            if dollars is None:
                cells.append(f"**${totals[index]:,.0f}**")
            else:
                totals[index] += dollars
                cells.append(f"${dollars:,.0f} ({amount})")
        yield f"| {row[0][0]} | " + " | ".join(cells) + " |"
    yield "| **With the model** | " + " | ".join(f"**${total:,.0f}**" for total in totals) + " |"
    per_user = (f"${total / users:.3f}" for total, (_, _, users) in zip(totals, columns))
    yield "| A daily user | " + " | ".join(per_user) + " |"
    yield "| Cells (stacks) | " + " | ".join(str(cells) for cells, _, _ in bills) + " |"


def quotas_table(a, slow):
    yield "| quota | at 10,000 daily users | at 1,000,000 | binds at | with pieces every 100 ms | what to do |"
    yield "| --- |" + " --- |" * 5
    rows = zip(quotas(a), quotas(slow))
    for (name, limit, each, unit, remedy), (_, _, slowly, _, _) in sorted(rows, key=lambda row: row[0][1] / row[0][2]):
        few, many = short(each * 1e4), short(each * 1e6)
        yield f"| {name} | {few} {unit} | {many} {unit} | {short(limit / each)} | {short(limit / slowly)} | {remedy} |"


def levers_table(a):
    yield "| change | 10,000 daily users | 1,000,000 | cells |\n| --- | --- | --- | --- |"
    total = lambda lines: sum(dollars for what, _, dollars in lines if dollars and what != "Model")  # noqa: E731
    before = [total(bill(a, users)[2]) for users in (1e4, 1e6)]
    changes = [
        ("Pieces every 50 ms", {"piece_ms": 50}), ("Pieces every 100 ms", {"piece_ms": 100}),
        ("Pieces every 250 ms", {"piece_ms": 250}), ("The agent at 256 MB", {"agent_gb": 0.25}),
        ("Pieces every 100 ms, the agent at 256 MB", {"piece_ms": 100, "agent_gb": 0.25}),
        ("Half as many log lines", {name: a[name] / 2 for name in ("message_log_bytes", "connect_log_bytes", "small_log_bytes")}),
        ("X-Ray off", {"traced": 0}), ("One month of history", {"history_months": 1}),
    ]
    for name, change in changes:
        after = [bill({**a, **change}, users) for users in (1e4, 1e6)]
        saved = [f"{total(lines) - old:+,.0f}".replace("+", "+$").replace("-", "-$") for (_, _, lines), old in zip(after, before)]
        yield f"| {name} | {saved[0]} | {saved[1]} | {after[1][0]} |"


def tables(a):
    """Every table, in the order of the document."""
    slow = {**a, "piece_ms": max(100, a["piece_ms"])}
    columns = [("10,000 daily users", a, 1e4), ("1,000,000 daily users", a, 1e6),
               ("1,000,000, pieces every 100 ms", slow, 1e6)]
    for table in (bill_table(columns), levers_table(a), quotas_table(a, slow), assumptions_table(a), prices_table()):
        yield "\n".join(table)


def main(words):
    a = {name: value for name, (value, _, _, _) in ASSUMPTIONS.items()}
    if words[:1] == ["--check"]:
        text = Path(words[1]).read_text()
        missing = [table.split("\n", 1)[0] for table in tables(a) if table not in text]
        for header in missing:
            print(f"{words[1]}: not as tools/bench/bill.py prints it: {header}", file=sys.stderr)
        return 1 if missing else 0
    for word in words:
        name, _, value = word.partition("=")
        if name not in a:
            print(f"no assumption is called {name}", file=sys.stderr)
            return 2
        a[name] = float(value)
    print("\n\n".join(tables(a)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
