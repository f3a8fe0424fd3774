#pragma once
// The product of quantized blocks in tiles: a part of amx.h. A tile holds the integer sums of one block; they are stored,
// and added up in floats in the order that ckernels.h fixes, which takes longer than the products.

#include "tiles.h"

/// Inputs whose weights are unpacked at once, and rows that share them.
#define PIECE_INPUTS 256
#define PIECE_BLOCKS (PIECE_INPUTS / CK_BLOCK)
#define PIECE_TILES 8

/// Some blocks of a panel: signed bytes, less their zero points.
typedef struct {
    bytes64 quants[PIECE_BLOCKS][8];
    lanes scales[PIECE_BLOCKS], minimums[PIECE_BLOCKS];
} unpacked_piece;

/// Unpacks blocks `first ..< first + count` of a panel.
INLINE void unpack_piece(
    const ck_format format, const uint8_t *panel, size_t k, size_t first, size_t count, unpacked_piece *piece) {
    const bool four_bits = format == CK_PANEL_4BIT || format == CK_PANEL_4BIT_MIN;
    const bool has_minimum = format == CK_PANEL_4BIT_MIN || format == CK_PANEL_8BIT_MIN;
    const uint8_t zero = has_minimum ? 0 : four_bits ? 8 : 128;
    const size_t scale_count = has_minimum ? 2 * CK_PANEL : CK_PANEL;
    const uint16_t *scales = (const uint16_t *)(const void *)panel + first * scale_count;
    const uint8_t *quants = panel + ck_scales_bytes(format, k) + first * (four_bits ? 256 : 512);
    for (size_t b = 0; b < count; b++, scales += scale_count) {
        piece->scales[b] = load_halves(scales);
        fetch_lines(quants + ck_panel_bytes(format, k), four_bits ? 4 : 8);
        if (has_minimum) piece->minimums[b] = load_halves(scales + CK_PANEL);
        UNROLL for (int step = 0; step < 8; step++) {
            bytes64 weights;
            memcpy(&weights, quants, sizeof weights);
            if (four_bits) weights = step % 2 == 0 ? weights & 15 : weights >> 4;
            piece->quants[b][step] = weights - zero;
            if (!four_bits || step % 2 != 0) quants += 64;
        }
    }
}

/// Adds the products of one block to the sums of 16 rows.
INLINE void add_block(
    const bool has_minimum, const int32_t (*dots)[CK_PANEL], const unpacked_piece *piece, size_t b,
    const ck_block *block, size_t stride, lanes *sums) {
    UNROLL for (int r = 0; r < MOST_TILE_ROWS; r++) {
        int_lanes dot;
        memcpy(&dot, dots[r], sizeof dot);
        const ck_block *own = block + (size_t)r * stride;
        if (has_minimum) sums[r] = multiply_add(piece->minimums[b], own->offset, sums[r]);
        sums[r] = multiply_add(__builtin_convertvector(dot, lanes), piece->scales[b] * own->scale, sums[r]);
    }
}

/// 16 rows by the blocks of a piece, in their order. Two blocks are on their way at a time.
INLINE void add_piece(
    const bool has_minimum, const unpacked_piece *piece, size_t count, const int8_t *quants, const ck_block *blocks,
    size_t k, lanes *totals) {
    int32_t dots[2][MOST_TILE_ROWS][CK_PANEL];
    lanes sums[MOST_TILE_ROWS];
    UNROLL for (int r = 0; r < MOST_TILE_ROWS; r++) sums[r] = totals[r];
    for (size_t b = 0; b < count; b += 2) {
        _tile_zero(0);
        _tile_loadd(4, quants + b * CK_BLOCK, k);
        _tile_loadd(6, piece->quants[b], TILE_ROW_BYTES);
        _tile_dpbssd(0, 4, 6);
        _tile_stored(0, dots[0], TILE_ROW_BYTES);
        add_block(has_minimum, dots[0], piece, b, blocks + b, k / CK_BLOCK, sums);
        if (b + 1 == count) break;
        _tile_zero(1);
        _tile_loadd(5, quants + (b + 1) * CK_BLOCK, k);
        _tile_loadd(7, piece->quants[b + 1], TILE_ROW_BYTES);
        _tile_dpbssd(1, 5, 7);
        _tile_stored(1, dots[1], TILE_ROW_BYTES);
        add_block(has_minimum, dots[1], piece, b + 1, blocks + b + 1, k / CK_BLOCK, sums);
    }
    UNROLL for (int r = 0; r < MOST_TILE_ROWS; r++) totals[r] = sums[r];
}

