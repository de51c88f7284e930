// Runs the kernels it is linked with on made-up weights and inputs of odd shapes, and prints a line for each case: its
// name, how many of how many numbers are finite, and a hash of all bits. All instruction sets have to print the same. Everything made up consists
// of integers and powers of two, so that it is the same on every machine.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "structs.h"

extern "C" {
void linear_int8(const Linear* linear, const float* inputs, long num_rows, float* outputs);
void encode_stack(const Stack* stack, const Embedding* embedding, const Sources* sources);
void decode_stack(const Stack* stack, const Embedding* embedding, const Step* step);
void choose(const float* logits, long num_rows, long num_tokens, int64_t* token_ids, float* largest, float* normalizers,
            float* maxima);
void write_cross_kv(const Linear* projection, const float* hidden_states, long num_tokens, const int64_t* rows,
                    const int64_t* positions, const Cache* cache, long num_layers);
void top_k_of_groups(const TopK* task);
int64_t decode_ahead(const Stack* stack, const Embedding* embedding, const Step* first, const Ahead* ahead);
}

namespace {

constexpr long PANEL = 64;
constexpr long NUM_TOKENS = 40;  // in the vocabulary

struct Random {
    uint64_t state;

    uint32_t next() {  // splitmix64
        uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
    }
    long below(long bound) { return static_cast<long>(next() % static_cast<uint64_t>(bound)); }
    float within(float size) { return (static_cast<float>(next() >> 8) / 8388608.0f - 1.0f) * size; }
    std::vector<float> floats(long count, float size) {
        std::vector<float> values(count);
        for (float& each : values) each = within(size);
        return values;
    }
};

struct Hash {
    uint64_t value = 0xcbf29ce484222325;
    long num_finite = 0, num_all = 0;

    void add(uint32_t bits) {
        value = (value ^ bits) * 0x100000001b3;
        ++num_all;
        if ((bits & 0x7f800000) != 0x7f800000) ++num_finite;
    }
    void add(const std::vector<float>& values) {
        for (float each : values) {
            uint32_t bits;
            std::memcpy(&bits, &each, sizeof(bits));
            add(each == each ? bits : 0x7fc00000);  // processors differ in the bits of NaN
        }
    }
    void print(const std::string& name) const {
        std::printf("%s %ld %ld %016llx\n", name.c_str(), num_finite, num_all, (unsigned long long)value);
    }
};

struct Weights {
    std::vector<int8_t> panels;
    std::vector<int32_t> offsets;
    std::vector<float> scales, bias;
    Linear linear;

