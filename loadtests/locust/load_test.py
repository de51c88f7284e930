"""The start and the end of a load test, as listeners of locust's events."""

import time
from random import Random

import gevent
import locust.stats
from locust.env import Environment
from locust.event import Events
from locust.runners import LocalRunner, WorkerRunner
from locust.stats import RequestStats

from loadtests.locust.gevent_client import GeventClient
from loadtests.locust.options import add_arguments, chosen_shape, chosen_thresholds
from loadtests.locust.phrases import read_phrases
from loadtests.locust.thresholds import Check, Figures, check
from loadtests.locust.traffic import Traffic
from loadtests.locust.translation_user import FIRST_TOKEN, PLAIN, TOKEN, Arrivals, Session, TranslationUser


class LoadTest:
    def __init__(self) -> None:
        self._checks: list[Check] = []
        self._began_at = 0.0
        self._cpu_seconds = 0.0
        self._client: GeventClient | None = None

    def listen(self, events: Events) -> None:
        # Locust's manual recommends this event for setting a shape.
        locust.stats.bucket_response_time = finer_bucket  # type: ignore[assignment]
        events.init_command_line_parser.add_listener(add_arguments)
        events.init.add_listener(self.set_shape)
        events.test_start.add_listener(self.open_session)
        events.test_stop.add_listener(self.close_session)
        events.quitting.add_listener(self.judge)
        events.quit.add_listener(self.show)

    def set_shape(self, environment: Environment, **_: object) -> None:
        assert environment.parsed_options is not None
        environment.shape_class = shape = chosen_shape(environment.parsed_options)
        if shape is not None:
            shape.runner = environment.runner

    def open_session(self, environment: Environment, **_: object) -> None:
        """Start with the first text of the seed. Several processes have a sequence each."""
        options, runner = environment.parsed_options, environment.runner
        if options is None or not isinstance(runner, LocalRunner | WorkerRunner):
            return  # a master sends nothing
        seed = f"{options.seed}/{runner.worker_index}"
        arrivals = Arrivals(rate=options.rate, random=Random(f"{seed}/arrivals"))
        self._client = GeventClient(environment.host or TranslationUser.host)
        TranslationUser.session = Session(
            client=self._client,
            traffic=Traffic(read_phrases(), options.languages.split(","), seed=seed, repeats=options.repeats),
            arrivals=arrivals if options.shape == "open" else None,
        )
        self._began_at, self._cpu_seconds = time.monotonic(), time.process_time()

    def close_session(self, **_: object) -> None:
        if self._client is not None:
            self._client.close()

    def judge(self, environment: Environment, **_: object) -> None:
        options = environment.parsed_options
        if options is None or isinstance(environment.runner, WorkerRunner):
            return
        self._checks = check(_figures(environment), chosen_thresholds(options))
        environment.process_exit_code = int(not all(each.is_met for each in self._checks))
        if options.csv_prefix:
            # Locust writes its tables every second, but not at the end: one more turn adds the last second.
            gevent.sleep(2 * locust.stats.CSV_STATS_INTERVAL_SEC)

    def show(self, **_: object) -> None:
        """Print the checks after locust's own tables."""
        if not self._checks:
            return
        print("Thresholds")
        for each in self._checks:
            print(f"  {each}")
        if self._began_at:
            share = (time.process_time() - self._cpu_seconds) / (time.monotonic() - self._began_at)
            print(f"  The generator took {share:.0%} of a core.")
        if missed := [each.name for each in self._checks if not each.is_met]:
            print(f"MISSED: {'; '.join(missed)}")


def finer_bucket(milliseconds: float) -> float:
    """Round times more finely than locust, whose whole milliseconds blur the times between tokens."""
    if milliseconds < 100:
        return round(milliseconds, 1)
    return round(milliseconds, 0 if milliseconds < 1000 else -1)


def _figures(environment: Environment) -> Figures:
    stats, runner = environment.stats, environment.runner
    return Figures(
        num_requests=stats.total.num_requests,
        num_failures=stats.total.num_failures,
        num_exceptions=sum(each["count"] for each in runner.exceptions.values()) if runner else 0,
        requests_per_second=stats.total.total_rps,
        plain_milliseconds=_p95(stats, PLAIN),
        first_token_milliseconds=_p95(stats, FIRST_TOKEN),
        token_milliseconds=_p95(stats, TOKEN),
    )


def _p95(stats: RequestStats, kind: tuple[str, str]) -> float | None:
    request_type, name = kind
    entry = stats.entries.get((name, request_type))
    return entry.get_response_time_percentile(0.95) if entry is not None and entry.response_times else None
