#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "cli/cli.hpp"
#include "reference/blas_core.hpp"

namespace {

// OpenBLAS reads its environment before main, so a better core needs a new start. Once: then the variable is
// set.
void start_again_with_better_core(char** argv) {
  const std::string core = greta::reference::better_core();
  if (core.empty() || setenv("OPENBLAS_CORETYPE", core.c_str(), 1) != 0) return;
  execv("/proc/self/exe", argv);  // returns only when it failed: then as it is
}

}  // namespace

int main(int argc, char** argv) {
  start_again_with_better_core(argv);
  return greta::cli::run(argc, argv, std::cout, std::cerr);
}
