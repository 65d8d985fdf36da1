#!/bin/sh
# Debian packages for the native build: a C++ compiler, Highway, and venv for the system's Python.
set -eu
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  g++ cmake ninja-build libhwy-dev python3-venv
