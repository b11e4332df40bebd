// What every launcher needs: arguments checked in one clear sentence, grid sizes, and the words of contracts
// and names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/kernels.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// Threads of a block where nothing asks for another number.
inline constexpr int kBlock = 64;

// LaunchError "op: what" unless `ok`.
void require(bool ok, const char* op, const std::string& what);

// Pointers are there, sizes at least 1, and `columns` is whole blocks of the packed type.
void require_weight(const Weight& w, const char* op);

// ceil(count / per) as a grid dimension; LaunchError beyond 2³¹ − 1.
unsigned grid_for(int64_t count, int64_t per, const char* op);

// LaunchError naming the kernel if the runtime refused it.
void check_launched(const std::string& kernel);

__host__ __device__ constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// log2 of a power of two: the depth of a tree over n sums.
__host__ __device__ constexpr int tree_depth(int n) { return n <= 1 ? 0 : 1 + tree_depth(n / 2); }

// Whose arithmetic the matrix unit of the current device has, as contracts name it (docs/contracts.md): on
// the host what it is configured to be. LaunchError: a card whose unit has no model here.
std::string matrix_unit();
// The same by what cards call themselves: compute capability, gcnArchName. nullptr: no model.
const char* unit_of_compute_capability(int major, int minor);
const char* unit_of_gfx(std::string_view arch);

inline const char* operand_name(Operand o) { return o == Operand::f16 ? "f16" : "bf16"; }

// "op=OP x=X w=X acc=f32 chain=N out=f32 unit=UNIT"
std::string sum_contract(const char* op, const char* operands, int64_t chain,
                         const std::string& unit = "ieee");

}  // namespace greta::kernels::inline GRETA_MACHINE
