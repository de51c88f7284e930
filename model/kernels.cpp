// What decoding spends its time on, for x86-64 CPUs with AVX512-VNNI: int8 linear layers, the decoder over one token a
// row, and the choice of a token. `kernels.py` loads this library, mirrors its structs and says what each function does.
//
// Every row is computed by itself and in one order, whatever stands beside it: a row's result never depends on the
// batch. Arrays are dense in their last axis; strides are counted in elements. With more than one thread (torch's setting
// and its OpenMP threads), rows and panels are shared out among them.
// Shapes: B rows, K inputs, N outputs, H heads, d head size, C tokens in a cache.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>

extern "C" int kakehashi_supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")

namespace {

constexpr long LANES = 16;         // 32-bit numbers in a vector
constexpr long PANEL = 4 * LANES;  // outputs of a panel of weights
constexpr long TILE_ROWS = 5;      // 5 x 4 sums, 4 vectors of weights and the broadcast inputs fit in 32 registers
constexpr long BLOCK_ROWS = 160;   // quantized inputs of so many rows stay in the second-level cache
constexpr int ZERO_POINT = 128;    // VNNI multiplies unsigned by signed bytes: activations are stored as q + 128
constexpr long PARALLEL_PRODUCTS = 1 << 19;  // for fewer, waking the other threads takes longer than the work
constexpr long AHEAD_WEIGHTS = 8192;
constexpr long AHEAD_TOKENS = 4;   // caches are fetched so far ahead: from memory that made attention 3.5 times as fast

enum Activation { NONE, RELU, SILU, GELU, GELU_TANH };

inline __mmask16 first_lanes(long count) { return count >= LANES ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

inline __m512 splat(float value) { return _mm512_set1_ps(value); }

// exp to about 2 units in the last place: 2^n * e^r with |r| <= ln(2)/2, e^r as a polynomial (Cephes, expf).
inline __m512 exp_ps(__m512 x) {
    x = _mm512_max_ps(_mm512_min_ps(x, splat(88.0f)), splat(-104.0f));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, splat(1.44269504088896341f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, splat(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, splat(-2.12194440e-4f), r);
    __m512 p = splat(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, splat(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, splat(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, splat(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, splat(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, splat(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, splat(1.0f)));
    return _mm512_scalef_ps(p, n);
}

inline __m512 sigmoid(__m512 x) {
    return _mm512_div_ps(splat(1.0f), _mm512_add_ps(splat(1.0f), exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// erf to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
inline __m512 erf_ps(__m512 x) {
    const __m512 a = _mm512_abs_ps(x);
    const __m512 t = _mm512_div_ps(splat(1.0f), _mm512_fmadd_ps(a, splat(0.3275911f), splat(1.0f)));
    __m512 p = splat(1.061405429f);
    p = _mm512_fmadd_ps(p, t, splat(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, splat(1.421413741f));
    p = _mm512_fmadd_ps(p, t, splat(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, splat(0.254829592f));
    const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(a, a)));
    const __m512 erf = _mm512_fnmadd_ps(_mm512_mul_ps(p, t), e, splat(1.0f));
    return _mm512_mask_sub_ps(erf, _mm512_cmplt_ps_mask(x, _mm512_setzero_ps()), _mm512_setzero_ps(), erf);
}

inline __m512 activated(__m512 x, int activation) {
    switch (activation) {
        case RELU: return _mm512_max_ps(x, _mm512_setzero_ps());
        case SILU: return _mm512_mul_ps(x, sigmoid(x));
        case GELU: {
            const __m512 half = _mm512_mul_ps(x, splat(0.5f));
            return _mm512_fmadd_ps(half, erf_ps(_mm512_mul_ps(x, splat(0.70710678118654752f))), half);
        }
        case GELU_TANH: {  // 0.5 x (1 + tanh(u)) is x sigmoid(2u)
            const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
            const __m512 u = _mm512_mul_ps(_mm512_fmadd_ps(cube, splat(0.044715f), x), splat(2 * 0.79788456080286536f));
            return _mm512_mul_ps(x, sigmoid(u));
        }
        default: return x;
    }
}

inline __m512 load(const float* values, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, values); }

inline __m512 load(const uint16_t* values, __mmask16 mask) {  // bfloat16 is the upper half of a float32
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, values)), 16));
}

inline void store(float* target, __m512 values, __mmask16 mask) { _mm512_mask_storeu_ps(target, mask, values); }

inline void store(uint16_t* target, __m512 values, __mmask16 mask) {  // to the nearest, and to even half-way
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_mask_storeu_epi16(target, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

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

// The caches of a batch: [L, B, C, 2, H, d] with strides for L and B, in bfloat16. Of row b's token c, K and V are in
// row origins[b, c], or in row b where there are no origins.
struct Cache {
    uint16_t* kv;
    int64_t layer_stride, row_stride;
    int32_t* origins;
    int64_t origins_stride;
};

// A relative bias on the scores, [B, H, C], or none.
struct Bias {
    const float* values;
    int64_t row_stride, head_stride;
};

// One row of inputs as bytes q + 128 with q = round(x / scale), scale = max|x| / 127. Returns the scale.
float quantize(const float* inputs, long num_inputs, uint8_t* quantized) {
    __m512 largest = _mm512_setzero_ps();
    for (long i = 0; i < num_inputs; i += LANES)
        largest = _mm512_max_ps(largest, _mm512_abs_ps(load(inputs + i, first_lanes(num_inputs - i))));
    const float max = _mm512_reduce_max_ps(largest);
    const __m512 inverse = splat(max > 0 ? 127.0f / max : 0.0f);
    for (long i = 0; i < num_inputs; i += LANES) {
        const __m512 x = _mm512_mul_ps(load(inputs + i, first_lanes(num_inputs - i)), inverse);
        const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(ZERO_POINT));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(quantized + i), _mm512_cvtepi32_epi8(q));
    }
    return max / 127.0f;
}

// Where the results of some rows go: through the activation, and with `residual` (or none) added.
struct Results {
    int activation;
    const float* residual;
    float* outputs;
};

// One panel's outputs of ROWS rows. Unrolled so that all sums stay in registers.
template <int ROWS>
void tile(const Linear& linear, long panel, const uint8_t* quantized, long stride, const float* row_scales,
          const Results& results) {
    const long num_quads = (linear.num_inputs + 3) / 4;
    const int8_t* quads = linear.panels + panel * num_quads * PANEL * 4;
    __m512i sums[ROWS][4];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) sums[row][part] = _mm512_setzero_si512();
    for (long quad = 0; quad < num_quads; ++quad, quads += PANEL * 4) {
        if (ROWS < TILE_ROWS)  // few rows wait for memory: 8 KB ahead, beyond a page, where the processor stops by itself
            for (int part = 0; part < 4; ++part) _mm_prefetch(quads + AHEAD_WEIGHTS + part * 64, _MM_HINT_T0);
        __m512i weights[4];
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) weights[part] = _mm512_loadu_si512(quads + part * 64);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            int32_t bytes;
            std::memcpy(&bytes, quantized + row * stride + quad * 4, 4);
            const __m512i x = _mm512_set1_epi32(bytes);
#pragma GCC unroll 4
            for (int part = 0; part < 4; ++part) sums[row][part] = _mm512_dpbusd_epi32(sums[row][part], x, weights[part]);
        }
    }
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
        const long output = panel * PANEL + part * LANES;
        if (output >= linear.num_outputs) break;
        const __mmask16 mask = first_lanes(linear.num_outputs - output);
        const __m512 scales = _mm512_loadu_ps(linear.scales + output);
        const __m512 bias = _mm512_loadu_ps(linear.bias + output);
        const __m512i offsets = _mm512_loadu_si512(linear.offsets + output);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            const long at = row * linear.num_outputs + output;
            const __m512 products = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[row][part], offsets));
            __m512 result = _mm512_fmadd_ps(products, _mm512_mul_ps(scales, splat(row_scales[row])), bias);
            result = activated(result, results.activation);
            if (results.residual) result = _mm512_add_ps(result, load(results.residual + at, mask));
            store(results.outputs + at, result, mask);
        }
    }
}

