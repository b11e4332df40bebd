// Host machine: fibers. A fiber stays on the thread that made it and lives until that thread ends.
//
// On x86-64 the switch is a few instructions of ours, inline: a call would leave the processor's return
// predictor one entry off after every switch, which costs more than the switch (21 ns a lane and barrier by
// Boost.Context's jump, against 7). All fibers of a thread share its floating-point modes. Elsewhere, and
// under ASan, Boost.Context does it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define GRETA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRETA_ASAN 1
#endif
#endif
#ifdef GRETA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__) || defined(GRETA_ASAN)
#define GRETA_BOOST_FIBERS 1
#include <boost/context/detail/fcontext.hpp>
#endif

namespace greta::kernels::host {

using Context = void*;  // where a stack stopped

// A stack; also stands for a thread's own.
struct Fiber {
  Context context = nullptr;  // while no lane owns it
  // What ASan is told at each switch.
  void* fake_stack = nullptr;
  const void* stack_bottom = nullptr;
  size_t stack_bytes = 0;
};

// Callers call something else as well, so they are no leaf functions, and keep nothing in the red zone that
// the pushes below overwrite. Leaves the running stack, noting in `save` where it stopped, and goes on at
// `to`; returns when someone switches to what was saved.
#ifdef GRETA_BOOST_FIBERS
inline void switch_context(Context* save, Context to) {
  const auto from = boost::context::detail::jump_fcontext(to, save);
  *static_cast<Context*>(from.data) = from.fctx;
}
#else
__attribute__((always_inline)) inline void switch_context(Context* save, Context to) {
  asm volatile(
      "push %%rbp\n\t"
      "lea 1f(%%rip), %%rax\n\t"
      "push %%rax\n\t"
      "mov %%rsp, (%%rdi)\n\t"
      "mov %%rsi, %%rsp\n\t"
      "pop %%rax\n\t"
      "jmp *%%rax\n\t"
      "1:\n\t"
      "pop %%rbp"
      : "+D"(save), "+S"(to)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory"
#define GRETA_XMM(a, b, c, d) "xmm" #a, "xmm" #b, "xmm" #c, "xmm" #d
        ,
        GRETA_XMM(0, 1, 2, 3), GRETA_XMM(4, 5, 6, 7), GRETA_XMM(8, 9, 10, 11), GRETA_XMM(12, 13, 14, 15)
#ifdef __AVX512F__
                                                                                   ,
        GRETA_XMM(16, 17, 18, 19), GRETA_XMM(20, 21, 22, 23), GRETA_XMM(24, 25, 26, 27),
        GRETA_XMM(28, 29, 30, 31), "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#endif
#undef GRETA_XMM
  );
}
#endif

// Before and after a switch, with the fibers themselves. `from` is nullptr when its stack will not run again.
inline void leaving([[maybe_unused]] Fiber* from, [[maybe_unused]] const Fiber& to) {
#ifdef GRETA_ASAN
  __sanitizer_start_switch_fiber(from ? &from->fake_stack : nullptr, to.stack_bottom, to.stack_bytes);
#endif
}
inline void arrived([[maybe_unused]] Fiber& self, [[maybe_unused]] Fiber* thread) {
#ifdef GRETA_ASAN
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_stack, &bottom, &bytes);
  if (thread && !thread->stack_bottom) {  // the first switch of all comes from the thread's own stack, whose
                                          // bounds only ASan knows
    thread->stack_bottom = bottom;
    thread->stack_bytes = bytes;
  }
#endif
}

// Stacks with a guard page below each, mapped a slab at a time; fibers never move.
class FiberStacks {
 public:
  using Entry = void (*)();  // never returns
  FiberStacks() = default;
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();
  // A new fiber that will start in `entry`. Throws std::bad_alloc.
  Fiber* make(Entry entry);

 private:
  std::vector<void*> slabs_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
};

}  // namespace greta::kernels::host
