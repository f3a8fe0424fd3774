#pragma once
#include <string.h>

#include "table.h"

/// The rows that become a panel's outputs. One that is missing is read as zeros, without a question at every element.
typedef struct {
    const uint8_t *start[CK_PANEL];
    size_t bytes[CK_PANEL];  ///< from one element to the next
} panel_rows;

static inline panel_rows rows_of(const void *const rows[CK_PANEL], size_t element_bytes) {
    static const uint32_t zeros = 0;
    panel_rows result;
    for (size_t column = 0; column < CK_PANEL; column++) {
        result.start[column] = rows[column] != NULL ? rows[column] : &zeros;
        result.bytes[column] = rows[column] != NULL ? element_bytes : 0;
    }
    return result;
}

/// What fits in a word of a row's elements from `i` on, of which `there` bytes are left; zeros behind them.
static inline uint32_t word_of(const panel_rows *rows, size_t column, size_t i, size_t there) {
    const uint8_t *element = rows->start[column] + i * rows->bytes[column];
    uint32_t word = 0;
    // A constant size is one load.
    if (there >= 4)
        memcpy(&word, element, 4);
    else
        memcpy(&word, element, there);
    return word;
}
