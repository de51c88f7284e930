"""Load tests: `make load`, or locust -f loadtests/locust/locustfile.py --host URL [options] [user class].

Our own options are in options.py, the contents of requests in traffic.py, sending and counting in translation_user.py.
Everything here needs only locust and this folder, so locust's own container image can run it with the folder mounted
under any name.
"""

import importlib.util
import sys
from pathlib import Path

from locust import events, task


def name_parent_folder(name: str) -> None:
    """Make this folder importable under its name; locust loads this file by its path, which may be anywhere."""
    init = Path(__file__).resolve().parents[1] / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


if "loadtests" not in sys.modules:
    name_parent_folder("loadtests")

from loadtests.locust.load_test import LoadTest  # noqa: E402
from loadtests.locust.translation_user import TranslationUser  # noqa: E402

LoadTest().listen(events)


class PlainUser(TranslationUser):
    """One text, one target, one answer."""

    @task
    def plain(self) -> None:
        self.ask_plain()


class StreamingUser(TranslationUser):
    """One text, one target, a stream of tokens."""

    @task
    def stream(self) -> None:
        self.ask_stream()


class BatchUser(TranslationUser):
    """Lists of texts with several targets."""

    @task
    def lists(self) -> None:
        self.ask_lists()


class MixedUser(TranslationUser):
    """All three kinds of requests, by weight."""

    @task(5)
    def plain(self) -> None:
        self.ask_plain()

    @task(4)
    def stream(self) -> None:
        self.ask_stream()

    @task(1)
    def lists(self) -> None:
        self.ask_lists()
