"""A real Prometheus on the loopback interface, which runs the configuration and the rules of deploy/prometheus.

Only what it scrapes, and how often, is other than there.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from loadtests.bench.loopback import free_port, wait_until
from tests.deploy.files import DEPLOY, read_yaml

TIME_LIMIT_SECONDS = 30.0
INTERVAL = "500ms"


class PrometheusServer:
    def __init__(self, process: subprocess.Popen[bytes], *, port: int, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIME_LIMIT_SECONDS, trust_env=False)

    def is_ready(self) -> bool:
        assert self._process.poll() is None, self._log_path.read_text()
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it answers with."""
        return list(self._ask("query", query=expression)["result"])

    def targets(self) -> dict[str, dict[str, Any]]:
        """Targets by job."""
        return {target["labels"]["job"]: target for target in self._ask("targets")["activeTargets"]}

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def close(self) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(TIME_LIMIT_SECONDS)

    def _ask(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = self._client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def running_prometheus(directory: Path, *, target_port: int) -> Iterator[PrometheusServer]:
    shutil.copytree(DEPLOY / "prometheus/rules", directory / "rules")
    port = free_port()
    config = read_yaml(DEPLOY / "prometheus/prometheus.yml")
    config["global"] = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    ports = {"kakehashi": target_port, "prometheus": port}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    server = PrometheusServer(process, port=port, log_path=directory / "log")
    try:
        wait_until(server.is_ready, "Prometheus is ready")
        yield server
    finally:
        server.close()
