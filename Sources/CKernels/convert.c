// Floats from the types of model files to panels. Runs once per model, so it is plain C.
#include "panel_rows.h"
#include "scalar.h"

#pragma STDC FP_CONTRACT OFF

static float element(ck_type type, const uint8_t *row, size_t i) {
    uint32_t bits = 0;
    memcpy(&bits, row + i * ck_element_bytes(type), ck_element_bytes(type));
    if (type == CK_F32) return bits_float(bits);
    return type == CK_F16 ? half_to_float((uint16_t)bits) : bfloat_to_float((uint16_t)bits);
}

static void place(ck_format format, float x, void *panel, size_t i, size_t column) {
    const size_t index = i * CK_PANEL + column;
    switch (format) {
    case CK_PANEL_F16: ((uint16_t *)panel)[index] = float_to_half(x); return;
    case CK_PANEL_BF16: ((uint16_t *)panel)[ck_pair_index(i, column)] = bfloat_or_zero(float_to_bfloat(x)); return;
    default: ((float *)panel)[index] = x; return;
    }
}

/// Elements that stay as they are, of 2 or 4 bytes; the largest magnitude as an integer, which orders NaN above infinity
/// above every number.
#define COPY(TYPE, MAGNITUDE)                                               \
    for (size_t i = 0; i < k; i++) {                                        \
        TYPE bits;                                                          \
        memcpy(&bits, row + i * sizeof bits, sizeof bits);                  \
        ((TYPE *)panel)[i * CK_PANEL + column] = bits;                      \
        if ((bits & MAGNITUDE) > largest) largest = bits & MAGNITUDE;       \
    }

float ck_largest(const float *values, size_t n) {
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = float_bits(values[i]) & 0x7FFFFFFF;
        if (magnitude > largest) largest = magnitude;
    }
    return bits_float(largest);
}

typedef int16_t line __attribute__((ext_vector_type(32)));

/// bfloat16 that stays so: both inputs of a pair for all outputs at once, which fills a line. Returns the largest magnitude.
static uint16_t pack_pairs(const void *const rows[CK_PANEL], size_t k, void *panel) {
    const panel_rows from = rows_of(rows, 2);
    const size_t packed = (k + 1) / 2 * 2;
    memset((uint16_t *)panel + packed * CK_PANEL, 0, (ck_padded_pairs(k) - packed) * CK_PANEL * 2);
    line largest = 0;
    for (size_t i = 0; i < k; i += 2) {
        uint32_t words[CK_PANEL];
        for (size_t column = 0; column < CK_PANEL; column++) words[column] = word_of(&from, column, i, (k - i) * 2);
        line pairs;
        memcpy(&pairs, words, sizeof pairs);
        const line magnitudes = pairs & 0x7FFF;
        largest = __builtin_elementwise_max(largest, magnitudes);
        pairs &= magnitudes >= CK_LEAST_BFLOAT;
        memcpy((uint16_t *)panel + i * CK_PANEL, &pairs, sizeof pairs);
    }
    return (uint16_t)__builtin_reduce_max(largest);
}

float ck_pack_floats(ck_type type, const void *const rows[CK_PANEL], size_t k, ck_format format, void *panel) {
    const bool stays = ck_format_of(type) == format;
    if (stays && type == CK_BF16) return bfloat_to_float(pack_pairs(rows, k, panel));
    memset(panel, 0, ck_panel_bytes(format, k));
    uint32_t largest = 0;
    for (size_t column = 0; column < CK_PANEL; column++) {
        const uint8_t *row = rows[column];
        if (row == NULL) continue;
        if (stays && type == CK_F32) {
            COPY(uint32_t, 0x7FFFFFFF)
        } else if (stays) {
            COPY(uint16_t, 0x7FFF)
        } else {
            for (size_t i = 0; i < k; i++) {
                const float x = element(type, row, i);
                place(format, x, panel, i, column);
                const uint32_t magnitude = float_bits(x) & 0x7FFFFFFF;
                if (magnitude > largest) largest = magnitude;
            }
        }
    }
    return stays && type == CK_F16 ? half_to_float((uint16_t)largest) : bits_float(largest);
}
