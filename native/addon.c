/* The table of functions, reading of arguments, and the numbers that load-native.ts compares. */
#include "addon.h"

#include <stdio.h>
#include <stdlib.h>

struct call call_begin(napi_env env, napi_callback_info info) {
  struct call call = {.env = env, .bad = false};
  size_t count = sizeof call.argv / sizeof *call.argv; /* absent ones are filled with undefined */
  if (napi_get_cb_info(env, info, &count, call.argv, NULL, NULL) != napi_ok) call.bad = true;
  return call;
}

void call_refuse(struct call *call, unsigned index, const char *wanted) {
  if (call->bad) return;
  call->bad = true;
  char message[96];
  snprintf(message, sizeof message, "argument %u must be %s", index + 1, wanted);
  napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", message);
}

double call_double(struct call *call, unsigned index) {
  double value = 0;
  if (call->bad) return 0;
  if (napi_get_value_double(call->env, call->argv[index], &value) != napi_ok || value != value) {
    call_refuse(call, index, "a number");
    return 0;
  }
  return value;
}

int32_t call_int(struct call *call, unsigned index) {
  double value = call_double(call, index);
  if (value >= -2147483648.0 && value <= 2147483647.0 && (double)(int32_t)value == value) return (int32_t)value;
  call_refuse(call, index, "a 32-bit integer");
  return 0;
}

uint32_t call_unsigned(struct call *call, unsigned index) {
  double value = call_double(call, index);
  if (value >= 0 && value <= 4294967295.0 && (double)(uint32_t)value == value) return (uint32_t)value;
  call_refuse(call, index, "an unsigned 32-bit integer");
  return 0;
}

bool call_bool(struct call *call, unsigned index) {
  bool value = false;
  if (!call->bad && napi_get_value_bool(call->env, call->argv[index], &value) != napi_ok)
    call_refuse(call, index, "a boolean");
  return value;
}

void call_name(struct call *call, unsigned index, char name[NAME_BYTES]) {
  size_t length = 0;
  char copy[NAME_BYTES + 4]; /* room to see that it is too long, even when a UTF-8 character is cut */
  memset(name, 0, NAME_BYTES);
  if (call->bad) return;
  if (napi_get_value_string_utf8(call->env, call->argv[index], copy, sizeof copy, &length) != napi_ok ||
      length >= NAME_BYTES || memchr(copy, 0, length) != NULL) {
    call_refuse(call, index, "a string of at most 15 bytes");
    return;
  }
  memcpy(name, copy, length);
}

static void *typed_array(struct call *call, unsigned index, napi_typedarray_type wanted, const char *name,
                         size_t *length) {
  napi_typedarray_type type;
  void *data = NULL;
  bool is = false;
  *length = 0;
  if (call->bad) return NULL;
  if (napi_is_typedarray(call->env, call->argv[index], &is) != napi_ok || !is ||
      napi_get_typedarray_info(call->env, call->argv[index], &type, length, &data, NULL, NULL) != napi_ok ||
      type != wanted) {
    *length = 0;
    call_refuse(call, index, name);
    return NULL;
  }
  return data;
}

uint8_t *call_bytes(struct call *call, unsigned index, size_t *length) {
  return typed_array(call, index, napi_uint8_array, "a Uint8Array", length);
}

int32_t *call_ints(struct call *call, unsigned index, size_t *length) {
  return typed_array(call, index, napi_int32_array, "an Int32Array", length);
}

napi_value call_give(struct call *call, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(call->env, value, &result);
  return result;
}

/*
 * What was copied last stays in vector registers, and V8 writes all of them to memory that it never wipes when it deoptimizes a
 * function. The upper halves are clear: glibc and OpenSSL end with vzeroupper.
 */
