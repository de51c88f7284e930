"""The process that workers are forked from, so that those on a CPU share Python, torch and one copy of the weights.

1. The service process asks for a worker with one byte and the worker's end of a new channel, whose first message is the
   WorkerSpec. On CPU the nursery loads its checkpoints, once and with one thread: OpenMP's threads would not survive
   the fork. CUDA does not survive one either, so there each worker loads its own.
2. The child serves the channel, and reports a checkpoint that cannot be loaded. The nursery closes its copy of the
   channel, which then ends with the child, and answers with the child's process id.
3. When the service process closes the connection, or dies, the nursery ends. Workers end with their channels.
"""

import gc
import logging
import os
import signal
import socket
import sys

import msgspec

from model.transformer.compute_types import ISA_VARIABLE
from service.engine.channel import FORK_REPLY, FORK_REQUEST, Channel
from service.engine.loading import LoadedCheckpoint
from service.engine.types import CheckpointSpec, WorkerSpec
from service.engine.worker import load, run
from service.observability.log import configure_logging

logger = logging.getLogger(__name__)

NICENESS = 5


class Nursery:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._loaded: dict[CheckpointSpec, LoadedCheckpoint] = {}

    def serve(self) -> None:
        """Until the service process is gone. Returns in each child too, when it is done."""
        while True:
            request, descriptors, _, _ = socket.recv_fds(self._control, len(FORK_REQUEST), 1)
            if not request:
                return
            with socket.socket(fileno=descriptors[0]) as connection:
                channel = Channel(connection)
                spec = self._prepare(channel)
                pid = 0 if spec is None else os.fork()
                if spec is not None and pid == 0:
                    self._control.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    run(channel, spec, self._loaded)
                    return
            self._control.sendall(FORK_REPLY.pack(pid))

    def _prepare(self, channel: Channel) -> WorkerSpec | None:
        """Load for all workers what can be loaded; None where nobody waits for this worker any more."""
        try:
            (payload,) = channel.receive(block=True)
        except (EOFError, ConnectionError):
            return None
        spec = msgspec.msgpack.decode(payload, type=WorkerSpec)
        configure_logging(log_format=spec.log_format, log_level=spec.log_level)
        if spec.isa is not None:  # a flag or the file of settings may have it: here the kernels' loader looks for it
            os.environ[ISA_VARIABLE] = spec.isa
        for checkpoint in spec.checkpoints if spec.device == "cpu" else []:
            if checkpoint not in self._loaded:
                try:
                    self._loaded[checkpoint] = load(checkpoint, spec, num_threads=1)
                except Exception as error:  # the child fails in the same way and says so
                    logger.debug("loading %s failed: %s", checkpoint.name, error)
        gc.collect()
        gc.freeze()  # what the collector does not touch stays shared
        return spec


def main() -> None:
    """Run as `python -m service.engine.fork_server FD`: the number of the inherited descriptor of the connection."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group; the service process decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that end are forgotten by the system at once
    # Where cores are few, the service process must not wait for a worker's time slice to hand on what others decoded.
    os.nice(NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as control:
        try:
            Nursery(control).serve()
        except (EOFError, ConnectionError):
            logger.debug("the service process is gone")


if __name__ == "__main__":
    main()
