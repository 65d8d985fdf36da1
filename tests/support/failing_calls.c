/* The C library's calls on files, of which one, or every one from it on, fails as the kernel would
 * let it fail. For LD_PRELOAD; tests/test_system_calls.py builds
 * and arms it. */
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
#include <sys/statvfs.h>
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
FAILING(int, fstatat64,
        (int folder, const char* restrict path, struct stat64* restrict found, int flags),
        (folder, path, found, flags))
FAILING(int, fstatvfs64, (int fd, struct statvfs64* found), (fd, found))
FAILING(ssize_t, readlink, (const char* restrict path, char* restrict data, size_t size),
        (path, data, size))
FAILING(off64_t, lseek64, (int fd, off64_t offset, int whence), (fd, offset, whence))
FAILING(int, ftruncate64, (int fd, off64_t length), (fd, length))
FAILING(ssize_t, read, (int fd, void* data, size_t size), (fd, data, size))
FAILING(ssize_t, write, (int fd, const void* data, size_t size), (fd, data, size))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, flock, (int fd, int operation), (fd, operation))
FAILING(int, fchmod, (int fd, mode_t mode), (fd, mode))
FAILING(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
FAILING(int, renameat, (int folder, const char* from, int other, const char* to),
        (folder, from, other, to))
FAILING(int, unlinkat, (int folder, const char* path, int flags), (folder, path, flags))

#define FAILING_OPEN(name, parameters, arguments) \
  int name parameters {                           \
    if (fails(#name)) {                           \
      errno = failing_with;                       \
      return -1;                                  \
    }                                             \
    va_list rest;                                 \
    va_start(rest, flags);                        \
    const mode_t mode = va_arg(rest, mode_t);     \
    va_end(rest);                                 \
    return REAL(name) arguments;                  \
  }

FAILING_OPEN(open64, (const char* path, int flags, ...), (path, flags, mode))
FAILING_OPEN(openat64, (int folder, const char* path, int flags, ...), (folder, path, flags, mode))

/* Does not fail as the others do: the descriptor is gone. */
int close(int fd) {
  const int done = REAL(close)(fd);
  if (!fails("close")) return done;
  errno = failing_with;
  return -1;
}
