#include "processors.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __unix__
#include <unistd.h>
#endif

namespace invdecay {
namespace {

std::atomic<int> process_limit{0};
thread_local int this_thread_limit = 0;

// ------------------------------ The CPU quota of control groups

// Splits text at each separator.
std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool Contains(const std::vector<std::string>& list, const char* item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// Undoes the octal escapes that the kernel writes for blanks and backslashes in paths.
std::string Unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// Where a hierarchy of control groups is mounted, and which of its groups is seen there.
struct Mount {
  std::string group, folder;
};

// Whether a group is `ancestor` or lies below it.
bool IsWithin(const std::string& group, const std::string& ancestor) {
  const std::size_t length = ancestor == "/" ? 0 : ancestor.size();
  return group.compare(0, length, ancestor, 0, length) == 0 &&
         (group.size() == length || group[length] == '/');
}

// Returns the mount where `group` is seen, of version 2 or of the cpu controller of version 1. If
// there is none, returns the first mount of these; an empty folder if there is none either.
Mount FindMount(const std::string& root, bool version2, const std::string& group) {
  Mount found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // 36 35 98:0 /group /folder options ... - type source options
    const auto fields = Split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || fields.end() - dash < 4) continue;
    const bool matches = version2 ? dash[1] == "cgroup2"
                                  : dash[1] == "cgroup" && Contains(Split(dash[3], ','), "cpu");
    if (!matches) continue;
    Mount mount{Unescape(fields[3]), Unescape(fields[4])};
    if (IsWithin(group, mount.group)) return mount;
    if (found.folder.empty()) found = std::move(mount);
  }
  return found;
}

constexpr double kNoQuota = 1e9;

// Returns the processors that one group may keep busy.
double QuotaOf(const std::string& folder, bool version2) {
  std::string quota, period;
  if (version2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  // No limit is "max", -1 or no file, none of which reads as a positive number.
  const double allowed = std::strtod(quota.c_str(), nullptr);
  const double of = std::strtod(period.c_str(), nullptr);
  return allowed > 0 && of > 0 ? allowed / of : kNoQuota;
}

// Returns the least quota of a group and its ancestors, as far as they are visible.
double QuotaOfGroup(const std::string& root, std::string group, bool version2) {
  const Mount mount = FindMount(root, version2, group);
  if (mount.folder.empty()) return kNoQuota;
  // A container may see only the part of the hierarchy below one of its groups.
  if (mount.group != "/") {
    group = IsWithin(group, mount.group) ? group.substr(mount.group.size()) : "";
  }
  if (group.find("/..") != std::string::npos) group.clear();  // outside what is visible
  const std::string top = root + mount.folder;
  double quota = kNoQuota;
  for (;;) {
    quota = std::min(quota, QuotaOf(top + group, version2));
    const std::size_t slash = group.rfind('/');
    if (slash == std::string::npos) return quota;
    group.resize(slash);
  }
}

std::size_t FindLastLevelCacheBytes() {
  // The kernel's own file comes first. On virtual machines glibc multiplies by processors that do
  // not exist.
  std::size_t kib = 0;
  if (std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kib && kib > 0) {
    return kib << 10;
  }
  long size = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  size = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
  return size > 0 ? static_cast<std::size_t>(size) : std::size_t{32} << 20;
}

// Returns CgroupProcessors(""), at most one second old.
int RecentCgroupProcessors() {
  using Clock = std::chrono::steady_clock;
  static std::atomic<int> processors{0};  // 0: not known yet
  static std::atomic<Clock::rep> read_at{0};
  const Clock::rep now = Clock::now().time_since_epoch().count();
  const Clock::rep age = now - read_at.load(std::memory_order_relaxed);
  int known = processors.load(std::memory_order_relaxed);
  if (known == 0 || Clock::duration(age) > std::chrono::seconds(1)) {
    known = CgroupProcessors("");
    processors.store(known, std::memory_order_relaxed);
    read_at.store(now, std::memory_order_relaxed);
  }
  return known;
}

}  // namespace

int CgroupProcessors(const std::string& root) {
  double quota = kNoQuota;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    // number:controllers:/group, where version 2 has the number 0 and no controllers
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version2 = controllers.empty();
    if (!version2 && !Contains(Split(controllers, ','), "cpu")) continue;
    quota = std::min(quota, QuotaOfGroup(root, line.substr(second + 1), version2));
  }
  return std::max(1, static_cast<int>(std::ceil(quota)));
}

int AvailableProcessors() {
  int count = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
#endif
  return std::min(count, RecentCgroupProcessors());
}

int ThreadLimit() {
  if (this_thread_limit > 0) return this_thread_limit;
  const int limit = process_limit.load(std::memory_order_relaxed);
  return limit > 0 ? limit : AvailableProcessors();
}

void SetProcessThreadLimit(int limit) noexcept { process_limit = limit; }

int SetThisThreadLimit(int limit) noexcept { return std::exchange(this_thread_limit, limit); }

std::size_t LastLevelCacheBytes() {
  static const std::size_t bytes = FindLastLevelCacheBytes();
  return bytes;
}

}  // namespace invdecay
