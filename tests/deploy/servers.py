"""The servers of one run: a private Postgres, a private Redis, ministack. All listen on 127.0.0.1 only, live in one
temporary folder, and end with this process, however it ends.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REGION, ACCOUNT = "eu-central-1", "000000000000"
DATABASE_ID, CACHE_NAME = "cluster-DEPLOYTEST", "deploy-test"
READY_S = 60


class Server:
    """A process that is ours."""

    def __init__(self, name, command, log, **named):
        self.name, self.log = name, log
        # The signal comes also when this process is killed outright.
        command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        with open(log, "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, **named)

    def until(self, ready):
        """Waits until it is ready; says why it is not."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end and self.process.poll() is None:
            if ready():
                return self
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not start:\n{Path(self.log).read_text(errors='replace')[-2000:]}")

    def stop(self):
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Servers:
    """All of them, and the folder they live in."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="konstruct-deploy-"))
        self.folder.chmod(0o711)
        self.password = secrets.token_hex(16)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Starts Postgres, Redis and ministack; again where somebody took a port in between."""
        self.make_certificate()
        for attempt in range(3):
            try:
                self.postgres_port, self.redis_port, self.aws_port, self.database_door, self.cache_door = free_ports(5)
                self.home = self.folder / f"attempt-{attempt}"
                self.home.mkdir(0o711)
                self.start_postgres()
                self.start_redis()
                self.start_ministack()
                return self
            except RuntimeError as error:
                said = error
                self.stop()
        raise said

    def stop(self):
        """Ends what runs, the last first."""
        while self.running:
            self.running.pop().stop()

    def tail(self, name):
        """The end of a server's log."""
        return (self.home / f"{name}.log").read_text(errors="replace")[-4000:]

    def add(self, name, command, ready, **named):
        """Starts one and waits for it."""
        server = Server(name, command, self.home / f"{name}.log", **named)
        self.running.append(server)
        server.until(ready)

    def make_certificate(self):
        """What the doors show, and the authority behind it, which the functions trust (SSL_CERT_FILE)."""
        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, cwd=self.folder, capture_output=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=deploy-test authority", "-keyout", "authority.key",
                "-out", "authority.pem")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        openssl("req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "door.key", "-out", "door.csr")
        openssl("x509", "-req", "-days", "2", "-in", "door.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
                "-CAcreateserial", "-extfile", "names", "-out", "door.pem")

    def start_postgres(self):
        """A cluster of this run; errors are not logged, for their text may hold a value."""
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        programs = programs[-1] if programs else Path(shutil.which("initdb")).parent
        data, secret = self.home / "postgres", self.home / "password"
        data.mkdir(0o700)
        secret.write_text(self.password)
        account = []
        if os.geteuid() == 0:
            account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            for path in (data, secret):
                shutil.chown(path, "postgres", "postgres")
        # Whoever reaches the socket in this folder has been through the door.
        subprocess.run([*account, programs / "initdb", "--no-sync", "-D", data, "-U", "postgres", "-E", "UTF8",
                        "--locale=C", "--auth-host=scram-sha-256", "--auth-local=trust", f"--pwfile={secret}"],
                       check=True, cwd="/", stdout=subprocess.DEVNULL)
        secret.unlink()
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={data}", "max_connections=600", "fsync=off",
                    "synchronous_commit=off", "full_page_writes=off", "log_min_messages=fatal"]
        command = [*account, programs / "postgres", "-D", data, "-p", str(self.postgres_port)]
        for setting in settings:
            command += ["-c", setting]
        self.add("postgres", command, lambda: self.psql("SELECT 1", database="postgres", check=False) == "1", cwd="/")

    def start_redis(self):
        """A cache that keeps nothing."""
        command = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                   "no", "--databases", "64", "--dir", str(self.home), "--loglevel", "warning"]
        self.add("redis", command, lambda: can_connect(self.redis_port))

    def start_ministack(self):
        """ministack with IAM enforced. Its functions inherit this environment; who has the configured key is root."""
        endpoint = f"http://127.0.0.1:{self.aws_port}"
        home = self.home / "ministack"
        home.mkdir()
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8",
            "AUTH": "true", "GATEWAY_PORT": str(self.aws_port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION, "MINISTACK_ACCOUNT_ID": ACCOUNT, "LOG_LEVEL": "WARNING",
            # Without these two it also listens on all addresses.
            "IOT_MTLS_ENABLED": "false", "SFTP_ENABLED": "false",
            "AWS_ACCESS_KEY_ID": "AKIADEPLOYTEST", "AWS_SECRET_ACCESS_KEY": self.password,
            "AWS_ENDPOINT_URL": endpoint, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
            "SSL_CERT_FILE": str(self.folder / "authority.pem"),
            "DOOR_CERTIFICATE": str(self.folder / "door.pem"), "DOOR_KEY": str(self.folder / "door.key"),
            "DOOR_DATABASE_PORT": str(self.database_door), "DOOR_DATABASE_ID": DATABASE_ID,
            "DOOR_POSTGRES_SOCKET": str(self.home / "postgres" / f".s.PGSQL.{self.postgres_port}"),
            "DOOR_CACHE_PORT": str(self.cache_door), "DOOR_CACHE_NAME": CACHE_NAME,
            "DOOR_REDIS_PORT": str(self.redis_port),
        }
        for service in ("SQS", "KMS", "SECRETS_MANAGER", "BEDROCK_RUNTIME"):
            environment[f"AWS_ENDPOINT_URL_{service}"] = endpoint
        self.add("ministack", [sys.executable, str(HERE / "emulator.py")], lambda: can_connect(self.aws_port),
                 env=environment)

    def psql(self, sql, database="postgres", check=True):
        """Runs SQL as superuser; gives back what it says, without decoration."""
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PGHOST": "127.0.0.1", "PGUSER": "postgres",
                       "PGPORT": str(self.postgres_port), "PGPASSWORD": self.password, "PGDATABASE": database,
                       "PGOPTIONS": "-c client_min_messages=warning"}
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        done = subprocess.run(command, input=sql, env=environment, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"the database refuses: {done.stderr.strip()}")
        return done.stdout.strip()

    def redis(self, database, *words):
        """One command in one database; what it answers, lists as lists."""
        with socket.create_connection(("127.0.0.1", self.redis_port), 5) as link:
            answer = link.makefile("rb")
            for command in (("SELECT", str(database)), words):
                parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, command))
                link.sendall(b"*%d\r\n%s" % (len(command), parts))
                last = resp(answer)
        return last

    def postgres_url(self, role, database, door=False):
        """The URL of a role: through the door, or with the password that all roles have."""
        if door:
            return f"postgres://{role}@127.0.0.1:{self.database_door}/{database}?sslmode=require"
        return f"postgres://{role}:{self.password}@127.0.0.1:{self.postgres_port}/{database}?sslmode=disable"

    def redis_url(self, number, door=False):
        """The URL of a database of Redis: through the door, or straight."""
        if door:
            return f"rediss://{CACHE_NAME}@127.0.0.1:{self.cache_door}/{number}"
        return f"redis://127.0.0.1:{self.redis_port}/{number}"


def free_ports(count):
    """Ports that nobody listens on; held until all are known."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def resp(stream):
    """One answer of Redis."""
    line = stream.readline().rstrip().decode()
    kind, rest = line[:1], line[1:]
    if kind == "*":
        return [resp(stream) for _ in range(int(rest))]
    if kind == "$":
        return stream.read(int(rest) + 2)[:-2].decode() if rest != "-1" else None
    if kind == "-":
        raise RuntimeError(f"Redis refuses: {rest}")
    return int(rest) if kind == ":" else rest


def can_connect(port):
    """Whether somebody listens."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
