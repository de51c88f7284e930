"""A load test in one command: python -m loadtests.locust.run [options] [-- options of locust].

Starts a server unless `--host` names one, runs locust without its web page, and writes locust's report and tables and a
plot to a directory. Exits with locust's status, which is 1 if a threshold is missed.
"""

import argparse
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from loadtests.bench.loopback import HOST
from loadtests.bench.running_server import running_server
from loadtests.locust.history import read_history
from loadtests.locust.plot import draw

LOCUSTFILE = Path(__file__).parent / "locustfile.py"
USER_CLASSES = {"plain": "PlainUser", "streaming": "StreamingUser", "batch": "BatchUser", "mixed": "MixedUser"}
STOP_SECONDS = 10
"""The time for outstanding answers at the end of a test; later ones have failed."""
TABLES = "stats"


def main() -> int:
    arguments = _parse()
    report: Path = arguments.report
    report.mkdir(parents=True, exist_ok=True)
    page, plot, history = report / "report.html", report / "plot.png", report / f"{TABLES}_stats_history.csv"
    for old in (page, plot, history):
        old.unlink(missing_ok=True)
    with ExitStack() as stack:
        url = arguments.host or f"http://{HOST}:{stack.enter_context(running_server([])).port}"
        command = [*_locust(arguments, url), "--html", str(page), "--csv", str(report / TABLES), "--csv-full-history"]
        status = subprocess.run(command, check=False).returncode
    if not history.exists():  # the test did not start; locust printed the reason
        return status
    draw(plot, read_history(history), title=f"{arguments.users_kind}, {arguments.shape}, {arguments.seconds} s")
    print(f"{page}\n{plot}")
    return status


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.locust.run", description=__doc__)
    ours = os.environ.get
    parser.add_argument("--host", default=ours("LOAD_HOST"), help="http://…; without it, a server is started")
    parser.add_argument("--seconds", type=int, default=ours("LOAD_SECONDS", "60"))
    parser.add_argument("--class", dest="users_kind", choices=USER_CLASSES, default=ours("LOAD_CLASS", "mixed"))
    parser.add_argument(
        "--shape", default=ours("LOAD_SHAPE", "stepped"), help="closed (--users), stepped (growing users) or open"
    )
    parser.add_argument("--users", type=int, default=ours("LOAD_USERS", "8"), help="users of the closed shape")
    parser.add_argument("--report", type=Path, default=ours("LOAD_REPORT", "load-report"), help="a directory")
    parser.add_argument("locust", nargs="*", metavar="-- OPTIONS", help="options of locust; its --help lists ours too")
    return parser.parse_args()


def _locust(arguments: argparse.Namespace, url: str) -> list[str]:
    """Run locust in another process, because importing it replaces sockets and threads with gevent's."""
    return [
        *(sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--host", url, "--shape", arguments.shape, "--run-time", str(arguments.seconds)),
        *("--users", str(arguments.users), "--spawn-rate", str(arguments.users), "--stop-timeout", str(STOP_SECONDS)),
        *arguments.locust,
        USER_CLASSES[arguments.users_kind],
    ]


if __name__ == "__main__":
    sys.exit(main())
