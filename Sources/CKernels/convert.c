// Floats from the types of model files to panels. Runs once per model, so it is plain C.
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
#define COPY(TYPE, MAGNITUDE, INDEX, KEPT)                                  \
    for (size_t i = 0; i < k; i++) {                                        \
        TYPE bits;                                                          \
        memcpy(&bits, row + i * sizeof bits, sizeof bits);                  \
        ((TYPE *)panel)[INDEX] = KEPT(bits);                                \
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

float ck_pack_floats(ck_type type, const void *const rows[CK_PANEL], size_t k, ck_format format, void *panel) {
    memset(panel, 0, ck_panel_bytes(format, k));
    const bool stays = ck_format_of(type) == format;
    uint32_t largest = 0;
    for (size_t column = 0; column < CK_PANEL; column++) {
        const uint8_t *row = rows[column];
        if (row == NULL) continue;
        if (stays && type == CK_F32) {
            COPY(uint32_t, 0x7FFFFFFF, i * CK_PANEL + column, )
        } else if (stays && type == CK_F16) {
            COPY(uint16_t, 0x7FFF, i * CK_PANEL + column, )
        } else if (stays) {
            COPY(uint16_t, 0x7FFF, ck_pair_index(i, column), bfloat_or_zero)
        } else {
            for (size_t i = 0; i < k; i++) {
                const float x = element(type, row, i);
                place(format, x, panel, i, column);
                const uint32_t magnitude = float_bits(x) & 0x7FFFFFFF;
                if (magnitude > largest) largest = magnitude;
            }
        }
    }
    if (!stays || type == CK_F32) return bits_float(largest);
    return type == CK_F16 ? half_to_float((uint16_t)largest) : bfloat_to_float((uint16_t)largest);
}
