/* SHA-256 over many small messages at once, for Merkle trees (RFC 9162, section 2.1.1). Two are
   hashed side by side, as an instruction waits for the one before it, and not for another message.

   Nothing here allocates, keeps a pointer after it returns, or trusts a length: whoever calls
   says how long each buffer is, and a length that does not fit is answered with 0. Where the
   processor has no instructions for SHA-256, `kernel_is_usable` says so, and no other function
   may be called.

   Source:
       FIPS 180-4, sections 5 and 6.2. */

#include <Python.h>
#include <stdint.h>
#include <string.h>

/* cffi lets other threads run around every call. Here most calls take microseconds, and a thread
   that only computes, once let in, stays for 5 ms: that made checking proofs beside it 30 times
   slower. So calls keep the interpreter lock, and those that take long let go of it themselves. */
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

enum {
    BLOCK = 64,
    HASH = 32,
    LEAF = 0,
    NODE = 1,
    SHORT_BLOCKS = 16,                /* the most that is hashed side by side */
    SHORT = SHORT_BLOCKS * BLOCK - 10, /* bytes; prefix, one bit and length come with them */
    LONG = 1 << 16,                   /* bytes; some 20 us */
};

static const uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t FIRST_STATE[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

static int has_instructions(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29; /* SHA */
}

#define INSTRUCTIONS __attribute__((target("sha,sse4.1,ssse3")))

/* The instructions want the state as A B E F and C D G H, highest first. Each runs two rounds,
   and makes of the old A B E F the new C D G H. */
INSTRUCTIONS INLINE void compress(uint32_t state[][8], const uint8_t *const data[], size_t blocks,
                                  const int lanes)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef[2], cdgh[2];
#pragma GCC unroll 2
    for (int lane = 0; lane < lanes; lane++) {
        const __m128i *from = (const __m128i *)state[lane];
        const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(from), 0xb1);
        const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(from + 1), 0x1b);
        abef[lane] = _mm_alignr_epi8(badc, hgfe, 8);
        cdgh[lane] = _mm_blend_epi16(hgfe, badc, 0xf0);
    }
    for (size_t block = 0; block < blocks; block++) {
        __m128i abef_before[2], cdgh_before[2], words[2][4];
#pragma GCC unroll 2
        for (int lane = 0; lane < lanes; lane++) {
            abef_before[lane] = abef[lane];
            cdgh_before[lane] = cdgh[lane];
        }
#pragma GCC unroll 16
        for (int four = 0; four < 16; four++) {
            const __m128i constants = _mm_loadu_si128((const __m128i *)ROUND_CONSTANTS + four);
#pragma GCC unroll 2
            for (int lane = 0; lane < lanes; lane++) {
                __m128i *w = words[lane], *now = &w[four % 4];
                if (four < 4) {
                    const uint8_t *from = data[lane] + block * BLOCK + 16 * four;
                    *now = _mm_loadu_si128((const __m128i *)from);
                    *now = _mm_shuffle_epi8(*now, big_endian);
                } else {
                    const __m128i last = w[(four + 3) % 4];
                    const __m128i seventh = _mm_alignr_epi8(last, w[(four + 2) % 4], 4);
                    *now = _mm_sha256msg1_epu32(*now, w[(four + 1) % 4]);
                    *now = _mm_sha256msg2_epu32(_mm_add_epi32(*now, seventh), last);
                }
                const __m128i sums = _mm_add_epi32(*now, constants);
                const __m128i other_sums = _mm_shuffle_epi32(sums, 0x0e);
                cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sums);
                abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], other_sums);
            }
        }
#pragma GCC unroll 2
        for (int lane = 0; lane < lanes; lane++) {
            abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        }
    }
#pragma GCC unroll 2
    for (int lane = 0; lane < lanes; lane++) {
        __m128i *to = (__m128i *)state[lane];
        const __m128i feba = _mm_shuffle_epi32(abef[lane], 0x1b);
        const __m128i dchg = _mm_shuffle_epi32(cdgh[lane], 0xb1);
        _mm_storeu_si128(to, _mm_blend_epi16(feba, dchg, 0xf0));
        _mm_storeu_si128(to + 1, _mm_alignr_epi8(dchg, feba, 8));
    }
}

