"""The fork server: workers are forked from this process, so that they share Python, torch and the weights.

1. The service process sends one byte, the worker's end of a new channel, whose first message is the WorkerSpec, and the
   worker's entry log. On CPU the fork server loads the checkpoints, once and with one thread: OpenMP's threads do not
   survive a fork. CUDA does not survive one either, so there each worker loads its own. While it loads, it sends
   heartbeats.
2. The child serves the channel, and reports a checkpoint that cannot be loaded. The fork server closes its copy of the
   channel, which then ends with the child, and replies with the child's process id and a pidfd. It opens the pidfd
   before it reaps any child, so that the id cannot have been reused.
3. When the service process closes the connection, or dies, the fork server ends. Workers end with their channels.
"""

import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import msgspec

from model.transformer.compute_types import ISA_VARIABLE
from service.engine.channel import FORK_REQUEST, Channel, ForkReply
from service.engine.entry_log import EntryLog
from service.engine.huge_pages import take_huge_pages
from service.engine.types import CheckpointSpec, WorkerSpec
from service.observability.log import configure_logging

if TYPE_CHECKING:
    from service.engine.loading import LoadedCheckpoint

logger = logging.getLogger(__name__)

NICENESS = 5
HEARTBEAT_SECONDS = 0.5


class ForkServer:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._loaded: dict[CheckpointSpec, LoadedCheckpoint] = {}

    def serve(self) -> None:
        """Serve until the service process is gone. Also returns in every child, when it is done."""
        while True:
            request, descriptors, _, _ = socket.recv_fds(self._control, len(FORK_REQUEST), 2)
            if not request:
                return
            connection_descriptor, log_descriptor = descriptors
            with socket.socket(fileno=connection_descriptor) as connection, closing(EntryLog(log_descriptor)) as log:
                channel = Channel(connection)
                with heartbeats(self._control):  # their thread ends before the fork
                    spec = self._prepare(channel)
                    from service.engine.runner import run  # imports torch, which takes seconds
                pid = None if spec is None else os.fork()
                if spec is not None and pid == 0:
                    gc.enable()
                    take_huge_pages(more=True)
                    self._control.close()
                    run(channel, log, spec, self._loaded)
                    return
            self._reply(pid)

    def _prepare(self, channel: Channel) -> WorkerSpec | None:
        """Load checkpoints for all workers. Returns None if the service process no longer waits for this worker."""
        try:
            (payload,) = channel.receive(block=True)
        except (EOFError, ConnectionError):
            return None
        spec = msgspec.msgpack.decode(payload, type=WorkerSpec)
        configure_logging(log_format=spec.log_format, log_level=spec.log_level)
        if spec.isa is not None:  # the kernels' loader reads it there; the setting may be a flag
            os.environ[ISA_VARIABLE] = spec.isa
        from service.engine.runner import load

        for checkpoint in spec.checkpoints if spec.device == "cpu" else []:
            if checkpoint not in self._loaded:
                try:
                    self._loaded[checkpoint] = load(checkpoint, spec, num_threads=1)
                except Exception as error:  # the child fails in the same way and reports it
                    logger.debug("loading %s failed: %s", checkpoint.name, error)
        gc.freeze()  # pages that the collector does not touch stay shared
        take_huge_pages(more=False)
        return spec

    def _reply(self, pid: int | None) -> None:
        if pid is None:
            self._control.sendall(ForkReply.nobody())
            return
        pidfd = os.pidfd_open(pid)
        try:
            socket.send_fds(self._control, [ForkReply.forked(pid)], [pidfd])
        finally:
            os.close(pidfd)
        reap()


def reap() -> None:
    """Reap children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


@contextmanager
def heartbeats(control: socket.socket) -> Iterator[None]:
    """Send heartbeats to the service process inside the context."""
    done = Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                control.sendall(ForkReply.heartbeat())
            except OSError:
                return

    thread = Thread(target=beat, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Run as `python -m service.engine.fork_server FD`: the inherited descriptor of the connection."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group; the service process decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Imports and weights leave next to no garbage, and a collection would search all of them. Workers enable it again.
    gc.disable()
    # With few cores, the service process must not wait for a worker's time slice before it passes tokens on.
    os.nice(NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as control:
        try:
            ForkServer(control).serve()
        except (EOFError, ConnectionError):
            logger.debug("the service process is gone")
    logging.shutdown()  # writes what is left of the log
    # Nothing else is left to save, and tearing torch down takes half a second.
    os._exit(0)


if __name__ == "__main__":
    main()
