// Scalar kernels: what every other implementation must equal. Written for the reader, not for speed.
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

static void quantize(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t b = 0; b < k / CK_BLOCK; b++, quants += CK_BLOCK, blocks++) {
            const float *x = values + row * stride + b * CK_BLOCK;
            // Compared as integers, magnitudes order NaN above infinity above every number.
            uint32_t largest = 0;
            for (int i = 0; i < CK_BLOCK; i++) {
                const uint32_t magnitude = float_bits(x[i]) & 0x7FFFFFFF;
                if (magnitude > largest) largest = magnitude;
            }
            const float maximum = bits_float(largest);
            const bool finite = largest < 0x7F800000, zero = maximum < CK_TINY;
            const float inverse = finite && !zero ? 127.0f / maximum : 0;
            int32_t sum = 0;
            for (int i = 0; i < CK_BLOCK; i++) {
                quants[i] = finite ? (int8_t)rintf(x[i] * inverse) : 0;
                sum += quants[i];
            }
            blocks->scale = !finite ? bits_float(0x7FC00000) : zero ? 0 : maximum / 127.0f;
            blocks->offset = blocks->scale * (float)sum;
            blocks->zero4 = -8 * sum;
            blocks->zero8 = -128 * sum;
        }
    }
}

/// The largest magnitude; NaN or infinity when there is one.
static float largest_magnitude(const float *x, size_t k) {
    uint32_t largest = 0;
    for (size_t i = 0; i < k; i++) {
        const uint32_t magnitude = float_bits(x[i]) & 0x7FFFFFFF;
        if (magnitude > largest) largest = magnitude;
    }
    return bits_float(largest);
}

static void quantize_rows(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks) {
    for (size_t row = 0; row < rows; row++, values += stride, quants += ck_padded(k), blocks++) {
        const float maximum = largest_magnitude(values, k);
        const bool finite = maximum < INFINITY, zero = maximum < CK_TINY;
        const float scale = !finite ? bits_float(0x7FC00000) : zero ? 0 : maximum / 127.0f;
        int32_t sum = 0;
        memset(quants, 0, ck_padded(k));
        for (size_t i = 0; i < k && finite && !zero; i++) {
            quants[i] = (int8_t)rintf(values[i] / scale);
            sum += quants[i];
        }
        *blocks = (ck_block){.scale = scale, .zero8 = -128 * sum};
    }
}

static void quantize_fixed(
    const float *values, size_t rows, size_t stride, size_t k, float scale, float offset, int8_t *quants,
    ck_block *blocks) {
    for (size_t row = 0; row < rows; row++, values += stride, quants += ck_padded(k), blocks++) {
        const bool finite = largest_magnitude(values, k) < INFINITY;
        int32_t sum = 0;
        memset(quants, 0, ck_padded(k));
        for (size_t i = 0; i < k && finite; i++) {
            const float quant = rintf(values[i] / scale) + offset;
            quants[i] = (int8_t)(quant > 127 ? 127 : quant < -128 ? -128 : quant);
            sum += quants[i];
        }
        *blocks = (ck_block){.scale = finite ? 1 : bits_float(0x7FC00000), .zero8 = -128 * sum};
    }
}

/// Quant of element `j` of a block for output `column`.
static int quant_at(const uint8_t *quants, bool four_bits, size_t column, size_t j) {
    const size_t step = j / 4, lane = column * 4 + j % 4;
    return four_bits ? quants[step / 2 * 64 + lane] >> (step % 2 * 4) & 15 : quants[step * 64 + lane];
}

static float quantized_dot(
    ck_format format, const uint8_t *panel, size_t column, size_t k, const int8_t *activations,
    const ck_block *blocks) {
    const bool four_bits = format == CK_PANEL_4BIT || format == CK_PANEL_4BIT_MIN;
    const bool has_minimum = format == CK_PANEL_4BIT_MIN || format == CK_PANEL_8BIT_MIN;
    const uint16_t *scales = (const uint16_t *)(const void *)panel;
    const uint8_t *quants = panel + ck_scales_bytes(format, k);
    float sum = 0;
    for (size_t b = 0; b < k / CK_BLOCK; b++) {
        int32_t dot = has_minimum ? 0 : four_bits ? blocks[b].zero4 : blocks[b].zero8;
        for (size_t j = 0; j < CK_BLOCK; j++)
            dot += quant_at(quants, four_bits, column, j) * activations[b * CK_BLOCK + j];
        if (has_minimum) sum = fmaf(half_to_float(scales[CK_PANEL + column]), blocks[b].offset, sum);
        sum = fmaf((float)dot, half_to_float(scales[column]) * blocks[b].scale, sum);
        scales += has_minimum ? 2 * CK_PANEL : CK_PANEL;
        quants += four_bits ? 256 : 512;
    }
    return sum;
}