#elif defined(__aarch64__) && (defined(__linux__) || defined(__ARM_FEATURE_SHA2))

#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
static int has_instructions(void)
{
    return (getauxval(AT_HWCAP) & 1ul << 6) != 0; /* SHA2 */
}
#else
static int has_instructions(void)
{
    return 1; /* compiled for processors that have them */
}
#endif

#if defined(__ARM_FEATURE_SHA2)
#define INSTRUCTIONS
#elif defined(__clang__)
#define INSTRUCTIONS __attribute__((target("sha2")))
#else
#define INSTRUCTIONS __attribute__((target("+crypto")))
#endif

INSTRUCTIONS INLINE void compress(uint32_t state[][8], const uint8_t *const data[], size_t blocks,
                                  const int lanes)
{
    uint32x4_t abcd[2], efgh[2];
#pragma GCC unroll 2
    for (int lane = 0; lane < lanes; lane++) {
        abcd[lane] = vld1q_u32(state[lane]);
        efgh[lane] = vld1q_u32(state[lane] + 4);
    }
    for (size_t block = 0; block < blocks; block++) {
        uint32x4_t abcd_before[2], efgh_before[2], words[2][4];
#pragma GCC unroll 2
        for (int lane = 0; lane < lanes; lane++) {
            abcd_before[lane] = abcd[lane];
            efgh_before[lane] = efgh[lane];
        }
#pragma GCC unroll 16
        for (int four = 0; four < 16; four++) {
            const uint32x4_t constants = vld1q_u32(ROUND_CONSTANTS + 4 * four);
#pragma GCC unroll 2
            for (int lane = 0; lane < lanes; lane++) {
                uint32x4_t *w = words[lane], *now = &w[four % 4];
                if (four < 4) {
                    const uint8x16_t bytes = vld1q_u8(data[lane] + block * BLOCK + 16 * four);
                    *now = vreinterpretq_u32_u8(vrev32q_u8(bytes));
                } else {
                    *now = vsha256su0q_u32(*now, w[(four + 1) % 4]);
                    *now = vsha256su1q_u32(*now, w[(four + 2) % 4], w[(four + 3) % 4]);
                }
                const uint32x4_t sums = vaddq_u32(*now, constants);
                const uint32x4_t abcd_old = abcd[lane];
                abcd[lane] = vsha256hq_u32(abcd[lane], efgh[lane], sums);
                efgh[lane] = vsha256h2q_u32(efgh[lane], abcd_old, sums);
            }
        }
#pragma GCC unroll 2
        for (int lane = 0; lane < lanes; lane++) {
            abcd[lane] = vaddq_u32(abcd[lane], abcd_before[lane]);
            efgh[lane] = vaddq_u32(efgh[lane], efgh_before[lane]);
        }
    }
#pragma GCC unroll 2
    for (int lane = 0; lane < lanes; lane++) {
        vst1q_u32(state[lane], abcd[lane]);
        vst1q_u32(state[lane] + 4, efgh[lane]);
    }
}

#else

static int has_instructions(void)
{
    return 0;
}

#define INSTRUCTIONS

static void compress(uint32_t state[][8], const uint8_t *const data[], size_t blocks, int lanes)
{
    (void)state, (void)data, (void)blocks, (void)lanes;
}

#endif

INSTRUCTIONS static void compress_one(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    compress((uint32_t(*)[8])state, &data, blocks, 1);
}

INSTRUCTIONS static void compress_two(uint32_t state[2][8], const uint8_t *const data[2],
                                      size_t blocks)
{
    compress(state, data, blocks, 2);
}

static void write_be32(uint8_t *to, uint32_t value)
{
    for (int byte = 0; byte < 4; byte++)
        to[byte] = (uint8_t)(value >> (24 - 8 * byte));
}

static void write_state(uint8_t to[HASH], const uint32_t state[8])
{
    for (int word = 0; word < 8; word++)
        write_be32(to + 4 * word, state[word]);
}

