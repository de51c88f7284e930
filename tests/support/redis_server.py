"""Real Redis servers on the loopback interface: alone, over TLS, behind a Sentinel, and as a Cluster.

Nothing here outlives its `with`. A server is steered over its Unix socket, whatever else it listens on.
"""

import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.e2e.server import free_port, wait_until

TIME_LIMIT_SECONDS = 30.0


class RedisServer:
    def __init__(self, directory: Path, *, port: int, password: str | None, arguments: tuple[str, ...] = ()) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self.socket_path = directory / "s"
        self._directory = directory
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._steering = redis.Redis(
            unix_socket_path=str(self.socket_path),
            password=password,
            socket_timeout=TIME_LIMIT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    def start(self) -> None:
        """On the same port each time, and empty; returns when it answers."""
        with (self._directory / "log").open("ab") as log:
            command = ["redis-server", str(self._directory / "conf"), *self._arguments]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, "redis-server answers")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(TIME_LIMIT_SECONDS)

    def close(self) -> None:
        self._steering.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and bytes meanwhile, and answers them all afterwards."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | bytes | int) -> Any:
        return self._steering.execute_command(*command)

    def configure(self, name: str, value: str) -> None:
        self.ask("CONFIG SET", name, value)

    def num_calls(self, command: str) -> int:
        """How often it was given `command` since it was started."""
        statistics: dict[str, Any] = self.ask("INFO", "commandstats").get(f"cmdstat_{command}", {})
        return int(statistics.get("calls", 0))

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"redis-server ended:\n{(self._directory / 'log').read_text()}")
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False


@contextmanager
def running_redis(
    settings: Mapping[str, str] | None = None,
    *,
    password: str | None = None,
    arguments: tuple[str, ...] = (),
    port: int | None = None,
) -> Iterator[RedisServer]:
    """A server that keeps nothing on disk; `settings` are lines of its configuration file."""
    port = port or free_port()
    with TemporaryDirectory(prefix="redis-") as name:
        directory = Path(name)
        lines = {"bind": "127.0.0.1", "port": str(port), "dir": name, "unixsocket": str(directory / "s")}
        if "--sentinel" not in arguments:
            lines |= {"save": '""', "appendonly": "no"}
        if password is not None:
            lines["requirepass"] = password
        text = "".join(f"{key} {value}\n" for key, value in (lines | dict(settings or {})).items())
        (directory / "conf").write_text(text)
        server = RedisServer(directory, port=port, password=password, arguments=arguments)
        try:
            server.start()
            yield server
        finally:
            server.close()


@contextmanager
def running_tls_redis(directory: Path) -> Iterator[tuple[RedisServer, Path]]:
    """A server that takes nothing but TLS, and the authority's certificate that says who it is."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_path := directory / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(key_path := directory / "server.key")
    certificate.cert_chain_pems[0].write_to_path(certificate_path := directory / "server.pem")
    port = free_port()
    settings = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(certificate_path),
        "tls-key-file": str(key_path),
        "tls-ca-cert-file": str(ca_path),
        "tls-auth-clients": "no",
    }
    with running_redis(settings, port=port) as server:
        yield server, ca_path


@contextmanager
def running_sentinel(service_name: str, *, password: str) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A Sentinel, which wants that password, and the master that it knows by that name, which wants none."""
    with running_redis() as master:
        settings = {"sentinel monitor": f"{service_name} 127.0.0.1 {master.port} 1"}
        with running_redis(settings, password=password, arguments=("--sentinel",)) as sentinel:
            wait_until(
                lambda: sentinel.ask("SENTINEL MASTERS")[service_name]["is_master"], "the Sentinel knows the master"
            )
            yield sentinel, master


@contextmanager
def running_cluster() -> Iterator[list[RedisServer]]:
    """Three masters that share the slots."""
    with ExitStack() as stack:
        nodes = []
        for first, last in ((0, 5460), (5461, 10922), (10923, 16383)):
            settings = {"cluster-enabled": "yes", "cluster-port": str(bus_port := free_port())}
            node = stack.enter_context(running_redis(settings))
            node.ask("CLUSTER ADDSLOTSRANGE", first, last)
            if nodes:
                nodes[0].ask("CLUSTER MEET", "127.0.0.1", node.port, bus_port)
            nodes.append(node)
        wait_until(lambda: all(map(_is_whole, nodes)), "the nodes of the Cluster know each other")
        yield nodes


def _is_whole(node: RedisServer) -> bool:
    info = node.ask("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == 3)
