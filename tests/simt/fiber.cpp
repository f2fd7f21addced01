#include "tests/simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
// Declared here so that the calls below read the same in both builds.
namespace {
void __sanitizer_start_switch_fiber(void**, const void*, std::size_t) {}
void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*) {}
}  // namespace
#endif

// Saves the registers that a function must preserve and the stack pointer, and goes on where the
// other stack was left. swapcontext would make a system call for every switch.
asm(R"(
.text
.globl simt_switch_stack
.type simt_switch_stack, @function
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stack, .-simt_switch_stack
.globl simt_enter_fiber
.type simt_enter_fiber, @function
simt_enter_fiber:
  movq %r12, %rdi
  call *%r13
  ud2
.size simt_enter_fiber, .-simt_enter_fiber
)");
extern "C" void simt_switch_stack(void** save, void* load);
extern "C" void simt_enter_fiber();

namespace simt {
namespace {

constexpr std::size_t kStack = 256 << 10;  // touched pages only cost memory
constexpr std::size_t kGuard = 4096;

}  // namespace

Fiber::Fiber(Body body) : body_(body) {
  void* memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuard, PROT_NONE);
  stack_ = static_cast<char*>(memory);
  // What simt_switch_stack pops: r15, r14, r13, r12, rbx, rbp and the address to go to, after which
  // the stack pointer must be a multiple of 16.
  auto* top = reinterpret_cast<void**>(stack_ + kStack - 64 - 7 * sizeof(void*));
  top[0] = nullptr;
  top[1] = nullptr;
  top[2] = reinterpret_cast<void*>(&Fiber::start);
  top[3] = this;
  top[4] = nullptr;
  top[5] = nullptr;
  top[6] = reinterpret_cast<void*>(&simt_enter_fiber);
  own_ = top;
}

Fiber::~Fiber() {
  munmap(stack_, kStack);
}

void Fiber::start(Fiber* fiber) {
  __sanitizer_finish_switch_fiber(nullptr, &fiber->scheduler_bottom_, &fiber->scheduler_size_);
  fiber->body_(*fiber);
  std::abort();
}

void Fiber::enter() {
  __sanitizer_start_switch_fiber(&scheduler_fake_, stack_ + kGuard, kStack - kGuard);
  simt_switch_stack(&scheduler_, own_);
  __sanitizer_finish_switch_fiber(scheduler_fake_, nullptr, nullptr);
}

void Fiber::leave() {
  __sanitizer_start_switch_fiber(&own_fake_, scheduler_bottom_, scheduler_size_);
  simt_switch_stack(&own_, scheduler_);
  __sanitizer_finish_switch_fiber(own_fake_, &scheduler_bottom_, &scheduler_size_);
}

}  // namespace simt
