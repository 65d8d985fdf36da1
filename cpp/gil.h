// Work without Python's global interpreter lock.
#pragma once

#include <Python.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#include <unistd.h>
#endif

namespace invdecay {

// Calls work(), which must not throw, without the global interpreter lock.
//
// Once the interpreter exits, the lock cannot be taken any more. Python before 3.14 then ends the
// thread by pthread_exit, which unwinds the stack like an exception: destructors would touch Python
// objects without the lock, and a noexcept function on the way would abort the process. So a thread
// that meets this end waits here, until the process ends.
template <class Work>
void WithoutGil(const Work& work) {
  PyThreadState* const state = PyEval_SaveThread();
  work();
#ifdef __GLIBCXX__
  try {
    PyEval_RestoreThread(state);
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
#else
  PyEval_RestoreThread(state);
#endif
}

}  // namespace invdecay
