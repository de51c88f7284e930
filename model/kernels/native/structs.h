// The structs that `bindings.py` and `stacks.py` fill in: weights by layer, and the caches of a batch.
// Shapes: B rows, L layers, K inputs, N outputs, H heads, d head size, D model size, C tokens in a cache, T positions.
#pragma once

#include <cstdint>

namespace {

constexpr int64_t LAYOUT = 9;      // version of the interface; must equal that of `libraries.py`, or loading fails
constexpr int64_t ARITHMETIC = 2;  // version of the last bits; encoder outputs are shared only between equal versions

struct Linear {
    const int8_t* panels;    // [ceil(N / 64)][ceil(K / 4)][64][4]
    const float* scales;     // [N]; like all arrays below, padded to whole panels
    const int32_t* offsets;  // [N]: 128 times the sum of an output's weights, for instruction sets with ZERO_POINT
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

// The caches of a batch: [L, B, C, 2, H, d] with strides for L and B, in bfloat16. Row indirection[b, c] has K and V of
// token c of row b. Without indirection, row shared[b], or row b if `shared` is none, has those of all its tokens.
struct Cache {
    uint16_t* kv;
    int64_t layer_stride, row_stride;
    int32_t* indirection;
    int64_t indirection_stride;
    const int32_t* shared;
};

// A relative bias on the scores, or none: [H, T], farthest token first, so that the last C values are the bias of a
// token over C tokens, itself included.
struct Bias {
    const float* values;
    int64_t num_positions;
};

// The input of the encoder: P tokens, source after source.
struct Sources {
    const int64_t* token_ids;  // [P]
    float* hidden_states;      // [P, D], out
    int64_t num_tokens;
    const int64_t* lengths;  // of each source
    int64_t num_sources;
    const float* bias;  // [H, S, S] on the scores, or none; S is at least the longest source
    int64_t bias_row_stride, bias_head_stride;
};

// The input of a decoder step: P tokens.
struct Step {
    const int64_t* token_ids;  // [P]
    float* hidden_states;      // [P, D], out
    int64_t num_tokens;
    Cache self_kv, cross_kv;
    const int64_t* rows;            // [P]: rows of the caches, or none: token p belongs to row p
    const int64_t* positions;       // [P]: where K and V of these tokens are written
    const int64_t* source_lengths;  // [P]
    Bias self_bias;
    float* cross_weights;  // [P, S] or none; of T steps [T, P, S]
    int64_t cross_weights_stride, cross_weights_layer;
};

// The parameters of up to T greedy steps of B rows, besides the input of the first. Decoding stops early once
// `max_ended` rows have ended.
struct Ahead {
    const Linear* projection;
    float scale;  // of Z' before the projection
    int64_t num_steps, max_ended, end_token_id;
    const int64_t* forbidden;  // token ids that are never chosen, in order
    int64_t num_forbidden;
    const int64_t* forbidden_if_short;  // the same for a row that is too short to end, including the end token
    int64_t num_forbidden_if_short;
    const int64_t* num_short_steps;  // [B]: the steps in which a row is too short to end
    int64_t* token_ids;       // [T, B], out
    float* log_probabilities;  // [T, B], out
};

// A search for the k largest of (scores - normalizers) + added in each of G groups of n rows.
struct TopK {
    const float* scores;       // [B, N]
    const float* maxima;       // [B, C]: the largest score of each panel
    const int64_t* rows;       // [G, n]
    const float* normalizers;  // [G, n]
    const float* added;        // [G, n]
    int64_t num_groups, num_members, num_columns, k;
    float* values;     // [G, k], out
    int64_t* members;  // [G, k], out
    int64_t* columns;  // [G, k], out
};

}  // namespace
