"""The decoder stack for one token a row, with attention that reads each row to its own length.

It computes the same as `Transformer.decode_step`, on the same weights and caches.
Shapes: B rows, D model size, H heads, d head size, N vocabulary.
"""

from torch import Tensor

from model.cuda.kernels import StepKernels
from model.transformer.attention import CrossAttention, SelfAttention
from model.transformer.kv_cache import KVView
from model.transformer.layers import DecoderLayer
from model.transformer.transformer import Transformer


class StepDecoder:
    def __init__(self, transformer: Transformer, kernels: StepKernels) -> None:
        self._transformer = transformer
        self._kernels = kernels
        self._layers = [layer for layer in transformer.decoder_layers if isinstance(layer, DecoderLayer)]
        bias = transformer.decoder_bias
        self._bias = None if bias is None else bias.by_distance(transformer.config.max_positions).detach()

    def __call__(self, token_ids: Tensor, positions: Tensor, source_lengths: Tensor, kv: KVView) -> Tensor:
        """token_ids, positions and source_lengths [B] -> logits [B, N]. `kv` has the whole caches of the rows."""
        transformer = self._transformer
        hidden_states = transformer.embed_target(token_ids[None], positions[None])[0]
        for layer, self_kv, cross_kv in zip(self._layers, kv.self_kv.unbind(), kv.cross_kv.unbind(), strict=True):
            entering = layer.self_attn_norm.enter(hidden_states)
            z = self._self_attention(layer.self_attn, entering, self_kv, positions)
            hidden_states = layer.self_attn_norm.leave(hidden_states, z)
            entering = layer.cross_attn_norm.enter(hidden_states)
            z = self._cross_attention(layer.cross_attn, entering, cross_kv, source_lengths)
            hidden_states = layer.cross_attn_norm.leave(hidden_states, z)
            z = layer.ffn(layer.ffn_norm.enter(hidden_states))
            hidden_states = layer.ffn_norm.leave(hidden_states, z)
        return transformer.project(transformer.decoder_norm(hidden_states))

    def _self_attention(self, layer: SelfAttention, inputs: Tensor, kv: Tensor, positions: Tensor) -> Tensor:
        qkv = layer.qkv_proj(inputs).unflatten(-1, (3, *layer.heads))
        heads = self._kernels.self_attention(qkv, kv, positions, self._bias, scale=_scale(layer))
        output: Tensor = layer.out_proj(heads)
        return output

    def _cross_attention(self, layer: CrossAttention, inputs: Tensor, kv: Tensor, source_lengths: Tensor) -> Tensor:
        q = layer.q_proj(inputs).unflatten(-1, layer.heads)
        output: Tensor = layer.out_proj(self._kernels.cross_attention(q, kv, source_lengths, scale=_scale(layer)))
        return output


def _scale(layer: SelfAttention | CrossAttention) -> float:
    head_dim = layer.heads[1]
    return float(head_dim**-0.5) if layer.scale is None else layer.scale
