// Which of OpenBLAS's builds of its kernels runs. It picks one by the processor's model, and for a model
// newer than itself it takes the oldest, several times as slow.
#pragma once

#include <string>
#include <string_view>

namespace greta::reference {

// What the processor has, of what OpenBLAS has kernels for.
struct VectorUnits {
  bool avx2 = false, avx512 = false;
};
VectorUnits vector_units();  // of this processor

// The core (a value of OPENBLAS_CORETYPE) that suits the processor where `chosen`, OpenBLAS's own choice, is
// one without these units; empty where it is fine.
std::string better_core(std::string_view chosen, VectorUnits has);

// The same for this process; empty where the user has set OPENBLAS_CORETYPE.
std::string better_core();

}  // namespace greta::reference
