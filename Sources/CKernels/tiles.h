#pragma once
// Tiles of AMX: a part of amx.h.
//
// TDPBSUD multiplies a tile of signed bytes, [16 rows][64 inputs], with one of unsigned bytes, [16][16 outputs][4 inputs],
// which is how panels lie in memory, and adds to a tile of 32-bit sums, [16 rows][16 outputs], modulo 2^32. TDPBSSD takes
// signed weights. TDPBF16PS does the same with pairs of bfloat16 in place of four bytes. Tiles 0 to 3 hold sums, 4 and 5
// activations, 6 and 7 weights.

#include "lanes.h"

#define MOST_TILE_ROWS 16
#define TILE_ROW_BYTES 64

/// What LDTILECFG reads.
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/// Shapes all tiles for `height` rows of activations and the bytes of inputs of tiles 4 and 6, and of 5 and 7.
INLINE void shape_tiles(size_t height, size_t depth, size_t second_depth) {
    tile_shapes shapes = {.palette = 1};
    UNROLL for (int tile = 0; tile < 8; tile++) {
        const size_t own = tile % 2 == 0 ? depth : second_depth;
        shapes.row_bytes[tile] = (uint16_t)(tile == 4 || tile == 5 ? own : TILE_ROW_BYTES);
        shapes.rows[tile] = (uint8_t)(tile < 6 ? height : own / 4);
    }
    _tile_loadconfig(&shapes);
}

INLINE void zero_sums(void) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/// Asks for lines early, to the second-level cache: the first-level one holds what the tiles are loaded from.
INLINE void fetch_lines(const void *p, size_t lines) {
    for (size_t i = 0; i < lines; i++) _mm_prefetch((const char *)p + i * 64, _MM_HINT_T1);
}
