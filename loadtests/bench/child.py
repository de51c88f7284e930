"""The process of one side: python -m loadtests.bench.child SOCKET, as `EngineProcess` starts it."""

import sys
import time
from multiprocessing.connection import Connection

from loadtests.bench.sides import Engine, EngineSpec
from loadtests.bench.work import Answer


def load_engine(spec: EngineSpec) -> Engine:
    """What a side does not need is not imported, so that it takes no memory."""
    match spec.side.library:
        case "kakehashi":
            import torch

            from loadtests.bench.engine import KakehashiEngine

            torch.set_num_threads(spec.shape.num_threads)
            return KakehashiEngine(spec.directory, compute_type=spec.side.compute_type)
        case "ctranslate2":
            from loadtests.bench.peers import CTranslate2Engine

            return CTranslate2Engine(spec.directory, compute_type=spec.side.compute_type, shape=spec.shape)
        case "transformers":
            import torch

            from loadtests.bench.peers import TransformersEngine

            torch.set_num_threads(spec.shape.num_threads)
            return TransformersEngine(spec.directory)


def serve(connection: Connection) -> None:
    engine = load_engine(connection.recv())
    connection.send(None)
    while True:
        try:
            works = connection.recv()
        except EOFError:
            return
        began = time.monotonic()
        targets = [engine.translate(work) for work in works]
        connection.send(Answer(began, time.monotonic(), targets))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
