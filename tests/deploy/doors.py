"""What stands before a database and a cache with IAM authentication: TLS, a token for a password, and the right of who
signed it. Behind the doors are the run's own Postgres and Redis. They judge a token as AWS documents it, by ministack's
keys and policies, and let nobody else in.
"""

import asyncio
import datetime
import hashlib
import os
import ssl
import struct
import threading
import time
from urllib.parse import parse_qsl

from ministack.core import iam_evaluator, sigv4
from ministack.core.responses import request_scope
from ministack.services import sts

SSL_REQUEST = 80877103
EMPTY = hashlib.sha256(b"").hexdigest()
ACCOUNT, REGION = os.environ.get("MINISTACK_ACCOUNT_ID", ""), os.environ.get("MINISTACK_REGION", "")


class Refused(Exception):
    """A token that opens nothing."""


def signer(token, service, place, user_name, user):
    """The access key that signed a token for this place and user, no more than 15 minutes ago."""
    head, _, query = token.partition("/?")
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    given = dict(pairs)
    if head != place or given.get("Action") != "connect" or given.get(user_name) != user or len(given) != len(pairs):
        raise Refused("a token for another place or user")
    key, day, region, signed_for, _ = given["X-Amz-Credential"].split("/")
    signed_at = datetime.datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    age = time.time() - signed_at.timestamp()
    if (region, signed_for) != (REGION, service) or not -60 < age < min(int(given["X-Amz-Expires"]), 900):
        raise Refused("a token of another service or time")
    session = sts._sessions.get(key) or {}
    if not session or given.get("X-Amz-Security-Token") != session["SessionToken"]:
        raise Refused("a token of nobody")
    request = sigv4.build_canonical_request("GET", "/", {"host": place}, given, "host", payload_hash=EMPTY,
                                            exclude_query_params=("x-amz-signature",))
    text = sigv4.build_string_to_sign(given["X-Amz-Date"], day, region, service, request)
    if sigv4.calculate_signature(session["SecretAccessKey"], day, region, service, text) != given["X-Amz-Signature"]:
        raise Refused("a token with another signature")
    return key


class Doors:
    """Both doors; `remember` is told of each decision."""

    def __init__(self, remember, settings):
        self.remember, self.settings = remember, settings

    def admit(self, key, action, resources):
        """Lets in who may do this with all of these."""
        with request_scope(ACCOUNT, REGION):
            principal = iam_evaluator.resolve_principal(key, ACCOUNT)
            if isinstance(principal, iam_evaluator.AuthError):
                raise Refused("a key that is not valid")
            for resource in resources:
                context = iam_evaluator.EvalContext(
                    principal_arn=principal.arn, principal_type=principal.type, principal_account=ACCOUNT,
                    action=action, resource_arn=resource, region=REGION)
                allowed = iam_evaluator.evaluate(context, principal.policies).decision == "Allow"
                if not self.remember(principal.arn, action, resource, allowed):
                    raise Refused(f"{action} is not allowed")

    async def database(self, reader, writer):
        """Postgres: TLS is asked for, then comes who and where, then a password is."""
        size, code = struct.unpack("!II", await reader.readexactly(8))
        if (size, code) != (8, SSL_REQUEST):
            raise Refused("no TLS")
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(self.settings["tls"])
        size = struct.unpack("!I", await reader.readexactly(4))[0]
        startup = await reader.readexactly(size - 4)
        words = startup[4:].split(b"\0")
        user = dict(zip(words[::2], words[1::2]))[b"user"].decode()
        writer.write(struct.pack("!cII", b"R", 8, 3))
        size = struct.unpack("!xI", await reader.readexactly(5))[0]
        token = (await reader.readexactly(size - 4)).rstrip(b"\0").decode()
        place = f"127.0.0.1:{self.settings['database_port']}"
        try:
            self.admit(signer(token, "rds-db", place, "DBUser", user), "rds-db:connect",
                       [f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{self.settings['database_id']}/{user}"])
        except (Refused, ValueError, KeyError):
            text = f"SFATAL\0VFATAL\0C28P01\0MPAM authentication failed for user \"{user}\"\0\0".encode()
            writer.write(struct.pack("!cI", b"E", len(text) + 4) + text)
            return None
        inner = await asyncio.open_unix_connection(self.settings["postgres_socket"])
        inner[1].write(struct.pack("!I", len(startup) + 4) + startup)
        return inner

    async def cache(self, reader, writer):
        """Redis: the first command must name a user and a token."""
        words = [await self.word(reader) for _ in range(int((await reader.readline())[1:]))]
        at = words.index("AUTH") if "AUTH" in words else -1
        if at < 0 or len(words) < at + 3:
            writer.write(b"-NOAUTH Authentication required.\r\n")
            return None
        user, token, name = words[at + 1], words[at + 2], self.settings["cache_name"]
        arn = f"arn:aws:elasticache:{REGION}:{ACCOUNT}"
        try:
            self.admit(signer(token, "elasticache", name, "User", user), "elasticache:Connect",
                       [f"{arn}:replicationgroup:{name}", f"{arn}:user:{user}"])
        except (Refused, ValueError, KeyError):
            writer.write(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
            return None
        inner = await asyncio.open_connection("127.0.0.1", self.settings["redis_port"])
        if words[0] == "HELLO":
            inner[1].write(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
        else:
            writer.write(b"+OK\r\n")
        return inner

    @staticmethod
    async def word(reader):
        """One word of a command."""
        size = int((await reader.readline())[1:])
        return (await reader.readexactly(size + 2))[:-2].decode()


def guarded(door):
    """What a door does with a connection: judges it, then carries bytes both ways until one side ends."""
    async def serve(reader, writer):
        ends = [writer]
        try:
            inner = await door(reader, writer)
            if inner:
                ends.append(inner[1])
                await asyncio.wait([asyncio.ensure_future(carry(reader, inner[1])),
                                    asyncio.ensure_future(carry(inner[0], writer))],
                                   return_when=asyncio.FIRST_COMPLETED)
        except (Refused, OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in ends:
                end.close()
    return serve


async def carry(reader, writer):
    """One way."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def open_doors(remember):
    """Opens both on a thread of their own, where the environment names them."""
    if "DOOR_DATABASE_PORT" not in os.environ:
        return
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.environ["DOOR_CERTIFICATE"], os.environ["DOOR_KEY"])
    doors = Doors(remember, {
        "tls": tls, "database_port": int(os.environ["DOOR_DATABASE_PORT"]),
        "database_id": os.environ["DOOR_DATABASE_ID"], "cache_name": os.environ["DOOR_CACHE_NAME"],
        "postgres_socket": os.environ["DOOR_POSTGRES_SOCKET"], "redis_port": int(os.environ["DOOR_REDIS_PORT"])})

    async def serve():
        ports = doors.settings["database_port"], int(os.environ["DOOR_CACHE_PORT"])
        database = await asyncio.start_server(guarded(doors.database), "127.0.0.1", ports[0])
        cache = await asyncio.start_server(guarded(doors.cache), "127.0.0.1", ports[1], ssl=tls)
        await asyncio.gather(database.serve_forever(), cache.serve_forever())
    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
