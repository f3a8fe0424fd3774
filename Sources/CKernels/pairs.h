#pragma once
// The product of bfloat16 in the order of TDPBF16PS: a part of kernels.h.

#include "lanes.h"

/// To bfloat16 as products take it: zero below 2^-49.
INLINE short_lanes to_factors(lanes x) {
    const short_lanes rounded = to_bfloats(x);
    return (rounded & 0x7FFF) < CK_LEAST_BFLOAT ? (short_lanes)0 : rounded;
}

static void round_bfloats(float *values, size_t rows, size_t stride, size_t k, uint16_t *bfloats) {
    for (size_t row = 0; row < rows; row++, values += stride) {
        if (bfloats != NULL && row > 0) bfloats += ck_padded_pairs(k);
        if (bfloats != NULL) memset(bfloats + k, 0, (ck_padded_pairs(k) - k) * sizeof *bfloats);
        for (size_t i = 0; i < k; i += 16) {
            const size_t count = at_most(k - i, 16);
            const short_lanes rounded = to_factors(count == 16 ? load(values + i) : load_part(values + i, count));
            const lanes wide = load_bfloats((const uint16_t *)&rounded);
            memcpy(values + i, &wide, count * sizeof *values);
            if (bfloats != NULL) memcpy(bfloats + i, &rounded, count * sizeof *bfloats);
        }
    }
}

/// The first or the second of 16 pairs of inputs, widened. Those of bfloat16 lie side by side, those of integers half a step apart.
INLINE lanes load_of_pairs(const ck_format format, const uint8_t *pairs, size_t step, const bool second) {
    if (format == CK_PANEL_I8) return load_integers((const int8_t *)pairs + (second ? step / 2 : 0));
    bit_lanes both;
    memcpy(&both, pairs, sizeof both);
    return (lanes)(second ? both & 0xFFFF0000u : both << 16);
}

/// sums[r][v] = sum of every other of the inputs from `start` to before `end`.
INLINE void pair_half(
    const int rows, const int vectors, const ck_format format, const float *const *x, const void *const *columns,
    size_t step, const bool second, size_t start, size_t end, lanes (*sums)[MOST_PANELS]) {
    lanes own[TILE_ROWS][MOST_PANELS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) own[r][v] = 0;
    }
    for (size_t i = start + second; i < end; i += 2) {
        UNROLL for (int v = 0; v < vectors; v++) {
            const lanes weights = load_of_pairs(format, (const uint8_t *)columns[v] + i / 2 * step, step, second);
            UNROLL for (int r = 0; r < rows; r++) own[r][v] = multiply_add((lanes)x[r][i], weights, own[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) sums[r][v] = own[r][v];
    }
}

/// results[r][v] = products of rows[r] and columns[v], whose pairs are `step` bytes apart, on top of `results` when `add`.
INLINE void pair_tile(
    const int rows, const int vectors, const ck_format format, const float *const *x, const void *const *columns,
    size_t step, size_t k, bool add, lanes (*results)[MOST_PANELS]) {
    if (!add) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vectors; v++) results[r][v] = 0;
        }
    }
    for (size_t start = 0; start < k; start += CK_BLOCK) {
        const size_t end = start + at_most(k - start, CK_BLOCK);
        lanes evens[TILE_ROWS][MOST_PANELS], odds[TILE_ROWS][MOST_PANELS];
        pair_half(rows, vectors, format, x, columns, step, false, start, end, evens);
        pair_half(rows, vectors, format, x, columns, step, true, start, end, odds);
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vectors; v++) results[r][v] += evens[r][v] + odds[r][v];
        }
    }
}
