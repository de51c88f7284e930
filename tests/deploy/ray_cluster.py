"""The Ray deployment as its users meet it: a local cluster in processes of its own, behind Serve's HTTP proxy.

Run as `python -m tests.deploy.ray_cluster PORT DIRECTORY ARGUMENTS`, it holds the cluster until SIGTERM. Nothing
outlives the `with` of `running_cluster`, and nothing listens on anything but the loopback interface.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from loadtests.bench.loopback import TIME_LIMIT_SECONDS, free_port, wait_until
from loadtests.bench.server_process import has_ended
from model.transformer.compute_types import ISA_VARIABLE
from tests.support.server import RunningServer

ROOT = Path(__file__).parent.parent.parent
REPLICA = "ray::ServeReplica:default:CheckpointHost"
OBJECT_STORE_BYTES = 100 << 20


class RunningCluster(RunningServer):
    def replicas(self) -> list[psutil.Process]:
        """The processes of the replicas that translate."""
        return [each for each in self.processes() if _title(each).startswith(REPLICA)]

    def replica_at_work(self) -> psutil.Process:
        """The one whose rows run; its log, which it has open, is named after it."""
        # At times all rows have just ended, and the next decodes have not entered yet.
        (name,) = wait_until(self._names_at_work, "rows run")
        (found,) = (each for each in self.replicas() if any(name in file.path for file in each.open_files()))
        return found

    def _names_at_work(self) -> set[str]:
        samples = self.metric_families()["kakehashi_rows_running"].samples
        return {sample.labels["replica"] for sample in samples if sample.value}

    def engine_processes(self) -> set[psutil.Process]:
        """The fork servers and workers of all replicas."""
        return {child for replica in self.replicas() for child in replica.children(recursive=True)}

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running_cluster(arguments: Mapping[str, Any], settings: Mapping[str, object]) -> Iterator[RunningCluster]:
    """`arguments` are the deployment's, `settings` KAKEHASHI_ variables."""
    port = free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name == ISA_VARIABLE or not name.startswith(("KAKEHASHI_", "RAY_"))
    }
    environment |= {f"KAKEHASHI_{name}": str(value) for name, value in settings.items()}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else Ray writes one into the home directory
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what Ray does there: all on the loopback interface
        # By default Serve replaces a proxy that takes 5 s to start, and the start that waits for the first one fails.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(TIME_LIMIT_SECONDS),
        "RAY_USAGE_STATS_ENABLED": "0",
        # By default 15, which leaves replicas next to nothing of the cores beside other tests.
        "RAY_worker_niceness": "0",
    }
    with TemporaryDirectory(prefix="ray-") as name:  # a short path: sockets lie in it
        log_path = Path(name) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.deploy.ray_cluster", str(port), name, json.dumps(arguments)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        cluster = RunningCluster(process, port=port, log_path=log_path)
        try:
            cluster.wait_ready()
            wait_until(lambda: len(cluster.replicas()) >= arguments["min_replicas"], "the replicas run")
            yield cluster
        finally:
            cluster.client.close()
            _end(cluster)


def _end(cluster: RunningCluster) -> None:
    """Stop the cluster, wait for every process, and kill the ones that do not end. Fails if there were any."""
    if cluster.process.poll() is not None:
        return
    processes = cluster.processes()
    cluster.process.terminate()
    try:
        cluster.process.wait(TIME_LIMIT_SECONDS)
        wait_until(lambda: all(map(has_ended, processes)), "all processes of the cluster end")
    finally:
        for process in [cluster.process, *processes]:
            if process.poll() is None if isinstance(process, subprocess.Popen) else not has_ended(process):
                process.kill()


def _title(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.NoSuchProcess:
        return ""


def listen_on_loopback_only() -> None:
    """Runs in each worker process, because replicas listen on all interfaces, regardless of their node's address."""
    from grpc.aio import _server

    add_insecure_port = _server.Server.add_insecure_port

    def add_loopback_port(server: _server.Server, address: str) -> int:
        return add_insecure_port(server, address.replace("[::]", "127.0.0.1"))

    _server.Server.add_insecure_port = add_loopback_port


def main(port: str, directory: str, arguments: str) -> None:
    import ray
    from ray import serve

    from deploy.ray.app import build
    from deploy.ray.arguments import Arguments

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": "tests.deploy.ray_cluster.listen_on_loopback_only"},
        _temp_dir=directory,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
        serve.run(build(Arguments.model_validate_json(arguments)))
        while True:
            signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
