#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <limits>
#include <string>

#include "cli/cli.hpp"
#include "reference/blas_core.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

// OpenBLAS reads its environment before main, so a better core needs a new start. Once: then the variable is
// set.
void start_again_with_better_core(char** argv) {
  const std::string core = greta::reference::better_core();
  if (core.empty() || setenv("OPENBLAS_CORETYPE", core.c_str(), 1) != 0) return;
  execv("/proc/self/exe", argv);  // returns only when it failed: then as it is
}

// Tensors of many MB come and go with every stage; a system that takes their pages back each time and clears
// them anew costs two fifths of a run on an 8B model. So what is freed stays with the process, up to 2 GB of it
// unused at a heap's end (an int's largest). Few heaps, which threads share: with one a small model's run on 16
// cores takes a tenth longer, waiting for it; with one a thread an 8B model's does, clearing pages.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_ARENA_MAX, 8);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

}  // namespace

int main(int argc, char** argv) {
  start_again_with_better_core(argv);
  keep_freed_memory();
  return greta::cli::run(argc, argv, std::cout, std::cerr);
}
