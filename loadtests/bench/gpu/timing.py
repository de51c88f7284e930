"""Times on a device."""

import time
from collections.abc import Callable

from loadtests.bench.gpu.setting import Setting

NUM_RUNS = 5
REPLAYS_A_RUN = 20


def median_seconds(setting: Setting, run: Callable[[], object], *, num_runs: int = 9) -> float:
    """Of calls, each with a wait for the device."""
    seconds = []
    for _ in range(num_runs):
        setting.synchronize()
        began = time.perf_counter()
        run()
        setting.synchronize()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[num_runs // 2]


def replayed_seconds(setting: Setting, function: Callable[[], object]) -> float:
    """Of a function that is recorded, so that its launches do not count."""
    num_replays = 1 if setting.is_tiny else REPLAYS_A_RUN

    def record() -> None:
        function()

    replay = setting.runtime.record(record)

    def replay_all() -> None:
        for _ in range(num_replays):
            replay()

    replay_all()
    return median_seconds(setting, replay_all, num_runs=1 if setting.is_tiny else NUM_RUNS) / num_replays
