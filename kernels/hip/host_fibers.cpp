#include "kernels/hip/host_fibers.hpp"

#include <sys/mman.h>

#include <new>

namespace greta::kernels::host {
namespace {

constexpr size_t kPage = 4096;
#ifdef GRETA_ASAN
constexpr size_t kStackBytes = 64 * kPage;  // frames are several times larger
#else
constexpr size_t kStackBytes = 32 * kPage;
#endif
// One page below for the guard, one above so that tops can be staggered: tops at the same offset of their
// pages would share L1 sets.
constexpr size_t kSpacing = kStackBytes + 2 * kPage;
constexpr size_t kSlab = 64;
constexpr size_t kStagger = 320;

#ifdef GRETA_BOOST_FIBERS
thread_local FiberStacks::Entry starting = nullptr;  // one a thread in practice

void start(boost::context::detail::transfer_t from) {
  *static_cast<Context*>(from.data) = from.fctx;
  starting();
}

Context make_context(char* top, size_t bytes, FiberStacks::Entry entry) {
  starting = entry;
  return boost::context::detail::make_fcontext(top, bytes, &start);
}
#else
// As switch_context leaves a stack, but with the entry's address where it goes on and a null return address
// above.
Context make_context(char* top, size_t, FiberStacks::Entry entry) {
  auto* const words = reinterpret_cast<void**>(top) - 2;
  words[0] = reinterpret_cast<void*>(entry);
  words[1] = nullptr;
  return words;
}
#endif

// A fiber that ends in mid-function leaves its frames' poison behind, and ASan does not take it back with the
// mapping: whatever the system maps at that address next (a model file, say) would look like a stack.
void clear_poison([[maybe_unused]] void* slab) {
#ifdef GRETA_ASAN
  ASAN_UNPOISON_MEMORY_REGION(slab, kSlab * kSpacing);
#endif
}

}  // namespace

Fiber* FiberStacks::make(Entry entry) {
  const size_t index = fibers_.size();
  if (index == slabs_.size() * kSlab) {
    void* slab = mmap(nullptr, kSlab * kSpacing, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED) throw std::bad_alloc();
    slabs_.push_back(slab);
    clear_poison(slab);
    // Where the system has no more mappings to give, the stacks work without their guards.
    for (size_t i = 0; i < kSlab; ++i) mprotect(static_cast<char*>(slab) + i * kSpacing, kPage, PROT_NONE);
  }
  auto fiber = std::make_unique<Fiber>();
  char* const bottom = static_cast<char*>(slabs_.back()) + index % kSlab * kSpacing + kPage;
  const size_t stagger = index * kStagger % kPage / 64 * 64;
  fiber->stack_bottom = bottom;
  fiber->stack_bytes = kStackBytes + stagger;
  fiber->context = make_context(bottom + fiber->stack_bytes, fiber->stack_bytes, entry);
  fibers_.push_back(std::move(fiber));
  return fibers_.back().get();
}

FiberStacks::~FiberStacks() {
  for (void* slab : slabs_) {
    clear_poison(slab);
    munmap(slab, kSlab * kSpacing);
  }
}

}  // namespace greta::kernels::host
