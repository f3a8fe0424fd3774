// CRC-32C by the processor's own instruction.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Whether this processor has the instruction.
bool cc_has_crc32c(void);

/// The remainder after more bytes, neither it nor `remainder` inverted; only where `cc_has_crc32c`.
uint32_t cc_crc32c(uint32_t remainder, const void *bytes, size_t count);
