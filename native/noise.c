/*
 * Steps of a handshake on OpenSSL without node:crypto between, which spends longer on objects than on the mathematics: X25519,
 * BLAKE2s plain, keyed and as HMAC, and the AEAD with associated data. Contexts are this thread's and hold no secret between
 * calls, but for the key of the last mac, which is made of a public key or is a cookie.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "addon.h"

enum { HASH = 32, BLOCK = 64, KEY = 32, TAG = 16, MAC = 16 };

static struct environment *environment_of(struct call *call) {
  void *data = NULL;
  if (call->bad || napi_get_instance_data(call->env, &data) != napi_ok) return NULL;
  return data;
}

napi_value native_x25519(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t out_bytes, secret_bytes, point_bytes;
  uint8_t *out = call_bytes(&call, 0, &out_bytes), result[KEY];
  const uint8_t *secret = call_bytes(&call, 1, &secret_bytes), *point = call_bytes(&call, 2, &point_bytes);
  if (call.bad) return NULL;
  if (out_bytes != KEY || secret_bytes != KEY || point_bytes != KEY) return call_give(&call, -EINVAL);
  if (primitives()->x25519 == NULL) return call_give(&call, -ENOSYS);
  int is_good = primitives()->x25519(result, secret, point) == 1;
  memcpy(out, result, KEY);
  OPENSSL_cleanse(result, sizeof result);
  return call_give_clean(&call, is_good);
}

napi_value native_x25519Public(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t out_bytes, secret_bytes;
  uint8_t *out = call_bytes(&call, 0, &out_bytes), result[KEY];
  const uint8_t *secret = call_bytes(&call, 1, &secret_bytes);
  if (call.bad) return NULL;
  if (out_bytes != KEY || secret_bytes != KEY) return call_give(&call, -EINVAL);
  if (primitives()->x25519 == NULL) return call_give(&call, -ENOSYS);
  primitives()->x25519_public(result, secret);
  memcpy(out, result, KEY);
  return call_give_clean(&call, 0);
}

static bool digest(struct environment *own, uint8_t out[HASH], const uint8_t *a, size_t a_bytes, const uint8_t *b,
                   size_t b_bytes) {
  if (own->digest == NULL) own->digest = EVP_MD_CTX_new();
  if (own->blake2s == NULL) own->blake2s = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
  /* The final step wipes the context's state (ossl_blake2s_final). */
  return own->digest != NULL && own->blake2s != NULL && EVP_DigestInit_ex2(own->digest, own->blake2s, NULL) == 1 &&
         EVP_DigestUpdate(own->digest, a, a_bytes) == 1 && EVP_DigestUpdate(own->digest, b, b_bytes) == 1 &&
         EVP_DigestFinal_ex(own->digest, out, NULL) == 1;
}

napi_value native_blake2s(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t out_bytes, a_bytes, b_bytes;
  uint8_t *out = call_bytes(&call, 0, &out_bytes), result[HASH];
  const uint8_t *a = call_bytes(&call, 1, &a_bytes), *b = call_bytes(&call, 2, &b_bytes);
  struct environment *own = environment_of(&call);
  if (call.bad || own == NULL) return NULL;
  if (out_bytes != HASH) return call_give(&call, -EINVAL);
  if (!digest(own, result, a, a_bytes, b, b_bytes)) return call_give(&call, -EIO);
  memcpy(out, result, HASH);
  return call_give_clean(&call, 0);
}

/* Keyed BLAKE2s with 16 bytes of output (RFC 7693 2.9). */
napi_value native_mac(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t out_bytes, key_bytes, input_bytes, done = 0, size = MAC;
  uint8_t *out = call_bytes(&call, 0, &out_bytes), result[MAC];
  const uint8_t *key = call_bytes(&call, 1, &key_bytes), *input = call_bytes(&call, 2, &input_bytes);
  struct environment *own = environment_of(&call);
  if (call.bad || own == NULL) return NULL;
  if (out_bytes != MAC || key_bytes == 0 || key_bytes > KEY) return call_give(&call, -EINVAL);
  if (own->mac == NULL) {
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
    own->mac = EVP_MAC_CTX_new(algorithm);
    EVP_MAC_free(algorithm); /* the context holds it */
  }
  OSSL_PARAM params[2] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
  bool good = own->mac != NULL && EVP_MAC_init(own->mac, key, key_bytes, params) == 1 &&
              EVP_MAC_update(own->mac, input, input_bytes) == 1 && EVP_MAC_final(own->mac, result, &done, MAC) == 1;
  if (!good || done != MAC) return call_give(&call, -EIO);
  memcpy(out, result, MAC);
  return call_give_clean(&call, 0);
}