static float integer_dot(
    const uint8_t *panel, size_t column, size_t k, const int8_t *activations, const ck_block *block) {
    const float scale = ((const float *)(const void *)panel)[column];
    // Unsigned, so that it may wrap.
    uint32_t sum = ((const uint32_t *)(const void *)panel)[CK_PANEL + column];
    const uint8_t *quants = panel + CK_INTEGERS_START;
    for (size_t i = 0; i < k; i++) {
        const int32_t weight = quants[i / 4 * 64 + column * 4 + i % 4] - 128;
        sum += (uint32_t)(weight * activations[i]);
    }
    return (float)(int32_t)sum * (scale * block->scale);
}

static float weight_at(ck_format format, const void *panel, size_t index) {
    if (format == CK_PANEL_F32) return ((const float *)panel)[index];
    const uint16_t bits = ((const uint16_t *)panel)[index];
    return format == CK_PANEL_F16 ? half_to_float(bits) : bfloat_to_float(bits);
}

/// Input `i` of a column, `columns` of them side by side: of pairs of bfloat16, or of integers in rows.
static float input_at(ck_format format, const void *inputs, size_t columns, size_t column, size_t i) {
    if (format == CK_PANEL_I8) return ((const int8_t *)inputs)[i * columns + column];
    return bfloat_to_float(((const uint16_t *)inputs)[(i / 2 * columns + column) * 2 + i % 2]);
}

/// Product of up to 32 inputs from `start` with a column, in the order of pairs.
static float pair_sum(
    ck_format format, const void *inputs, size_t columns, size_t column, size_t start, size_t k, const float *x) {
    float halves[2] = {0, 0};
    for (size_t i = start; i < start + k; i++)
        halves[i % 2] = fmaf(x[i], input_at(format, inputs, columns, column, i), halves[i % 2]);
    return halves[0] + halves[1];
}

static float pair_dot(ck_format format, const void *panel, size_t column, size_t k, const float *x) {
    float sum = 0;
    for (size_t start = 0; start < k; start += CK_BLOCK)
        sum += pair_sum(format, panel, CK_PANEL, column, start, k - start < CK_BLOCK ? k - start : CK_BLOCK, x);
    return sum;
}

static float float_dot(ck_format format, const void *panel, size_t column, size_t k, const float *x) {
    float sum = 0;
    for (size_t i = 0; i < k; i++) sum = fmaf(x[i], weight_at(format, panel, i * CK_PANEL + column), sum);
    return sum;
}

static void round_bfloats(float *values, size_t rows, size_t stride, size_t k, uint16_t *bfloats) {
    for (size_t row = 0; row < rows; row++, values += stride) {
        uint16_t *own = bfloats == NULL ? NULL : bfloats + row * ck_padded_pairs(k);
        if (own != NULL) memset(own, 0, ck_padded_pairs(k) * sizeof *own);
        for (size_t i = 0; i < k; i++) {
            const uint16_t rounded = bfloat_or_zero(float_to_bfloat(values[i]));
            values[i] = bfloat_to_float(rounded);
            if (own != NULL) own[i] = rounded;
        }
    }
}

