// Filled in by `bindings.py` and `stacks.py`: weights by layer, and the caches of a batch.
// Shapes: B rows, L layers, K inputs, N outputs, H heads, d head size, D model size, C tokens in a cache, T positions.
#pragma once

#include <cstdint>

namespace {

struct Linear {
    const int8_t* panels;    // [ceil(N / 64)][ceil(K / 4)][64][4]
    const float* scales;     // [N], as all that follow up to whole panels
    const int32_t* offsets;  // [N]: 128 times the sum of an output's weights
    const float* bias;       // [N]
    int64_t num_inputs, num_outputs;
};

struct Norm {
    const float* weight;  // none: no norm
    const float* bias;    // none: RMSNorm
    float eps;
};

struct EncoderLayer {
    Linear qkv, out, fc1, fc2;
    Norm self_norm, ffn_norm;
};

struct DecoderLayer {
    Linear qkv, self_out, q, cross_out, fc1, fc2;
    Norm self_norm, cross_norm, ffn_norm;
};

struct Stack {
    const void* layers;
    Norm final_norm;
    int64_t num_layers, num_heads, head_dim, d_model, activation, is_pre_norm, is_gated;
    float scale;
};

struct Embedding {
    const float* tokens;     // [N, D]
    const float* positions;  // [T, D], or none
    float scale;             // of the tokens
    Norm norm;
};

// The caches of a batch: [L, B, C, 2, H, d] with strides for L and B, in bfloat16. K and V of row b's token c are in
// row indirection[b, c], or in row b where there is no indirection.
struct Cache {
    uint16_t* kv;
    int64_t layer_stride, row_stride;
    int32_t* indirection;
    int64_t indirection_stride;
};

// A relative bias on the scores, or none: [H, T], the farthest first, so that the last C values are those of a token
// over C tokens, itself included.
struct Bias {
    const float* values;
    int64_t num_positions;
};

}  // namespace
