#pragma once
// Attention over a cache of bfloat16, or of integers widened to it, in tiles: a part of amx.h.
//
// Sixteen queries meet a group of 16 keys in one product for each 32 elements, and as many weights a group of values in one for
// each 16 elements. Tiles 4 and 6 are queries and keys, 5 and 7 weights and values.

#include "tiles.h"

/// One query is not worth a tile.
#define TILED_QUERIES 2
/// Nor are so few worth writing integers down as bfloat16. Measured: with heads of 64, three are 1.3 times as fast without.
#define TILED_INTEGER_QUERIES 6
/// Larger heads would not stay in the first-level cache.
#define TILED_DIMENSION 256

/// A tile of queries, and what becomes of them.
typedef struct {
    _Alignas(64) uint16_t queries[MOST_TILE_ROWS][TILED_DIMENSION];  ///< rows are `head_dimension` apart
    float scores[MOST_TILE_ROWS][CK_SEGMENT];                        ///< then weights
    uint16_t weights[MOST_TILE_ROWS][CK_SEGMENT];
} attention_tile;

/// Columns of values whose sums are formed together, in four tiles.
#define MIXED_COLUMNS 64

/// Groups of integers of one segment as pairs of bfloat16, widened as the first tile of queries meets them. Where no other tile
/// follows, groups take turns in four places, which stay in the first-level cache.
typedef struct {
    _Alignas(64) uint16_t keys[CK_SEGMENT * TILED_DIMENSION];
    _Alignas(64) uint16_t values[CK_SEGMENT * TILED_DIMENSION];  ///< for each MIXED_COLUMNS, all groups
    size_t key_groups, value_groups;                             ///< that need not be widened again
    size_t places;                                               ///< of groups
} widened_segment;

/// Some columns of a group of integers, [rows][length], as pairs of rows.
INLINE void widen_group(const int8_t *integers, size_t rows, size_t length, size_t columns, uint16_t *pairs) {
    for (size_t row = 0; row < rows; row += 2, integers += 2 * length) {
        for (size_t i = 0; i < columns; i += 16, pairs += 32) {
            const bit_lanes even = (bit_lanes)load_integers(integers + i);
            const bit_lanes both = even >> 16 | (bit_lanes)load_integers(integers + length + i);
            memcpy(pairs, &both, sizeof both);
        }
    }
}

/// Where the keys of a group are once widened.
INLINE uint16_t *widened_keys(widened_segment *widened, size_t d, size_t group) {
    return widened->keys + group % widened->places * CK_GROUP * d;
}

/// Where its values from `column` on are: rows of pairs, MIXED_COLUMNS long or as many as are left.
INLINE uint16_t *widened_values(widened_segment *widened, size_t column, size_t columns, size_t group) {
    return widened->values + CK_SEGMENT * column + group % widened->places * CK_GROUP * columns;
}

/// Narrows floats that bfloat16 holds exactly.
INLINE void narrow(const float *values, size_t n, uint16_t *bfloats) {
    for (size_t i = 0; i < n; i += 16) {
        const short_lanes high = __builtin_convertvector((bit_lanes)load(values + i) >> 16, short_lanes);
        memcpy(bfloats + i, &high, sizeof high);
    }
}

#define FOR_EACH_SUM(BODY) BODY(0) BODY(1) BODY(2) BODY(3)

INLINE void widen_keys(const ck_cache *cache, size_t first_group, size_t group, widened_segment *widened) {
    const size_t d = cache->head_dimension;
    if (group < widened->key_groups) return;
    widen_group(
        (const int8_t *)cache->keys + ck_group_offset(cache, first_group + group), d, CK_GROUP, CK_GROUP,
        widened_keys(widened, d, group));
}

INLINE void widen_values(
    const ck_cache *cache, size_t first_group, size_t group, size_t column, size_t columns, widened_segment *widened) {
    if (group < widened->value_groups) return;
    widen_group(
        (const int8_t *)cache->values + ck_group_offset(cache, first_group + group) + column, CK_GROUP,
        cache->head_dimension, columns, widened_values(widened, column, columns, group));
}

