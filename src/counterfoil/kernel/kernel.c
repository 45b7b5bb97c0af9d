/* SHA-256 over many small messages at once, for Merkle trees (RFC 9162, section 2.1.1).

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

enum { BLOCK = 64, HASH = 32, LEAF = 0, NODE = 1, LONG = 1 << 16 /* bytes; some 50 us */ };

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

/* The instructions want the state as A B E F and C D G H, highest first. Each runs two rounds,
   and makes of the old A B E F the new C D G H. */
__attribute__((target("sha,sse4.1,ssse3")))
static void compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);

    for (; blocks; blocks--, data += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
#pragma GCC unroll 16
        for (int four = 0; four < 16; four++) {
            __m128i *now = &w[four % 4];
            if (four < 4) {
                *now = _mm_loadu_si128((const __m128i *)data + four);
                *now = _mm_shuffle_epi8(*now, big_endian);
            } else {
                const __m128i last = w[(four + 3) % 4];
                const __m128i seventh = _mm_alignr_epi8(last, w[(four + 2) % 4], 4);
                *now = _mm_sha256msg1_epu32(*now, w[(four + 1) % 4]);
                *now = _mm_sha256msg2_epu32(_mm_add_epi32(*now, seventh), last);
            }
            const __m128i constants = _mm_loadu_si128((const __m128i *)ROUND_CONSTANTS + four);
            const __m128i sums = _mm_add_epi32(*now, constants);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sums);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sums, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
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

#if !defined(__clang__)
__attribute__((target("+crypto")))
#elif !defined(__ARM_FEATURE_SHA2)
__attribute__((target("sha2")))
#endif
static void compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);

    for (; blocks; blocks--, data += BLOCK) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t w[4];
#pragma GCC unroll 16
        for (int four = 0; four < 16; four++) {
            uint32x4_t *now = &w[four % 4];
            if (four < 4) {
                *now = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * four)));
            } else {
                *now = vsha256su0q_u32(*now, w[(four + 1) % 4]);
                *now = vsha256su1q_u32(*now, w[(four + 2) % 4], w[(four + 3) % 4]);
            }
            const uint32x4_t sums = vaddq_u32(*now, vld1q_u32(ROUND_CONSTANTS + 4 * four));
            const uint32x4_t abcd_old = abcd;
            abcd = vsha256hq_u32(abcd, efgh, sums);
            efgh = vsha256h2q_u32(efgh, abcd_old, sums);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

#else

static int has_instructions(void)
{
    return 0;
}

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    (void)state, (void)data, (void)blocks;
}

#endif

static void write_be32(uint8_t *to, uint32_t value)
{
    for (int byte = 0; byte < 4; byte++)
        to[byte] = (uint8_t)(value >> (24 - 8 * byte));
}

/* SHA-256(prefix || data). `to` may overlap `data`: it is written last. */
static void hash(uint8_t prefix, const uint8_t *data, size_t length, uint8_t to[HASH])
{
    uint32_t state[8];
    uint8_t last[2 * BLOCK]; /* what fills no block, and the padding */
    const uint64_t bits = ((uint64_t)length + 1) * 8;
    size_t used = 1;

    memcpy(state, FIRST_STATE, sizeof state);
    last[0] = prefix;
    if (length >= BLOCK - 1) {
        memcpy(last + 1, data, BLOCK - 1);
        compress(state, last, 1);
        data += BLOCK - 1;
        length -= BLOCK - 1;
        compress(state, data, length / BLOCK);
        data += length / BLOCK * BLOCK;
        length %= BLOCK;
        used = 0;
    }
    if (length)
        memcpy(last + used, data, length);
    used += length;
    last[used++] = 0x80;
    const size_t end = used + 8 <= BLOCK ? BLOCK : 2 * BLOCK;
    memset(last + used, 0, end - 8 - used);
    write_be32(last + end - 8, (uint32_t)(bits >> 32));
    write_be32(last + end - 4, (uint32_t)bits);
    compress(state, last, end / BLOCK);
    for (int word = 0; word < 8; word++)
        write_be32(to + 4 * word, state[word]);
}

static int leaves(const uint8_t *data, size_t size, uint64_t begin, const uint64_t *ends,
                  size_t count, size_t width, uint8_t *to)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++, to += HASH) {
        const uint64_t end = ends[i] - begin; /* if it is below, more than any size */
        uint64_t said = 0;
        if (end > size || end < at || end - at < width)
            return 0;
        for (size_t byte = 0; byte < width; byte++)
            said = said << 8 | data[at + byte];
        at += width;
        if (width && said != end - at)
            return 0;
        hash(LEAF, data + at, (size_t)end - at, to);
        at = (size_t)end;
    }
    return at == size;
}

/* Says whether the functions below may be called on this processor. */
static int kernel_is_usable(void)
{
    return has_instructions();
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
    const int is_done = leaves(data, size, begin, ends, count, width, to);
    if (ours)
        PyEval_RestoreThread(ours);
    return is_done;
}

/* Hash each two hashes of a row into their parent. */
static int kernel_parents(const uint8_t *row, size_t size, uint8_t *to, size_t to_size)
{
    if (size % (2 * HASH) || to_size != size / 2)
        return 0;
    PyThreadState *ours = size >= LONG ? PyEval_SaveThread() : NULL;
    for (size_t at = 0; at < size; at += 2 * HASH)
        hash(NODE, row + at, 2 * HASH, to + at / 2);
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
