// doctor's self-check: a kernel with a barrier, on the machine that this build has.
#pragma once

#include <string>

namespace greta::cli {

// Empty when a block of 256 lanes exchanged its values over shared memory and a barrier; otherwise a
// sentence.
std::string check_barrier_kernel(int wave);

}  // namespace greta::cli
