// A GPU made of the host's memory and of fibers, to run the kernels of runtime/kernels/cuda where
// there is none. It is a checker, not a fast machine:
//  - a barrier or a warp operation that some threads do not reach, or reach at another place in the
//    source, is a Violation that names kernel, block, threads and places;
//  - threads between two barriers run one after the other in an order that the test chooses: a
//    kernel with a race gives other bits in another order;
//  - work that is submitted runs when the host waits for it, or what it waits for does, and not
//    before: what another stream should have done and nobody waits for is not done;
//  - shared memory and new device memory hold garbage (NaNs), and their ends are guarded: writing
//    behind them is a Violation, and under AddressSanitizer so is reading.
// Several threads may use it; one at a time does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>

struct CUstream_st;

namespace simt {

class Violation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Of the blocks of a grid and of the threads of a block.
enum class Order { kForward, kReversed, kShuffled };
void set_order(Order order);

// Names of the kernels that ran, without template arguments and namespaces.
const std::set<std::string>& executed_kernels();

// Runs what was submitted. Throws Violation.
void drain();
// What was submitted to the stream, and what that waits for.
void drain(CUstream_st* stream);
// Runs after what was submitted before, to any stream.
void enqueue(std::function<void()> work);
// Of one stream; not before it is `ready`, where that is asked.
void enqueue(std::function<void()> work, CUstream_st* stream, std::function<bool()> ready = {});

// How many recorded graphs were submitted. Work that is submitted while one is recorded does not
// run; what a card refuses then is refused.
int graph_launches();

// Device memory that this process may have; a request beyond it fails as on a full card.
void set_memory_limit(std::size_t bytes);

// While true, events are never seen to be reached: a card that hangs.
void set_stalled(bool stalled);

// Memory of exactly `bytes` bytes that begin at a multiple of 64, filled with NaNs, with a guard
// behind. release_guarded throws Violation when the guard was written to.
void* allocate_guarded(std::size_t bytes);
void release_guarded(void* memory, std::size_t bytes);

}  // namespace simt
