#pragma once
// What AMX computes: a part of avx512.c, whose kernels serve this level in all else.

#include "tiled_attention.h"
#include "tiled_blocks.h"
#include "tiled_products.h"

/// Fewer rows are not worth unpacking blocks for. Measured: 1.3 times as fast with 48 rows, slower with 17.
#define TILED_BLOCK_ROWS 48

static void tiled_matmul(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    if (rows < (ck_is_quantized(m->format) ? TILED_BLOCK_ROWS : 1)) {
        matmul(m, a, row, rows, panel, panels, y);
        return;
    }
    switch (m->format) {
    case CK_PANEL_4BIT: tiled_4bit(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_4BIT_MIN: tiled_4bit_min(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_8BIT: tiled_8bit(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_8BIT_MIN: tiled_8bit_min(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_I8: tiled_integers(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_BF16: tiled_bfloats(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_F32:
    case CK_PANEL_F16: matmul(m, a, row, rows, panel, panels, y); return;
    }
}

#define TILED_EXERCISE(MULTIPLY, DEPTH)                             \
    shape_tiles(MOST_TILE_ROWS, DEPTH, DEPTH);                      \
    zero_sums();                                                    \
    for (size_t round = 0; round < rounds; round++) {               \
        MULTIPLY(0, 4, 6);                                          \
        MULTIPLY(1, 4, 7);                                          \
        MULTIPLY(2, 5, 6);                                          \
        MULTIPLY(3, 5, 7);                                          \
    }                                                               \
    _tile_release();

static size_t tiled_exercise(ck_format format, size_t rounds) {
    const size_t outputs = rounds * 4 * MOST_TILE_ROWS * CK_PANEL;
    if (format == CK_PANEL_BF16) {
        TILED_EXERCISE(_tile_dpbf16ps, TILE_ROW_BYTES)
        return outputs * TILE_ROW_BYTES / 2 * 2;
    }
    if (!ck_is_quantized(format) && format != CK_PANEL_I8) return exercise(format, rounds);
    const size_t depth = format == CK_PANEL_I8 ? TILE_ROW_BYTES : CK_BLOCK;
    TILED_EXERCISE(_tile_dpbsud, depth)
    return outputs * depth * 2;
}
