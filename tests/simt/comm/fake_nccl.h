// NCCL for emulated cards: the same functions over the ranks' host communicator. Each call does its
// work at once, as far as the host is concerned; what arrives is there when its stream comes to it.
// What it cannot show: NCCL's own behaviour.
#pragma once

#include "parallel/comm/communicator.h"

namespace tandem::test {

// Before the first group is made: ranks of `world` exchange through it.
void use_fake_nccl(const parallel::Group& world);

// What goes wrong from now on in this process.
enum class NcclTrouble {
  kNone,
  kRemoteError,    // asking for asynchronous errors gives one
  kNeverFinishes,  // a call stays "in progress"
};
void set_nccl_trouble(NcclTrouble trouble);
// Communicators that were aborted so far.
int aborted_nccl_communicators();
// Messages that this process has sent for which nothing was received in the same call.
int nccl_messages_alone();

}  // namespace tandem::test
