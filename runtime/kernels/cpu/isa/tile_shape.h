// How many sums of a matrix product are held in registers: kTileRows rows of kTileVectors vectors.
#pragma once

#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 6, kTileVectors = 4;  // 24 of 32 registers hold sums
#else
constexpr int kTileRows = 6, kTileVectors = 2;  // 12 of 16
#endif

}  // namespace
}  // namespace tandem::runtime::cpu::TANDEM_ISA