static void matmul(
    const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *output) {
    const size_t k = matrix->k, panel_bytes = ck_panel_bytes(matrix->format, k);
    for (size_t r = row; r < row + rows; r++) {
        for (size_t column = panel * CK_PANEL; column < (panel + panels) * CK_PANEL; column++) {
            const uint8_t *weights = (const uint8_t *)matrix->panels + column / CK_PANEL * panel_bytes;
            float sum;
            if (matrix->format == CK_PANEL_I8)
                sum = integer_dot(
                    weights, column % CK_PANEL, k, activations->quants + r * ck_padded(k), activations->blocks + r);
            else if (ck_is_quantized(matrix->format))
                sum = quantized_dot(
                    matrix->format, weights, column % CK_PANEL, k, activations->quants + r * k,
                    activations->blocks + r * (k / CK_BLOCK));
            else if (matrix->format == CK_PANEL_BF16)
                sum = pair_dot(
                    matrix->format, weights, column % CK_PANEL, k, activations->values + r * activations->stride);
            else
                sum = float_dot(
                    matrix->format, weights, column % CK_PANEL, k, activations->values + r * activations->stride);
            float *y = output->y + r * output->stride + column;
            if (output->bias != NULL) sum += output->bias[column];
            *y = output->accumulate ? sum + *y : sum;
        }
    }
}

static void rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y) {
    float lanes[16] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    const float inverse = 1.0f / sqrtf(scalar_sum(lanes) / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * inverse * weight[i];
}

static void rotary(
    float *x, size_t heads, size_t head_dimension, size_t half, const float *cosines, const float *sines) {
    for (size_t head = 0; head < heads; head++, x += head_dimension) {
        for (size_t i = 0; i < half; i++) {
            const float a = x[i], b = x[i + half];
            x[i] = fmaf(a, cosines[i], -(b * sines[i]));
            x[i + half] = fmaf(b, cosines[i], a * sines[i]);
        }
    }
}

static void swiglu(const float *gate, const float *up, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = gate[i] / (1.0f + scalar_exp(-gate[i])) * up[i];
}

static void geglu(const float *gate, const float *up, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) {
        const float argument = gate[i] * fmaf(gate[i] * gate[i], CK_GELU_B, CK_GELU_A);
        y[i] = gate[i] / (1.0f + scalar_exp(-argument)) * up[i];
    }
}

static float bounded(float x, float bound) {
    return bound - 2.0f * bound / (scalar_exp(x * (2.0f / bound)) + 1.0f);
}

static void softcap(float *x, size_t n, float bound) {
    for (size_t i = 0; i < n; i++) x[i] = bounded(x[i], bound);
}

#include "cached_integers.h"

/// Whether x is finite in the cache.
static bool put(ck_type type, float x, void *elements, size_t index) {
    if (type == CK_F32)
        ((float *)elements)[index] = x;
    else
        ((uint16_t *)elements)[index] = type == CK_F16 ? float_to_half(x) : bfloat_or_zero(float_to_bfloat(x));
    return (float_bits(x) & 0x7FFFFFFF) < ck_overflow_bits(type);
}

static bool store(
    ck_type type, const float *key, const float *value, size_t head_dimension, size_t position, void *keys,
    void *values) {
    if (type == CK_I8) return store_integers(key, value, head_dimension, position, keys, values);
    bool is_finite = true;
    for (size_t i = 0; i < head_dimension; i++) {
        is_finite &= put(type, key[i], keys, ck_key_index(type, i, position));
        is_finite &= put(type, value[i], values, ck_value_index(type, i, position, head_dimension));
    }
    return is_finite;
}

/// The group of `elements`, the cache's keys or values, that begins at `position`.
static const void *group_at(const ck_cache *cache, const void *elements, size_t position) {
    return (const uint8_t *)elements + ck_group_offset(cache, position / CK_GROUP) * ck_element_bytes(cache->type);
}

static float scale_at(const ck_cache *cache, const void *elements, size_t position) {
    return ck_group_scales(group_at(cache, elements, position), cache->head_dimension)[position % CK_GROUP];
}

static void mix_pairs(const ck_cache *cache, size_t start, const float *weights, size_t count, float *partial) {
    for (size_t i = 0; i < count; i += CK_GROUP) {
        const void *values = group_at(cache, cache->values, start + i);
        const size_t positions = count - i < CK_GROUP ? count - i : CK_GROUP;
        for (size_t j = 0; j < cache->head_dimension; j++)
            partial[j] += pair_sum(
                ck_format_of(cache->type), values, cache->head_dimension, j, 0, positions, weights + i);
    }
}