void tiles(long num_rows, const Linear& linear, long panel, const uint8_t* quantized, long stride,
           const float* row_scales, const Results& results) {
    switch (num_rows) {
        case 1: return tile<1>(linear, panel, quantized, stride, row_scales, results);
        case 2: return tile<2>(linear, panel, quantized, stride, row_scales, results);
        case 3: return tile<3>(linear, panel, quantized, stride, row_scales, results);
        case 4: return tile<4>(linear, panel, quantized, stride, row_scales, results);
        default: return tile<TILE_ROWS>(linear, panel, quantized, stride, row_scales, results);
    }
}

// inputs [B, K] -> results.outputs [B, N]
void multiply(const Linear& linear, const float* inputs, long num_rows, const Results& results) {
    static thread_local std::vector<uint8_t> of_thread;
    const long stride = (linear.num_inputs + 63) / 64 * 64;
    const long num_panels = (linear.num_outputs + PANEL - 1) / PANEL;
    if (static_cast<long>(of_thread.size()) < BLOCK_ROWS * stride) of_thread.resize(BLOCK_ROWS * stride);
    uint8_t* quantized = of_thread.data();  // of the calling thread, and shared by all
    float row_scales[BLOCK_ROWS];
    for (long block = 0; block < num_rows; block += BLOCK_ROWS) {
        const long rows = num_rows - block < BLOCK_ROWS ? num_rows - block : BLOCK_ROWS;
#pragma omp parallel if (rows * linear.num_inputs * linear.num_outputs > PARALLEL_PRODUCTS)
        {
#pragma omp for
            for (long row = 0; row < rows; ++row) {
                const float* values = inputs + (block + row) * linear.num_inputs;
                row_scales[row] = quantize(values, linear.num_inputs, quantized + row * stride);
            }
#pragma omp for
            for (long panel = 0; panel < num_panels; ++panel)
                for (long row = 0; row < rows; row += TILE_ROWS) {
                    const long at = (block + row) * linear.num_outputs;
                    const float* residual = results.residual ? results.residual + at : nullptr;
                    const Results part{results.activation, residual, results.outputs + at};
                    tiles(rows - row, linear, panel, quantized + row * stride, stride, row_scales + row, part);
                }
        }
    }
}

