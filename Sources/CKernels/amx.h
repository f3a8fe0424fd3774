#pragma once
// What AMX computes: a part of avx512.c, whose kernels serve this level in all else.

#include "tiled_blocks.h"
#include "tiled_integers.h"

/// Fewer rows are not worth unpacking blocks for. Measured: 1.3 times as fast with 48 rows, slower with 17.
#define TILED_BLOCK_ROWS 48

static void tiled_matmul(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    const size_t least = m->format == CK_PANEL_I8 ? 1 : TILED_BLOCK_ROWS;
    if (rows < least) {
        matmul(m, a, row, rows, panel, panels, y);
        return;
    }
    switch (m->format) {
    case CK_PANEL_4BIT: tiled_4bit(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_4BIT_MIN: tiled_4bit_min(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_8BIT: tiled_8bit(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_8BIT_MIN: tiled_8bit_min(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_I8: tiled_integers(m, a, row, rows, panel, panels, y); return;
    case CK_PANEL_F32:
    case CK_PANEL_F16:
    case CK_PANEL_BF16: matmul(m, a, row, rows, panel, panels, y); return;
    }
}

static size_t tiled_exercise(ck_format format, size_t rounds) {
    if (!ck_is_quantized(format) && format != CK_PANEL_I8) return exercise(format, rounds);
    const size_t depth = format == CK_PANEL_I8 ? TILE_ROW_BYTES : CK_BLOCK;
    shape_tiles(MOST_TILE_ROWS, depth);
    zero_sums();
    for (size_t round = 0; round < rounds; round++) {
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(1, 4, 7);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
    }
    _tile_release();
    return rounds * 4 * MOST_TILE_ROWS * CK_PANEL * depth * 2;
}
