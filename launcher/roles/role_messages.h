// Between the plain types of rl/roles.h and their messages. For .cpp files only.
#pragma once

#include "proto/tandem.pb.h"
#include "rl/roles.h"

namespace tandem::launcher {

void to_message(const rl::SequenceBatch& batch, v1::Sequences& message);
void to_message(const rl::TokenValues& values, v1::RaggedFloats& message);

// Throw Error (usage) where lengths and elements do not agree: a message may come from anywhere.
rl::SequenceBatch batch_from(const v1::Sequences& message);
rl::TokenValues values_from(const v1::RaggedFloats& message);

}  // namespace tandem::launcher
