#pragma once
// The integer product in tiles: a part of amx.h.

#include "tiles.h"

/// Sums of four products, as tiles are stored.
typedef int32_t tile_sums[4][MOST_TILE_ROWS][CK_PANEL];

INLINE void store_sums(tile_sums sums) {
    _tile_stored(0, sums[0], TILE_ROW_BYTES);
    _tile_stored(1, sums[1], TILE_ROW_BYTES);
    _tile_stored(2, sums[2], TILE_ROW_BYTES);
    _tile_stored(3, sums[3], TILE_ROW_BYTES);
}

/// A product of integers as all its tiles see it.
typedef struct {
    const uint8_t *panels;  ///< of the matrix
    const int8_t *quants;   ///< of all rows
    const ck_block *blocks;
    const ck_output *output;
    size_t row, rows;        ///< of this call
    size_t end;              ///< of its panels
    size_t k, panel_bytes;   ///< inputs with their padding
    size_t height, depth;    ///< of a tile: rows and inputs
} tiled_product;

/// The first row of a tile. All are equally high, so the last may begin inside the one before.
INLINE size_t tile_start(const tiled_product *product, size_t tile) {
    return product->row + at_most(tile * product->height, product->rows - product->height);
}

INLINE const uint8_t *tile_weights(const tiled_product *product, size_t panel) {
    return product->panels + at_most(panel, product->end - 1) * product->panel_bytes + CK_INTEGERS_START;
}

/// Writes the rows of a tile that no tile before it has.
INLINE void finish_tile(
    const tiled_product *product, size_t tile, size_t panel, const int32_t (*sums)[CK_PANEL]) {
    if (panel >= product->end) return;
    const uint8_t *weights = product->panels + panel * product->panel_bytes;
    const lanes scales = load((const float *)(const void *)weights);
    int_lanes addends;
    memcpy(&addends, weights + CK_PANEL * 4, sizeof addends);
    const size_t start = tile_start(product, tile);
    for (size_t i = product->row + tile * product->height - start; i < product->height; i++) {
        const ck_block *block = product->blocks + start + i;
        int_lanes total;
        memcpy(&total, sums[i], sizeof total);
        total += addends + block->zero8;
        const lanes result = __builtin_convertvector(total, lanes) * (scales * block->scale);
        finish(product->output, start + i, panel * CK_PANEL, result);
    }
}

/// Two tiles of rows by two panels: four products for four loads. Meanwhile lines of the result are fetched, which would
/// stall the stores, and `ahead` lines a step of the weights that come next.
INLINE void tiles_2x2(const tiled_product *product, size_t tile, size_t panel, const uint8_t *next, size_t ahead) {
    const size_t k = product->k, depth = product->depth, height = product->height;
    const size_t upper = tile_start(product, tile), lower = tile_start(product, tile + 1);
    const int8_t *x0 = product->quants + upper * k, *x1 = product->quants + lower * k;
    const uint8_t *w0 = tile_weights(product, panel), *w1 = tile_weights(product, panel + 1);
    const size_t stride = product->output->stride, rows_per_step = (height * depth + k - 1) / k;
    const float *y = product->output->y + panel * CK_PANEL;
    size_t fetched = 0;
    zero_sums();
    for (size_t i = 0; i < k; i += depth, next += ahead * 64) {
        _tile_loadd(4, x0 + i, k);
        _tile_loadd(6, w0 + i * CK_PANEL, TILE_ROW_BYTES);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, w1 + i * CK_PANEL, TILE_ROW_BYTES);
        _tile_dpbsud(1, 4, 7);
        _tile_loadd(5, x1 + i, k);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
        fetch_lines(next, ahead);
        for (size_t end = at_most(fetched + rows_per_step, height); fetched < end; fetched++) {
            fetch_lines(y + (upper + fetched) * stride, 2);
            fetch_lines(y + (lower + fetched) * stride, 2);
        }
    }
    tile_sums sums;
    store_sums(sums);
    finish_tile(product, tile, panel, sums[0]);
    finish_tile(product, tile, panel + 1, sums[1]);
    finish_tile(product, tile + 1, panel, sums[2]);
    finish_tile(product, tile + 1, panel + 1, sums[3]);
}

/// One tile of rows by up to four panels. With so few rows weights come from memory: four streams fill its bandwidth.
INLINE void tiles_1x4(const tiled_product *product, size_t tile, size_t panel) {
    const size_t k = product->k, depth = product->depth, there = product->end - panel;
    const int8_t *x = product->quants + tile_start(product, tile) * k;
    const uint8_t *w[4];
    for (size_t v = 0; v < 4; v++) w[v] = tile_weights(product, panel + v);
    const size_t next = product->rows <= MOST_TILE_ROWS ? 4 * product->panel_bytes : 0, lines = next > 0 ? depth / 4 : 0;
    zero_sums();
    for (size_t i = 0; i < k; i += depth) {
        _tile_loadd(4, x + i, k);
        _tile_loadd(6, w[0] + i * CK_PANEL, TILE_ROW_BYTES);
        _tile_dpbsud(0, 4, 6);
        fetch_lines(w[0] + i * CK_PANEL + next, lines);
        if (there < 2) continue;
        _tile_loadd(7, w[1] + i * CK_PANEL, TILE_ROW_BYTES);
        _tile_dpbsud(1, 4, 7);
        fetch_lines(w[1] + i * CK_PANEL + next, lines);
        if (there < 3) continue;
        _tile_loadd(6, w[2] + i * CK_PANEL, TILE_ROW_BYTES);
        _tile_dpbsud(2, 4, 6);
        fetch_lines(w[2] + i * CK_PANEL + next, lines);
        if (there < 4) continue;
        _tile_loadd(7, w[3] + i * CK_PANEL, TILE_ROW_BYTES);
        _tile_dpbsud(3, 4, 7);
        fetch_lines(w[3] + i * CK_PANEL + next, lines);
    }
    tile_sums sums;
    store_sums(sums);
    for (size_t v = 0; v < 4; v++) finish_tile(product, tile, panel + v, sums[v]);
}

/// Four panels at a time for all rows; an odd tile of rows takes them together.
static void tiled_integers(
    const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *output) {
    const size_t k = ck_padded(matrix->k), tiles = (rows + MOST_TILE_ROWS - 1) / MOST_TILE_ROWS, pairs = tiles / 2;
    const tiled_product product = {
        .panels = matrix->panels, .quants = activations->quants, .blocks = activations->blocks, .output = output,
        .row = row, .rows = rows, .end = panel + panels, .k = k, .panel_bytes = ck_panel_bytes(CK_PANEL_I8, matrix->k),
        .height = tile_rows(rows, MOST_TILE_ROWS),
        .depth = k % TILE_ROW_BYTES == 0 ? TILE_ROW_BYTES : k % 32 == 0 ? 32 : 16};
    // Each pair of tiles of rows fetches its share of the next two panels.
    const size_t ahead = pairs == 0 ? 0 : (product.depth / 2 + pairs - 1) / pairs, share = k / product.depth * ahead * 64;
    shape_tiles(product.height, product.depth);
    for (size_t first = panel; first < product.end; first += 4) {
        for (size_t p = first; p < at_most(product.end, first + 4); p += 2) {
            const uint8_t *next = tile_weights(&product, p) + 2 * product.panel_bytes;
            for (size_t pair = 0; pair < pairs; pair++)
                tiles_2x2(&product, pair * 2, p, next + pair * share, ahead);
        }
        if (tiles % 2 != 0) tiles_1x4(&product, tiles - 1, first);
    }
    // Tiles in their initial state are neither saved nor restored when threads change places.
    _tile_release();
}
