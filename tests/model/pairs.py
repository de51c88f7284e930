"""The same weights twice, in `transformers` and here, and greedy search with each."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from model.checkpoint import load_transformer
from model.config import Checkpoint, read_checkpoint
from model.kv_cache import KVCache
from model.search import LogitsRules, choose_greedy
from model.transformer import Transformer

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Pair:
    checkpoint: Checkpoint
    ours: Transformer
    theirs: PreTrainedModel


@dataclass(slots=True)
class Row:
    """One target on its way; the order of rows is the order of slots."""

    index: int
    source_tokens: int
    token_ids: list[int]
    new_tokens: int = 0


def load_pair(directory: Path) -> Pair:
    checkpoint = read_checkpoint(directory, name="test")
    theirs = AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32).eval()
    return Pair(checkpoint, load_transformer(checkpoint, dtype=torch.float32, device=CPU), theirs)


def random_sources(pair: Pair, count: int, *, seed: int, max_tokens: int = 30) -> list[list[int]]:
    """Token ids of random length, ordinary ones, with the end token after them."""
    config = pair.checkpoint.config
    special = {config.pad_token_id, config.eos_token_id}
    ordinary = torch.tensor([index for index in range(config.vocab_size) if index not in special])
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, max_tokens, (count,), generator=generator).tolist()
    picks = [ordinary[torch.randint(len(ordinary), (length,), generator=generator)].tolist() for length in lengths]
    return [[*pick, config.eos_token_id] for pick in picks]


def padded(sequences: list[list[int]], pair: Pair) -> tuple[Tensor, Tensor]:
    """Ids [B, S] padded at the end, and lengths [B]."""
    rows = [torch.tensor(sequence) for sequence in sequences]
    ids = pad_sequence(rows, batch_first=True, padding_value=pair.checkpoint.config.pad_token_id)
    return ids, torch.tensor([len(row) for row in rows])


def prompts_of(pair: Pair, count: int) -> list[list[int]]:
    """Decoder prompts: the start token, and for many-to-many models one more as the language token."""
    config = pair.checkpoint.config
    language = [config.vocab_size - 20] if config.model_type in ("m2m_100", "mbart") else []
    return [[config.decoder_start_token_id, *language]] * count


def greedy_theirs(pair: Pair, sources: list[list[int]], prompts: list[list[int]], max_new: int) -> list[list[int]]:
    """`generate` in padded batches of similar length."""
    eos = pair.checkpoint.config.eos_token_id
    results: dict[int, list[int]] = {}
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for batch in (order[start : start + 32] for start in range(0, len(order), 32)):
        input_ids, lengths = padded([sources[index] for index in batch], pair)
        outputs = pair.theirs.generate(
            input_ids=input_ids,
            attention_mask=(torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
            decoder_input_ids=torch.tensor([prompts[index] for index in batch]),
            num_beams=1,
            do_sample=False,
            early_stopping=False,
            use_cache="t5" not in pair.checkpoint.config.model_type,  # its cache has a layer for each of the encoder
            max_length=len(prompts[0]) + max_new,
        )
        for index, output in zip(batch, outputs[:, len(prompts[0]) :].tolist(), strict=True):
            results[index] = output[: output.index(eos) + 1] if eos in output else output
    return [results[index] for index in range(len(sources))]


@torch.inference_mode()
def greedy_ours(
    pair: Pair, sources: list[list[int]], prompts: list[list[int]], max_new: int, *, max_rows: int = 32
) -> list[list[int]]:
    """As the engine does it: rows join while others run, a finished one gives its slot to the last."""
    config = pair.checkpoint.config
    cache = KVCache(
        config,
        max_rows=max_rows,
        max_target_tokens=len(prompts[0]) + max_new,
        max_source_tokens=max(map(len, sources)),
        dtype=torch.float32,
        device=CPU,
    )
    rules = LogitsRules.from_checkpoint(pair.checkpoint, device=CPU)
    results: dict[int, list[int]] = {}
    rows: list[Row] = []
    waiting = list(range(len(sources)))
    while waiting or rows:
        joining, waiting = waiting[: max_rows - len(rows)], waiting[max_rows - len(rows) :]
        if joining:
            _admit(pair, cache, [sources[index] for index in joining], [prompts[index] for index in joining], len(rows))
            rows += [Row(index, len(sources[index]), list(prompts[index])) for index in joining]
        positions = torch.tensor([len(row.token_ids) - 1 for row in rows])
        source_lengths = torch.tensor([row.source_tokens for row in rows])
        view = cache.view(0, len(rows), self_tokens=int(positions.max()) + 1, source_tokens=int(source_lengths.max()))
        last_ids = torch.tensor([row.token_ids[-1] for row in rows])
        logits = pair.ours.decode_step(last_ids, positions, source_lengths, view)
        is_last = torch.tensor([row.new_tokens == max_new - 1 for row in rows])
        token_ids, _ = choose_greedy(logits, rules, is_last=is_last)
        for row, token_id in zip(rows, token_ids.tolist(), strict=True):
            row.token_ids.append(token_id)
            row.new_tokens += 1
        for slot in reversed(range(len(rows))):
            row = rows[slot]
            if row.token_ids[-1] == config.eos_token_id or row.new_tokens == max_new:
                results[row.index] = row.token_ids[len(prompts[row.index]) :]
                _leave(cache, rows, slot)
    return [results[index] for index in range(len(sources))]


def _admit(pair: Pair, cache: KVCache, sources: list[list[int]], prompts: list[list[int]], start: int) -> None:
    """Encode, fill the cross cache, and prefill the prompts but for their last tokens."""
    input_ids, lengths = padded(sources, pair)
    cache.write_cross(start, pair.ours.cross_kv(pair.ours.encode(input_ids, lengths)))
    num_tokens = len(prompts[0]) - 1
    if num_tokens:
        view = cache.view(start, start + len(sources), self_tokens=num_tokens, source_tokens=input_ids.shape[1])
        prefix = torch.tensor(prompts)[:, :-1]
        pair.ours.decode(prefix, torch.zeros(len(sources), dtype=torch.int64), lengths, view)


def _leave(cache: KVCache, rows: list[Row], slot: int) -> None:
    last = rows.pop()
    if slot < len(rows):
        cache.move(len(rows), slot, self_tokens=len(last.token_ids) - 1, source_tokens=last.source_tokens)
        rows[slot] = last
