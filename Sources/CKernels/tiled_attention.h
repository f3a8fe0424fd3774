#pragma once
// Attention over a cache of bfloat16 in tiles: a part of amx.h.
//
// Sixteen queries meet a group of 16 keys in one product for each 32 elements, and as many weights a group of values in one for
// each 16 elements. Tiles 4 and 6 are queries and keys, 5 and 7 weights and values.

#include "tiles.h"

/// One query is not worth a tile.
#define TILED_QUERIES 2
/// Larger heads would not stay in the first-level cache.
#define TILED_DIMENSION 256

/// A tile of queries, and what becomes of them.
typedef struct {
    uint16_t queries[MOST_TILE_ROWS][TILED_DIMENSION];  ///< rows are `head_dimension` apart
    float scores[MOST_TILE_ROWS][CK_SEGMENT];           ///< then weights
    uint16_t weights[MOST_TILE_ROWS][CK_SEGMENT];
} attention_tile;

/// Narrows floats that bfloat16 holds exactly.
INLINE void narrow(const float *values, size_t n, uint16_t *bfloats) {
    for (size_t i = 0; i < n; i += 16) {
        const short_lanes high = __builtin_convertvector((bit_lanes)load(values + i) >> 16, short_lanes);
        memcpy(bfloats + i, &high, sizeof high);
    }
}

#define FOR_EACH_SUM(BODY) BODY(0) BODY(1) BODY(2) BODY(3)

/// Products of a tile of queries and all keys of `groups` groups.
INLINE void tiled_scores(const ck_cache *cache, size_t first_group, size_t groups, bool is_first, attention_tile *tile) {
    const size_t d = cache->head_dimension, group_bytes = d * CK_GROUP * 2;
    const uint8_t *keys = cache->keys, *values = cache->values;
    for (size_t g = 0; g < groups; g += 4) {
        const size_t there = at_most(groups - g, 4);
        const uint8_t *columns[4];
        for (size_t v = 0; v < 4; v++) {
            const size_t offset = ck_group_offset(cache, first_group + g + at_most(v, there - 1)) * 2;
            columns[v] = keys + offset;
            if (is_first && v < there) prefetch_group(values + offset, group_bytes);
            if (is_first && g + v + 4 < groups)
                prefetch_group(keys + ck_group_offset(cache, first_group + g + v + 4) * 2, group_bytes);
        }
        zero_sums();
        for (size_t i = 0; i < d; i += 32) {
            _tile_loadd(4, &tile->queries[0][0] + i, d * 2);
#define SCORE(V)                                                            \
    if (V < there) {                                                        \
        _tile_loadd(6, columns[V] + i * CK_GROUP * 2, TILE_ROW_BYTES);      \
        _tile_dpbf16ps(V, 4, 6);                                            \
    }
            FOR_EACH_SUM(SCORE)
        }
#define STORE_SCORES(V) \
    if (V < there) _tile_stored(V, &tile->scores[0][(g + V) * CK_GROUP], CK_SEGMENT * 4);
        FOR_EACH_SUM(STORE_SCORES)
    }
}

/// Sums of values by weight over whole groups.
INLINE void tiled_mix(
    const ck_cache *cache, size_t first_group, size_t groups, const attention_tile *tile, float *partials) {
    const size_t d = cache->head_dimension;
    for (size_t column = 0; column < d; column += 4 * 16) {
        const size_t there = at_most((d - column) / 16, 4);
        zero_sums();
        for (size_t g = 0; g < groups; g++) {
            const uint8_t *values =
                (const uint8_t *)cache->values + ck_group_offset(cache, first_group + g) * 2 + column * 4;
            _tile_loadd(5, &tile->weights[0][g * CK_GROUP], CK_SEGMENT * 2);
#define MIX(V)                                                     \
    if (V < there) {                                               \
        _tile_loadd(7, values + V * TILE_ROW_BYTES, d * 4);        \
        _tile_dpbf16ps(V, 5, 7);                                   \
    }
            FOR_EACH_SUM(MIX)
        }
#define STORE_MIX(V) \
    if (V < there) _tile_stored(V, partials + column + V * 16, CK_PARTIAL(d) * 4);
        FOR_EACH_SUM(STORE_MIX)
    }
}

/// Up to 16 queries of one segment. Values of the last group may not be there up to its end: they go the way of the other
/// instruction sets.
INLINE void attend_in_tiles(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    bool is_first, float *partials) {
    const size_t d = cache->head_dimension;
    attention_tile tile;
    for (size_t i = 0; i < count; i++) narrow(queries[i], d, &tile.queries[0][0] + i * d);
    const segment_view view = view_of(segment, lengths, count);
    tiled_scores(cache, view.first_group, view.groups, is_first, &tile);
    for (size_t i = 0; i < count; i++)
        weigh(CK_PANEL_BF16, cache, &view, i, (size_t)lengths[i], tile.scores[i], tile.weights[i], partials);
    const size_t whole = view.longest / CK_GROUP;
    tiled_mix(cache, view.first_group, whole, &tile, partials);
    for (size_t i = 0, rows; i < count && whole * CK_GROUP < view.longest; i += rows) {
        rows = tile_rows(count - i, TILE_ROWS);
        mix(CK_PANEL_BF16, cache, view.first_group, whole * CK_GROUP, view.longest, tile.scores + i, rows,
            partials + i * CK_PARTIAL(d));
    }
}

static void tiled_attend(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    const size_t d = cache->head_dimension;
    if (cache->type != CK_BF16 || count < TILED_QUERIES || d % 32 != 0 || d > TILED_DIMENSION) {
        attend(cache, segment, queries, lengths, count, partials);
        return;
    }
    for (size_t i = 0, rows; i < count; i += rows) {
        rows = tile_rows(count - i, MOST_TILE_ROWS);
        shape_tiles(rows, TILE_ROW_BYTES, CK_GROUP * 2);
        attend_in_tiles(
            cache, segment, queries + i, lengths + i, rows, i == 0, partials + i * CK_PARTIAL(d));
    }
    _tile_release();
}
