"""Redis over TLS, behind a Sentinel, and as a Cluster. Nothing outlives its `with`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from loadtests.bench.loopback import free_port, wait_until
from loadtests.bench.redis_server import RedisServer, running_redis


@contextmanager
def running_tls_redis(directory: Path) -> Iterator[tuple[RedisServer, Path]]:
    """A server that only accepts TLS, and the certificate of the authority that signed its own."""
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
    """A Sentinel that requires the password, and its master of this name, which requires none."""
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
        nodes: list[RedisServer] = []
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