// LayerNorm, or RMSNorm where there is no bias, of [B, D]. Inputs and outputs may be the same.
void normalize(const Norm& norm, const float* inputs, long num_rows, long width, float* outputs) {
    for (long row = 0; row < num_rows; ++row, inputs += width, outputs += width) {
        __m512 sum = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
        if (norm.bias)
            for (long i = 0; i < width; i += LANES) sum = _mm512_add_ps(sum, load(inputs + i, first_lanes(width - i)));
        const __m512 mean = splat(_mm512_reduce_add_ps(sum) / width);
        for (long i = 0; i < width; i += LANES) {
            const __mmask16 mask = first_lanes(width - i);
            const __m512 x = _mm512_maskz_sub_ps(mask, load(inputs + i, mask), mean);
            squares = _mm512_fmadd_ps(x, x, squares);
        }
        const __m512 inverse = splat(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / width + norm.eps));
        for (long i = 0; i < width; i += LANES) {
            const __mmask16 mask = first_lanes(width - i);
            __m512 x = _mm512_mul_ps(_mm512_sub_ps(load(inputs + i, mask), mean), inverse);
            x = _mm512_mul_ps(x, load(norm.weight + i, mask));
            store(outputs + i, norm.bias ? _mm512_add_ps(x, load(norm.bias + i, mask)) : x, mask);
        }
    }
}