static void attend_one(
    const ck_cache *cache, size_t segment, const float *query, size_t length, float *partial) {
    const size_t start = segment * CK_SEGMENT, d = cache->head_dimension;
    const size_t count = length <= start ? 0 : length - start < CK_SEGMENT ? length - start : CK_SEGMENT;
    const size_t window = cache->window;
    const size_t seen_from = window > 0 && length > window + start ? length - window - start : 0;
    const ck_format format = ck_format_of(cache->type);
    const bool integers = format == CK_PANEL_I8, paired = integers || format == CK_PANEL_BF16;
    float weights[CK_SEGMENT], lanes[16] = {0}, maximum = -INFINITY;
    for (size_t i = seen_from; i < count; i++) {
        const void *keys = group_at(cache, cache->keys, start + i);
        float score = paired ? pair_dot(format, keys, i % CK_GROUP, d, query)
                             : float_dot(format, keys, i % CK_GROUP, d, query);
        if (integers) score *= scale_at(cache, cache->keys, start + i);
        const float scaled = score * cache->scale;
        weights[i] = cache->bound > 0 ? bounded(scaled, cache->bound) : scaled;
        maximum = weights[i] > maximum ? weights[i] : maximum;
    }
    for (size_t i = seen_from; i < count; i++) {
        weights[i] = scalar_exp(weights[i] - maximum);
        const float weight = weights[i];
        if (integers) weights[i] *= scale_at(cache, cache->values, start + i);
        if (paired) weights[i] = bfloat_to_float(bfloat_or_zero(float_to_bfloat(weights[i])));
        lanes[i % 16] += integers ? weight : weights[i];
    }
    memset(partial, 0, d * sizeof *partial);
    if (paired) {
        for (size_t i = 0; i < seen_from && i < count; i++) weights[i] = 0;
        mix_pairs(cache, start, weights, count, partial);
    }
    for (size_t i = seen_from; i < count && !paired; i++) {
        const size_t first = ck_group_offset(cache, (start + i) / CK_GROUP) + i % CK_GROUP * d;
        for (size_t j = 0; j < d; j++)
            partial[j] = fmaf(weights[i], weight_at(format, cache->values, first + j), partial[j]);
    }
    partial[d] = maximum;
    partial[d + 1] = scalar_sum(lanes);
}

static void attend(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    for (size_t i = 0; i < count; i++)
        attend_one(
            cache, segment, queries[i], (size_t)lengths[i], partials + i * CK_PARTIAL(cache->head_dimension));
}

static void attend_merge(float *state, const float *partial, size_t d) {
    if (partial[d] == -INFINITY && partial[d + 1] == 0) return;  // the query sees nothing of this segment
    const float maximum = partial[d] > state[d] ? partial[d] : state[d];
    const float keep = scalar_exp(state[d] - maximum), take = scalar_exp(partial[d] - maximum);
    for (size_t i = 0; i < d; i++) state[i] = fmaf(partial[i], take, state[i] * keep);
    state[d + 1] = fmaf(partial[d + 1], take, state[d + 1] * keep);
    state[d] = maximum;
}

static void attend_finish(const float *state, size_t d, size_t count, float *y) {
    const float inverse = 1.0f / state[d + 1];
    for (size_t i = 0; i < count; i++) y[i] = state[i] * inverse;
}

static uint32_t read_memory(const void *memory, size_t bytes) {
    uint32_t result = 0;
    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t word;
        memcpy(&word, (const uint8_t *)memory + i, sizeof word);
        result ^= word;
    }
    return result;
}

static size_t exercise(ck_format format, size_t rounds) {
    const bool floats = !ck_is_quantized(format) && format != CK_PANEL_I8;
    // Volatile, so that equal rounds are not computed once.
    volatile int32_t weight = 5;
    volatile float value = 1.5f;
    int32_t total = 0;
    float sum = 0;
    for (size_t round = 0; round < rounds; round++) {
        if (floats)
            sum = fmaf(value, 2.0f, sum);
        else
            total = (total + weight * 3) & 0xFFFF;
    }
    value = sum;
    weight = total;
    return rounds * 2;
}

const ck_table ck_generic_table = {
    quantize, quantize_rows, quantize_fixed, round_bfloats, matmul, rms_norm, rotary, swiglu, geglu, softcap, store, attend, attend_merge, attend_finish,
    read_memory, exercise,
};
