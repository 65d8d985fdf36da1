// What the machine and the process offer: processors, threads and cache. Unlike the kernels, these
// functions read files and may throw std::bad_alloc.
#pragma once

#include <cstddef>
#include <string>

namespace invdecay {

// Returns how many processors this process can keep busy: those of its affinity mask, at most the
// quota of its control groups. Both may change at any time. The mask is read in every call, and the
// quota once a second, because it takes several files.
int AvailableProcessors();

// Returns the CPU quota of this process's control group and of its ancestors, in processors and
// rounded up; a large number if there is none. Versions 1 and 2 are read. `root` precedes every
// path, so that a test can use other files.
int CgroupProcessors(const std::string& root);

// Returns how many threads a large call of this thread may use: the limit of this thread, else of
// the process, else the available processors.
int ThreadLimit();

// Sets the limit of the process; 0 stands for the available processors.
void SetProcessThreadLimit(int limit) noexcept;

// Sets the limit of this thread and returns the one before; 0 stands for the process's limit.
int SetThisThreadLimit(int limit) noexcept;

// Returns the bytes of the last-level cache. Only the first call reads files.
std::size_t LastLevelCacheBytes();

}  // namespace invdecay
