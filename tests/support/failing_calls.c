/* The C library's calls on files, of which one, or every one from it on, fails as the kernel would
 * let it fail. For LD_PRELOAD; tests/support/storage_faults.py arms it. Built by
 * tests/test_system_calls.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;         /* since the last arming */
static long first, last;          /* the calls that fail, counted from 1 */
static int failing_with;          /* errno of these */
static _Atomic(const char*) fell; /* the name of the first that failed */

void failing_calls_arm(long from, long to, int number) {
  first = from;
  last = to;
  failing_with = number;
  calls = 0;
}

/* Stops the failures; returns the name of the call that failed first, NULL where none did. */
const char* failing_calls_disarm(void) {
  first = 0;
  return atomic_exchange(&fell, NULL);
}

static int fails(const char* name) {
  if (first == 0) return 0;
  const long call = atomic_fetch_add(&calls, 1) + 1;
  if (call < first || call > last) return 0;
  const char* none = NULL;
  atomic_compare_exchange_strong(&fell, &none, name);
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define FAILING(type, name, parameters, arguments) \
  type name parameters {                           \
    if (fails(#name)) {                            \
      errno = failing_with;                        \
      return -1;                                   \
    }                                              \
    return REAL(name) arguments;                   \
  }

FAILING(int, fstat64, (int fd, struct stat64* found), (fd, found))
FAILING(int, stat64, (const char* restrict path, struct stat64* restrict found), (path, found))
FAILING(int, lstat64, (const char* restrict path, struct stat64* restrict found), (path, found))
FAILING(off64_t, lseek64, (int fd, off64_t offset, int whence), (fd, offset, whence))
FAILING(int, ftruncate64, (int fd, off64_t length), (fd, length))
FAILING(ssize_t, pwrite64, (int fd, const void* data, size_t size, off64_t at),
        (fd, data, size, at))
FAILING(ssize_t, read, (int fd, void* data, size_t size), (fd, data, size))
FAILING(ssize_t, write, (int fd, const void* data, size_t size), (fd, data, size))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, flock, (int fd, int operation), (fd, operation))
FAILING(int, rename, (const char* from, const char* to), (from, to))
FAILING(int, unlink, (const char* path), (path))

int open64(const char* path, int flags, ...) {
  if (fails("open64")) {
    errno = failing_with;
    return -1;
  }
  va_list mode;
  va_start(mode, flags);
  const int fd = REAL(open64)(path, flags, va_arg(mode, mode_t));
  va_end(mode);
  return fd;
}

/* These two do not fail as the others do: the descriptor is gone, the number returned. */
int close(int fd) {
  const int done = REAL(close)(fd);
  if (!fails("close")) return done;
  errno = failing_with;
  return -1;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
  return fails("posix_fallocate64") ? failing_with : REAL(posix_fallocate64)(fd, offset, length);
}
