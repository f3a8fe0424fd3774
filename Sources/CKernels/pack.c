// From the layouts of model files to panels. Runs once per model, so it is plain C.
#include "panel_rows.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

/// 32 elements of a quantized row: value = scale * (quant - zero) + minimum.
typedef struct {
    uint8_t quants[CK_BLOCK];
    float scale;
    float minimum;
    int zero;
} decoded;

static uint16_t load_half_bits(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float load_half(const uint8_t *p) { return half_to_float(load_half_bits(p)); }

/// Scale and minimum of sub-block `i` of 8: 6 bits each in 12 bytes (ggml's get_scale_min_k4).
static void sub_block_scale(const uint8_t *packed, int i, int *scale, int *minimum) {
    if (i < 4) {
        *scale = packed[i] & 63;
        *minimum = packed[i + 4] & 63;
    } else {
        *scale = (packed[i + 4] & 15) | (packed[i - 4] >> 6) << 4;
        *minimum = packed[i + 4] >> 4 | (packed[i] >> 6) << 4;
    }
}

/// Sub-block `i` of 8 of a Q4_K or Q5_K block of 256: sub-blocks 2j and 2j + 1 share 32 bytes, low and high nibbles.
static void decode_k(const uint8_t *block, int i, bool fifth_bit, decoded *out) {
    const uint8_t *high = block + 16, *quants = fifth_bit ? high + 32 : high;
    int scale, minimum;
    sub_block_scale(block + 4, i, &scale, &minimum);
    out->scale = load_half(block) * (float)scale;
    out->minimum = -(load_half(block + 2) * (float)minimum);
    out->zero = 0;
    for (int j = 0; j < CK_BLOCK; j++) {
        out->quants[j] = quants[i / 2 * 32 + j] >> (i % 2 * 4) & 15;
        if (fifth_bit) out->quants[j] |= (uint8_t)((high[j] >> i & 1) << 4);
    }
}

/// Decodes 32 of the 256 elements of a Q6_K block: 128 elements share 64 bytes of low nibbles and 32 of high pairs.
static void decode_q6(const uint8_t *block, int i, float values[CK_BLOCK]) {
    const uint8_t *low = block + i / 4 * 64 + i % 2 * 32, *high = block + 128 + i / 4 * 32;
    const int8_t *scales = (const int8_t *)block + 192;
    const float d = load_half(block + 208);
    for (int j = 0; j < CK_BLOCK; j++) {
        const int nibble = low[j] >> (i % 4 / 2 * 4) & 15, pair = high[j] >> (i % 4 * 2) & 3;
        values[j] = d * (float)scales[i * 2 + j / 16] * (float)((nibble | pair << 4) - 32);
    }
}

/// To 8 bits with one scale; the scale is rounded to f16 first, so that quants fit what is stored.
static void requantize(const float values[CK_BLOCK], decoded *out) {
    float largest = 0;
    for (int j = 0; j < CK_BLOCK; j++) largest = fmaxf(largest, fabsf(values[j]));
    out->scale = half_to_float(float_to_half(largest / 127.0f));
    out->minimum = 0;
    out->zero = 128;
    for (int j = 0; j < CK_BLOCK; j++) {
        const float quant = out->scale > 0 ? rintf(values[j] / out->scale) : 0;
        out->quants[j] = (uint8_t)(fminf(fmaxf(quant, -128), 127) + 128);
    }
}

/// Decodes elements `32 * b ..< 32 * b + 32` of a row.
static void decode(ck_type type, const uint8_t *row, size_t b, decoded *out) {
    switch (type) {
    case CK_Q8_0: {
        const uint8_t *block = row + b * 34;
        out->scale = load_half(block);
        out->minimum = 0;
        out->zero = 128;
        for (int j = 0; j < CK_BLOCK; j++) out->quants[j] = block[2 + j] ^ 0x80;
        return;
    }
    case CK_Q4_0:
    case CK_Q4_1: {
        const bool has_minimum = type == CK_Q4_1;
        const uint8_t *block = row + b * (has_minimum ? 20 : 18), *quants = block + (has_minimum ? 4 : 2);
        out->scale = load_half(block);
        out->minimum = has_minimum ? load_half(block + 2) : 0;
        out->zero = has_minimum ? 0 : 8;
        for (int j = 0; j < 16; j++) {
            out->quants[j] = quants[j] & 15;
            out->quants[j + 16] = quants[j] >> 4;
        }
        return;
    }
    case CK_Q4_K: decode_k(row + b / 8 * 144, (int)(b % 8), false, out); return;
    case CK_Q5_K: decode_k(row + b / 8 * 176, (int)(b % 8), true, out); return;
    case CK_Q6_K: {
        float values[CK_BLOCK];
        decode_q6(row + b / 8 * 210, (int)(b % 8), values);
        requantize(values, out);
        return;
    }
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_I8: return;
    }
}

size_t ck_element_bytes(ck_type type) { return type == CK_F32 ? 4 : type == CK_I8 ? 1 : 2; }

ck_format ck_format_of(ck_type type) {
    switch (type) {
    case CK_F32: return CK_PANEL_F32;
    case CK_F16: return CK_PANEL_F16;
    case CK_BF16: return CK_PANEL_BF16;
    case CK_Q4_0: return CK_PANEL_4BIT;
    case CK_Q4_1:
    case CK_Q4_K: return CK_PANEL_4BIT_MIN;
    case CK_Q5_K: return CK_PANEL_8BIT_MIN;
    case CK_Q8_0:
    case CK_Q6_K: return CK_PANEL_8BIT;
    case CK_I8: return CK_PANEL_I8;
    }
    return CK_PANEL_F32;
}

bool ck_is_quantized(ck_format format) { return format <= CK_PANEL_8BIT_MIN; }

size_t ck_panel_bytes(ck_format format, size_t k) {
    switch (format) {
    case CK_PANEL_4BIT:
    case CK_PANEL_4BIT_MIN: return ck_scales_bytes(format, k) + k * CK_PANEL / 2;
    case CK_PANEL_8BIT:
    case CK_PANEL_8BIT_MIN: return ck_scales_bytes(format, k) + k * CK_PANEL;
    case CK_PANEL_F32: return k * CK_PANEL * 4;
    case CK_PANEL_F16: return (k * CK_PANEL * 2 + 63) / 64 * 64;
    case CK_PANEL_BF16: return ck_padded_pairs(k) * CK_PANEL * 2;
    case CK_PANEL_I8: return CK_INTEGERS_START + ck_padded(k) * CK_PANEL;
    }
    return 0;
}

static void pack_integers(const void *const rows[CK_PANEL], size_t k, uint8_t *panel) {
    const uint32_t zeros = 0x80808080;
    for (size_t column = 0; column < CK_PANEL; column++) {
        const float one = 1;
        memcpy(panel + column * 4, &one, 4);
    }
    memset(panel + CK_PANEL * 4, 0, CK_PANEL * 4);
    const panel_rows from = rows_of(rows, 1);
    for (size_t i = 0; i < ck_padded(k); i += 4) {
        uint32_t step[CK_PANEL];
        for (size_t column = 0; column < CK_PANEL; column++)
            step[column] = (i < k ? word_of(&from, column, i, k - i) : 0) ^ zeros;
        memcpy(panel + CK_INTEGERS_START + i * CK_PANEL, step, sizeof step);
    }
}

void ck_scale_panel(const float scales[CK_PANEL], const int32_t addends[CK_PANEL], void *panel) {
    memcpy(panel, scales, CK_PANEL * 4);
    memcpy((uint8_t *)panel + CK_PANEL * 4, addends, CK_PANEL * 4);
}

/// Places the 32 quants of a block for output `column`: four at a time, which in 4-bit panels share their bytes with the
/// four of the next step.
static void place_quants(uint8_t *panel, bool four_bits, size_t column, const uint8_t quants[CK_BLOCK]) {
    uint8_t *target = panel + column * 4;
    for (size_t step = 0; step < 8; step += four_bits ? 2 : 1, target += 64) {
        uint32_t four, next;
        memcpy(&four, quants + step * 4, 4);
        if (four_bits) {
            memcpy(&next, quants + step * 4 + 4, 4);
            four |= next << 4;
        }
        memcpy(target, &four, 4);
    }
}

void ck_pack_panel(ck_type type, const void *const rows[CK_PANEL], size_t k, void *panel) {
    const ck_format format = ck_format_of(type);
    if (format == CK_PANEL_I8) {
        pack_integers(rows, k, panel);
        return;
    }
    if (!ck_is_quantized(format)) {
        ck_pack_floats(type, rows, k, format, panel);
        return;
    }
    memset(panel, 0, ck_panel_bytes(format, k));
    const bool four_bits = format == CK_PANEL_4BIT || format == CK_PANEL_4BIT_MIN;
    const bool has_minimum = format == CK_PANEL_4BIT_MIN || format == CK_PANEL_8BIT_MIN;
    uint16_t *scales = panel;
    uint8_t *quants = (uint8_t *)panel + ck_scales_bytes(format, k);
    for (size_t b = 0; b < k / CK_BLOCK; b++) {
        for (size_t column = 0; column < CK_PANEL; column++) {
            if (rows[column] == NULL) continue;
            decoded block;
            decode(type, rows[column], b, &block);
            scales[column] = float_to_half(block.scale);
            if (has_minimum) scales[CK_PANEL + column] = float_to_half(block.minimum);
            place_quants(quants, four_bits, column, block.quants);
        }
        scales += has_minimum ? 2 * CK_PANEL : CK_PANEL;
        quants += four_bits ? 256 : 512;
    }
}

static void dequantize_floats(ck_type type, const uint8_t *source, size_t n, float *values) {
    if (type == CK_F32) {
        memcpy(values, source, n * 4);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint16_t bits = load_half_bits(source + i * 2);
        values[i] = type == CK_F16 ? half_to_float(bits) : bfloat_to_float(bits);
    }
}

void ck_dequantize(ck_type type, const void *source, size_t n, float *values) {
    if (type == CK_I8) {
        for (size_t i = 0; i < n; i++) values[i] = ((const int8_t *)source)[i];
        return;
    }
    if (type == CK_F32 || type == CK_F16 || type == CK_BF16) {
        dequantize_floats(type, source, n, values);
        return;
    }
    for (size_t b = 0; b < n / CK_BLOCK; b++, values += CK_BLOCK) {
        if (type == CK_Q6_K) {
            decode_q6((const uint8_t *)source + b / 8 * 210, (int)(b % 8), values);
            continue;
        }
        decoded block;
        decode(type, source, b, &block);
        for (int j = 0; j < CK_BLOCK; j++)
            values[j] = block.scale * (float)(block.quants[j] - block.zero) + block.minimum;
    }
}

void ck_add_error(const float *values, const int8_t *quants, float scale, size_t k, ck_error *error) {
    float products[CK_PANEL] = {0}, squares[CK_PANEL] = {0}, decoded[CK_PANEL] = {0}, largest[CK_PANEL] = {0};
    for (size_t i = 0; i < k; i += CK_PANEL) {
        const size_t count = k - i < CK_PANEL ? k - i : CK_PANEL;
        for (size_t lane = 0; lane < count; lane++) {
            const float x = values[i + lane], y = (float)quants[i + lane] * scale, difference = fabsf(x - y);
            products[lane] += x * y;
            squares[lane] += x * x;
            decoded[lane] += y * y;
            largest[lane] = difference > largest[lane] ? difference : largest[lane];
        }
    }
    for (size_t lane = 0; lane < CK_PANEL; lane++) {
        error->products += (double)products[lane];
        error->squares += (double)squares[lane];
        error->decoded += (double)decoded[lane];
        if (largest[lane] > error->largest) error->largest = largest[lane];
    }
}
