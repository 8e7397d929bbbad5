// blocks DEVICE: writes numbered blocks to the device, each durable before its number is told, and reads old ones back.
//
// Block N is at place N modulo kPlaces, so each place holds the greatest number that was written there. A number is told
// on the console once the device has confirmed the write and the flush: a block that was told and is not there is lost.
// Memory knows what each place must hold; a place is read back after every write, past the guest's page cache.
//
// Prints `block N` for each block that is durable, and `block lost: …` for each that is not as it was left.
#define _GNU_SOURCE
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kBlockBytes = 4096, kPlaces = 1024, kWords = kBlockBytes / sizeof(uint64_t), kReported = 10 };
static const long kPauseNanoseconds = 20000000;
static const uint64_t kMix = 0x9e3779b97f4a7c15u;

static uint64_t held[kPlaces];  // the number that a place must hold; 0: none yet
static uint64_t* buffer;

static void fail(const char* what) {
  say("block error: %s: error %d", what, errno);
  exit(1);
}

static void put(int device, uint64_t number) {
  for (size_t i = 0; i < kWords; i++) buffer[i] = number * kMix + i;
  buffer[0] = number;
  const off_t at = (off_t)(number % kPlaces) * kBlockBytes;
  if (pwrite(device, buffer, kBlockBytes, at) != kBlockBytes || fdatasync(device)) fail("write");
  held[number % kPlaces] = number;
  say("block %llu", (unsigned long long)number);
}

static void check(int device, size_t place) {
  static int reported;
  if (held[place] == 0) return;
  if (pread(device, buffer, kBlockBytes, (off_t)place * kBlockBytes) != kBlockBytes) fail("read");
  size_t wrong = buffer[0] != held[place];
  for (size_t i = 1; i < kWords; i++) wrong += buffer[i] != held[place] * kMix + i;
  if (wrong == 0 || reported++ >= kReported) return;
  say("block lost: place %zu holds %llu instead of %llu, %zu words are wrong", place, (unsigned long long)buffer[0],
      (unsigned long long)held[place], wrong);
}

int main(int argc, char** argv) {
  const int device = argc == 2 ? open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
  if (device < 0) fail("open");
  buffer = aligned_alloc(kBlockBytes, kBlockBytes);
  if (buffer == NULL) fail("memory");
  // A guest that boots again goes on above what is there.
  uint64_t number = 0;
  for (size_t place = 0; place < kPlaces; place++) {
    if (pread(device, buffer, kBlockBytes, (off_t)place * kBlockBytes) != kBlockBytes) fail("read");
    if (buffer[0] % kPlaces != place || buffer[1] != buffer[0] * kMix + 1) continue;
    held[place] = buffer[0];
    if (buffer[0] > number) number = buffer[0];
  }
  const struct timespec pause = {.tv_nsec = kPauseNanoseconds};
  for (;;) {
    put(device, ++number);
    check(device, (size_t)(number * 7919 % kPlaces));
    nanosleep(&pause, NULL);
  }
}
