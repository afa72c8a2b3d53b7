#include "primitives.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

enum { HEADER = 16, TAG = 16, BLOCK = 64, END = 32, COUNTER_AT = 8 };

static struct primitives found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t load32(const uint8_t *from) {
  return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

void direct_key(uint32_t words[8], const uint8_t key[32]) {
  for (int i = 0; i < 8; i++) words[i] = load32(key + 4 * i);
}

static void nonce_of(uint32_t counter[4], const uint8_t *packet, uint32_t block) {
  counter[0] = block;
  counter[1] = 0;
  counter[2] = load32(packet + COUNTER_AT);
  counter[3] = load32(packet + COUNTER_AT + 4);
}

/* RFC 8439 2.8: the ciphertext padded to 16 bytes, and both lengths, of which the first is zero. */
static void lengths_block(uint8_t block[16], size_t size) {
  memset(block, 0, 8);
  for (int i = 0; i < 8; i++) block[8 + i] = (uint8_t)((uint64_t)size >> (8 * i));
}

/*
 * The tag of `size` bytes goes to `tag`. One update is cheaper by 0.1 us than two of which the first ends within a block: the
 * padding and the lengths are written behind the payload, and what stood there is put back.
 */
static void authenticate(const struct primitives *use, void *poly, const uint8_t one_time_key[32], uint8_t *payload,
                         size_t size, uint8_t tag[16]) {
  uint8_t kept[END], *end = payload + size;
  size_t padding = (16 - size % 16) % 16;
  memcpy(kept, end, END);
  memset(end, 0, padding);
  lengths_block(end + padding, size);
  use->poly1305_init(poly, one_time_key);
  use->poly1305_update(poly, payload, size + padding + 16);
  use->poly1305_final(poly, tag);
  memcpy(end, kept, END);
}

/*
 * The one-time key is the key stream's block 0, the payload is XORed with those from block 1 on. One call for both is cheaper by
 * 0.06 us: the block is made where the header is, which is put back.
 */
void direct_seal(const struct primitives *use, void *poly, const uint32_t key[8], uint8_t *packet, size_t length) {
  uint8_t *payload = packet + HEADER, *block = payload - BLOCK, kept[BLOCK], one_time_key[32];
  size_t size = length - HEADER - TAG;
  uint32_t counter[4];
  nonce_of(counter, packet, 0);
  memcpy(kept, block, BLOCK);
  memset(block, 0, BLOCK);
  use->chacha20(block, block, BLOCK + size, key, counter);
  memcpy(one_time_key, block, sizeof one_time_key);
  memcpy(block, kept, BLOCK);
  uint8_t tag[TAG];
  authenticate(use, poly, one_time_key, payload, size, tag);
  memcpy(payload + size, tag, TAG);
  OPENSSL_cleanse(one_time_key, sizeof one_time_key);
}

bool direct_open(const struct primitives *use, void *poly, const uint32_t key[8], uint8_t *packet, size_t length) {
  uint8_t *payload = packet + HEADER, block[BLOCK] = {0}, tag[TAG];
  size_t size = length - HEADER - TAG;
  uint32_t counter[4];
  nonce_of(counter, packet, 0);
  use->chacha20(block, block, BLOCK, key, counter);
  authenticate(use, poly, block, payload, size, tag);
  OPENSSL_cleanse(block, sizeof block);
  if (CRYPTO_memcmp(payload + size, tag, TAG) != 0) return false;
  counter[0] = 1;
  if (size > 0) use->chacha20(payload, payload, size, key, counter);
  return true;
}

/* Whether what was found under these names does what EVP does, at sizes that take each of its ways. */
static bool agrees(const struct primitives *use) {
  static const int sizes[] = {0, 1, 16, 63, 64, 160, 511, 768, 1088, 1424, 2064};
  enum { ROOM = BLOCK, MOST = 2064 };
  uint8_t area[ROOM + HEADER + MOST + TAG + DIRECT_AFTER], key[32];
  _Alignas(64) uint8_t poly[POLY1305_BYTES];
  uint32_t words[8];
  for (unsigned i = 0; i < sizeof key; i++) key[i] = (uint8_t)(i * 11 + 3);
  direct_key(words, key);
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  bool good = context != NULL;
  for (unsigned n = 0; good && n < sizeof sizes / sizeof *sizes; n++) {
    int size = sizes[n], out = 0;
    uint8_t nonce[12] = {0}, expected[MOST + TAG], plain[MOST], *packet = area + ROOM;
    for (int i = 0; i < size; i++) plain[i] = (uint8_t)(i * 7 + size);
    memset(area, 0x5a, sizeof area); /* also what must be left alone */
    memcpy(packet + HEADER, plain, (size_t)size);
    for (int i = 0; i < 8; i++) packet[COUNTER_AT + i] = nonce[4 + i] = (uint8_t)(0xf0 + i + size);
    good = EVP_CipherInit_ex(context, EVP_chacha20_poly1305(), NULL, key, nonce, 1) == 1 &&
           (size == 0 || EVP_CipherUpdate(context, expected, &out, plain, size) == 1) &&
           EVP_CipherFinal_ex(context, expected + size, &out) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG, expected + size) == 1;
    if (!good) break;
    direct_seal(use, poly, words, packet, (size_t)size + HEADER + TAG);
    good = memcmp(packet + HEADER, expected, (size_t)size + TAG) == 0 && area[ROOM - DIRECT_BEFORE] == 0x5a && packet[0] == 0x5a &&
           packet[HEADER + size + TAG] == 0x5a &&
           direct_open(use, poly, words, packet, (size_t)size + HEADER + TAG) &&
           memcmp(packet + HEADER, plain, (size_t)size) == 0;
    if (!good) break;
    memcpy(packet + HEADER, expected, (size_t)size + TAG);
    packet[HEADER + size] ^= 1;
    good = !direct_open(use, poly, words, packet, (size_t)size + HEADER + TAG);
  }
  EVP_CIPHER_CTX_free(context);
  return good;
}

