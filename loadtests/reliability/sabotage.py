"""Faults of the machine: processes of the server and of Redis that die, stop or run full, in a seeded order."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from loadtests.bench.redis_server import RedisServer
from loadtests.bench.server_process import ServerProcess

REDIS_FAULT_SECONDS = 1.5


@dataclass(slots=True)
class Saboteur:
    """`done` counts the faults by name."""

    server: ServerProcess
    redis: RedisServer
    random: Random
    done: Counter[str] = field(default_factory=Counter)
    _stopped: list[psutil.Process] = field(default_factory=list)

    async def work(self, *, seconds: float, pause_seconds: float) -> None:
        """Every fault comes once in each round, in random order, with pauses around `pause_seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        faults: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker stopped": self._stop_worker,
            "fork server killed": self._kill_fork_server,
        }
        redis_faults = {"Redis killed": self._kill_redis, "Redis stalled": self._stall_redis, "Redis full": self._fill}
        names = [*faults, *redis_faults]
        while True:
            for name in self.random.sample(names, len(names)):
                await asyncio.sleep(min(self.random.uniform(0.5, 1.5) * pause_seconds, max(0.0, until - loop.time())))
                if loop.time() >= until:
                    return
                if name in faults:
                    await asyncio.to_thread(faults[name])
                else:
                    await redis_faults[name]()
                self.done[name] += 1

    def resume(self) -> None:
        """Let stopped workers go on: without work, nobody misses them."""
        for worker in self._stopped:
            with suppress(psutil.NoSuchProcess):
                worker.resume()

    def _kill_worker(self) -> None:
        for worker in self._one_worker():
            worker.kill()

    def _stop_worker(self) -> None:
        for worker in self._one_worker():
            worker.suspend()
            self._stopped.append(worker)

    def _kill_fork_server(self) -> None:
        for fork_server in self.server.fork_servers():
            with suppress(psutil.NoSuchProcess):
                fork_server.kill()

    def _one_worker(self) -> list[psutil.Process]:
        """A random worker, or none while all of them are gone."""
        workers = self.server.workers()
        return [self.random.choice(workers)] if workers else []

    async def _kill_redis(self) -> None:
        await asyncio.to_thread(self.redis.kill, signal.SIGKILL)
        await asyncio.sleep(REDIS_FAULT_SECONDS)
        await asyncio.to_thread(self.redis.start)

    async def _stall_redis(self) -> None:
        with self.redis.frozen():
            await asyncio.sleep(REDIS_FAULT_SECONDS)

    async def _fill(self) -> None:
        await asyncio.to_thread(self.redis.configure, "maxmemory", "1")
        await asyncio.sleep(REDIS_FAULT_SECONDS)
        await asyncio.to_thread(self.redis.configure, "maxmemory", "0")
