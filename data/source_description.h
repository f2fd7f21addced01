// What a file made from data must be compared with before it is used again.
#pragma once

#include <string>

#include "data/config.h"

namespace tandem::data {

// Of every file: its size, its time of change, and its content, sampled.
std::string describe_source(const DataConfig& config);

}  // namespace tandem::data