// softmax of scores [C] (+ bias [C] or none), in place.
void softmax(float* scores, long num_tokens, const float* bias) {
    __m512 largest = splat(-INFINITY), sum = _mm512_setzero_ps();
    for (long i = 0; i < num_tokens; i += LANES) {
        const __mmask16 mask = first_lanes(num_tokens - i);
        __m512 x = load(scores + i, mask);
        if (bias) x = _mm512_add_ps(x, load(bias + i, mask));
        store(scores + i, x, mask);
        largest = _mm512_mask_max_ps(largest, mask, largest, x);
    }
    const __m512 max = splat(_mm512_reduce_max_ps(largest));
    for (long i = 0; i < num_tokens; i += LANES) {
        const __mmask16 mask = first_lanes(num_tokens - i);
        const __m512 e = _mm512_maskz_mov_ps(mask, exp_ps(_mm512_sub_ps(load(scores + i, mask), max)));
        store(scores + i, e, mask);
        sum = _mm512_add_ps(sum, e);
    }
    const __m512 inverse = splat(1.0f / _mm512_reduce_add_ps(sum));
    for (long i = 0; i < num_tokens; i += LANES) {
        const __mmask16 mask = first_lanes(num_tokens - i);
        store(scores + i, _mm512_mul_ps(load(scores + i, mask), inverse), mask);
    }
}

// K and V of a row's tokens, each [2, H, d].
template <typename T>
struct Tokens {
    const T* values;
    int64_t token_stride, row_stride;
    const int32_t* origins;

    const T* at(long token) const { return values + token * token_stride + (origins ? origins[token] * row_stride : 0); }

    // Inline, for GCC drops calls of a function that does nothing but this.
    __attribute__((always_inline)) void prefetch(long token, long size) const {
        if (sizeof(T) != sizeof(uint16_t)) return;  // what is of float32 was computed just now
        const char* start = reinterpret_cast<const char*>(at(token));
        for (long i = 0; i < size * static_cast<long>(sizeof(T)); i += 64) _mm_prefetch(start + i, _MM_HINT_T1);
    }
};

