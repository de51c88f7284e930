"""A decode step over memory of its own, without a batch around it: what the device does, and what it takes."""

import torch

from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import FIRST_ORDINARY_ID
from model.cuda.device import step_kernels
from model.cuda.kernels import StepRules
from model.cuda.step import DeviceStep
from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer


class StaticStep:
    """All rows have sources of one length."""

    def __init__(
        self, setting: Setting, transformer: Transformer, *, max_rows: int, source_tokens: int, target_tokens: int
    ) -> None:
        config = transformer.config
        self._source_tokens = source_tokens
        self.cache = KVCache(
            config,
            max_rows=max_rows,
            max_target_tokens=target_tokens,
            max_source_tokens=source_tokens,
            dtype=transformer.kv_dtype,
            device=setting.device,
        )
        none = torch.zeros(0, dtype=torch.int64, device=setting.device)
        rules = StepRules.of(none, none, vocab_size=config.decoder_vocab_size, min_length=0)
        kernels = step_kernels(setting.device)
        self.step = DeviceStep(transformer, self.cache, rules, kernels=kernels, runtime=setting.runtime)

    def run(self, num_steps: int, *, from_position: int) -> None:
        """Take greedy steps of all rows, and wait for them."""
        num_rows = self.cache.max_rows
        state = torch.tensor([[FIRST_ORDINARY_ID], [from_position], [self._source_tokens]])
        self.step.write(0, state.expand(3, num_rows))
        self.step.start_turn(num_rows, num_steps)()
