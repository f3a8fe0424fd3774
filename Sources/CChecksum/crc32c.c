#include "cchecksum.h"

#include <string.h>

#if defined(__x86_64__)

#include <nmmintrin.h>
#define INSTRUCTION __attribute__((target("sse4.2")))
#define ADD_8(remainder, word) (uint32_t)_mm_crc32_u64(remainder, word)
#define ADD_4 _mm_crc32_u32
#define ADD_2 _mm_crc32_u16
#define ADD_1 _mm_crc32_u8

bool cc_has_crc32c(void) { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__)

#include <arm_acle.h>
#include <sys/auxv.h>
#define INSTRUCTION __attribute__((target("crc")))
#define ADD_8 __crc32cd
#define ADD_4 __crc32cw
#define ADD_2 __crc32ch
#define ADD_1 __crc32cb

bool cc_has_crc32c(void) { return getauxval(AT_HWCAP) & 1 << 7; }  // HWCAP_CRC32

#endif

#ifdef INSTRUCTION

// A token's text is a few bytes long: no loop over single ones.
INSTRUCTION uint32_t cc_crc32c(uint32_t remainder, const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    for (size_t words = count / 8; words > 0; words--, next += 8) {
        uint64_t word;
        memcpy(&word, next, 8);
        remainder = ADD_8(remainder, word);
    }
    if (count & 4) {
        uint32_t word;
        memcpy(&word, next, 4);
        remainder = ADD_4(remainder, word);
        next += 4;
    }
    if (count & 2) {
        uint16_t word;
        memcpy(&word, next, 2);
        remainder = ADD_2(remainder, word);
        next += 2;
    }
    return count & 1 ? ADD_1(remainder, *next) : remainder;
}

#else

bool cc_has_crc32c(void) { return false; }
uint32_t cc_crc32c(uint32_t remainder, const void *bytes, size_t count) {
    (void)bytes, (void)count;
    return remainder;
}

#endif
