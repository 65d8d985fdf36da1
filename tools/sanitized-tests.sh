#!/bin/sh
# Runs the tests of the kernels with the sanitizers' libraries loaded first, and fails on a report.
# Python and NumPy keep some memory for good. A leak of the module's own names it.
set -eu
reports=$PWD/build/reports
rm -rf "$reports" && mkdir -p "$reports"
export PYTHONMALLOC=malloc ASAN_OPTIONS="log_path=$reports/of,exitcode=0"
preload="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libubsan.so)"
for tests in tests/test_kernels.py tests/test_flags.py tests/test_threads.py; do
  LD_PRELOAD=$preload python -m pytest -q "$tests"
done
if grep -hE 'ERROR: AddressSanitizer|runtime error|_core\.cpython' "$reports"/of.*; then exit 1; fi
