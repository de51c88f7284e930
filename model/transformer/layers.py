"""Encoder and decoder layers: feed-forward, and residual sublayers with the norm before or after them."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.config import Activation, ModelConfig, NormPosition
from model.transformer.attention import CrossAttention, CrossWeights, SelfAttention
from model.transformer.kv_cache import LayerSelfKV
from model.transformer.linear import Linear

ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "relu": F.relu_,  # in place: nothing else needs a linear layer's output, not even its gradient
        "gelu": F.gelu,
        "gelu_tanh": partial(F.gelu, approximate="tanh"),
        "silu": F.silu,
    }
)


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm of a family. Like those of `Linear`, its weights take no memory until a checkpoint fills them."""
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.d_model, eps=config.norm_eps, device="meta")


class PreNorm(nn.Module):
    """x + sublayer(norm(x)), in two halves around the sublayer."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def enter(self, hidden_states: Tensor) -> Tensor:
        output: Tensor = self.norm(hidden_states)
        return output

    def leave(self, hidden_states: Tensor, sublayer_output: Tensor) -> Tensor:
        return sublayer_output.add_(hidden_states)


class PostNorm(nn.Module):
    """norm(x + sublayer(x)), in two halves around the sublayer."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def enter(self, hidden_states: Tensor) -> Tensor:
        return hidden_states

    def leave(self, hidden_states: Tensor, sublayer_output: Tensor) -> Tensor:
        output: Tensor = self.norm(sublayer_output.add_(hidden_states))
        return output


RESIDUALS: Mapping[NormPosition, type[PreNorm] | type[PostNorm]] = MappingProxyType({"pre": PreNorm, "post": PostNorm})


class FeedForward(nn.Module):
    """Two products with an activation between. A gated one multiplies it by a second product, also in `fc1`."""

    def __init__(self, config: ModelConfig, *, d_hidden: int) -> None:
        super().__init__()
        self.gated = config.gated_ffn
        self.fc1 = Linear(config.d_model, 2 * d_hidden if self.gated else d_hidden, bias=config.linear_bias)
        self.activation = ACTIVATIONS[config.activation]
        self.fc2 = Linear(d_hidden, config.d_model, bias=config.linear_bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden = self.fc1(hidden_states)
        if self.gated:
            hidden = hidden.unflatten(-1, (2, -1))
            hidden = self.activation(hidden[..., 0, :]) * hidden[..., 1, :]
        else:
            hidden = self.activation(hidden)
        output: Tensor = self.fc2(hidden)
        return output


class EncoderLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        residual = RESIDUALS[config.norm_position]
        self.self_attn = SelfAttention(
            config.d_model,
            num_heads=config.encoder_heads,
            head_dim=config.encoder_head_dim,
            bias=config.linear_bias,
            scale=config.attention_scale,
        )
        self.self_attn_norm = residual(make_norm(config))
        self.ffn = FeedForward(config, d_hidden=config.encoder_ffn)
        self.ffn_norm = residual(make_norm(config))

    def forward(self, hidden_states: Tensor, source_mask: Tensor) -> Tensor:
        """hidden_states [B, S, D] -> [B, S, D]."""
        z = self.self_attn(self.self_attn_norm.enter(hidden_states), source_mask)
        hidden_states = self.self_attn_norm.leave(hidden_states, z)
        z = self.ffn(self.ffn_norm.enter(hidden_states))
        return self.ffn_norm.leave(hidden_states, z)


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        residual = RESIDUALS[config.norm_position]
        d_model, bias, scale = config.d_model, config.linear_bias, config.attention_scale
        num_heads, head_dim = config.decoder_heads, config.decoder_head_dim
        self.self_attn = SelfAttention(d_model, num_heads=num_heads, head_dim=head_dim, bias=bias, scale=scale)
        self.cross_attn = CrossAttention(d_model, num_heads=num_heads, head_dim=head_dim, bias=bias, scale=scale)
        self.self_attn_norm = residual(make_norm(config))
        self.cross_attn_norm = residual(make_norm(config))
        self.ffn = FeedForward(config, d_hidden=config.decoder_ffn)
        self.ffn_norm = residual(make_norm(config))

    def forward(
        self,
        hidden_states: Tensor,
        causal_mask: Tensor,
        cross_kv: Tensor,
        source_mask: Tensor,
        self_kv: LayerSelfKV | None = None,
        *,
        cross_weights: CrossWeights | None = None,
    ) -> Tensor:
        """hidden_states [B, T, D], cross_kv [B, S, 2, H, d] -> [B, T, D]. Fills in `cross_weights`."""
        z = self.self_attn(self.self_attn_norm.enter(hidden_states), causal_mask, self_kv)
        hidden_states = self.self_attn_norm.leave(hidden_states, z)
        entering = self.cross_attn_norm.enter(hidden_states)
        if cross_weights is not None:
            rows = cross_weights.rows
            cross_weights.weights = self.cross_attn.weights(entering[rows], cross_kv[rows], source_mask[rows])
        z = self.cross_attn(entering, cross_kv, source_mask)
        hidden_states = self.cross_attn_norm.leave(hidden_states, z)
        z = self.ffn(self.ffn_norm.enter(hidden_states))
        return self.ffn_norm.leave(hidden_states, z)
