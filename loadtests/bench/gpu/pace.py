"""Running rows beside others that leave and enter, and the waits of the host within turns."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, islice

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.steps import SOURCE_TOKENS, filled_batch
from loadtests.bench.gpu.subjects import random_specs, random_transformer, sizes
from loadtests.bench.gpu.waits import check_trace, no_waits
from model.decoding.batch import DecodingBatch, NewDecode
from model.search.spec import DecodeSpec

NUM_TURNS, NUM_TRACED_TURNS = 24, 4
"""With an admission; as many without one follow them."""
STEPS_A_TURN = 4
LEAST_SOURCE_TOKENS = 6
MOST_SLOWER = 2.0
"""Of a turn with an admission over one without."""


class Exchange:
    """Rows that have run the longest leave a full batch, from among the others, and new ones enter."""

    def __init__(self, batch: DecodingBatch, entering: Sequence[Sequence[DecodeSpec]]) -> None:
        """`batch` has the decodes 0 to `num_rows` - 1; `entering` are the specs of each turn."""
        self._batch = batch
        self._leaving = count()
        self._next_id = batch.num_rows
        firsts = batch.encode([specs[0].source_ids for specs in entering]).hidden_states
        cached = batch.fetch_encoder_outputs(firsts)()
        self._entering: Iterator[tuple[Sequence[DecodeSpec], bytes]] = zip(entering, cached, strict=True)

    def turn(self) -> None:
        specs, cached = next(self._entering)
        self._batch.remove(islice(self._leaving, len(specs)))
        encoded = self._batch.encode([spec.source_ids for spec in specs]).hidden_states
        self._batch.fetch_encoder_outputs(encoded)
        encoded[0] = self._batch.encoder_output_tensor(cached, len(specs[0].source_ids))  # from the encoder cache
        ids = range(self._next_id, self._next_id + len(specs))
        self._batch.add([NewDecode(*new) for new in zip(ids, specs, encoded, strict=True)])
        self._next_id = ids.stop
        self._batch.step(max_tokens=STEPS_A_TURN)


def measure(setting: Setting, part: Part) -> None:
    size = sizes(is_tiny=setting.is_tiny)[0]
    setting.check_time(20)
    num_rows, num_new = (4, 1) if setting.is_tiny else (256, 8)
    transformer = random_transformer(size.config, dtype=setting.half, device=setting.device)
    num_exchanges = NUM_TURNS + NUM_TRACED_TURNS
    new_tokens = (2 * num_exchanges + 4) * STEPS_A_TURN
    batch = filled_batch(
        setting,
        size,
        transformer,
        num_rows,
        prompt_tokens=2,
        new_tokens=new_tokens,
        least_source_tokens=LEAST_SOURCE_TOKENS,
    )
    specs = random_specs(
        size.config,
        num_new * num_exchanges,
        source_tokens=SOURCE_TOKENS,
        prompt_tokens=2,
        new_tokens=new_tokens,
        least_source_tokens=LEAST_SOURCE_TOKENS,
    )
    exchange = Exchange(batch, [specs[start : start + num_new] for start in range(0, len(specs), num_new)])
    take_turn = partial(batch.step, max_tokens=STEPS_A_TURN)
    take_turn()
    steady, admitting = [], []
    with no_waits(part, setting):
        for _ in range(NUM_TURNS):
            admitting.append(seconds_of(exchange.turn))
            steady.append(seconds_of(take_turn))
    table = Table(f"{size.name}, {num_rows} rows, {STEPS_A_TURN} steps a turn", ["", "median ms", "longest ms"], [])
    for name, seconds in (("a turn", steady), (f"a turn, {num_new} rows leave and enter", admitting)):
        table.body.append([name, f"{1000 * middle(seconds):.2f}", f"{1000 * max(seconds):.2f}"])
    part.tables.append(table)
    ratio = middle(admitting) / middle(steady)
    if not setting.is_tiny:
        part.check(
            "running rows keep their pace while others leave and enter",
            holds=ratio <= MOST_SLOWER,
            detail=f"{ratio:.2f} times",
        )
    setting.check_time()
    check_trace(part, setting, [exchange.turn, take_turn] * NUM_TRACED_TURNS)


def seconds_of(turn: Callable[[], object]) -> float:
    began = time.perf_counter()
    turn()
    return time.perf_counter() - began


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
