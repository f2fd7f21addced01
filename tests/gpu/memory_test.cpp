// The card's memory: copies of every size through the pinned buffers, exact statistics, and running
// out of it.
#include <gmock/gmock.h>

#include "tests/gpu/card_test.h"
#include "tests/runtime/kernels/kernel_test.h"

namespace tandem::test {
namespace {

using runtime::Device;
using runtime::DeviceType;

class CardMemory : public CardTest {};

TEST_F(CardMemory, copies_there_and_back_change_nothing) {
  for (const std::int64_t n : {0, 1, 1000, 1 << 20, (5 << 20) + 7}) {
    const Tensor host = random_tensor({n}, "x");
    EXPECT_EQ(host.to(kCard).to(Device{}).to_vector<float>(), host.to_vector<float>()) << n;
  }
}

TEST_F(CardMemory, counts_what_the_meta_device_counts) {
  runtime::Allocator &card = runtime::allocator_of(kCard),
                     &meta = runtime::allocator_of({DeviceType::kMeta, 0});
  const std::int64_t on_card = card.stats().allocated_bytes, on_meta = meta.stats().allocated_bytes;
  const Tensor a = Tensor::zeros({1001}, DType::kF32, kCard),
               b = Tensor::zeros({1001}, DType::kF32, {DeviceType::kMeta, 0});
  EXPECT_EQ(card.stats().allocated_bytes - on_card, meta.stats().allocated_bytes - on_meta);
}

TEST_F(CardMemory, running_out_names_the_biggest_holders_and_leaves_the_card_usable) {
  const Tensor holder = Tensor::zeros({1 << 20}, DType::kF32, kCard);
  try {
    Tensor::empty({std::int64_t{1} << 45}, DType::kF32, kCard);
    FAIL() << "allocated";
  } catch (const runtime::Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("out of memory on cuda:0"));
    EXPECT_THAT(error.what(), testing::HasSubstr("x 4.0 MiB"));
  }
  EXPECT_EQ(holder.to_vector<float>(), std::vector<float>(1 << 20, 0.0f));
}

}  // namespace
}  // namespace tandem::test