// The sums over each of four vectors.
inline __m128 reduce_add(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 low = _mm512_shuffle_ps(ab, cd, 0x44), high = _mm512_shuffle_ps(ab, cd, 0xee);
    const __m512 sums = _mm512_add_ps(low, high);  // of each vector's four lanes, in four places
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

constexpr long GROUP = 4;  // tokens whose scores, and vectors of a head whose weighted sums, are computed side by side

inline long scores_stride(long num_tokens) { return (num_tokens + LANES - 1) / LANES * LANES; }

// Some queries over the same tokens, side by side so that K and V are loaded once for all of them. What is computed for
// one does not depend on the others. scores [Q, H, C] are left as attention weights.
template <typename T, int QUERIES>
struct Attention {
    const Stack& stack;
    const float* q;  // [Q, H, d]
    long q_stride;
    const Tokens<T>& tokens;
    long num_tokens;
    float* scores;
    float* outputs;  // [Q, H, d], dense

    long width() const { return stack.num_heads * stack.head_dim; }
    float* row(long query, long head) const {
        return scores + (query * stack.num_heads + head) * scores_stride(num_tokens);
    }

    // QK^T, scaled.
    void score() const {
        const __m128 scale = _mm_set1_ps(stack.scale);
        for (long token = 0; token < num_tokens; token += GROUP) {
            const T* k[GROUP];
            for (long i = 0; i < GROUP; ++i) {
                k[i] = tokens.at(token + i < num_tokens ? token + i : num_tokens - 1);
                if (token + i + AHEAD_TOKENS < num_tokens) tokens.prefetch(token + i + AHEAD_TOKENS, 2 * width());
            }
            for (long head = 0; head < stack.num_heads; ++head) {
                __m512 sums[QUERIES][GROUP];
#pragma GCC unroll 4
                for (int query = 0; query < QUERIES; ++query)
#pragma GCC unroll 4
                    for (long j = 0; j < GROUP; ++j) sums[query][j] = _mm512_setzero_ps();
                for (long i = 0; i < stack.head_dim; i += LANES) {
                    const __mmask16 mask = first_lanes(stack.head_dim - i);
                    const long at = head * stack.head_dim + i;
                    __m512 keys[GROUP];
#pragma GCC unroll 4
                    for (long j = 0; j < GROUP; ++j) keys[j] = load(k[j] + at, mask);
#pragma GCC unroll 4
                    for (int query = 0; query < QUERIES; ++query) {
                        const __m512 x = load(q + query * q_stride + at, mask);
#pragma GCC unroll 4
                        for (long j = 0; j < GROUP; ++j) sums[query][j] = _mm512_fmadd_ps(x, keys[j], sums[query][j]);
                    }
                }
#pragma GCC unroll 4
                for (int query = 0; query < QUERIES; ++query) {
                    const __m512* s = sums[query];
                    _mm_storeu_ps(row(query, head) + token, _mm_mul_ps(reduce_add(s[0], s[1], s[2], s[3]), scale));
                }
            }
        }
    }

    // The attention weights times V.
    void weigh() const {
        for (long head = 0; head < stack.num_heads; ++head)
            for (long start = 0; start < stack.head_dim; start += GROUP * LANES) {
                const long at = head * stack.head_dim + start;
                __mmask16 masks[GROUP];
                __m512 sums[QUERIES][GROUP];
#pragma GCC unroll 4
                for (long i = 0; i < GROUP; ++i) {
                    const long left = stack.head_dim - start - i * LANES;
                    masks[i] = left > 0 ? first_lanes(left) : 0;
#pragma GCC unroll 4
                    for (int query = 0; query < QUERIES; ++query) sums[query][i] = _mm512_setzero_ps();
                }
                for (long token = 0; token < num_tokens; ++token) {
                    const T* v = tokens.at(token) + width() + at;
                    __m512 values[GROUP];
#pragma GCC unroll 4
                    for (long i = 0; i < GROUP; ++i) values[i] = load(v + i * LANES, masks[i]);
#pragma GCC unroll 4
                    for (int query = 0; query < QUERIES; ++query) {
                        const __m512 weight = splat(row(query, head)[token]);
#pragma GCC unroll 4
                        for (long i = 0; i < GROUP; ++i) sums[query][i] = _mm512_fmadd_ps(weight, values[i], sums[query][i]);
                    }
                }
#pragma GCC unroll 4
                for (int query = 0; query < QUERIES; ++query)
#pragma GCC unroll 4
                    for (long i = 0; i < GROUP; ++i)
                        store(outputs + query * width() + at + i * LANES, sums[query][i], masks[i]);
            }
    }

    // `bias` [Q, H, C] or none is added to the scores.
    void run(const float* bias, long bias_query_stride, long bias_head_stride) const {
        score();
        for (int query = 0; query < QUERIES; ++query)
            for (long head = 0; head < stack.num_heads; ++head) {
                const float* added = bias ? bias + query * bias_query_stride + head * bias_head_stride : nullptr;
                softmax(row(query, head), num_tokens, added);
            }
        weigh();
    }
};

// Room for what a stack computes in between; it stays allocated.
struct Room {
    std::vector<float> normed, projected, heads, hidden, gated, scores;

    static Room& of_thread() {
        static thread_local Room room;
        return room;
    }
};

float* room_for(std::vector<float>& values, long size) {
    if (static_cast<long>(values.size()) < size) values.resize(size);
    return values.data();
}

// Cached attention: q of row b at q + b * q_stride, over its first num_tokens[b] tokens. `weights` [B, S] or none gets
// the mean over the heads, and zeros from num_tokens[b] on.
struct CachedAttention {
    const float* q;
    int64_t q_stride;
    const Cache& cache;
    long layer;
    Bias bias;
    float* weights;
    int64_t weights_stride;

    Tokens<uint16_t> tokens_of(long row, long width) const {
        const int32_t* origins = cache.origins ? cache.origins + row * cache.origins_stride : nullptr;
        const uint16_t* kv = cache.kv + layer * cache.layer_stride + (origins ? 0 : row * cache.row_stride);
        return {kv, 2 * width, cache.row_stride, origins};
    }

    void run(const Stack& stack, long num_rows, const int64_t* lengths, long added, float* outputs) const {
        const long num_heads = stack.num_heads, width = num_heads * stack.head_dim;
#pragma omp parallel for if (num_rows > 1)
        for (long row = 0; row < num_rows; ++row) {
            const long num_tokens = lengths[row] + added;
            const Tokens<uint16_t> tokens = tokens_of(row, width);
            float* scores = room_for(Room::of_thread().scores, num_heads * scores_stride(num_tokens));
            const float* row_bias = bias.values ? bias.values + row * bias.row_stride : nullptr;
            if (row + 1 < num_rows)
                for (long token = 0; token < AHEAD_TOKENS && token < lengths[row + 1] + added; ++token)
                    tokens_of(row + 1, width).prefetch(token, 2 * width);
            Attention<uint16_t, 1>{stack, q + row * q_stride, 0, tokens, num_tokens, scores, outputs + row * width}.run(
                row_bias, 0, bias.head_stride);
            if (weights) average(scores, num_heads, num_tokens, weights + row * weights_stride);
        }
    }

    void average(const float* scores, long num_heads, long num_tokens, float* mean) const {
        std::memset(mean, 0, weights_stride * sizeof(float));
        for (long head = 0; head < num_heads; ++head)
            for (long token = 0; token < num_tokens; ++token) mean[token] += scores[head * scores_stride(num_tokens) + token] / num_heads;
    }
};

// All of a source's queries over all of its tokens: qkv [S, 3, H, d] -> outputs [S, H, d].
void attend_source(const Stack& stack, const float* qkv, long num_tokens, const float* bias, long bias_row_stride,
                   long bias_head_stride, float* outputs) {
    const long width = stack.num_heads * stack.head_dim, num_whole = num_tokens / GROUP;
    const Tokens<float> tokens{qkv + width, 3 * width, 0, nullptr};
#pragma omp parallel for if (num_whole > 1)
    for (long group = 0; group < num_whole + num_tokens % GROUP; ++group) {
        const long query = group < num_whole ? group * GROUP : num_whole * GROUP + group - num_whole;
        const float* q = qkv + query * 3 * width;
        const float* added = bias ? bias + query * bias_row_stride : nullptr;
        float* scores = room_for(Room::of_thread().scores, GROUP * stack.num_heads * scores_stride(num_tokens));
        float* target = outputs + query * width;
        if (group < num_whole)
            Attention<float, GROUP>{stack, q, 3 * width, tokens, num_tokens, scores, target}.run(added, bias_row_stride,
                                                                                                 bias_head_stride);
        else
            Attention<float, 1>{stack, q, 0, tokens, num_tokens, scores, target}.run(added, 0, bias_head_stride);
    }
}

// K and V of each row's new token, values [B, 2 H d], to its position in the cache, in its own row.
void write_kv(const float* values, long stride, long width, const Cache& cache, long layer, const int64_t* positions,
              long num_rows) {
    for (long row = 0; row < num_rows; ++row) {
        if (cache.origins) cache.origins[row * cache.origins_stride + positions[row]] = static_cast<int32_t>(row);
        uint16_t* target = cache.kv + layer * cache.layer_stride + row * cache.row_stride + positions[row] * width;
        for (long i = 0; i < width; i += LANES) {
            const __mmask16 mask = first_lanes(width - i);
            store(target + i, load(values + row * stride + i, mask), mask);
        }
    }
}

// The gate of a gated feed-forward layer: hidden [B, 2 F] -> outputs [B, F] = act(first half) * second half.
void gate(const float* hidden, long num_rows, long width, int activation, float* outputs) {
    for (long row = 0; row < num_rows; ++row, hidden += 2 * width, outputs += width)
        for (long i = 0; i < width; i += LANES) {
            const __mmask16 mask = first_lanes(width - i);
            const __m512 x = activated(load(hidden + i, mask), activation);
            store(outputs + i, _mm512_mul_ps(x, load(hidden + width + i, mask)), mask);
        }
}

// x + sublayer(norm(x)) or norm(x + sublayer(x)), in two halves around the sublayer, as in `layers.py`.
struct Residual {
    const Stack& stack;
    const Norm& norm;
    float* hidden_states;
    long num_rows;

    const float* enter() const {
        if (!stack.is_pre_norm) return hidden_states;
        float* normed = room_for(Room::of_thread().normed, num_rows * stack.d_model);
        normalize(norm, hidden_states, num_rows, stack.d_model, normed);
        return normed;
    }
    void leave(const Linear& linear, const float* inputs) const {
        multiply(linear, inputs, num_rows, {NONE, hidden_states, hidden_states});
        if (!stack.is_pre_norm) normalize(norm, hidden_states, num_rows, stack.d_model, hidden_states);
    }
};

// A block of rows at a time, whose hidden layer then stays in the caches of the processor.
void feed_forward(const Stack& stack, const Linear& fc1, const Linear& fc2, const Norm& norm, float* hidden_states,
                  long num_rows) {
    Room& room = Room::of_thread();
    for (long block = 0; block < num_rows; block += BLOCK_ROWS) {
        const long rows = num_rows - block < BLOCK_ROWS ? num_rows - block : BLOCK_ROWS;
        const Residual residual{stack, norm, hidden_states + block * stack.d_model, rows};
        float* hidden = room_for(room.hidden, rows * fc1.num_outputs);
        const int activation = static_cast<int>(stack.activation);
        multiply(fc1, residual.enter(), rows, {stack.is_gated ? NONE : activation, nullptr, hidden});
        if (stack.is_gated) {
            float* gated = room_for(room.gated, rows * fc2.num_inputs);
            gate(hidden, rows, fc2.num_inputs, activation, gated);
            hidden = gated;
        }
        residual.leave(fc2, hidden);
    }
}

// X = E * scale + positions, and its norm: [B, D].
void embed(const Embedding& embedding, const int64_t* token_ids, const int64_t* positions, long num_rows, long width,
           float* outputs) {
    for (long row = 0; row < num_rows; ++row)
        for (long i = 0; i < width; i += LANES) {
            const __mmask16 mask = first_lanes(width - i);
            __m512 x = _mm512_mul_ps(load(embedding.tokens + token_ids[row] * width + i, mask), splat(embedding.scale));
            if (embedding.positions) x = _mm512_add_ps(x, load(embedding.positions + positions[row] * width + i, mask));
            store(outputs + row * width + i, x, mask);
        }
    if (embedding.norm.weight) normalize(embedding.norm, outputs, num_rows, width, outputs);
}

void finish(const Stack& stack, float* hidden_states, long num_rows) {
    if (stack.final_norm.weight) normalize(stack.final_norm, hidden_states, num_rows, stack.d_model, hidden_states);
}

}  // namespace

