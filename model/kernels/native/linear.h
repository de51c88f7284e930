// The norms and the int8 linear layers. A layer is a single pass: quantize, multiply, scale, activate, add.
// Shapes: B rows, K inputs, N outputs, D model size.
#pragma once

#include <vector>

#include "dot.h"
#include "structs.h"

namespace {

constexpr long PANEL_PARTS = 4;
constexpr long PANEL = PANEL_PARTS * LANES;  // outputs of a panel of weights
constexpr long TILE_ROWS = PARTS == 1 ? 5 : 3;  // rows whose sums fit into the registers, beside weights and inputs
constexpr long BLOCK_ROWS = 160;  // rows whose quantized inputs stay in the second-level cache
constexpr long PARALLEL_PRODUCTS = 1 << 19;  // below it, waking the other threads takes longer than the work
constexpr long AHEAD_WEIGHTS = 8192;  // bytes: beyond the page, where the processor's own prefetching stops

// The number of vectors of outputs in a tile of `num_rows` rows.
constexpr int tile_columns(int num_rows) { return PARTS == 1 || num_rows == 1 ? 4 : 2; }

struct Row {
    float scale;
    int32_t negatives;  // the sum of |q| over negative q, if the product of bytes needs it
};

// Quantizes a row of inputs to bytes q + ZERO_POINT with q = round(x / scale), scale = max|x| / 127. The scale of a row
// that is not finite is NaN, which makes all its results NaN.
Row quantize(const float* inputs, long num_inputs, uint8_t* quantized) {
    Bits largest = {};
    for (long i = 0; i < num_inputs; i += LANES)
        largest = larger(absolute(load(inputs + i, num_inputs - i)), largest);
    const float max = largest_lane(largest);
    if (!(max <= LARGEST)) {
        std::memset(quantized, 0, num_inputs);
        return {__builtin_nanf(""), 0};
    }
    const Floats inverse = splat(max > 1e-36f ? 127.0f / max : 0.0f);  // would be infinite for a smaller max
    Ints negatives = {};
    for (long i = 0; i < num_inputs; i += LANES) {
        const Floats x = load(inputs + i, num_inputs - i) * inverse;
        const Bits bits = bits_of(x + splat(ROUNDING));
        store_low_bytes(quantized + i, bits, ZERO_POINT);
        if (FLIPS_WEIGHTS) negatives = add_below(negatives, bits, bits_of(splat(ROUNDING)));
    }
    return {max / 127.0f, FLIPS_WEIGHTS ? sum(negatives) : 0};
}

// The epilogue of a product: the activation, then the addition of `residual` (or none). Both are [B, N] with rows
// `stride` elements apart.
struct Epilogue {
    int activation;
    const float* residual;
    float* outputs;
    long stride;
};

// A few rows of a block, to be multiplied by a panel of weights.
struct Tile {
    long panel, block, row, num_rows;  // `row` counts from the block's first
    const uint8_t* quantized;          // inputs [B, K]
    long stride;
    const Row* rows;
};

// The outputs of ROWS rows by COLUMNS vectors of a panel, starting at `first`. Unrolled to keep all sums in registers.
template <int ROWS, int COLUMNS>
KAKEHASHI_INLINE void multiply_part(const Linear& linear, const Tile& tile, long first, const Epilogue& epilogue) {
    const long num_quads = (linear.num_inputs + 3) / 4;
    const int8_t* quads = linear.panels + (tile.panel * num_quads * PANEL + first * LANES) * 4;
    const Row* rows = tile.rows;
    Ints sums[ROWS][COLUMNS];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; ++row)
#pragma GCC unroll 4
        for (int column = 0; column < COLUMNS; ++column) sums[row][column] = {};
    for (long quad = 0; quad < num_quads; ++quad, quads += PANEL * 4) {
        if (ROWS < TILE_ROWS)  // with few rows, memory is the bottleneck
#pragma GCC unroll 4
            for (int column = 0; column < COLUMNS; ++column)
                __builtin_prefetch(quads + AHEAD_WEIGHTS + column * LANES * 4);
        Ints weights[COLUMNS];
#pragma GCC unroll 4
        for (int column = 0; column < COLUMNS; ++column) weights[column] = load_ints(quads + column * LANES * 4);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            const Inputs inputs(tile.quantized + row * tile.stride + quad * 4);
#pragma GCC unroll 4
            for (int column = 0; column < COLUMNS; ++column)
                KAKEHASHI_EACH_PART inputs.add_products(sums[row][column].parts[part], weights[column].parts[part]);
        }
    }
