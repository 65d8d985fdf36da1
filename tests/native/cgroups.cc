// The CPU quota of control groups, read from trees of files that this check writes.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "check.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

namespace fs = std::filesystem;

constexpr char kVersion2[] =
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
constexpr char kVersion1[] =
    "30 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

struct File {
  const char* path;
  const char* text;
};

struct Case {
  const char* name;
  const char* cgroup;
  std::string mounts;
  std::vector<File> files;
  int expected;
};

constexpr int kUnlimited = 1000000000;

const Case kCases[] = {
    {"no files at all", "", "", {}, kUnlimited},
    {"version 2, no quota",
     "0::/a\n",
     kVersion2,
     {{"sys/fs/cgroup/a/cpu.max", "max 100000\n"}},
     kUnlimited},
    {"version 2, its own quota",
     "0::/a/b\n",
     kVersion2,
     {{"sys/fs/cgroup/a/b/cpu.max", "200000 100000\n"}},
     2},
    {"version 2, rounded up",
     "0::/a\n",
     kVersion2,
     {{"sys/fs/cgroup/a/cpu.max", "250000 100000\n"}},
     3},
    {"version 2, less than one",
     "0::/a\n",
     kVersion2,
     {{"sys/fs/cgroup/a/cpu.max", "1000 100000\n"}},
     1},
    {"version 2, an ancestor's",
     "0::/a/b/c\n",
     kVersion2,
     {{"sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"},
      {"sys/fs/cgroup/a/cpu.max", "300000 100000\n"}},
     3},
    {"version 2, the least of several",
     "0::/a/b\n",
     kVersion2,
     {{"sys/fs/cgroup/a/b/cpu.max", "400000 100000\n"},
      {"sys/fs/cgroup/a/cpu.max", "100000 50000\n"}},
     2},
    {"version 2, not a sibling's",
     "0::/a\n",
     kVersion2,
     {{"sys/fs/cgroup/b/cpu.max", "100000 100000\n"}},
     kUnlimited},
    {"version 2, the mount's own group",
     "0::/\n",
     kVersion2,
     {{"sys/fs/cgroup/cpu.max", "100000 100000\n"}},
     1},
    {"version 2, mounted elsewhere",
     "0::/a\n",
     "29 23 0:26 / /my\\040groups rw - cgroup2 none rw\n",
     {{"my groups/a/cpu.max", "200000 100000\n"}},
     2},
    {"version 2, seen from a container's group",
     "0::/docker/x/y\n",
     "29 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
     {{"sys/fs/cgroup/y/cpu.max", "max 100000\n"}, {"sys/fs/cgroup/cpu.max", "200000 100000\n"}},
     2},
    {"version 2, a group whose name begins like the container's",
     "0::/docker/xy/z\n",
     "29 23 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
     {{"sys/fs/cgroup/cpu.max", "200000 100000\n"}},
     2},
    {"version 2, mounted twice",
     "0::/docker/x/y\n",
     "29 23 0:26 /docker/other /mnt/other rw - cgroup2 cgroup rw\n"
     "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
     {{"mnt/other/cpu.max", "100000 100000\n"},
      {"sys/fs/cgroup/docker/x/cpu.max", "300000 100000\n"}},
     3},
    {"version 2, outside the namespace",
     "0::/../other\n",
     kVersion2,
     {{"sys/fs/cgroup/cpu.max", "200000 100000\n"}},
     2},
    {"version 1",
     "3:memory:/m\n4:cpu,cpuacct:/a\n",
     kVersion1,
     {{"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     2},
    {"version 1, no quota",
     "4:cpuacct,cpu:/a\n",
     kVersion1,
     {{"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     kUnlimited},
    {"version 1, an ancestor's",
     "4:cpu,cpuacct:/a/b\n",
     kVersion1,
     {{"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     1},
    {"both, with the controller in version 1",
     "4:cpu,cpuacct:/a\n0::/b\n",
     kVersion1 + std::string("29 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"),
     {{"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     2},
    {"a line that makes no sense",
     "nonsense\n0::/a\n",
     std::string("x\n") + kVersion2,
     {{"sys/fs/cgroup/a/cpu.max", "200000 100000\n"}},
     2},
};

void Write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

}  // namespace

int main() {
  Mismatches mismatches;
  const fs::path root = fs::temp_directory_path() / ("cgroups." + std::to_string(getpid()));
  for (const Case& c : kCases) {
    fs::remove_all(root);
    Write(root / "proc/self/cgroup", c.cgroup);
    Write(root / "proc/self/mountinfo", c.mounts);
    for (const File& file : c.files) Write(root / file.path, file.text);
    const int found = CgroupProcessors(root.string());
    if (found == c.expected) continue;
    char what[200];
    std::snprintf(what, sizeof what, "%s: %d processors instead of %d", c.name, found, c.expected);
    mismatches.Add("cgroups", Form::kContinuous, what);
  }
  fs::remove_all(root);
  return mismatches.Report("cgroups", std::size(kCases));
}
