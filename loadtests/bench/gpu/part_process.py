"""A process in which parts run. It is replaced when a part hangs, crashes, or leaves the device unusable."""

import logging
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

import psutil

from loadtests.bench.gpu.parts import PARTS
from loadtests.bench.gpu.report import Part

START_SECONDS, END_SECONDS = 60.0, 5.0
MORE_SECONDS = 20.0
"""A part that is still running so long after its time was up hangs."""


class NotReadyError(Exception):
    """The device cannot be used."""


class PartProcess:
    def __init__(
        self,
        device: str,
        *,
        target: Callable[[Connection, str], None] | None = None,
        more_seconds: float = MORE_SECONDS,
    ) -> None:
        """`target` is `serve`, except in tests."""
        self._device = device
        self._target = target or serve
        self._more_seconds = more_seconds
        self._context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        try:
            self._start()
        except NotReadyError as error:
            raise SystemExit(str(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def measure(self, name: str, *, max_seconds: float) -> Part:
        """The part, or what was measured before it hung or died."""
        part = Part(PARTS[name].title, max_seconds)
        is_usable: bool | None = None
        try:
            self._restart_if_dead()
            self._connection.send((name, max_seconds))
            deadline = time.monotonic() + max_seconds + self._more_seconds
            while is_usable is None:
                if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError("the part hung")
                part, is_usable = self._connection.recv()
        except (EOFError, ConnectionError):
            part.end(RuntimeError("the process of the part died"))
        except (TimeoutError, NotReadyError) as error:
            part.end(error)
        if not is_usable:
            self._stop()
        return part

    def _restart_if_dead(self) -> None:
        """Raises NotReadyError."""
        if self._process is not None and not self._process.is_alive():
            self._stop()
        if self._process is None:
            self._start()

    def _start(self) -> None:
        """Raises NotReadyError."""
        self._connection, theirs = self._context.Pipe()
        self._process: BaseProcess | None = self._context.Process(target=self._target, args=(theirs, self._device))
        self._process.start()
        theirs.close()
        try:
            if not self._connection.poll(START_SECONDS):
                raise NotReadyError(f"{self._device} was not ready within {START_SECONDS:.0f} s")
            self.device_name: str = self._connection.recv()
        except (EOFError, ConnectionError):
            self._stop()
            raise NotReadyError(f"{self._device} cannot be used: see above") from None
        except NotReadyError:
            self._stop()
            raise

    def _stop(self) -> None:
        self._connection.close()
        if self._process is not None:
            self._process.join(END_SECONDS)
            if self._process.is_alive():
                kill_with_children(self._process.pid)
            self._process.join()
            self._process = None


def kill_with_children(pid: int | None) -> None:
    """A part may have started a server."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def serve(connection: Connection, device: str) -> None:
    """Run parts until the other side closes the connection."""
    from loadtests.bench.gpu.setting import prepare_device  # only here: it imports torch

    logging.basicConfig(level=logging.WARNING)
    connection.send(prepare_device(device))
    while True:
        try:
            name, max_seconds = connection.recv()
        except EOFError:
            return
        connection.send(run_part(name, device, max_seconds=max_seconds, save=partial(send_unfinished, connection)))


def send_unfinished(connection: Connection, part: Part) -> None:
    """What was measured so far is reported if the part hangs or dies."""
    connection.send((part, None))


def run_part(
    name: str, device: str, *, max_seconds: float, save: Callable[[Part], None] = lambda _: None
) -> tuple[Part, bool]:
    """The part, and whether the device still works. `save` is called with it between measurements."""
    from loadtests.bench.gpu.setting import Setting  # only here: it imports torch

    part = Part(PARTS[name].title, max_seconds)
    began = time.monotonic()

    def save_part() -> None:
        part.seconds = time.monotonic() - began
        save(part)

    setting = Setting.of(device, max_seconds=max_seconds, save=save_part)
    try:
        setting.check_time()
        import_module(PARTS[name].module).measure(setting, part)
    except (Exception, SystemExit) as error:  # the other parts are still useful; a server that cannot start exits
        part.end(error)
    part.seconds = time.monotonic() - began
    return part, setting.is_usable()