    Weights(Random& random, long num_inputs, long num_outputs, float size) {
        const long num_panels = (num_outputs + PANEL - 1) / PANEL, num_quads = (num_inputs + 3) / 4;
        panels.resize(num_panels * num_quads * PANEL * 4);
        offsets.resize(num_panels * PANEL);
        scales = random.floats(num_panels * PANEL, size / 64 / static_cast<float>(num_inputs));
        bias = random.floats(num_panels * PANEL, 0.25f);
        for (long output = 0; output < num_outputs; ++output)
            for (long input = 0; input < num_inputs; ++input) {
                const long weight = random.below(255) - 127;
                panels[((output / PANEL * num_quads + input / 4) * PANEL + output % PANEL) * 4 + input % 4] =
                    static_cast<int8_t>(weight);
                offsets[output] += static_cast<int32_t>(128 * weight);
            }
        linear = {panels.data(), scales.data(), offsets.data(), bias.data(), num_inputs, num_outputs};
    }
};

// Rows of very different sizes, of which some are nothing, denormal, huge or not finite.
std::vector<float> odd_rows(Random& random, long num_rows, long width) {
    std::vector<float> rows;
    for (long row = 0; row < num_rows; ++row) {
        const float sizes[] = {1.0f, 0.0f, 1e-40f, 3e38f, 0.001f, 1000.0f, 1e-37f, 7.0f};
        for (float each : random.floats(width, sizes[row % 8])) rows.push_back(each);
        if (row % 23 == 11) rows[row * width + random.below(width)] = __builtin_nanf("");
        if (row % 23 == 17) rows[row * width + random.below(width)] = -__builtin_inff();
    }
    return rows;
}

void linears(Random& random) {
    const long inputs[] = {1, 3, 37, 64, 130, 515}, outputs[] = {1, 15, 64, 70, 200};
    for (long num_inputs : inputs)
        for (long num_outputs : outputs) {
            Hash hash;
            const Weights weights(random, num_inputs, num_outputs, 1.0f);
            const bool is_every_count = num_inputs == 37 && num_outputs == 70;
            for (long num_rows = 1; num_rows <= 70; num_rows += is_every_count || num_rows < 6 ? 1 : 16) {
                const std::vector<float> rows = odd_rows(random, num_rows, num_inputs);
                std::vector<float> results(num_rows * num_outputs);
                linear_int8(&weights.linear, rows.data(), num_rows, results.data());
                hash.add(results);
            }
            hash.print("linear " + std::to_string(num_inputs) + " x " + std::to_string(num_outputs));
        }
}

void choices(Random& random) {
    const long widths[] = {1, 15, 16, 17, 129, 1100};
    for (long width : widths) {
        Hash hash;
        const long num_rows = 9, num_panels = (width + PANEL - 1) / PANEL;
        std::vector<float> logits = random.floats(num_rows * width, 16.0f);
        for (long i = 0; i < width; ++i) {
            logits[width + i] = static_cast<float>(random.below(3));          // ties
            if (random.below(4)) logits[2 * width + i] = -__builtin_inff();   // forbidden
            logits[3 * width + i] *= 1e30f;
            logits[4 * width + i] = -__builtin_inff();
            logits[7 * width + i] += static_cast<float>(i / PANEL * 70);  // far above those before
        }
        logits[5 * width + random.below(width)] = __builtin_nanf("");
        logits[6 * width + random.below(width)] = __builtin_inff();
        std::vector<int64_t> columns(num_rows);
        std::vector<float> largest(num_rows), normalizers(num_rows), maxima(num_rows * num_panels);
        choose(logits.data(), num_rows, width, columns.data(), largest.data(), normalizers.data(), maxima.data());
        for (int64_t each : columns) hash.add(static_cast<uint32_t>(each));
        hash.add(largest);
        hash.add(normalizers);
        hash.add(maxima);
        hash.print("choose " + std::to_string(width));
    }
}

void top_k(Random& random) {
    const long widths[] = {4, 63, 64, 65, 1000};
    for (long width : widths) {
        Hash hash;
        const long k = 8, num_panels = (width + PANEL - 1) / PANEL;
        std::vector<float> scores = random.floats(6 * width, 16.0f), maxima(6 * num_panels, -__builtin_inff());
        for (long i = 0; i < width; ++i) scores[5 * width + i] = static_cast<float>(random.below(3));  // ties
        for (long i = 0; i < 6 * width; ++i) {
            float& max = maxima[i / width * num_panels + i % width / PANEL];
            if (scores[i] > max) max = scores[i];
        }
        const std::vector<int64_t> rows{3, 0, 1, 4, 5, 2};
        const std::vector<float> normalizers = random.floats(6, 4.0f), added = random.floats(6, 4.0f);
        std::vector<float> values(2 * k);
        std::vector<int64_t> members(2 * k), columns(2 * k);
        const TopK task{scores.data(), maxima.data(), rows.data(),    normalizers.data(), added.data(), 2, 3, width, k,
                        values.data(), members.data(), columns.data()};
        top_k_of_groups(&task);
        hash.add(values);
        for (long i = 0; i < 2 * k; ++i) hash.add(static_cast<uint32_t>(members[i] * width + columns[i]));
        hash.print("top k of " + std::to_string(width));
    }
}

struct Shape {
    const char* name;
    long d_model, num_heads, head_dim, ffn;
    long activation;  // as in `vectors.h`
    bool is_gated, is_pre_norm, is_rms, has_positions, has_embedding_norm, has_bias, has_indirection;
};

const Shape SHAPES[] = {
    {"relu", 32, 2, 16, 64, 1, false, true, false, true, false, false, true},
    {"silu, post-norm", 21, 3, 7, 34, 2, false, false, false, true, false, false, false},
    {"gelu, embedding norm", 48, 1, 48, 50, 3, false, false, false, true, true, false, true},
    {"gelu_tanh", 40, 5, 8, 70, 4, false, true, false, true, true, false, false},
    {"gated gelu_tanh, RMS, bias", 21, 3, 9, 34, 4, true, true, true, false, false, true, true},
    {"gated silu, RMS, bias", 32, 2, 70, 66, 2, true, true, true, false, false, true, false},
    {"relu, RMS, bias", 16, 1, 129, 17, 1, false, true, true, false, false, true, true},
};

// The weights of a stack. Structs point into it.
struct Model {
    const Shape& shape;
    Random& random;
    std::vector<Weights*> linears;
    std::vector<std::vector<float>*> vectors;

    Model(const Shape& shape, Random& random) : shape(shape), random(random) {}
    Model(const Model&) = delete;
    ~Model() {
        for (Weights* each : linears) delete each;
        for (std::vector<float>* each : vectors) delete each;
    }

