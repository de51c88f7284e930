"""A decode step in a form that `torch.export` accepts."""

from torch import Tensor, nn

from model.transformer.kv_cache import KVView
from model.transformer.transformer import Transformer


class Step(nn.Module):
    """`decode_step` with tensors for arguments."""

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, input_ids: Tensor, positions: Tensor, source_lengths: Tensor, self_kv: Tensor, cross_kv: Tensor
    ) -> Tensor:
        return self.transformer.decode_step(input_ids, positions, source_lengths, KVView(self_kv, cross_kv))
