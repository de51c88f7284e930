"""Workers that only take notes, and decodes for them."""

import msgspec

from model.search.spec import DecodeSpec
from service.engine.decode import Decode, PreparedDecode
from service.engine.in_flight import InFlight
from service.engine.owner import Owner
from service.engine.types import Cancel, Submit, ToWorker, Update, Work


class NotingWorker:
    """The part of a `WorkerHandle` that the dispatcher uses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.takes_work = True
        self.num_decodes = 0
        self.cost = 0
        self.messages: list[ToWorker] = []

    def send(self, message: bytes) -> None:
        self.messages.append(msgspec.msgpack.decode(message, type=ToWorker))

    @property
    def work(self) -> list[Work]:
        return [work for message in self.messages if isinstance(message, Submit) for work in message.work]

    @property
    def decode_ids(self) -> list[int]:
        return [work.decode_id for work in self.work]

    @property
    def outputs(self) -> dict[int, bytes]:
        submits = [message for message in self.messages if isinstance(message, Submit)]
        return {key: output for message in submits for key, output in message.encoder_outputs.items()}

    @property
    def cancelled(self) -> list[int]:
        return [each for message in self.messages if isinstance(message, Cancel) for each in message.decode_ids]

    @property
    def updates(self) -> list[Update]:
        return [message for message in self.messages if isinstance(message, Update)]


def open_decode(
    in_flight: InFlight, source_ids: tuple[int, ...], *, prompt: tuple[int, ...] = (2,), beam_size: int = 1
) -> Decode:
    spec = DecodeSpec("model", source_ids, prompt, 100, beam_size=beam_size)
    prepared = PreparedDecode(spec, msgspec.msgpack.encode(spec), None)
    return in_flight.open(
        prepared, Owner("", 1, "interactive"), cost=beam_size * (len(source_ids) + len(prompt)), is_streamed=False
    )
