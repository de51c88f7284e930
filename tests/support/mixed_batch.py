"""Greedy, sampled and beam decodes that enter and leave one batch at random steps."""

from random import Random

from model.cuda.runtime import Runtime
from model.decoding.batch import DecodingBatch, NewDecode
from model.search.results import Hypothesis, Token
from model.search.spec import DecodeSpec, Sampling
from tests.support.pairs import Pair, make_spec

MAX_NEW = 22
RULES = {
    "none": {},
    "all": {
        "repetition_penalty": 1.15,
        "no_repeat_ngram_size": 3,
        "bad_words_ids": ((7,), (20, 21)),
        "min_length": 5,
        "forced_eos_token_id": 5,
        "suppress_tokens": (30,),
        "begin_suppress_tokens": (31, 32),
        "renormalize_logits": True,
    },
}
Outcome = dict[int, tuple[list[Token], tuple[Hypothesis, ...]]]


def random_spec(source: list[int], prompt: list[int], random: Random) -> DecodeSpec:
    prefix = random.choices(range(10, 100), k=random.choice([0, 0, 1, 4]))
    beam_size = random.choice([1, 1, 2, 3, 4, 6])
    sampling = None
    if beam_size == 1 and random.random() < 0.6:
        top_k, top_p = random.choice([(0, 1.0), (5, 1.0), (0, 0.8), (20, 0.95)])
        sampling = Sampling(random.randrange(-(2**63), 2**63), random.choice([0.6, 1.0, 1.5]), top_k, top_p)
    return make_spec(
        source,
        [*prompt, *prefix],
        random.randint(1, MAX_NEW),
        beam_size=beam_size,
        num_hypotheses=random.randint(1, beam_size),
        length_penalty=random.choice([None, 0.0, 0.7, 2.0, -0.5]),
        early_stopping=random.choice([None, True, False, "never"]),
        sampling=sampling,
        repetition_guard=random.random() < 0.5,
        num_top_tokens=random.choice([0, 0, 0, 1, 5]),
    )


def add(batch: DecodingBatch, specs: dict[int, DecodeSpec]) -> None:
    """Encode the sources and start the decodes with these ids."""
    encoded = batch.encode([spec.source_ids for spec in specs.values()]).hidden_states
    batch.add([NewDecode(*item, states) for item, states in zip(specs.items(), encoded, strict=True)])


def run_batch(
    pair: Pair,
    specs: list[DecodeSpec],
    random: Random,
    *,
    max_tokens: int = 1,
    max_rows: int = 23,
    runtime: Runtime | None = None,
) -> Outcome:
    """Outcomes by index. Decodes enter at random steps, beside others that are removed before their end.

    `max_tokens` is passed on to the batch's `step`, the others to the batch.
    """
    batch = DecodingBatch(
        pair.ours,
        pair.checkpoint,
        max_rows=max_rows,
        max_source_tokens=32,
        max_target_tokens=MAX_NEW + 8,
        runtime=runtime,
    )
    waiting = list(range(len(specs)))
    streamed: dict[int, list[Token]] = {}
    outcome: Outcome = {}
    visitors: list[int] = []
    while waiting or batch.num_rows:
        entering: dict[int, DecodeSpec] = {}
        num_free = batch.num_free_rows
        while waiting and specs[waiting[0]].beam_size <= num_free and (random.random() < 0.7 or not batch.num_rows):
            index = waiting.pop(0)
            entering[index] = specs[index]
            num_free -= specs[index].beam_size
        if num_free >= 4 and random.random() < 0.2:
            visitors.append(-1 - len(visitors))
            entering[visitors[-1]] = make_spec(specs[0].source_ids, specs[0].decoder_prompt, MAX_NEW, beam_size=4)
        add(batch, entering)
        for progress in batch.step(max_tokens=max_tokens):
            streamed.setdefault(progress.decode_id, []).extend(progress.tokens)
            if progress.hypotheses and progress.decode_id >= 0:
                outcome[progress.decode_id] = (streamed[progress.decode_id], progress.hypotheses)
        if random.random() < 0.2:
            batch.remove(visitors)
    assert batch.num_free_rows == batch.max_rows
    return outcome
