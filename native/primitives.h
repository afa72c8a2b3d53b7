/*
 * OpenSSL's own ChaCha20, Poly1305 and X25519 below EVP. The node binary exports these functions though no header declares them:
 * they are found by name, compared with EVP once, and not used where either fails (docs/decisions/0014).
 */
#ifndef WIREHAUL_PRIMITIVES_H
#define WIREHAUL_PRIMITIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POLY1305_BYTES = 512 }; /* room for OpenSSL's context, which is 248 bytes in 3.0 */
enum { DIRECT_BEFORE = 48, DIRECT_AFTER = 16 };

struct primitives {
  /* XORs `length` bytes with the key stream that begins at block counter[0]; counter[1...3] are the nonce (RFC 8439 2.4). */
  void (*chacha20)(uint8_t *out, const uint8_t *in, size_t length, const uint32_t key[8], const uint32_t counter[4]);
  void (*poly1305_init)(void *context, const uint8_t key[32]);
  void (*poly1305_update)(void *context, const uint8_t *bytes, size_t length);
  void (*poly1305_final)(void *context, uint8_t tag[16]);
  /* 1, or 0: the shared secret is all zero. NULL: not found. */
  int (*x25519)(uint8_t out[32], const uint8_t secret[32], const uint8_t point[32]);
  /* The public key, by a table of multiples of the base point: half the time of x25519. NULL: not found. */
  void (*x25519_public)(uint8_t out[32], const uint8_t secret[32]);
  bool has_aead;
};

/* Found at the first call; the same for all threads. */
const struct primitives *primitives(void);

/*
 * One packet in place: 16 bytes of header, of which the last eight are the counter, payload, 16 bytes of tag. DIRECT_BEFORE
 * bytes before the packet and DIRECT_AFTER behind it are used and put back. `poly` is scratch of POLY1305_BYTES.
 */
void direct_seal(const struct primitives *use, void *poly, const uint32_t key[8], uint8_t *packet, size_t length);
/* False: not authentic; the packet is then as it was. */
bool direct_open(const struct primitives *use, void *poly, const uint32_t key[8], uint8_t *packet, size_t length);
void direct_key(uint32_t words[8], const uint8_t key[32]);

#endif
