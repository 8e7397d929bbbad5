// canary MIB PAGES: owns MIB of memory, rewrites PAGES random pages every 20 ms, and reports every page that is not as
// it left it.
//
// A page is filled with a pattern of its index and its generation (how often it was rewritten), so a page that a
// migration lost, delivered stale, tore, or put elsewhere is seen: at once when it is the page's turn to be rewritten,
// and within a few seconds by the sweep that reads all of them. The table of generations could be stale together with a
// page; the sum over the table must therefore equal the number of rewrites, which is kept apart from it.
//
// Prints `canary writes N bad M` twice a second, and what was wrong for the first few bad pages.
#include "say.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
  kPageBytes = 4096,
  kWords = kPageBytes / sizeof(uint64_t),
  kSweepPerTick = 256,
  kTicksPerReport = 25,
  kReported = 10
};
static const long kTickNanoseconds = 20000000;

static const uint64_t kMix = 0x9e3779b97f4a7c15u;

static uint64_t* memory;
static uint32_t* generation;
static uint32_t* written;  // the tick in which a page was
static uint32_t tick;
static uint64_t bad;

static uint64_t seed_of(size_t page) {
  return (page + 1) * kMix ^ (uint64_t)generation[page] << 32;
}

static void stamp(size_t page) {
  uint64_t *words = memory + page * kWords, seed = seed_of(page);
  for (size_t i = 0; i < kWords; i++) words[i] = seed + i;
  written[page] = tick;
}

/// Whole pages of an older generation were never sent again; single words were lost in flight.
static void describe(size_t page, const uint64_t* words, uint64_t seed) {
  size_t first = kWords, last = 0, wrong = 0;
  for (size_t i = 0; i < kWords; i++) {
    if (words[i] == seed + i) continue;
    if (first == kWords) first = i;
    last = i;
    wrong++;
  }
  const uint64_t found = words[first] - first;
  uint32_t age = 1;
  while (age <= generation[page] && found != ((page + 1) * kMix ^ (uint64_t)(generation[page] - age) << 32)) age++;
  say("canary page %zu generation %u is damaged: %zu words from %zu to %zu, %u generations old, written %u ms before", page,
      generation[page], wrong, first, last, age, (tick - written[page]) * (uint32_t)(kTickNanoseconds / 1000000));
}

static void verify(size_t page) {
  const uint64_t *words = memory + page * kWords, seed = seed_of(page);
  uint64_t difference = 0;
  for (size_t i = 0; i < kWords; i++) difference |= words[i] ^ (seed + i);
  if (difference == 0) return;
  if (bad++ < kReported) describe(page, words, seed);
  stamp(page);  // count each damage once
}

static void verify_table(size_t pages, uint64_t writes) {
  static int reported;
  uint64_t sum = 0;
  for (size_t page = 0; page < pages; page++) sum += generation[page];
  if (sum == writes || reported++) return;
  bad++;
  say("canary generations add up to %llu after %llu writes", (unsigned long long)sum, (unsigned long long)writes);
}

static size_t random_page(size_t pages) {
  static uint64_t state = 88172645463325252u;  // xorshift64, Marsaglia 2003
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % pages;
}

static void* own(size_t bytes) {
  void* at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (at == MAP_FAILED) {
    say("canary has no memory: error %d; give the guest more or the canary less", errno);
    exit(1);
  }
  return at;
}

/// Sleeps until the next tick; ticks missed while the guest was paused or starved are not made up for.
static void next_tick(struct timespec* due) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  due->tv_nsec += kTickNanoseconds;
  if (due->tv_nsec >= 1000000000) due->tv_sec++, due->tv_nsec -= 1000000000;
  if (now.tv_sec > due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec > due->tv_nsec)) *due = now;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

int main(int argc, char** argv) {
  if (argc != 3 || atoi(argv[1]) <= 0 || atoi(argv[2]) < 0) {
    say("usage: canary MIB PAGES");
    return 2;
  }
  const size_t pages = (size_t)atoi(argv[1]) * (1024 * 1024 / kPageBytes);
  const int per_tick = atoi(argv[2]);
  memory = own(pages * kPageBytes);
  generation = own(pages * sizeof *generation);
  written = own(pages * sizeof *written);
  for (size_t page = 0; page < pages; page++) stamp(page);
  say("canary owns %zu pages, rewrites %d every %ld ms", pages, per_tick, kTickNanoseconds / 1000000);

  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  uint64_t writes = 0;
  size_t swept = 0;
  for (tick = 1;; tick++) {
    for (int i = 0; i < per_tick; i++, writes++) {
      const size_t page = random_page(pages);
      verify(page);
      generation[page]++;
      stamp(page);
    }
    for (int i = 0; i < kSweepPerTick; i++, swept++) verify(swept % pages);
    if (tick % kTicksPerReport == 0) {
      verify_table(pages, writes);
      say("canary writes %llu bad %llu", (unsigned long long)writes, (unsigned long long)bad);
    }
    next_tick(&due);
  }
}
