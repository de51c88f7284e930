"""The device and the number of threads of every worker."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    device: str
    num_threads: int


def place_workers(
    *, device: str, num_workers: int | None, num_threads: int | None, num_cores: int, num_gpus: int
) -> list[Placement]:
    """The placement of every worker. None lets this function choose.

    The default is one worker a GPU on CUDA, and one worker a core on CPU: single-threaded processes decode more tokens
    a second than one process with as many threads, which wait for each other several times a layer.
    """
    if device == "auto":
        device = "cuda" if num_gpus else "cpu"
    if device == "cpu":
        workers = num_workers or max(1, num_cores // (num_threads or 1))
        threads = num_threads or max(1, num_cores // workers)
        return [Placement("cpu", threads) for _ in range(workers)]
    devices = [f"cuda:{index}" for index in range(max(1, num_gpus))] if device == "cuda" else [device]
    workers = num_workers or len(devices)
    return [Placement(devices[index % len(devices)], num_threads or 1) for index in range(workers)]
