// Evaluates requests from standard input on one SIMD target and writes the results to standard
// output: golden.py's way to kernels that Python cannot load, those of other processors.
//
//   evaluate            the targets that run here
//   evaluate TARGET     request: Request, then for a ufunc loop its n steps; answer: n results

#include <string>

#include "check.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

struct Request {
  char loop[24];  // "step>result" of a ufunc loop, "arithmetic:result" of a range loop
  std::uint64_t staircase, n;
  std::int64_t start, step;
  Hyperparameters<double> hyper;
};

void Read(void* to, std::size_t bytes) {
  if (std::fread(to, 1, bytes, stdin) != bytes) std::abort();
}

template <class T, class Step>
bool TryLoop(const std::string& name, const Kernels& kernels, const Request& request,
             const char* step, const char* result) {
  if (name != std::string(step) + ">" + result) return false;
  std::vector<Step> steps(request.n);
  std::vector<T> out(request.n);
  Read(steps.data(), request.n * sizeof(Step));
  const Hyperparameters<T> h{static_cast<T>(request.hyper.initial_learning_rate),
                             static_cast<T>(request.hyper.decay_steps),
                             static_cast<T>(request.hyper.decay_rate)};
  Evaluate(kernels, kForms[request.staircase], steps.data(), out.data(), request.n, h);
  std::fwrite(out.data(), sizeof(T), request.n, stdout);
  return true;
}

template <class T>
bool TryLoops(const std::string& name, const Kernels& kernels, const Request& request,
              const char* result) {
  return TryLoop<T, std::int32_t>(name, kernels, request, "int32", result) ||
         TryLoop<T, std::uint32_t>(name, kernels, request, "uint32", result) ||
         TryLoop<T, std::int64_t>(name, kernels, request, "int64", result) ||
         TryLoop<T, std::uint64_t>(name, kernels, request, "uint64", result) ||
         TryLoop<T, float>(name, kernels, request, "float32", result);
}

template <class T, class Out>
bool TryRange(const std::string& name, const Kernels& kernels, const Request& request,
              const char* wanted) {
  if (name != wanted) return false;
  std::vector<Out> out(request.n);
  RangeLoopOf<T, Out>(kernels, kForms[request.staircase])(
      out.data(), request.n, request.start, request.step, request.hyper, AllResources());
  std::fwrite(out.data(), sizeof(Out), request.n, stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const Kernels& kernels : AllKernels()) std::puts(kernels.target);
    return 0;
  }
  for (const Kernels& kernels : AllKernels()) {
    if (std::string(argv[1]) != kernels.target) continue;
    Request request;
    while (std::fread(&request, 1, sizeof request, stdin) == sizeof request) {
      const std::string name(request.loop);
      const bool known = TryLoops<float>(name, kernels, request, "float32") ||
                         TryLoops<double>(name, kernels, request, "float64") ||
                         TryLoop<double, double>(name, kernels, request, "float64", "float64") ||
                         TryRange<float, float>(name, kernels, request, "float32:float32") ||
                         TryRange<double, float>(name, kernels, request, "float64:float32") ||
                         TryRange<double, double>(name, kernels, request, "float64:float64");
      if (!known) return 2;
    }
    return 0;
  }
  return 1;
}
