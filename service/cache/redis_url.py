"""Redis URLs: those of redis-py, and two more schemes, for a Cluster and for a master behind Sentinels.

    redis://  rediss://                     [user:password@]host[:port][/db]
    unix://                                 [user:password@]/path/of/the/socket[?db=0]
    redis+cluster://  rediss+cluster://     [user:password@]host[:port][,host[:port]...]
    redis+sentinel://  rediss+sentinel://   [user:password@]host[:port][,host[:port]...]/service[/db]

`rediss` is TLS. All accept redis-py's options as a query, such as `?ssl_ca_certs=/path`. User and password are those of
the Redis servers; the options `sentinel_username` and `sentinel_password` are for the Sentinels.
"""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio.connection import parse_url

Topology = Literal["single", "cluster", "sentinel"]
TOPOLOGIES: dict[str, Topology] = {
    "redis": "single",
    "rediss": "single",
    "unix": "single",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
}
REDIS_PORT = 6379
SENTINEL_PORT = 26379

# Messages never quote the URL: a password that is not percent-encoded can end up in any part of it.
UNREADABLE = "the URL cannot be read; in a user name or password, characters such as / ? # @ % must be percent-encoded"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    topology: Topology
    nodes: tuple[tuple[str, int], ...]
    """(host, port) pairs; empty for a Unix socket."""
    service_name: str
    """The master's name at the Sentinels; empty without them."""
    is_tls: bool
    options: dict[str, Any] = field(repr=False)
    """redis-py's options, including the credentials but not host and port."""


def read_redis_url(url: str) -> RedisUrl:
    """Raises ValueError; the message contains no part of a password."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its message may quote the URL
        raise ValueError(UNREADABLE) from None
    topology = TOPOLOGIES.get(parts.scheme)
    if topology is None:
        raise ValueError(f"the scheme must be one of {', '.join(f'{scheme}://' for scheme in TOPOLOGIES)}")
    if parts.fragment or "@" in parts.query or ("@" in parts.path and parts.scheme != "unix"):
        raise ValueError(UNREADABLE)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service_name, database = _read_path(parts, topology, hosts)
    scheme = parts.scheme.partition("+")[0]
    place = parts.path if scheme == "unix" else "localhost" + (f"/{database}" if database else "")
    nodes = tuple(_read_node(each, topology) for each in hosts.split(",")) if scheme != "unix" else ()
    if topology == "single" and len(nodes) > 1:
        raise ValueError("only a redis+cluster:// or redis+sentinel:// URL can name several hosts")
    options = dict(parse_url(f"{scheme}://{credentials}@{place}?{parts.query}"))
    for name in ("host", "connection_class"):
        options.pop(name, None)
    if "decode_responses" in options:
        raise ValueError("the option decode_responses cannot be used: values are bytes")
    return RedisUrl(topology, nodes, service_name, scheme == "rediss", options)


def _read_path(parts: SplitResult, topology: Topology, hosts: str) -> tuple[str, str]:
    """The Sentinels' service name and the database number, each empty if absent."""
    if parts.scheme == "unix":
        if hosts or not parts.path.strip("/"):
            raise ValueError("unix:// needs the absolute path of a socket, as in unix:///run/redis.sock")
        return "", ""
    segments = parts.path.removeprefix("/").split("/")
    service_name = unquote(segments.pop(0)) if topology == "sentinel" else ""
    if topology == "sentinel" and not service_name:
        raise ValueError("the path must name the Sentinels' service, as in redis+sentinel://host:26379/mymaster")
    database = "/".join(segments)
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError("the database at the end of the path must be a whole number")
    if topology == "cluster" and database.strip("0"):
        raise ValueError("a Cluster only has database 0")
    return service_name, database


def _read_node(host_and_port: str, topology: Topology) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{host_and_port}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(UNREADABLE) from None
    if not host:
        raise ValueError("a host is missing")
    return unquote(host), port or (SENTINEL_PORT if topology == "sentinel" else REDIS_PORT)
