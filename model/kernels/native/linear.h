// int8 linear layers, a pass each: quantize, multiply, scale, activate, add. And the norms.
// Shapes: B rows, K inputs, N outputs, D model size.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "structs.h"
#include "vectors.h"

namespace {

constexpr long PANEL = 4 * LANES;  // outputs of a panel of weights
constexpr long TILE_ROWS = 5;      // 5 x 4 sums, 4 vectors of weights and the broadcast inputs fit in 32 registers
constexpr long BLOCK_ROWS = 160;   // quantized inputs of so many rows stay in the second-level cache
constexpr int ZERO_POINT = 128;    // VNNI multiplies unsigned by signed bytes: activations are stored as q + 128
constexpr long PARALLEL_PRODUCTS = 1 << 19;  // for fewer, waking the other threads takes longer than the work
constexpr long AHEAD_WEIGHTS = 8192;  // bytes: beyond the page, where the processor's own prefetching stops

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

// The epilogue of a product: the activation, then the addition of `residual` (or none).
struct Epilogue {
    int activation;
    const float* residual;
    float* outputs;
};

// One panel's outputs of ROWS rows. Unrolled so that all sums stay in registers.
template <int ROWS>
void tile(const Linear& linear, long panel, const uint8_t* quantized, long stride, const float* row_scales,
          const Epilogue& epilogue) {
    const long num_quads = (linear.num_inputs + 3) / 4;
    const int8_t* quads = linear.panels + panel * num_quads * PANEL * 4;
    __m512i sums[ROWS][4];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) sums[row][part] = _mm512_setzero_si512();
    for (long quad = 0; quad < num_quads; ++quad, quads += PANEL * 4) {
        if (ROWS < TILE_ROWS)  // few rows wait for memory
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
            for (int part = 0; part < 4; ++part)
                sums[row][part] = _mm512_dpbusd_epi32(sums[row][part], x, weights[part]);
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
            result = activated(result, epilogue.activation);
            if (epilogue.residual) result = _mm512_add_ps(result, load(epilogue.residual + at, mask));
            store(epilogue.outputs + at, result, mask);
        }
    }
}

void tiles(long num_rows, const Linear& linear, long panel, const uint8_t* quantized, long stride,
           const float* row_scales, const Epilogue& epilogue) {
    switch (num_rows) {
        case 1: return tile<1>(linear, panel, quantized, stride, row_scales, epilogue);
        case 2: return tile<2>(linear, panel, quantized, stride, row_scales, epilogue);
        case 3: return tile<3>(linear, panel, quantized, stride, row_scales, epilogue);
        case 4: return tile<4>(linear, panel, quantized, stride, row_scales, epilogue);
        default: return tile<TILE_ROWS>(linear, panel, quantized, stride, row_scales, epilogue);
    }
}

// inputs [B, K] -> epilogue.outputs [B, N]
void multiply(const Linear& linear, const float* inputs, long num_rows, const Epilogue& epilogue) {
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
                    const float* residual = epilogue.residual ? epilogue.residual + at : nullptr;
                    const Epilogue part{epilogue.activation, residual, epilogue.outputs + at};
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

}  // namespace