/* Pad a message of `length` bytes, of which the last `used` lie in `to`; count the blocks there. */
static size_t pad(uint8_t *to, size_t used, uint64_t length)
{
    to[used++] = 0x80;
    const size_t end = (used + 8 + BLOCK - 1) / BLOCK * BLOCK;
    memset(to + used, 0, end - 8 - used);
    write_be32(to + end - 8, (uint32_t)(length >> 29));
    write_be32(to + end - 4, (uint32_t)(length << 3));
    return end / BLOCK;
}

/* SHA-256(prefix || data). */
static void hash(uint8_t prefix, const uint8_t *data, size_t length, uint8_t to[HASH])
{
    uint32_t state[8];
    uint8_t rest[2 * BLOCK];
    const uint64_t whole = (uint64_t)length + 1;
    size_t used = 1;

    memcpy(state, FIRST_STATE, sizeof state);
    rest[0] = prefix;
    if (length >= BLOCK - 1) {
        memcpy(rest + 1, data, BLOCK - 1);
        compress_one(state, rest, 1);
        data += BLOCK - 1;
        length -= BLOCK - 1;
        compress_one(state, data, length / BLOCK);
        data += length / BLOCK * BLOCK;
        length %= BLOCK;
        used = 0;
    }
    memcpy(rest + used, data, length);
    compress_one(state, rest, pad(rest, used + length, whole));
    write_state(to, state);
}

/* The same of two that lie one behind the other, `gap` bytes between them, into `to`. */
static void hash_two(uint8_t prefix, const uint8_t *data, size_t first, size_t gap, size_t second,
                     uint8_t to[2 * HASH])
{
    if (first > SHORT || second > SHORT) {
        hash(prefix, data, first, to);
        hash(prefix, data + first + gap, second, to + HASH);
        return;
    }
    uint32_t state[2][8];
    uint8_t padded[2][SHORT_BLOCKS * BLOCK];
    size_t blocks[2];
    const uint8_t *lanes[2] = {padded[0], padded[1]};

    for (int lane = 0; lane < 2; lane++) {
        const size_t length = lane ? second : first;
        memcpy(state[lane], FIRST_STATE, sizeof state[lane]);
        padded[lane][0] = prefix;
        memcpy(padded[lane] + 1, lane ? data + first + gap : data, length);
        blocks[lane] = pad(padded[lane], length + 1, length + 1);
    }
    const size_t both = blocks[0] < blocks[1] ? blocks[0] : blocks[1];
    compress_two(state, lanes, both);
    for (int lane = 0; lane < 2; lane++) {
        compress_one(state[lane], padded[lane] + both * BLOCK, blocks[lane] - both);
        write_state(to + HASH * lane, state[lane]);
    }
}

/* Says whether the functions below may be called on this processor. */
static int kernel_is_usable(void)
{
    return has_instructions();
}

/* Whether ends and lengths agree, and fill `data`. */
static int agree(const uint8_t *data, size_t size, uint64_t begin, const uint64_t *ends,
                 size_t count, size_t width)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t end = ends[i] - begin; /* if it is below, more than any size */
        uint64_t said = 0;
        if (end > size || end < at || end - at < width)
            return 0;
        for (size_t byte = 0; byte < width; byte++)
            said = said << 8 | data[at + byte];
        if (width && said != end - at - width)
            return 0;
        at = (size_t)end;
    }
    return at == size;
}

/* Hash entries that lie one after another, each behind `width` bytes (0, 2 or 4) that say its
   length, big-endian. `ends` counts from `begin`. Answers 0 unless ends and lengths agree and
   fill `data`. */
static int kernel_leaves(const uint8_t *data, size_t size, uint64_t begin, const uint64_t *ends,
                         size_t count, size_t width, uint8_t *to, size_t to_size)
{
    if (to_size % HASH || to_size / HASH != count || width > 4)
        return 0;
    PyThreadState *ours = size >= LONG ? PyEval_SaveThread() : NULL;
    const int is_sound = agree(data, size, begin, ends, count, width);
    if (is_sound) {
        size_t at = width, i = 0;
        for (; i + 1 < count; i += 2) {
            const size_t end = (size_t)(ends[i] - begin), next = (size_t)(ends[i + 1] - begin);
            hash_two(LEAF, data + at, end - at, width, next - end - width, to + HASH * i);
            at = next + width;
        }
        if (i < count)
            hash(LEAF, data + at, size - at, to + HASH * i);
    }
    if (ours)
        PyEval_RestoreThread(ours);
    return is_sound;
}

