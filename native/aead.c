/*
 * Batched ChaCha20-Poly1305 in place, by the OpenSSL inside the node binary. A packet is 16 bytes of header, of
 * which the last eight are the counter, payload, 16 bytes of tag; the nonce is four zero bytes and the counter.
 *
 * Two ways to the same code: OpenSSL's primitives directly, where they are found (primitives.h), else through EVP.
 */
#include "addon.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

enum { KEY = 32, NONCE = 12, HEADER = 16, TAG = 16, COUNTER_AT = 8 };

static bool arm(struct slab *slab) {
  if (slab->armed) return true;
  const EVP_CIPHER *cipher = EVP_chacha20_poly1305();
  slab->armed = EVP_CipherInit_ex(slab->sealing, cipher, NULL, NULL, NULL, 1) == 1 &&
                EVP_CipherInit_ex(slab->opening, cipher, NULL, NULL, NULL, 0) == 1;
  return slab->armed;
}

/*
 * The cheaper of OpenSSL's ways for each step, found by measuring (docs/decisions/0005): parameters instead of
 * EVP_CIPHER_CTX_ctrl, the tag together with the nonce, and EVP_Cipher, which is EVP_CipherUpdate without its checks of overlap
 * and block size. EVP_Cipher gives the bytes written, or -1; it does not end a message.
 */
static void with_tag(OSSL_PARAM params[2], uint8_t *tag) {
  params[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG);
  params[1] = OSSL_PARAM_construct_end();
}

static bool seal_one(EVP_CIPHER_CTX *context, uint8_t *packet, int32_t length) {
  uint8_t nonce[NONCE] = {0}, *payload = packet + HEADER;
  int size = length - HEADER - TAG, out = 0;
  OSSL_PARAM tag[2];
  with_tag(tag, payload + size);
  memcpy(nonce + 4, packet + COUNTER_AT, 8);
  return EVP_CipherInit_ex2(context, NULL, NULL, nonce, 1, NULL) == 1 &&
         (size == 0 || EVP_Cipher(context, payload, payload, (unsigned)size) == size) &&
         EVP_CipherFinal_ex(context, payload + size, &out) == 1 && EVP_CIPHER_CTX_get_params(context, tag) == 1;
}

static bool open_one(EVP_CIPHER_CTX *context, uint8_t *packet, int32_t length) {
  uint8_t nonce[NONCE] = {0}, *payload = packet + HEADER;
  int size = length - HEADER - TAG, out = 0;
  OSSL_PARAM tag[2];
  with_tag(tag, payload + size);
  memcpy(nonce + 4, packet + COUNTER_AT, 8);
  return EVP_CipherInit_ex2(context, NULL, NULL, nonce, 0, tag) == 1 &&
         (size == 0 || EVP_Cipher(context, payload, payload, (unsigned)size) == size) &&
         EVP_CipherFinal_ex(context, payload + size, &out) == 1;
}

static_assert((int)inbound_at >= (int)DIRECT_BEFORE && (int)SLAB_BYTES - (int)slab_used >= (int)DIRECT_AFTER, "room around each packet");

/* Between batches nothing is kept: no schedule, no one-time key. */
static void direct_wipe(struct slab *slab, uint32_t words[8]) {
  OPENSSL_cleanse(words, 8 * sizeof *words);
  OPENSSL_cleanse(slab->poly, sizeof slab->poly);
}

napi_value native_seal(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t length;
  struct slab *slab = call_slab(&call, 0);
  const uint8_t *key = call_bytes(&call, 1, &length);
  int32_t first = call_int(&call, 2), count = call_int(&call, 3);
  if (call.bad) return NULL;
  if (length != KEY || !in_list(first, count, DATAGRAMS_MAX)) return call_give(&call, -EINVAL);
  const int32_t *offsets = slab_list(slab, datagramOffset_at), *lengths = slab_list(slab, datagramLength_at);
  for (int32_t i = first; i < first + count; i++) {
    if (!in_slab(offsets[i], lengths[i]) || lengths[i] < HEADER + TAG) return call_give(&call, -EINVAL);
  }
  if (slab->direct) {
    uint32_t words[8];
    direct_key(words, key);
    for (int32_t i = first; i < first + count; i++)
      direct_seal(primitives(), slab->poly, words, slab->bytes + offsets[i], (size_t)lengths[i]);
    direct_wipe(slab, words);
    return call_give_clean(&call, 0);
  }
  if (!arm(slab) || EVP_CipherInit_ex(slab->sealing, NULL, NULL, key, NULL, 1) != 1) return call_give(&call, -EIO);
  for (int32_t i = first; i < first + count; i++) {
    if (!seal_one(slab->sealing, slab->bytes + offsets[i], lengths[i])) return call_give_clean(&call, -EIO);
  }
  return call_give_clean(&call, 0);
}

napi_value native_open(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t length;
  struct slab *slab = call_slab(&call, 0);
  const uint8_t *key = call_bytes(&call, 1, &length);
  int32_t first = call_int(&call, 2), count = call_int(&call, 3), authentic = 0;
  if (call.bad) return NULL;
  if (length != KEY || !in_list(first, count, RECEIVED_MAX)) return call_give(&call, -EINVAL);
  const int32_t *offsets = slab_list(slab, receivedOffset_at), *lengths = slab_list(slab, receivedLength_at);
  int32_t *opened = slab_list(slab, opened_at);
  for (int32_t i = first; i < first + count; i++) {
    opened[i] = -1;
    if (!in_slab(offsets[i], lengths[i])) return call_give(&call, -EINVAL);
  }
  uint32_t words[8];
  if (slab->direct) direct_key(words, key);
  else if (!arm(slab) || EVP_CipherInit_ex(slab->opening, NULL, NULL, key, NULL, 0) != 1)
    return call_give(&call, -EIO);
  for (int32_t i = first; i < first + count; i++) {
    uint8_t *packet = slab->bytes + offsets[i];
    if (lengths[i] < HEADER + TAG) continue;
    if (slab->direct ? !direct_open(primitives(), slab->poly, words, packet, (size_t)lengths[i])
                     : !open_one(slab->opening, packet, lengths[i]))
      continue;
    opened[i] = lengths[i] - HEADER - TAG;
    authentic++;
  }
  if (slab->direct) direct_wipe(slab, words);
  return call_give_clean(&call, authentic);
}

napi_value native_direct(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct slab *slab = call_slab(&call, 0);
  bool on = call_bool(&call, 1);
  if (call.bad) return NULL;
  slab->direct = on && primitives()->has_aead;
  return call_give(&call, slab->direct);
}

/* A reset frees the provider's context with OPENSSL_clear_free: key, key stream and Poly1305 state. */
napi_value native_forget(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  struct slab *slab = call_slab(&call, 0);
  if (call.bad) return NULL;
  EVP_CIPHER_CTX_reset(slab->sealing);
  EVP_CIPHER_CTX_reset(slab->opening);
  slab->armed = false;
  return NULL;
}
