/* The C library's allocations, of which some fail as if memory had run out. For LD_PRELOAD;
 * tests/test_kernels_process.py builds and arms it. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

static atomic_long calls, failures; /* since the last arming */
static atomic_long first, last;     /* the calls that fail, counted from 1 */

void failing_mallocs_arm(long from, long to) {
  calls = failures = 0;
  last = to;
  first = from;
}

/* Stops the failures; returns how many there were. */
long failing_mallocs_disarm(void) {
  first = 0;
  return failures;
}

static int fails(void) {
  if (first == 0) return 0;
  const long call = atomic_fetch_add(&calls, 1) + 1;
  if (call < first || call > last) return 0;
  atomic_fetch_add(&failures, 1);
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void* realloc(void* old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
void* memalign(size_t to, size_t size) { return fails() ? NULL : __libc_memalign(to, size); }
void* aligned_alloc(size_t to, size_t size) { return memalign(to, size); }

int posix_memalign(void** where, size_t to, size_t size) {
  void* const memory = memalign(to, size);
  if (memory == NULL) return ENOMEM;
  *where = memory;
  return 0;
}
