#pragma once
// The products of integers and of bfloat16 in tiles: a part of amx.h.

#include "tiles.h"

/// Sums of four products, as tiles are stored: integers or the bits of floats.
typedef int32_t tile_sums[4][MOST_TILE_ROWS][CK_PANEL];

INLINE void store_sums(tile_sums sums) {
    _tile_stored(0, sums[0], TILE_ROW_BYTES);
    _tile_stored(1, sums[1], TILE_ROW_BYTES);
    _tile_stored(2, sums[2], TILE_ROW_BYTES);
    _tile_stored(3, sums[3], TILE_ROW_BYTES);
}

/// A product as all its tiles see it. Inputs are counted in bytes.
typedef struct {
    const uint8_t *panels;  ///< of the matrix
    size_t panel_bytes;
    size_t start;           ///< of the weights in a panel
    const uint8_t *inputs;  ///< of all rows
    const ck_block *blocks;  ///< of integers
    const ck_output *output;
    size_t row, rows;      ///< of this call
    size_t end;            ///< of its panels
    size_t k;              ///< inputs with their padding
    size_t height, depth;  ///< of a tile: rows and inputs
} tiled_product;

/// Adds the product of a tile of inputs and one of weights to a tile of sums.
#define MULTIPLY(IS_FLOAT, SUMS, INPUTS, WEIGHTS)   \
    do {                                            \
        if (IS_FLOAT)                               \
            _tile_dpbf16ps(SUMS, INPUTS, WEIGHTS);  \
        else                                        \
            _tile_dpbsud(SUMS, INPUTS, WEIGHTS);    \
    } while (0)

/// The first row of a tile. All are equally high, so the last may begin inside the one before.
INLINE size_t tile_start(const tiled_product *product, size_t tile) {
    return product->row + at_most(tile * product->height, product->rows - product->height);
}

INLINE const uint8_t *tile_weights(const tiled_product *product, size_t panel) {
    return product->panels + at_most(panel, product->end - 1) * product->panel_bytes + product->start;
}

/// How far ahead weights from memory are fetched, in bytes of all panels in work. What is fetched farther ahead comes too late, or is
/// gone again, where two threads share a core.
#define FETCHED_AHEAD 4096

/// Asks for what follows the tile at `i` of one of `panels` panels in work, be it in the panel that comes after it.
INLINE void fetch_tile(const tiled_product *product, const uint8_t *weights, size_t i, size_t panels) {
    size_t ahead = i * CK_PANEL + FETCHED_AHEAD / panels;
    if (ahead >= product->k * CK_PANEL) ahead += panels * product->panel_bytes - product->k * CK_PANEL;
    fetch_lines(weights + ahead, product->depth / 4);
}

/// A row of sums of integers as floats.
INLINE lanes scaled(const uint8_t *panel, const ck_block *block, const int32_t *sums) {
    int_lanes addends, total;
    memcpy(&addends, panel + CK_PANEL * 4, sizeof addends);
    memcpy(&total, sums, sizeof total);
    total += addends + block->zero8;
    return __builtin_convertvector(total, lanes) * (load((const float *)(const void *)panel) * block->scale);
}

/// Writes the rows of a tile that no tile before it has.
INLINE void finish_tile(
    const bool is_float, const tiled_product *product, size_t tile, size_t panel, const int32_t (*sums)[CK_PANEL]) {
    if (panel >= product->end) return;
    const uint8_t *weights = product->panels + panel * product->panel_bytes;
    const size_t start = tile_start(product, tile);
    for (size_t i = product->row + tile * product->height - start; i < product->height; i++) {
        const lanes result =
            is_float ? load((const float *)(const void *)sums[i]) : scaled(weights, product->blocks + start + i, sums[i]);
        finish(product->output, start + i, panel * CK_PANEL, result);
    }
}

/// Two tiles of rows by two panels: four products for four loads. Meanwhile lines of the result are fetched, which would
/// stall the stores, and weights: those of the next tiles, or, where other rows come in between, `lines` a step from `next` on.
INLINE void tiles_2x2(
    const bool is_float, const tiled_product *product, size_t tile, size_t panel, const uint8_t *next, size_t lines) {
    const size_t k = product->k, depth = product->depth, height = product->height;
    const bool is_alone = product->rows <= 2 * MOST_TILE_ROWS;
    const size_t upper = tile_start(product, tile), lower = tile_start(product, tile + 1);
    const uint8_t *x0 = product->inputs + upper * k, *x1 = product->inputs + lower * k;
    const uint8_t *w0 = tile_weights(product, panel), *w1 = tile_weights(product, panel + 1);
    const size_t stride = product->output->stride, rows_per_step = (height * depth + k - 1) / k;
    const float *y = product->output->y + panel * CK_PANEL;
    size_t fetched = 0;
    zero_sums();
    for (size_t i = 0; i < k; i += depth, next += lines * 64) {
        _tile_loadd(4, x0 + i, k);
        _tile_loadd(6, w0 + i * CK_PANEL, TILE_ROW_BYTES);
        MULTIPLY(is_float, 0, 4, 6);
        _tile_loadd(7, w1 + i * CK_PANEL, TILE_ROW_BYTES);
        MULTIPLY(is_float, 1, 4, 7);
        _tile_loadd(5, x1 + i, k);
        MULTIPLY(is_float, 2, 5, 6);
        MULTIPLY(is_float, 3, 5, 7);
        if (is_alone) {
            fetch_tile(product, w0, i, 2);
            fetch_tile(product, w1, i, 2);
        } else {
            fetch_lines(next, lines);
        }
        for (size_t end = at_most(fetched + rows_per_step, height); fetched < end; fetched++) {
            fetch_lines(y + (upper + fetched) * stride, 2);
            fetch_lines(y + (lower + fetched) * stride, 2);
        }
    }
    tile_sums sums;
    store_sums(sums);
    finish_tile(is_float, product, tile, panel, sums[0]);
    finish_tile(is_float, product, tile, panel + 1, sums[1]);
    finish_tile(is_float, product, tile + 1, panel, sums[2]);
    finish_tile(is_float, product, tile + 1, panel + 1, sums[3]);
}