/* RFC 7748 6.1, Alice's side; a point of order one gives zero. */
static bool agrees_x25519(const struct primitives *use) {
  static const uint8_t secret[33] = "\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45"
                                    "\xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5\x1d\xb9\x2c\x2a";
  static const uint8_t point[33] = "\xde\x9e\xdb\x7d\x7b\x7d\xc1\xb4\xd3\x5b\x61\xc2\xec\xe4\x35\x37"
                                   "\x3f\x83\x43\xc8\x5b\x78\x67\x4d\xad\xfc\x7e\x14\x6f\x88\x2b\x4f";
  static const uint8_t shared[33] = "\x4a\x5d\x9d\x5b\xa4\xce\x2d\xe1\x72\x8e\x3b\xf4\x80\x35\x0f\x25"
                                    "\xe0\x7e\x21\xc9\x47\xd1\x9e\x33\x76\xf0\x9b\x3c\x1e\x16\x17\x42";
  static const uint8_t public_key[33] = "\x85\x20\xf0\x09\x89\x30\xa7\x54\x74\x8b\x7d\xdc\xb4\x3e\xf7\x5a"
                                        "\x0d\xbf\x3a\x0d\x26\x38\x1a\xf4\xeb\xa4\xa9\x8e\xaa\x9b\x4e\x6a";
  static const uint8_t zero[32];
  uint8_t out[32];
  use->x25519_public(out, secret);
  if (memcmp(out, public_key, 32) != 0) return false;
  return use->x25519(out, secret, point) == 1 && memcmp(out, shared, 32) == 0 && use->x25519(out, secret, zero) == 0;
}

static void find(void) {
  struct primitives use = {0};
  size_t (*context_bytes)(void) = NULL;
  /* ISO C has no conversion of object pointers to function pointers; POSIX dlsym(3) asks for this one. */
#define FIND(target, name) *(void **)(void *)&(target) = dlsym(RTLD_DEFAULT, name)
  FIND(use.chacha20, "ChaCha20_ctr32");
  FIND(use.poly1305_init, "Poly1305_Init");
  FIND(use.poly1305_update, "Poly1305_Update");
  FIND(use.poly1305_final, "Poly1305_Final");
  FIND(context_bytes, "Poly1305_ctx_size");
  FIND(use.x25519, "ossl_x25519");
  FIND(use.x25519_public, "ossl_x25519_public_from_private");
#undef FIND
  bool complete = use.chacha20 != NULL && use.poly1305_init != NULL && use.poly1305_update != NULL &&
                  use.poly1305_final != NULL && context_bytes != NULL;
  use.has_aead = complete && context_bytes() <= POLY1305_BYTES && agrees(&use);
  if (use.x25519 == NULL || use.x25519_public == NULL || !agrees_x25519(&use)) use.x25519 = NULL;
  found = use;
}

const struct primitives *primitives(void) {
  pthread_once(&once, find);
  return &found;
}