#pragma GCC unroll 4
    for (int column = 0; column < COLUMNS; ++column) {
        const long output = tile.panel * PANEL + (first + column) * LANES, left = linear.num_outputs - output;
        if (left <= 0) break;
        const Floats scales = load(linear.scales + output, LANES), bias = load(linear.bias + output, LANES);
        const Ints offsets = ZERO_POINT ? load_ints(linear.offsets + output) : Ints{};
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; ++row) {
            const long at = row * epilogue.stride + (first + column) * LANES;
            Floats products;
            KAKEHASHI_EACH_PART {
                const IntPart exact = sums[row][column].parts[part] - offsets.parts[part] + rows[row].negatives;
                products.parts[part] = __builtin_convertvector(exact, Part);
            }
            Floats result = fma(products, scales * splat(rows[row].scale), bias);
            result = activated(result, epilogue.activation);
            if (epilogue.residual) result = result + load(epilogue.residual + at, left);
            store(epilogue.outputs + at, result, left);
        }
    }
}

template <int ROWS>
void multiply_rows(const Linear& linear, const Tile& tile, const Epilogue& epilogue) {
    constexpr int COLUMNS = tile_columns(ROWS);
    for (long first = 0; first < PANEL_PARTS; first += COLUMNS)
        multiply_part<ROWS, COLUMNS>(linear, tile, first, epilogue);
}

// The arrays of `epilogue` begin at the tile's first row and its panel's first output.
void multiply_tile(const Linear& linear, const Tile& tile, const Epilogue& epilogue) {
    switch (tile.num_rows) {
        case 1: return multiply_rows<1>(linear, tile, epilogue);
        case 2: return multiply_rows<2>(linear, tile, epilogue);
        case 3: return multiply_rows<3>(linear, tile, epilogue);
        case 4: return multiply_rows<TILE_ROWS < 4 ? TILE_ROWS : 4>(linear, tile, epilogue);
        default: return multiply_rows<TILE_ROWS>(linear, tile, epilogue);
    }
}

// Quantizes inputs [B, K] and calls `each_tile` for all tiles of all panels. Every thread has its own copy of
// `each_tile`, takes `span` panels at a time, and takes all of its panels in order.
template <typename EachTile>
void for_each_tile(const Linear& linear, const float* inputs, long num_rows, long span, const EachTile& each_tile) {
    static thread_local std::vector<uint8_t> of_thread;
    const long stride = (linear.num_inputs + 63) / 64 * 64;
    const long num_panels = (linear.num_outputs + PANEL - 1) / PANEL;
    if (static_cast<long>(of_thread.size()) < BLOCK_ROWS * stride) of_thread.resize(BLOCK_ROWS * stride);
    uint8_t* quantized = of_thread.data();  // owned by the calling thread, shared by all
    Row rows[BLOCK_ROWS];
    for (long block = 0; block < num_rows; block += BLOCK_ROWS) {
        const long size = num_rows - block < BLOCK_ROWS ? num_rows - block : BLOCK_ROWS;
#pragma omp parallel if (size * linear.num_inputs * linear.num_outputs > PARALLEL_PRODUCTS)
        {
            EachTile own = each_tile;
#pragma omp for
            for (long row = 0; row < size; ++row) {
                const float* values = inputs + (block + row) * linear.num_inputs;
                rows[row] = quantize(values, linear.num_inputs, quantized + row * stride);
            }
#pragma omp for schedule(static)
            for (long first = 0; first < num_panels; first += span)
                for (long panel = first; panel < first + span && panel < num_panels; ++panel)
                    for (long row = 0; row < size; row += TILE_ROWS) {
                        const long count = size - row < TILE_ROWS ? size - row : TILE_ROWS;
                        own(Tile{panel, block, row, count, quantized + row * stride, stride, rows + row});
                    }
        }
    }
}

// inputs [B, K] -> outputs [B, N]
void multiply(const Linear& linear, const float* inputs, long num_rows, int activation, const float* residual,
              float* outputs) {
    for_each_tile(linear, inputs, num_rows, 1, [=, &linear](const Tile& tile) {
        const long at = (tile.block + tile.row) * linear.num_outputs + tile.panel * PANEL;
        multiply_tile(linear, tile, {activation, residual ? residual + at : nullptr, outputs + at, linear.num_outputs});
    });
}

// LayerNorm of [B, D], or RMSNorm if there is no bias. Inputs and outputs may be the same.
void normalize(const Norm& norm, const float* inputs, long num_rows, long width, float* outputs) {
    const float size = static_cast<float>(width);
    for (long row = 0; row < num_rows; ++row, inputs += width, outputs += width) {
        Floats total = splat(0.0f), squares = splat(0.0f);
        if (norm.bias)
            for (long i = 0; i < width; i += LANES) total = total + load(inputs + i, width - i);
        const float mean = sum(total) / size;
        for (long i = 0; i < width; i += LANES) {
            const Floats x = load(inputs + i, width - i, mean) - splat(mean);
            squares = fma(x, x, squares);
        }
        const float variance = sum(squares) / size + norm.eps;
        const float inverse = variance <= LARGEST ? 1.0f / __builtin_sqrtf(variance) : __builtin_nanf("");
        for (long i = 0; i < width; i += LANES) {
            Floats x = (load(inputs + i, width - i) - splat(mean)) * splat(inverse);
            x = x * load(norm.weight + i, width - i);
            store(outputs + i, norm.bias ? x + load(norm.bias + i, width - i) : x, width - i);
        }
    }
}

}  // namespace