/// One tile of rows by up to four panels. With no other rows weights come from memory: four streams fill its bandwidth.
INLINE void tiles_1x4(const bool is_float, const tiled_product *product, size_t tile, size_t panel) {
    const size_t k = product->k, depth = product->depth, there = product->end - panel;
    const bool is_alone = product->rows <= MOST_TILE_ROWS;
    const uint8_t *x = product->inputs + tile_start(product, tile) * k;
    const uint8_t *w[4];
    for (size_t v = 0; v < 4; v++) w[v] = tile_weights(product, panel + v);
    zero_sums();
    for (size_t i = 0; i < k; i += depth) {
        _tile_loadd(4, x + i, k);
        _tile_loadd(6, w[0] + i * CK_PANEL, TILE_ROW_BYTES);
        MULTIPLY(is_float, 0, 4, 6);
        if (is_alone) fetch_tile(product, w[0], i, 4);
        if (there < 2) continue;
        _tile_loadd(7, w[1] + i * CK_PANEL, TILE_ROW_BYTES);
        MULTIPLY(is_float, 1, 4, 7);
        if (is_alone) fetch_tile(product, w[1], i, 4);
        if (there < 3) continue;
        _tile_loadd(6, w[2] + i * CK_PANEL, TILE_ROW_BYTES);
        MULTIPLY(is_float, 2, 4, 6);
        if (is_alone) fetch_tile(product, w[2], i, 4);
        if (there < 4) continue;
        _tile_loadd(7, w[3] + i * CK_PANEL, TILE_ROW_BYTES);
        MULTIPLY(is_float, 3, 4, 7);
        if (is_alone) fetch_tile(product, w[3], i, 4);
    }
    tile_sums sums;
    store_sums(sums);
    for (size_t v = 0; v < 4; v++) finish_tile(is_float, product, tile, panel + v, sums[v]);
}

/// Four panels at a time for all rows; an odd tile of rows takes them together.
INLINE void tiled_product_of(const bool is_float, const tiled_product *product, size_t panel) {
    const size_t tiles = (product->rows + MOST_TILE_ROWS - 1) / MOST_TILE_ROWS, pairs = tiles / 2;
    // Each pair of tiles of rows fetches its share of the next two panels.
    const size_t lines = pairs == 0 ? 0 : (product->depth / 2 + pairs - 1) / pairs;
    const size_t share = product->k / product->depth * lines * 64;
    shape_tiles(product->height, product->depth, product->depth);
    for (size_t first = panel; first < product->end; first += 4) {
        for (size_t p = first; p < at_most(product->end, first + 4); p += 2) {
            const uint8_t *next = tile_weights(product, p) + 2 * product->panel_bytes;
            for (size_t pair = 0; pair < pairs; pair++)
                tiles_2x2(is_float, product, pair * 2, p, next + pair * share, lines);
        }
        if (tiles % 2 != 0) tiles_1x4(is_float, product, tiles - 1, first);
    }
    // Tiles in their initial state are neither saved nor restored when threads change places.
    _tile_release();
}

static void tiled_integers(
    const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *output) {
    const size_t k = ck_padded(matrix->k);
    const tiled_product product = {
        .panels = matrix->panels, .panel_bytes = ck_panel_bytes(CK_PANEL_I8, matrix->k), .start = CK_INTEGERS_START,
        .inputs = (const uint8_t *)activations->quants, .blocks = activations->blocks, .output = output, .row = row,
        .rows = rows, .end = panel + panels, .k = k, .height = tile_rows(rows, MOST_TILE_ROWS),
        .depth = k % TILE_ROW_BYTES == 0 ? TILE_ROW_BYTES : k % 32 == 0 ? 32 : 16};
    tiled_product_of(false, &product, panel);
}

static void tiled_bfloats(
    const ck_matrix *matrix, const ck_activations *activations, size_t row, size_t rows, size_t panel, size_t panels,
    const ck_output *output) {
    const tiled_product product = {
        .panels = matrix->panels, .panel_bytes = ck_panel_bytes(CK_PANEL_BF16, matrix->k),
        .inputs = (const uint8_t *)activations->bfloats, .output = output, .row = row, .rows = rows,
        .end = panel + panels, .k = ck_padded_pairs(matrix->k) * 2, .height = tile_rows(rows, MOST_TILE_ROWS),
        .depth = TILE_ROW_BYTES};
    tiled_product_of(true, &product, panel);
}