extern "C" {

struct Step {
    const int64_t* token_ids;  // [B]
    float* hidden_states;      // [B, D], out
    int64_t num_rows;
    Cache self_kv, cross_kv;
    const int64_t* positions;       // [B]: where K and V of these tokens go
    const int64_t* source_lengths;  // [B]
    Bias self_bias;
    float* cross_weights;  // [B, S] or none
    int64_t cross_weights_stride, cross_weights_layer;
};

void linear_int8(const Linear* linear, const float* inputs, long num_rows, float* outputs) {
    multiply(*linear, inputs, num_rows, {NONE, nullptr, outputs});
}

void encode_stack(const Stack* stack_pointer, float* hidden_states, const int64_t* lengths, long num_sources,
                  const float* bias, long bias_row_stride, long bias_head_stride) {
    const Stack& stack = *stack_pointer;
    Room& room = Room::of_thread();
    const long width = stack.num_heads * stack.head_dim;
    long num_rows = 0;
    for (long source = 0; source < num_sources; ++source) num_rows += lengths[source];
    for (long index = 0; index < stack.num_layers; ++index) {
        const EncoderLayer& layer = static_cast<const EncoderLayer*>(stack.layers)[index];
        const Residual self{stack, layer.self_norm, hidden_states, num_rows};
        float* qkv = room_for(room.projected, num_rows * 3 * width);
        float* heads = room_for(room.heads, num_rows * width);
        multiply(layer.qkv, self.enter(), num_rows, {NONE, nullptr, qkv});
        for (long source = 0, start = 0; source < num_sources; start += lengths[source++]) {
            attend_source(stack, qkv + start * 3 * width, lengths[source], bias, bias_row_stride, bias_head_stride,
                          heads + start * width);
        }
        self.leave(layer.out, heads);
        feed_forward(stack, layer.fc1, layer.fc2, layer.ffn_norm, hidden_states, num_rows);
    }
    finish(stack, hidden_states, num_rows);
}

void decode_stack(const Stack* stack_pointer, const Embedding* embedding, const Step* step_pointer) {
    const Stack& stack = *stack_pointer;
    const Step& step = *step_pointer;
    Room& room = Room::of_thread();
    const long num_rows = step.num_rows, width = stack.num_heads * stack.head_dim;
    float* projected = room_for(room.projected, num_rows * 3 * width);
    float* heads = room_for(room.heads, num_rows * width);
    embed(*embedding, step.token_ids, step.positions, num_rows, stack.d_model, step.hidden_states);
    for (long index = 0; index < stack.num_layers; ++index) {
        const DecoderLayer& layer = static_cast<const DecoderLayer*>(stack.layers)[index];

        const Residual self{stack, layer.self_norm, step.hidden_states, num_rows};
        multiply(layer.qkv, self.enter(), num_rows, {NONE, nullptr, projected});
        write_kv(projected + width, 3 * width, 2 * width, step.self_kv, index, step.positions, num_rows);
        const CachedAttention self_attention{projected, 3 * width, step.self_kv, index, step.self_bias, nullptr, 0};
        self_attention.run(stack, num_rows, step.positions, 1, heads);
        self.leave(layer.self_out, heads);

        const Residual cross{stack, layer.cross_norm, step.hidden_states, num_rows};
        multiply(layer.q, cross.enter(), num_rows, {NONE, nullptr, projected});
        float* weights = index == step.cross_weights_layer ? step.cross_weights : nullptr;
        const CachedAttention cross_attention{projected, width, step.cross_kv, index, {}, weights,
                                              step.cross_weights_stride};
        cross_attention.run(stack, num_rows, step.source_lengths, 0, heads);
        cross.leave(layer.cross_out, heads);

        feed_forward(stack, layer.fc1, layer.fc2, layer.ffn_norm, step.hidden_states, num_rows);
    }
    finish(stack, step.hidden_states, num_rows);
}

void choose(const float* all_logits, long num_rows, long num_columns, long block, int64_t* columns, float* largest_of_row,
            float* normalizers, float* all_maxima) {
    const long num_blocks = (num_columns + block - 1) / block;
#pragma omp parallel for if (num_rows > 1)
    for (long row = 0; row < num_rows; ++row) {
        const float* logits = all_logits + row * num_columns;
        float* maxima = all_maxima + row * num_blocks;
        float max = -INFINITY;
        for (long index = 0; index < num_blocks; ++index) {
            const long stop = (index + 1) * block < num_columns ? (index + 1) * block : num_columns;
            __m512 largest = splat(-INFINITY);
            for (long i = index * block; i < stop; i += LANES) {
                const __mmask16 mask = first_lanes(stop - i);
                largest = _mm512_mask_max_ps(largest, mask, largest, load(logits + i, mask));
            }
            maxima[index] = _mm512_reduce_max_ps(largest);
            max = maxima[index] > max ? maxima[index] : max;
        }
        __m512 sum = _mm512_setzero_ps();
        long column = -1;
        for (long i = 0; i < num_columns; i += LANES) {
            const __mmask16 mask = first_lanes(num_columns - i);
            const __m512 x = load(logits + i, mask);
            const __mmask16 equal = _mm512_mask_cmpeq_ps_mask(mask, x, splat(max));
            if (column < 0 && equal) column = i + __builtin_ctz(equal);
            sum = _mm512_mask_add_ps(sum, mask, sum, exp_ps(_mm512_sub_ps(x, splat(max))));
        }
        columns[row] = column < 0 ? 0 : column;  // all are NaN
        largest_of_row[row] = max;
        normalizers[row] = max + std::log(_mm512_reduce_add_ps(sum));
    }
}

}  // extern "C"

#pragma GCC pop_options
#else
extern "C" int kakehashi_supported() { return 0; }
#endif
