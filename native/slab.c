/* Slab handles: what a lane's buffer is registered as. */
#include <stdlib.h>

#include "addon.h"

/* Random; tells our externals from those of other addons. */
static const napi_type_tag slab_tag = {0x8f3a6c1be0d94725u, 0xb1572e9a40c86d3fu};

static void slab_free(napi_env env, void *data, void *hint) {
  struct slab *slab = data;
  (void)hint;
  EVP_CIPHER_CTX_free(slab->sealing); /* wipes the key */
  EVP_CIPHER_CTX_free(slab->opening);
  if (slab->buffer != NULL) napi_delete_reference(env, slab->buffer);
  free(slab);
}

napi_value native_slabAttach(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  bool is = false;
  void *bytes = NULL;
  size_t length = 0;
  if (call.bad) return NULL;
  if (napi_is_arraybuffer(env, call.argv[0], &is) != napi_ok || !is ||
      napi_get_arraybuffer_info(env, call.argv[0], &bytes, &length) != napi_ok || length != SLAB_BYTES ||
      (uintptr_t)bytes % 8 != 0) {
    call_refuse(&call, 0, "an ArrayBuffer of exactly slabLayout.end bytes");
    return NULL;
  }
  struct slab *slab = calloc(1, sizeof *slab);
  napi_value handle = NULL;
  if (slab == NULL) {
    napi_throw_error(env, NULL, "out of memory");
    return NULL;
  }
  slab->env = env;
  slab->bytes = bytes;
  slab->direct = primitives()->has_aead;
  slab->sealing = EVP_CIPHER_CTX_new();
  slab->opening = EVP_CIPHER_CTX_new();
  if (slab->sealing == NULL || slab->opening == NULL ||
      napi_create_reference(env, call.argv[0], 1, &slab->buffer) != napi_ok ||
      napi_create_external(env, slab, slab_free, NULL, &handle) != napi_ok) {
    slab_free(env, slab, NULL);
    napi_throw_error(env, NULL, "the slab cannot be registered");
    return NULL;
  }
  if (napi_type_tag_object(env, handle, &slab_tag) != napi_ok) { /* the finalizer frees it */
    napi_throw_error(env, NULL, "the slab cannot be registered");
    return NULL;
  }
  return handle;
}

/* Also looks whether the buffer was detached or transferred since: its memory is then somebody else's. */
struct slab *call_slab(struct call *call, unsigned index) {
  bool ours = false;
  napi_valuetype type;
  void *data = NULL, *bytes = NULL;
  size_t length = 0;
  napi_value buffer = NULL;
  if (call->bad) return NULL;
  napi_env env = call->env;
  napi_value value = call->argv[index];
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external ||
      napi_check_object_type_tag(env, value, &slab_tag, &ours) != napi_ok || !ours ||
      napi_get_value_external(env, value, &data) != napi_ok || data == NULL || ((struct slab *)data)->env != env) {
    call_refuse(call, index, "a slab handle of this thread");
    return NULL;
  }
  struct slab *slab = data;
  if (napi_get_reference_value(env, slab->buffer, &buffer) != napi_ok || buffer == NULL ||
      napi_get_arraybuffer_info(env, buffer, &bytes, &length) != napi_ok || bytes != slab->bytes ||
      length != SLAB_BYTES) {
    call_refuse(call, index, "a slab whose buffer was not transferred");
    return NULL;
  }
  return slab;
}

napi_value native_slabCounters(napi_env env, napi_callback_info info) {
  struct call call = call_begin(env, info);
  size_t length;
  struct slab *slab = call_slab(&call, 0);
  int32_t *out = call_ints(&call, 1, &length);
  if (call.bad) return NULL;
  if (length < COUNTERS) return call_give(&call, -EINVAL);
  memcpy(out, slab->counters, sizeof slab->counters);
  return call_give(&call, COUNTERS);
}
