"""The process of one side, started by `BackendProcess`: python -m loadtests.bench.child SOCKET."""

import sys
import time
from multiprocessing.connection import Connection

from loadtests.bench.sides import Backend, BackendSpec
from loadtests.bench.work import TimedTargets


def load_backend(spec: BackendSpec) -> Backend:
    """Imports only the library of this side, so that the others take no memory."""
    match spec.side.library:
        case "kakehashi":
            import torch

            from loadtests.bench.kakehashi_backend import KakehashiBackend

            torch.set_num_threads(spec.shape.num_threads)
            return KakehashiBackend(spec.directory, compute_type=spec.side.compute_type, device=spec.side.device)
        case "ctranslate2":
            from loadtests.bench.peers import CTranslate2Backend

            return CTranslate2Backend(spec.directory, compute_type=spec.side.compute_type, shape=spec.shape)
        case "transformers":
            import torch

            from loadtests.bench.peers import TransformersBackend

            torch.set_num_threads(spec.shape.num_threads)
            return TransformersBackend(spec.directory)


def serve(connection: Connection) -> None:
    backend = load_backend(connection.recv())
    connection.send(None)
    while True:
        try:
            works = connection.recv()
        except EOFError:
            return
        began = time.monotonic()
        targets = [backend.translate(work) for work in works]
        connection.send(TimedTargets(began, time.monotonic(), targets))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
