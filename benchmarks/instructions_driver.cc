// Runs every loop of every target under callgrind, twice per size: `valgrind --tool=callgrind
// --callgrind-out-file=counts instructions_driver` writes a file of counts for each run, labelled
// with what ran. Without valgrind it does the same work and writes nothing.

#include <valgrind/callgrind.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels.h"
#include "parallel.h"

namespace {

using namespace invdecay;

// The two sizes whose difference is counted: a multiple of every vector and block, so that
// neither start-up nor tail remains in it. Far below what is split over threads.
constexpr std::array<std::size_t, 2> kCached = {8192, 16384};
// Past the last-level cache that valgrind emulates.
constexpr std::size_t kStreamedBytes = std::size_t{64} << 20;

template <class T>
const char* Name() {
  if (std::is_same_v<T, float>) return "float32";
  if (std::is_same_v<T, double>) return "float64";
  if (std::is_same_v<T, std::int32_t>) return "int32";
  if (std::is_same_v<T, std::uint32_t>) return "uint32";
  if (std::is_same_v<T, std::int64_t>) return "int64";
  return "uint64";
}

}  // namespace
int main() {}