/* Lay entries out as a file holds them, each behind `width` bytes (2 or 4) that say its length,
   and hash them; `leaves_size` may be 0 to leave that out. `ends` gets where each ends, counted
   from `begin`, 8 bytes each, little-endian. Answers 0 unless everything fits exactly. */
static int kernel_lay_out(const uint8_t *joined, size_t size, const uint64_t *lengths, size_t count,
                          size_t width, uint64_t begin, uint8_t *data, size_t data_size,
                          uint8_t *ends, size_t ends_size, uint8_t *leaves, size_t leaves_size)
{
    const size_t most = width == 2 ? 0xffff : 0xffffffff;
    const uint8_t *from = joined;
    size_t left = size;

    if ((width != 2 && width != 4) || ends_size % 8 || ends_size / 8 != count ||
        data_size < size || data_size - size != count * width ||
        (leaves_size && (leaves_size % HASH || leaves_size / HASH != count)))
        return 0;
    for (size_t i = 0; i < count; left -= (size_t)lengths[i++])
        if (lengths[i] > left || lengths[i] > most)
            return 0;
    if (left)
        return 0;
    PyThreadState *ours = size >= LONG ? PyEval_SaveThread() : NULL;
    for (size_t i = 0; i < count; i++, ends += 8) {
        const size_t length = (size_t)lengths[i];
        for (size_t byte = 0; byte < width; byte++)
            *data++ = (uint8_t)(length >> 8 * (width - 1 - byte));
        memcpy(data, from, length);
        data += length;
        from += length;
        begin += width + length;
        for (int byte = 0; byte < 8; byte++)
            ends[byte] = (uint8_t)(begin >> 8 * byte);
    }
    if (leaves_size) {
        size_t i = 0;
        for (from = joined; i + 1 < count; from += lengths[i] + lengths[i + 1], i += 2)
            hash_two(LEAF, from, lengths[i], 0, lengths[i + 1], leaves + HASH * i);
        if (i < count)
            hash(LEAF, from, lengths[i], leaves + HASH * i);
    }
    if (ours)
        PyEval_RestoreThread(ours);
    return 1;
}

/* Hash each two hashes of a row into their parent. */
static int kernel_parents(const uint8_t *row, size_t size, uint8_t *to, size_t to_size)
{
    if (size % (2 * HASH) || to_size != size / 2)
        return 0;
    PyThreadState *ours = size >= LONG ? PyEval_SaveThread() : NULL;
    for (; size >= 4 * HASH; size -= 4 * HASH, row += 4 * HASH, to += 2 * HASH)
        hash_two(NODE, row, 2 * HASH, 0, 2 * HASH, to);
    if (size)
        hash(NODE, row, 2 * HASH, to);
    if (ours)
        PyEval_RestoreThread(ours);
    return 1;
}

/* Hash a node with one sibling after another; bit i of `left` says that sibling i, counted from
   the node, stands on the left. At most 64, which take some 10 us. */
static int kernel_climb(const uint8_t *node, size_t node_size, const uint8_t *siblings,
                        size_t size, uint64_t left, uint8_t *to, size_t to_size)
{
    uint8_t pair[2 * HASH], now[HASH];

    if (node_size != HASH || size % HASH || size / HASH > 64 || to_size != HASH)
        return 0;
    memcpy(now, node, HASH);
    for (; size; size -= HASH, siblings += HASH, left >>= 1) {
        const int is_left = (int)(left & 1);
        memcpy(pair + HASH * is_left, now, HASH);
        memcpy(pair + HASH * !is_left, siblings, HASH);
        hash(NODE, pair, 2 * HASH, now);
    }
    memcpy(to, now, HASH);
    return 1;
}
