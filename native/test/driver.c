/*
 * Runs one fuzz target without libFuzzer: replays the files and folders that it is given, else makes random scripts.
 *   TARGET [--runs N] [--seed N] [file or folder ...]
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { SCRIPT_MAX = 1 << 20, RANDOM_MAX = 600 };

static uint64_t state;

static uint32_t roll(uint32_t below) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return below == 0 ? 0 : (uint32_t)((state * 0x2545f4914f6cdd1du) >> 33) % below;
}

/* In memory of exactly its size. */
static void run_one(const uint8_t *bytes, size_t size) {
  uint8_t *exact = malloc(size > 0 ? size : 1);
  MUST(exact != NULL);
  memcpy(exact, bytes, size);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
}

static unsigned long replayed;

static int replay(const char *path) {
  static uint8_t input[SCRIPT_MAX];
  struct stat about;
  if (stat(path, &about) < 0) {
    perror(path);
    return 1;
  }
  if (S_ISDIR(about.st_mode)) {
    DIR *folder = opendir(path);
    int failed = folder == NULL;
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
      char name[4096];
      if (entry->d_name[0] == '.') continue;
      snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
      failed |= replay(name);
    }
    if (folder != NULL) closedir(folder);
    return failed;
  }
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  size_t size = fread(input, 1, sizeof input, file);
  fclose(file);
  replayed++;
  run_one(input, size);
  return 0;
}

int main(int argc, char **argv) {
  unsigned long runs = 20000, seed = 1;
  int files = 0, failed = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) runs = strtoul(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = strtoul(argv[++i], NULL, 10);
    else files++, failed |= replay(argv[i]);
  }
  if (files > 0) {
    printf("%lu inputs replayed\n", replayed);
    return failed || replayed == 0;
  }
  uint8_t script[RANDOM_MAX];
  for (unsigned long i = 0; i < runs; i++) {
    state = (seed + i) * 0x9e3779b97f4a7c15u | 1;
    for (int k = 0; k < 4; k++) roll(2);
    size_t size = roll(roll(3) == 0 ? RANDOM_MAX : 40);
    uint32_t sparse = roll(3); /* zeros are what most options call normal */
    for (size_t k = 0; k < size; k++) script[k] = (uint8_t)(roll(4) < sparse ? 0 : roll(256));
    run_one(script, size);
  }
  printf("%lu inputs from seed %lu: no finding\n", runs, seed);
  return 0;
}
