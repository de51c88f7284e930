"""A real nginx on the loopback interface, with deploy/nginx/kakehashi.conf in its `http` section.

Only the ports are other than there.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtests.bench.loopback import free_port, wait_until
from tests.deploy.files import DEPLOY

TIME_LIMIT_SECONDS = 30.0
EXAMPLE = DEPLOY / "nginx/kakehashi.conf"
MAIN = """
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/kakehashi.conf;
}}
"""


def nginx_command(directory: Path, *, port: int, upstream_ports: Sequence[int]) -> list[str]:
    example = EXAMPLE.read_text()
    for there, here in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("server 127.0.0.1:8000;", " ".join(f"server 127.0.0.1:{upstream};" for upstream in upstream_ports)),
    ):
        assert example.count(there) == 1
        example = example.replace(there, here)
    (directory / "kakehashi.conf").write_text(example)
    (directory / "nginx.conf").write_text(MAIN.format(directory=directory))
    # Debian keeps it where only root has it on PATH.
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert nginx is not None
    return [nginx, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]


@contextmanager
def running_nginx(directory: Path, *upstream_ports: int) -> Iterator[str]:
    """Its URL."""
    port = free_port()
    command = nginx_command(directory, port=port, upstream_ports=upstream_ports)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def listens() -> bool:
        assert process.poll() is None, (directory / "error.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "nginx listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(TIME_LIMIT_SECONDS)
