// Every float32 step there is, both forms, every target: the same bits as the reference, and the
// reference the same as ever by a hash of all its results.
//
//   sweep SETS HASHES    the first SETS sets of hyperparameters; the file of known hashes

#include <chrono>
#include <fstream>
#include <iomanip>
#include <map>
#include <string>

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

constexpr std::size_t kChunk = std::size_t{1} << 14;
constexpr std::size_t kChunks = (std::size_t{1} << 32) / kChunk;

// Eight interleaved FNV-1a hashes over 32-bit words, one pattern for all NaN, folded into one.
std::uint64_t Hash(const std::uint32_t* words, std::size_t n) {
  constexpr std::uint64_t kPrime = 0x100000001B3u;
  std::uint64_t lanes[8];
  for (std::uint64_t lane = 0; lane < 8; ++lane) lanes[lane] = 0xCBF29CE484222325u + lane;
  for (std::size_t i = 0; i < n; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) {
      const std::uint32_t word = words[i + lane];
      const bool nan = (word & 0x7FFFFFFFu) > 0x7F800000u;
      lanes[lane] = (lanes[lane] ^ (nan ? 0xFFFFFFFFu : word)) * kPrime;
    }
  }
  std::uint64_t hash = 0;
  for (const std::uint64_t lane : lanes) hash = (hash ^ lane ^ (lane >> 32)) * kPrime;
  return hash;
}

std::uint64_t Sweep(Form form, const Hyperparameters<float>& h, Mismatches& mismatches) {
  std::vector<std::uint64_t> hashes(kChunks);
  OnEveryProcessor(kChunks, [&](std::uint64_t chunk) {
    thread_local std::vector<float> steps(kChunk), expected(kChunk), actual(kChunk);
    for (std::size_t i = 0; i < kChunk; ++i) {
      steps[i] = FromBits<float>(static_cast<std::uint32_t>(chunk * kChunk + i));
    }
    Reference(form, steps.data(), expected.data(), kChunk, h);
    std::uint32_t words[kChunk];
    std::memcpy(words, expected.data(), sizeof words);
    hashes[chunk] = Hash(words, kChunk);
    for (const Kernels& kernels : AllKernels()) {
      Evaluate(kernels, form, steps.data(), actual.data(), kChunk, h);
      mismatches.Compare(kernels.target, form, steps.data(), h, actual.data(), expected.data(),
                         kChunk);
    }
  });
  std::uint64_t hash = 0;
  for (const std::uint64_t chunk : hashes) hash = (hash ^ chunk ^ (chunk >> 29)) * 0x100000001B3u;
  return hash;
}

// Lines of "hash  form set".
std::map<std::string, std::uint64_t> KnownHashes(const char* path) {
  std::map<std::string, std::uint64_t> known;
  std::ifstream file(path);
  std::uint64_t hash;
  std::string name;
  while (file >> std::hex >> hash >> std::ws && std::getline(file, name)) known[name] = hash;
  return known;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t sets = CountArgument(argc, argv, 1);
  const auto known = KnownHashes(argc > 2 ? argv[2] : "");
  Mismatches mismatches;
  for (std::size_t set = 0; set < std::min<std::size_t>(sets, std::size(kSets)); ++set) {
    for (const Form form : kForms) {
      const auto begin = std::chrono::steady_clock::now();
      const std::uint64_t hash = Sweep(form, In<float>(kSets[set].values), mismatches);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      const bool staircase = form == Form::kStaircase;
      const std::string name =
          (staircase ? "staircase " : "continuous ") + std::string(kSets[set].name);
      std::printf("%016" PRIx64 "  %s  (%.0f s)\n", hash, name.c_str(), seconds.count());
      std::fflush(stdout);
      const auto found = known.find(name);
      if (found == known.end() || found->second != hash) {
        mismatches.Add("reference", form, "the hash is not the known one");
      }
    }
  }
  return mismatches.Report("sweep", sets * kForms.size() << 32);
}