    Linear linear(long num_inputs, long num_outputs) {
        linears.push_back(new Weights(random, num_inputs, num_outputs, 8.0f));
        return linears.back()->linear;
    }
    const float* vector(long count, float size) {
        vectors.push_back(new std::vector<float>(random.floats(count, size)));
        return vectors.back()->data();
    }
    Norm norm() {
        const float* weight = vector(shape.d_model, 2.0f);
        return {weight, shape.is_rms ? nullptr : vector(shape.d_model, 0.5f), 1e-6f};
    }
    long width() const { return shape.num_heads * shape.head_dim; }
    long hidden() const { return shape.is_gated ? 2 * shape.ffn : shape.ffn; }
    EncoderLayer encoder_layer() {
        return {linear(shape.d_model, 3 * width()), linear(width(), shape.d_model), linear(shape.d_model, hidden()),
                linear(shape.ffn, shape.d_model),   norm(),                         norm()};
    }
    DecoderLayer decoder_layer() {
        return {linear(shape.d_model, 3 * width()),
                linear(width(), shape.d_model),
                linear(shape.d_model, width()),
                linear(width(), shape.d_model),
                linear(shape.d_model, hidden()),
                linear(shape.ffn, shape.d_model),
                norm(),
                norm(),
                norm()};
    }
    Embedding embedding() {
        Embedding result{vector(NUM_TOKENS * shape.d_model, 1.0f), nullptr, 3.0f, {nullptr, nullptr, 0.0f}};
        if (shape.has_positions) result.positions = vector(200 * shape.d_model, 1.0f);
        if (shape.has_embedding_norm) result.norm = norm();
        return result;
    }
    template <typename Layer>
    Stack stack(const std::vector<Layer>& layers) {
        return {layers.data(),
                shape.is_pre_norm ? norm() : Norm{nullptr, nullptr, 0.0f},
                static_cast<int64_t>(layers.size()),
                shape.num_heads,
                shape.head_dim,
                shape.d_model,
                shape.activation,
                shape.is_pre_norm,
                shape.is_gated,
                0.375f};
    }
};

void encoder(const Shape& shape, Random& random) {
    Model model(shape, random);
    const std::vector<EncoderLayer> layers{model.encoder_layer(), model.encoder_layer()};
    const Stack stack = model.stack(layers);
    const Embedding embedding = model.embedding();
    Hash hash;
    std::vector<int64_t> lengths, ids;
    // Blocks of several sources, and one that is longer than a block.
    for (long length : {1, 5, 13, 165, 29, 70, 60, 9}) {
        lengths.push_back(length);
        for (long position = 0; position < length; ++position) ids.push_back(random.below(NUM_TOKENS));
    }
    std::vector<float> states(ids.size() * shape.d_model);
    const long longest = *std::max_element(lengths.begin(), lengths.end());
    const float* bias = shape.has_bias ? model.vector(shape.num_heads * longest * longest, 2.0f) : nullptr;
    const Sources sources{ids.data(),
                          states.data(),
                          static_cast<int64_t>(ids.size()),
                          lengths.data(),
                          static_cast<int64_t>(lengths.size()),
                          bias,
                          longest,
                          longest * longest};
    encode_stack(&stack, &embedding, &sources);
    hash.add(states);
    hash.print(std::string("encoder: ") + shape.name);
}

// A greedy step whose logits are not stored.
void greedy(const Model& model, const Stack& stack, const Embedding& embedding, const Step& step, Hash& hash) {
    const Weights projection(model.random, model.shape.d_model, 1100, 8.0f);
    const std::vector<int64_t> forbidden{3, 64, 65, 1099}, forbidden_if_short{2, 3, 64, 65, 1099};
    std::vector<int64_t> num_short_steps(step.num_tokens);
    for (size_t row = 0; row < num_short_steps.size(); ++row) num_short_steps[row] = row % 2;
    std::vector<int64_t> token_ids(step.num_tokens);
    std::vector<float> log_probabilities(step.num_tokens);
    const Ahead ahead{&projection.linear,    0.5f,
                      1,                     step.num_tokens,
                      2,
                      forbidden.data(),      static_cast<int64_t>(forbidden.size()),
                      forbidden_if_short.data(), static_cast<int64_t>(forbidden_if_short.size()),
                      num_short_steps.data(), token_ids.data(),
                      log_probabilities.data()};
    decode_ahead(&stack, &embedding, &step, &ahead);
    for (int64_t each : token_ids) hash.add(static_cast<uint32_t>(each));
    hash.add(log_probabilities);
}

// Several greedy steps, twice: once without an end, and then with a token as the end that a row chose in its second step.
void ahead(const Model& model, const Stack& stack, const Embedding& embedding, const Step& first, Hash& hash) {
    constexpr long NUM_STEPS = 4;
    const Weights projection(model.random, model.shape.d_model, NUM_TOKENS, 8.0f);
    const std::vector<int64_t> forbidden{3}, num_short_steps(first.num_tokens);
    std::vector<int64_t> token_ids(NUM_STEPS * first.num_tokens);
    std::vector<float> log_probabilities(token_ids.size());
    std::vector<float> weights(token_ids.size() * first.cross_weights_stride);
    Step step = first;
    step.cross_weights = weights.data();
    int64_t end_token_id = -1;
    for (int run = 0; run < 2; ++run) {
        const Ahead ahead{&projection.linear,     1.0f, NUM_STEPS,        3,
                          end_token_id,           forbidden.data(), 1,
                          forbidden.data(),       1,
                          num_short_steps.data(), token_ids.data(), log_probabilities.data()};
        hash.add(static_cast<uint32_t>(decode_ahead(&stack, &embedding, &step, &ahead)));
        for (int64_t each : token_ids) hash.add(static_cast<uint32_t>(each));
        hash.add(log_probabilities);
        if (run == 0) hash.add(weights);  // afterwards those of ended rows are arbitrary
        end_token_id = token_ids[first.num_tokens + 3];
    }
}

// All tokens of some rows at once, then a step of every row.
void decoder(const Shape& shape, Random& random) {
    Model model(shape, random);
    const std::vector<DecoderLayer> layers{model.decoder_layer(), model.decoder_layer()};
    const Stack stack = model.stack(layers);
    const Embedding embedding = model.embedding();
    Hash hash;
    const long num_rows = 11, self_tokens = 24, source_tokens = 37, pair = 2 * model.width();
    std::vector<uint16_t> self_kv(layers.size() * num_rows * self_tokens * pair);
    std::vector<uint16_t> cross_kv(layers.size() * num_rows * source_tokens * pair);
    std::vector<int32_t> indirection(num_rows * self_tokens);
    const Cache self{self_kv.data(), num_rows * self_tokens * pair, self_tokens * pair,
                     shape.has_indirection ? indirection.data() : nullptr, self_tokens, nullptr};
    const std::vector<int32_t> shared{0, 0, 0, 3, 3, 5, 6, 7, 7, 7, 7};
    const Cache cross{cross_kv.data(), num_rows * source_tokens * pair, source_tokens * pair, nullptr, 0,
                      shape.has_indirection ? shared.data() : nullptr};
    const float* bias = shape.has_bias ? model.vector(shape.num_heads * self_tokens, 2.0f) : nullptr;
    std::vector<int64_t> lengths_of_rows, source_rows, source_positions;
    for (long row = 0; row < num_rows; ++row) {
        lengths_of_rows.push_back(1 + random.below(source_tokens));
        for (long position = 0; position < source_tokens; ++position) {
            source_rows.push_back(row);
            source_positions.push_back(position);
        }
    }
    const Weights cross_projection(random, shape.d_model, layers.size() * pair, 8.0f);
    const std::vector<float> encoded = random.floats(source_rows.size() * shape.d_model, 2.0f);
    write_cross_kv(&cross_projection.linear, encoded.data(), source_rows.size(), source_rows.data(),
                   source_positions.data(), &cross, layers.size());
    for (int phase = 0; phase < 2; ++phase) {
        std::vector<int64_t> ids, rows, positions, source_lengths;
        for (long row = 0; row < num_rows; ++row)
            for (long position = phase ? 2 * row : 0; position < (phase ? 2 * row + 1 : 2 * row); ++position) {
                ids.push_back(random.below(NUM_TOKENS));
                rows.push_back(row);
                positions.push_back(position);
                source_lengths.push_back(lengths_of_rows[row]);
            }
        if (phase && shape.has_indirection)  // as after beams have been reordered
            for (long row = 1; row < num_rows; ++row)
                for (long position = 0; position < 2 * (row - 1); position += 3)
                    indirection[row * self_tokens + position] = static_cast<int32_t>(row - 1);
        std::vector<float> states(ids.size() * shape.d_model), weights(ids.size() * source_tokens);
        const Step step{ids.data(),
                        states.data(),
                        static_cast<int64_t>(ids.size()),
                        self,
                        cross,
                        phase ? nullptr : rows.data(),
                        positions.data(),
                        source_lengths.data(),
                        {bias, self_tokens},
                        phase ? weights.data() : nullptr,
                        source_tokens,
                        phase ? 1 : -1};
        decode_stack(&stack, &embedding, &step);
        hash.add(states);
        hash.add(weights);
        if (phase) {
            greedy(model, stack, embedding, step, hash);
            ahead(model, stack, embedding, step, hash);
        }
    }
    for (uint16_t each : self_kv) hash.add(each);
    for (uint16_t each : cross_kv) hash.add(each);
    hash.print(std::string("decoder: ") + shape.name);
}

}  // namespace

int main() {
    Random random{7};
    linears(random);
    choices(random);
    top_k(random);
    for (const Shape& shape : SHAPES) {
        encoder(shape, random);
        decoder(shape, random);
    }
}
