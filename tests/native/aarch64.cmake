# Builds the checks for AArch64 with Debian's cross compiler and runs them under qemu:
#   dpkg --add-architecture arm64; apt-get install g++-aarch64-linux-gnu libhwy-dev:arm64 qemu-user
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu /usr/lib/aarch64-linux-gnu)
# On one processor, as qemu-user 7.2 hangs where a second thread starts.
set(CMAKE_CROSSCOMPILING_EMULATOR taskset -c 0 qemu-aarch64 -L /usr/aarch64-linux-gnu
                                  -E LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu)
