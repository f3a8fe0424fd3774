#pragma once
// The integer product and its activations: a part of kernels.h, which says what must be defined before.

#include "lanes.h"

/// The largest magnitude of a row; NaN or infinity when there is one.
INLINE float largest_magnitude(const float *x, size_t k) {
    const size_t whole = k / 16 * 16;
    bit_lanes largest = (bit_lanes)load_part(x + whole, k - whole) & 0x7FFFFFFFu;
    for (size_t i = 0; i < whole; i += 16)
        largest = __builtin_elementwise_max(largest, (bit_lanes)load(x + i) & 0x7FFFFFFFu);
    return __builtin_bit_cast(float, __builtin_reduce_max(largest));
}

/// Writes 16 quants and returns them.
INLINE int_lanes store_quants(lanes quants, int8_t *target) {
    const int_lanes integers = __builtin_convertvector(quants, int_lanes);
    const byte_lanes bytes = __builtin_convertvector(integers, byte_lanes);
    memcpy(target, &bytes, sizeof bytes);
    return integers;
}

static void quantize_rows(const float *values, size_t rows, size_t stride, size_t k, int8_t *quants, ck_block *blocks) {
    const size_t whole = k / 16 * 16;
    for (size_t row = 0; row < rows; row++, values += stride, quants += ck_padded(k), blocks++) {
        const float maximum = largest_magnitude(values, k);
        if (!(maximum < INFINITY) || maximum < CK_TINY) {
            memset(quants, 0, ck_padded(k));
            *blocks = (ck_block){.scale = maximum < INFINITY ? 0 : NAN};
            continue;
        }
        const float scale = maximum / 127.0f;
        int_lanes total = 0;
        for (size_t i = 0; i < whole; i += 16)
            total += store_quants(__builtin_elementwise_rint(load(values + i) / scale), quants + i);
        if (whole < k) {
            const lanes tail = load_part(values + whole, k - whole);
            total += store_quants(__builtin_elementwise_rint(tail / scale), quants + whole);
        }
        *blocks = (ck_block){.scale = scale, .zero8 = -128 * __builtin_reduce_add(total)};
    }
}

INLINE lanes fixed_quants(lanes x, float scale, float offset) {
    const lanes low = -128, high = 127, quants = __builtin_elementwise_rint(x / scale) + offset;
    return quants > high ? high : quants < low ? low : quants;
}

static void quantize_fixed(
    const float *values, size_t rows, size_t stride, size_t k, float scale, float offset, int8_t *quants,
    ck_block *blocks) {
    const size_t whole = k / 16 * 16;
    const int_lanes index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t row = 0; row < rows; row++, values += stride, quants += ck_padded(k), blocks++) {
        if (!(largest_magnitude(values, k) < INFINITY)) {
            memset(quants, 0, ck_padded(k));
            *blocks = (ck_block){.scale = NAN};
            continue;
        }
        int_lanes total = 0;
        for (size_t i = 0; i < whole; i += 16)
            total += store_quants(fixed_quants(load(values + i), scale, offset), quants + i);
        if (whole < k) {
            const lanes tail = fixed_quants(load_part(values + whole, k - whole), scale, offset);
            total += store_quants(index < (int)(k - whole) ? tail : (lanes)0.0f, quants + whole);
        }
        *blocks = (ck_block){.scale = 1, .zero8 = -128 * __builtin_reduce_add(total)};
    }
}

/// `rows` rows by one panel. Integer sums may be taken in any order, so few rows get two sums each: a chain of four-way
/// products is slower than memory.
INLINE void integer_tile(
    const int rows, const bool wide, const uint8_t *panel, size_t k, const int8_t *activations, const ck_block *blocks,
    lanes *results) {
    const int chains = rows * 2 <= QUANTIZED_ROWS ? 2 : 1;
    const uint8_t *quants = panel + CK_INTEGERS_START;
    int_lanes sums[2][QUANTIZED_ROWS], addends;
    memcpy(&addends, panel + CK_PANEL * 4, sizeof addends);
    UNROLL for (int r = 0; r < rows; r++) {
        sums[0][r] = addends + ((wide ? ZERO_POINT_WIDE : ZERO_POINT_8) ? blocks[r].zero8 : 0);
        sums[1][r] = 0;
    }
    const size_t padded = ck_padded(k), next_panel = CK_INTEGERS_START + padded * CK_PANEL;
    for (size_t i = 0; i < padded; i += 16, quants += 256) {
        UNROLL for (int step = 0; step < 4; step++) {
            __builtin_prefetch(quants + next_panel + step * 64);
            bytes64 weights;
            memcpy(&weights, quants + step * 64, sizeof weights);
            UNROLL for (int r = 0; r < rows; r++) {
                const int8_t *four = activations + (size_t)r * padded + i + (size_t)step * 4;
                int_lanes *sum = &sums[step % chains][r];
                *sum = wide ? dot_wide(*sum, weights, four) : dot_biased(*sum, weights, four);
            }
        }
    }
    const lanes scales = load((const float *)(const void *)panel);
    UNROLL for (int r = 0; r < rows; r++)
        results[r] = __builtin_convertvector(sums[0][r] + sums[1][r], lanes) * (scales * blocks[r].scale);
}

#define INTEGER_CASE(ROWS)                                                                                 \
    case ROWS:                                                                                             \
        if (ROWS <= QUANTIZED_ROWS)                                                                        \
            integer_tile(ROWS <= QUANTIZED_ROWS ? ROWS : 1, wide, panel, k, activations, blocks, results); \
        break;

INLINE void integer_rows(
    size_t rows, const bool wide, const uint8_t *panel, size_t k, const int8_t *activations, const ck_block *blocks,
    lanes *results) {
    switch (rows) {
        INTEGER_CASE(1)
        INTEGER_CASE(2)
        INTEGER_CASE(3)
        INTEGER_CASE(4)
        INTEGER_CASE(5)
        INTEGER_CASE(6)
        INTEGER_CASE(7)
        INTEGER_CASE(8)
        INTEGER_CASE(9)
        INTEGER_CASE(10)
        INTEGER_CASE(11)
        INTEGER_CASE(12)
    }
}

INLINE void integer_matmul(
    const bool wide, const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel,
    size_t panels, const ck_output *output) {
    const size_t k = matrix->k, panel_bytes = ck_panel_bytes(CK_PANEL_I8, k);
    for (size_t p = panel; p < panel + panels; p++) {
        const uint8_t *weights = (const uint8_t *)matrix->panels + p * panel_bytes;
        for (size_t r = row, count; r < row + rows; r += count) {
            count = tile_rows(row + rows - r, QUANTIZED_ROWS);
            lanes results[QUANTIZED_ROWS];
            integer_rows(
                count, wide, weights, k, activations->quants + r * ck_padded(k), activations->blocks + r, results);
            for (size_t i = 0; i < count; i++) finish(output, r + i, p * CK_PANEL, results[i]);
        }
    }
}

static void matmul_i8(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    integer_matmul(false, m, a, row, rows, panel, panels, y);
}

static void matmul_i8_wide(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    integer_matmul(true, m, a, row, rows, panel, panels, y);
}