static void clear_registers(void) {
#if defined(__x86_64__)
  __asm__ volatile(
      "pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\tpxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
      "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\tpxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
      "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\tpxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
      "pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\tpxor %%xmm14, %%xmm14\n\tpxor %%xmm15, %%xmm15"
      :
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
        "xmm14", "xmm15");
#elif defined(__aarch64__)
  /* v8 to v15 are the caller's. */
  __asm__ volatile(
      "movi v0.2d, #0\n\tmovi v1.2d, #0\n\tmovi v2.2d, #0\n\tmovi v3.2d, #0\n\t"
      "movi v4.2d, #0\n\tmovi v5.2d, #0\n\tmovi v6.2d, #0\n\tmovi v7.2d, #0\n\t"
      "movi v16.2d, #0\n\tmovi v17.2d, #0\n\tmovi v18.2d, #0\n\tmovi v19.2d, #0\n\t"
      "movi v20.2d, #0\n\tmovi v21.2d, #0\n\tmovi v22.2d, #0\n\tmovi v23.2d, #0\n\t"
      "movi v24.2d, #0\n\tmovi v25.2d, #0\n\tmovi v26.2d, #0\n\tmovi v27.2d, #0\n\t"
      "movi v28.2d, #0\n\tmovi v29.2d, #0\n\tmovi v30.2d, #0\n\tmovi v31.2d, #0"
      :
      :
      : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
        "v26", "v27", "v28", "v29", "v30", "v31");
#endif
}

napi_value call_give_clean(struct call *call, int32_t value) {
  clear_registers();
  return call_give(call, value);
}

napi_value call_give_name(struct call *call, int error, const char *name) {
  napi_value result = NULL;
  if (error < 0) return call_give(call, error);
  napi_create_string_utf8(call->env, name, NAPI_AUTO_LENGTH, &result);
  return result;
}

static const struct number {
  const char *name;
  int32_t value;
} numbers[] = {
#define SIZE_NUMBER(name, value) {#name, value},
    SLAB_SIZES(SIZE_NUMBER)
#undef SIZE_NUMBER
#define REGION_NUMBER(name, bytes) {"region." #name, name##_at}, {"bytes." #name, bytes},
    SLAB_REGIONS(REGION_NUMBER)
#undef REGION_NUMBER
    {"region.end", SLAB_BYTES},
    {"endpoint.family", offsetof(struct endpoint, family)},
    {"endpoint.port", offsetof(struct endpoint, port)},
    {"endpoint.scope", offsetof(struct endpoint, scope)},
    {"endpoint.address", offsetof(struct endpoint, address)},
    {"endpoint.source", offsetof(struct endpoint, source)},
    {"endpoint.sourceInterface", offsetof(struct endpoint, source_interface)},
    {"endpoint.reserved", offsetof(struct endpoint, reserved)},
    {"counter.malformed", COUNTER_MALFORMED},
    {"counter.splitDropped", COUNTER_SPLIT_DROPPED},
    {"counter.receivedDropped", COUNTER_RECEIVED_DROPPED},
    {"counter.checksum", COUNTER_CHECKSUM},
    {"counters", COUNTERS},
};

static void environment_free(napi_env env, void *data, void *hint) {
  struct environment *environment = data;
  (void)env;
  (void)hint;
  EVP_MD_CTX_free(environment->digest);
  EVP_MD_free(environment->blake2s);
  EVP_MAC_CTX_free(environment->mac);
  EVP_CIPHER_CTX_free(environment->cipher);
  free(environment);
}

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */) {
  static const napi_property_descriptor functions[] = {
#define DESCRIBE(name) {#name, NULL, native_##name, NULL, NULL, NULL, napi_enumerable, NULL},
      FUNCTIONS(DESCRIBE)
#undef DESCRIBE
  };
  struct environment *environment = calloc(1, sizeof *environment);
  napi_value abi, value;
  bool good = environment != NULL && napi_set_instance_data(env, environment, environment_free, NULL) == napi_ok &&
              napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) == napi_ok &&
              napi_create_object(env, &abi) == napi_ok;
  for (size_t i = 0; good && i < sizeof numbers / sizeof *numbers; i++) {
    good = napi_create_int32(env, numbers[i].value, &value) == napi_ok &&
           napi_set_named_property(env, abi, numbers[i].name, value) == napi_ok;
  }
  if (!good || napi_object_freeze(env, abi) != napi_ok || napi_set_named_property(env, exports, "abi", abi) != napi_ok)
    napi_throw_error(env, NULL, "the native addon cannot be set up");
  return exports;
}