/* RFC 2104. */
napi_value native_hmac(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t out_bytes, key_bytes, input_bytes;
  uint8_t *out = call_bytes(&call, 0, &out_bytes), pad[BLOCK] = {0}, inner[HASH];
  const uint8_t *key = call_bytes(&call, 1, &key_bytes), *input = call_bytes(&call, 2, &input_bytes);
  struct environment *own = environment_of(&call);
  if (call.bad || own == NULL) return NULL;
  if (out_bytes != HASH || key_bytes > BLOCK) return call_give(&call, -EINVAL);
  if (key_bytes > 0) memcpy(pad, key, key_bytes);
  for (int i = 0; i < BLOCK; i++) pad[i] ^= 0x36;
  bool good = digest(own, inner, pad, BLOCK, input, input_bytes);
  for (int i = 0; i < BLOCK; i++) pad[i] ^= 0x36 ^ 0x5c;
  good = good && digest(own, inner, pad, BLOCK, inner, HASH);
  if (good) memcpy(out, inner, HASH);
  OPENSSL_cleanse(pad, sizeof pad);
  OPENSSL_cleanse(inner, sizeof inner);
  return call_give_clean(&call, good ? 0 : -EIO);
}

/* Arguments: out, key, input, associated data; the nonce is zero. */
static napi_value aead(napi_env env, napi_callback_info info, bool sealing) {
  static const uint8_t nonce[12];
  struct call call = call_begin(env, info);
  size_t out_bytes, key_bytes, input_bytes, ad_bytes;
  uint8_t *out = call_bytes(&call, 0, &out_bytes), tag[TAG];
  const uint8_t *key = call_bytes(&call, 1, &key_bytes), *input = call_bytes(&call, 2, &input_bytes);
  const uint8_t *ad = call_bytes(&call, 3, &ad_bytes);
  struct environment *own = environment_of(&call);
  if (call.bad || own == NULL) return NULL;
  size_t size = sealing ? input_bytes : out_bytes;
  if (key_bytes != KEY || size > 65535 || ad_bytes > 65535 || (sealing ? out_bytes : input_bytes) != size + TAG)
    return call_give(&call, -EINVAL);
  if (own->cipher == NULL) own->cipher = EVP_CIPHER_CTX_new();
  int done = 0, is_sealing = sealing;
  bool good = own->cipher != NULL &&
              EVP_CipherInit_ex(own->cipher, EVP_chacha20_poly1305(), NULL, key, nonce, is_sealing) == 1;
  if (good && !sealing) {
    memcpy(tag, input + size, TAG);
    good = EVP_CIPHER_CTX_ctrl(own->cipher, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1;
  }
  good = good && (ad_bytes == 0 || EVP_CipherUpdate(own->cipher, NULL, &done, ad, (int)ad_bytes) == 1) &&
         (size == 0 || EVP_CipherUpdate(own->cipher, out, &done, input, (int)size) == 1);
  bool authentic = good && EVP_CipherFinal_ex(own->cipher, tag, &done) == 1;
  if (good && sealing) {
    good = authentic && EVP_CIPHER_CTX_ctrl(own->cipher, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1;
    if (good) memcpy(out + size, tag, TAG);
  }
  EVP_CIPHER_CTX_reset(own->cipher); /* wipes the key */
  if (!authentic && out_bytes > 0) OPENSSL_cleanse(out, out_bytes);
  return call_give_clean(&call, good ? authentic : -EIO);
}

napi_value native_noiseSeal(napi_env env, napi_callback_info info) { return aead(env, info, true); }
napi_value native_noiseOpen(napi_env env, napi_callback_info info) { return aead(env, info, false); }