/// Up to PIECE_TILES tiles of rows, from row `first` on, by one panel. Tiles are 16 rows high, so the last may begin inside
/// the one before.
INLINE void tiled_block_rows(
    const ck_format format, const uint8_t *panel, size_t k, const ck_activations *activations, size_t first, size_t end,
    const ck_output *output, size_t column) {
    const bool has_minimum = format == CK_PANEL_4BIT_MIN || format == CK_PANEL_8BIT_MIN;
    const size_t block_count = k / CK_BLOCK;
    size_t starts[PIECE_TILES], tiles = 0;
    for (size_t row = first; row < end && tiles < PIECE_TILES; row += MOST_TILE_ROWS)
        starts[tiles++] = at_most(row, end - MOST_TILE_ROWS);
    for (size_t t = 0; t < tiles; t++)
        for (size_t i = 0; i < MOST_TILE_ROWS; i++)
            fetch_lines(output->y + (starts[t] + i) * output->stride + column, 1);
    lanes sums[PIECE_TILES][MOST_TILE_ROWS];
    memset(sums, 0, sizeof sums);
    unpacked_piece piece;
    for (size_t b = 0, count; b < block_count; b += count) {
        count = at_most(block_count - b, PIECE_BLOCKS);
        unpack_piece(format, panel, k, b, count, &piece);
        for (size_t t = 0; t < tiles; t++)
            add_piece(
                has_minimum, &piece, count, activations->quants + starts[t] * k + b * CK_BLOCK,
                activations->blocks + starts[t] * block_count + b, k, sums[t]);
    }
    for (size_t t = 0; t < tiles; t++)
        for (size_t i = first + t * MOST_TILE_ROWS - starts[t]; i < MOST_TILE_ROWS; i++)
            finish(output, starts[t] + i, column, sums[t][i]);
}

/// At least 16 rows.
INLINE void tiled_blocks(
    const ck_format format, const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows,
    size_t panel, size_t panels, const ck_output *output) {
    const size_t k = matrix->k, panel_bytes = ck_panel_bytes(format, k);
    shape_tiles(MOST_TILE_ROWS, CK_BLOCK, CK_BLOCK);
    for (size_t p = panel; p < panel + panels; p++) {
        const uint8_t *weights = (const uint8_t *)matrix->panels + p * panel_bytes;
        for (size_t r = row; r < row + rows; r += PIECE_TILES * MOST_TILE_ROWS)
            tiled_block_rows(format, weights, k, activations, r, row + rows, output, p * CK_PANEL);
    }
    _tile_release();
}

static void tiled_4bit(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    tiled_blocks(CK_PANEL_4BIT, m, a, row, rows, panel, panels, y);
}

static void tiled_4bit_min(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    tiled_blocks(CK_PANEL_4BIT_MIN, m, a, row, rows, panel, panels, y);
}

static void tiled_8bit(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    tiled_blocks(CK_PANEL_8BIT, m, a, row, rows, panel, panels, y);
}

static void tiled_8bit_min(
    const ck_matrix *m, const ck_activations *a, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *y) {
    tiled_blocks(CK_PANEL_8BIT_MIN, m, a, row, rows, panel, panels, y);
}