/// Products of a tile of queries and all keys of `groups` groups.
INLINE void tiled_scores(
    const ck_format format, const ck_cache *cache, size_t first_group, size_t groups, bool is_first,
    widened_segment *widened, attention_tile *tile) {
    const size_t d = cache->head_dimension, size = element_bytes(format);
    const size_t group_bytes = ck_group_elements(cache->type, d) * size;
    const uint8_t *keys = cache->keys, *values = cache->values;
    for (size_t g = 0; g < groups; g += 4) {
        const size_t there = at_most(groups - g, 4);
        const uint8_t *columns[4];
        for (size_t v = 0; v < 4; v++) {
            const size_t group = g + at_most(v, there - 1);
            const size_t offset = ck_group_offset(cache, first_group + group) * size;
            columns[v] = format == CK_PANEL_I8 ? (const uint8_t *)widened_keys(widened, d, group) : keys + offset;
            if (is_first && v < there) prefetch_group(values + offset, group_bytes);
            if (is_first && g + v + 4 < groups)
                prefetch_group(keys + ck_group_offset(cache, first_group + g + v + 4) * size, group_bytes);
        }
        if (format == CK_PANEL_I8)
            for (size_t group = g; group < g + there; group++) widen_keys(cache, first_group, group, widened);
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
    const ck_format format, const ck_cache *cache, size_t first_group, size_t groups, widened_segment *widened,
    const attention_tile *tile, float *partials) {
    const size_t d = cache->head_dimension;
    for (size_t column = 0; column < d; column += MIXED_COLUMNS) {
        const size_t columns = at_most(d - column, MIXED_COLUMNS), there = columns / 16;
        const size_t step = (format == CK_PANEL_I8 ? columns : d) * 4;
        zero_sums();
        if (format == CK_PANEL_I8 && groups > 0) widen_values(cache, first_group, 0, column, columns, widened);
        for (size_t g = 0; g < groups; g++) {
            const uint8_t *values;
            if (format == CK_PANEL_I8) {
                // One group ahead, so that tiles are not loaded from what is being written.
                if (g + 1 < groups) widen_values(cache, first_group, g + 1, column, columns, widened);
                values = (const uint8_t *)widened_values(widened, column, columns, g);
            } else {
                values = (const uint8_t *)cache->values + ck_group_offset(cache, first_group + g) * 2 + column * 4;
            }
            _tile_loadd(5, &tile->weights[0][g * CK_GROUP], CK_SEGMENT * 2);
#define MIX(V)                                                     \
    if (V < there) {                                               \
        _tile_loadd(7, values + V * TILE_ROW_BYTES, step);         \
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
    const ck_format format, const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths,
    size_t count, bool is_first, widened_segment *widened, float *partials) {
    const size_t d = cache->head_dimension;
    attention_tile tile;
    for (size_t i = 0; i < count; i++) narrow(queries[i], d, &tile.queries[0][0] + i * d);
    const segment_view view = view_of(segment, lengths, count);
    tiled_scores(format, cache, view.first_group, view.groups, is_first, widened, &tile);
    segment_scales scales;
    if (format == CK_PANEL_I8) gather_scales(cache, view.first_group, view.groups, &scales);
    for (size_t i = 0; i < count; i++)
        weigh(format, cache, &view, &scales, i, (size_t)lengths[i], tile.scores[i], tile.weights[i], partials);
    const size_t whole = view.longest / CK_GROUP;
    tiled_mix(format, cache, view.first_group, whole, widened, &tile, partials);
    if (format == CK_PANEL_I8) {
        widened->key_groups = view.groups > widened->key_groups ? view.groups : widened->key_groups;
        widened->value_groups = whole > widened->value_groups ? whole : widened->value_groups;
    }
    for (size_t i = 0, rows; i < count && whole * CK_GROUP < view.longest; i += rows) {
        rows = tile_rows(count - i, TILE_ROWS);
        mix(format, cache, view.first_group, whole * CK_GROUP, view.longest, tile.scores + i, rows,
            partials + i * CK_PARTIAL(d));
    }
}

INLINE void attend_in_all_tiles(
    const ck_format format, const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths,
    size_t count, widened_segment *widened, float *partials) {
    for (size_t i = 0, rows; i < count; i += rows) {
        rows = tile_rows(count - i, MOST_TILE_ROWS);
        shape_tiles(rows, TILE_ROW_BYTES, CK_GROUP * 2);
        attend_in_tiles(
            format, cache, segment, queries + i, lengths + i, rows, i == 0, widened,
            partials + i * CK_PARTIAL(cache->head_dimension));
    }
    _tile_release();
}

static void tiled_attend_bf16(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    attend_in_all_tiles(CK_PANEL_BF16, cache, segment, queries, lengths, count, NULL, partials);
}

static void tiled_attend_i8(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    widened_segment widened;
    widened.key_groups = widened.value_groups = 0;
    widened.places = count > MOST_TILE_ROWS ? CK_SEGMENT / CK_GROUP : 4;
    attend_in_all_tiles(CK_PANEL_I8, cache, segment, queries, lengths, count, &widened, partials);
}

static void tiled_attend(
    const ck_cache *cache, size_t segment, const float *const *queries, const int32_t *lengths, size_t count,
    float *partials) {
    const size_t d = cache->head_dimension;
    const size_t least = cache->type == CK_I8 ? TILED_INTEGER_QUERIES : TILED_QUERIES;
    const bool fits = count >= least && d % 32 == 0 && d <= TILED_DIMENSION;
    if (fits && cache->type == CK_BF16)
        tiled_attend_bf16(cache, segment, queries, lengths, count, partials);
    else if (fits && cache->type == CK_I8)
        tiled_attend_i8(cache, segment, queries, lengths, count, partials);
    else
        attend(cache, segment, queries, lengths, count, partials);
}
