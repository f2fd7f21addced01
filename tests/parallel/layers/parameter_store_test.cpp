// Promises of parallel/layers/parameter_store.h: equal starts under every layout, flat buffers that
// kernels can walk, masters and their copies.
#include "parallel/layers/parameter_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "parallel/comm/threads/threads.h"
#include "parallel/layers/unit_values.h"
#include "runtime/base/random.h"
#include "runtime/kernels/backend.h"
#include "tests/parallel/toy_store.h"

namespace tandem::parallel {
namespace {

using runtime::DType;
using runtime::Tensor;
using testing::toy_store;

TEST(ParameterStore, every_layout_starts_with_the_same_values) {
  ParameterStore whole = toy_store(local_group());
  whole.initialize(5);
  for (const int ranks : {2, 4}) {
    run_ranks_as_threads(ranks, [&whole](const Group& tp) {
      ParameterStore store = toy_store(tp);
      store.initialize(5);
      for (std::size_t i = 0; i < store.parameters().size(); ++i) {
        const StoredParameter& mine = *store.parameters()[i];
        const StoredParameter& all = *whole.parameters()[i];
        Tensor expected = Tensor::zeros(mine.parameter.master.shape(), DType::kF32);
        for (std::size_t piece = 0; piece < mine.spec.pieces.size(); ++piece) {
          // Written out: row r of this rank's slice is row begin + r of the whole piece.
          const PieceSlice slice = slice_of_piece(mine.spec, piece, tp.rank(), tp.size());
          const PieceSlice origin = slice_of_piece(all.spec, piece, 0, 1);
          const auto from = all.parameter.master.span<float>();
          const auto to = expected.span<float>();
          const std::int64_t from_width = from.size() / all.parameter.master.dim(0);
          const std::int64_t to_width = to.size() / expected.dim(0);
          const std::int64_t rows =
              mine.spec.dim == 0 ? slice.count : mine.spec.pieces[piece].shape[0];
          for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t c = 0; c < to_width; ++c) {
              const std::int64_t row =
                  origin.local_offset + r + (mine.spec.dim == 0 ? slice.begin : 0);
              const std::int64_t column = c + (mine.spec.dim == 1 ? slice.begin : 0);
              to[(slice.local_offset + r) * to_width + c] = from[row * from_width + column];
            }
        }
        EXPECT_EQ(mine.parameter.master.to_vector<float>(), expected.to_vector<float>())
            << mine.parameter.name << " on rank " << tp.rank() << " of " << tp.size();
      }
    });
  }
}

TEST(ParameterStore, initial_values_follow_seed_and_name) {
  ParameterStore a = toy_store(local_group()), b = toy_store(local_group());
  a.initialize(5);
  b.initialize(5);
  EXPECT_EQ(a.flat_master().to_vector<float>(), b.flat_master().to_vector<float>());
  b.initialize(6);
  EXPECT_NE(a.flat_master().to_vector<float>(), b.flat_master().to_vector<float>());
  for (const float x : a.find("norm")->parameter.master.span<float>()) EXPECT_EQ(x, 1.0f);
  // Fused pieces draw each for itself: k and v have equal shapes and other values.
  const auto qkv = a.find("qkv")->parameter.master.to_vector<float>();
  EXPECT_NE(std::vector(qkv.begin() + 16 * 12, qkv.begin() + 24 * 12),
            std::vector(qkv.begin() + 24 * 12, qkv.end()));
  double square = 0;
  for (const float x : qkv) square += x * x;
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(qkv.size())), 0.5, 0.06);
}

TEST(ParameterStore, parameters_are_aligned_slices_of_the_flat_buffers) {
  ParameterStore store = toy_store(local_group());
  store.initialize(5);
  std::vector<bool> covered(static_cast<std::size_t>(store.layout().elements()), false);
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    const runtime::Parameter& parameter = store.parameters()[i]->parameter;
    const std::int64_t offset = store.layout().offset_of(i);
    EXPECT_EQ(offset % 32, 0) << parameter.name;
    EXPECT_EQ(parameter.master.data<float>(), store.flat_master().data<float>() + offset);
    EXPECT_EQ(parameter.leaf.grad.data<float>(), store.flat_grad().data<float>() + offset);
    EXPECT_EQ(parameter.leaf.grad.shape(), parameter.leaf.value.shape());
    for (std::int64_t k = 0; k < parameter.elements(); ++k) {
      EXPECT_FALSE(covered[offset + k]) << parameter.name;
      covered[offset + k] = true;
    }
  }
  // What lies between is zero and stays out of norms and updates.
  for (std::size_t k = 0; k < covered.size(); ++k)
    if (!covered[k]) {
      EXPECT_EQ(store.flat_master().span<float>()[k], 0.0f);
    }
  EXPECT_EQ(store.logical_elements(),
            13 * 12 + 32 * 12 + 12 * 16 + 8 + 20 * 12 + 20 + 12 * 16 + 12 + 12);
}

TEST(ParameterStore, compute_copies_are_rounded_masters) {
  ParameterStore store = toy_store(local_group(), true, {.compute = DType::kBF16});
  store.initialize(5);
  for (const auto& stored : store.parameters()) {
    const runtime::Parameter& p = stored->parameter;
    EXPECT_EQ(p.has_compute_copy(), !stored->options.keep_fp32) << p.name;
    EXPECT_EQ(p.leaf.value.dtype(), p.has_compute_copy() ? DType::kBF16 : DType::kF32);
    EXPECT_EQ(p.leaf.value.to(DType::kF32).to_vector<float>(),
              p.master.to(p.leaf.value.dtype()).to(DType::kF32).to_vector<float>());
    EXPECT_EQ(p.leaf.grad.dtype(), DType::kF32);
  }
  store.assign(2, Tensor::from(std::vector<float>(12 * 16, 7.0f), {12, 16}));
  EXPECT_EQ(store.find("out")->parameter.master.span<float>()[3], 7.0f);
  EXPECT_EQ(store.find("out")->parameter.leaf.value.to(DType::kF32).to_vector<float>()[3], 7.0f);
}

TEST(ParameterStore, frozen_roles_hold_compute_values_only) {
  ParameterStore store = toy_store(local_group(), false, {.compute = DType::kBF16});
  store.initialize(5);
  EXPECT_FALSE(store.flat_grad().defined());
  EXPECT_LE(store.flat_master().elements(), 32) << "masters beyond the norm's";
  ParameterStore trainable = toy_store(local_group(), true, {.compute = DType::kBF16});
  trainable.initialize(5);
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    const runtime::Leaf& leaf = store.parameters()[i]->parameter.leaf;
    EXPECT_FALSE(leaf.requires_grad);
    EXPECT_FALSE(leaf.grad.defined());
    EXPECT_EQ(leaf.value.to(DType::kF32).to_vector<float>(),
              trainable.parameters()[i]->parameter.leaf.value.to(DType::kF32).to_vector<float>());
  }
}

std::vector<float> values_of(const ParameterStore& store, std::size_t index) {
  return store.parameters()[index]->parameter.leaf.value.to(DType::kF32).to_vector<float>();
}

bool in_divided_unit(const ParameterStore& store, std::size_t index) {
  return store.divides_parameters() && store.divided(index) &&
         store.parameters()[index]->options.unit >= 0;
}

// Replicas that divide masters: together they own every element once, and each computes with all.
TEST(ParameterStore, replicas_own_every_element_once) {
  for (const ZeroStage zero :
       {ZeroStage::kOptimizer, ZeroStage::kGradients, ZeroStage::kParameters})
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      ParameterStore whole = toy_store(local_group(), true, {.compute = compute});
      whole.initialize(5);
      run_ranks_as_threads(3, [&](const Group& dp) {
        StoreOptions options = testing::divided(zero, dp);
        options.precision.compute = compute;
        ParameterStore store = toy_store(options);
        store.initialize(5);
        for (std::size_t i = 0; i < store.parameters().size(); ++i) {
          EXPECT_EQ(store.parameters()[i]->parameter.leaf.value.defined(),
                    !in_divided_unit(store, i));
          if (!in_divided_unit(store, i)) {
            EXPECT_EQ(values_of(store, i), values_of(whole, i));
          }
          const OwnedPart* part = store.owned_part(i);
          const auto count = dp.all_reduce_scalar(part == nullptr ? std::int64_t{0} : part->count,
                                                  ReduceOp::kSum, "owned");
          const std::int64_t elements = whole.parameters()[i]->parameter.elements();
          EXPECT_EQ(count, store.divided(i) ? elements : 3 * elements);
          const Tensor collected = store.collect(i);
          ASSERT_EQ(collected.defined(), dp.rank() == 0);
          if (dp.rank() == 0) {
            EXPECT_EQ(collected.to_vector<float>(),
                      whole.parameters()[i]->parameter.master.to_vector<float>());
          }
        }
        const std::int64_t own = store.layout().elements(Extent::kOwned);
        EXPECT_LE(own, whole.layout().elements() / 3 + 150) << "a third, padding, the norm";
        EXPECT_EQ(store.flat_grad().elements() == own, zero >= ZeroStage::kGradients);
        EXPECT_EQ(store.flat_master().elements() == own, compute == DType::kBF16);
      });
    }
}

TEST(ParameterStore, replicas_get_what_the_others_updated) {
  for (const auto& [zero, compute] : {std::pair{ZeroStage::kOptimizer, DType::kF32},
                                      {ZeroStage::kOptimizer, DType::kBF16},
                                      {ZeroStage::kParameters, DType::kF32},
                                      {ZeroStage::kParameters, DType::kBF16}})
    run_ranks_as_threads(3, [&](const Group& dp) {
      StoreOptions options = testing::divided(zero, dp);
      options.precision.compute = compute;
      ParameterStore store = toy_store(options);
      store.initialize(5);
      UnitValues units(store);
      units.acquire(0);  // what is held when values change is of no use then
      for (const OwnedPart& part : store.owned()) {
        if (!store.divided(part.parameter)) continue;
        Tensor updated = part.compute.defined() ? part.compute : part.master;
        runtime::backend_of(updated).fill(updated, static_cast<float>(part.parameter + 2));
      }
      store.gather_values();
      for (std::size_t i = 0; i < store.parameters().size(); ++i) {
        if (in_divided_unit(store, i)) units.acquire(store.parameters()[i]->options.unit);
        for (const float x : values_of(store, i))
          ASSERT_EQ(x, store.divided(i) ? static_cast<float>(i + 2) : 1.0f) << i;
      }
    });
}

// Forward, backward, and forward again: every unit has its values when it is its turn, and no more
// than it and the next are whole.
TEST(UnitValues, two_units_are_whole_at_a_time) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    run_ranks_as_threads(3, [&](const Group& dp) {
      StoreOptions options = testing::divided(ZeroStage::kParameters, dp);
      options.precision.compute = compute;
      ParameterStore store(options);
      for (int unit = 0; unit < 5; ++unit)
        store.add(fmt::format("w{}", unit), {.pieces = {{fmt::format("w{}", unit), {9, 7}}}},
                  {.init = Init::normal(1.0f), .unit = unit});
      store.allocate();
      store.initialize(5);
      UnitValues units(store);
      for (const int unit : {0, 1, 2, 3, 4, 4, 3, 2, 2, 1, 0, 0, 1, 2}) {
        units.acquire(unit);
        Tensor expected = Tensor::empty({9, 7}, compute);
        const runtime::Philox random(5, fmt::format("init/w{}", unit));
        std::vector<float> drawn(63);
        for (std::size_t i = 0; i < drawn.size(); ++i) drawn[i] = random.normal(i);
        runtime::backend_of(expected).copy(Tensor::from(drawn, {9, 7}), expected);
        EXPECT_EQ(values_of(store, static_cast<std::size_t>(unit)),
                  expected.to(DType::kF32).to_vector<float>());
        const auto whole_units = std::ranges::count_if(store.parameters(), [](const auto& stored) {
          return stored->parameter.leaf.value.defined();
        });
        EXPECT_LE(whole_units, 2);
      }
    });
  }
}

TEST(ParameterStore, the_meta_device_has_shapes_without_values) {
  const ParameterStore real = toy_store(local_group());
  ParameterStore meta = toy_store(local_group(), true, {}, {runtime::DeviceType::kMeta});
  meta.initialize(5);
  EXPECT_EQ(meta.layout().elements(), real.layout().elements());
  EXPECT_TRUE(meta.find("qkv")->parameter.leaf.value.is_meta());
}

// What local_blocks() says of a parameter is where extract_piece() finds it.
TEST(ParameterStore, pieces_come_out_as_they_were_filled_in) {
  for (const int ranks : {1, 2, 4})
    run_ranks_as_threads(ranks, [&](const Group& tp) {
      ParameterStore store = toy_store(tp);
      for (std::size_t i = 0; i < store.parameters().size(); ++i) {
        const ShardSpec& spec = store.parameters()[i]->spec;
        // An element's value is its place in its piece.
        store.fill(i, [&](std::size_t piece, const runtime::Block& block) {
          Tensor values = Tensor::empty({block.rows, block.columns}, DType::kF32);
          const std::int64_t width = runtime::whole_block(spec.pieces[piece].shape).columns;
          for (std::int64_t at = 0; at < block.elements(); ++at)
            values.data<float>()[at] = static_cast<float>((block.row + at / block.columns) * width +
                                                          block.column + at % block.columns + 1);
          return values;
        });
        const std::vector<float> stored = values_of(store, i);
        std::size_t filled = 0;
        for (std::size_t piece = 0; piece < spec.pieces.size(); ++piece) {
          const auto shape = piece_slice_shape(spec, piece, tp.rank(), ranks);
          const PieceSlice slice = slice_of_piece(spec, piece, tp.rank(), ranks);
          std::vector<float> part(static_cast<std::size_t>(shape.elements()));
          extract_piece(spec, piece, tp.rank(), ranks, stored, part);
          const std::int64_t width = runtime::whole_block(spec.pieces[piece].shape).columns;
          const std::int64_t columns = runtime::whole_block(shape).columns;
          for (std::size_t at = 0; at < part.size(); ++at) {
            const std::int64_t row = static_cast<std::int64_t>(at) / columns,
                               column = static_cast<std::int64_t>(at) % columns;
            const std::int64_t place = (row + (spec.dim == 0 ? slice.begin : 0)) * width + column +
                                       (spec.dim == 1 ? slice.begin : 0);
            ASSERT_EQ(part[at], static_cast<float>(place + 1)) << spec.pieces[piece].name;
          }
          filled += part.size();
        }
        // No piece has written over another, nor over padding.
        EXPECT_EQ(std::ranges::count(stored, 0.0f),
                  static_cast<std::ptrdiff_t>(stored.size() - filled));
      }
    });
}

TEST(ParameterStore, a_step_begins_without_gradients) {
  ParameterStore store = toy_store(local_group());
  runtime::Leaf& leaf = store.find("out")->parameter.leaf;
  leaf.has_grad = true;
  store.begin_step();
  EXPECT_FALSE(leaf.has_grad);
  leaf.pending_uses = 1;
  EXPECT_THROW(store.begin_step(), runtime::InternalError);
}

TEST(ParameterStore, names_are_found_and_late_parameters_refused) {
  ParameterStore store = toy_store(local_group());
  EXPECT_EQ(store.find("qkv")->spec.pieces.size(), 3u);
  EXPECT_EQ(store.find("q.weight"), nullptr);
  EXPECT_THROW(store.add("late", {.pieces = {{"late", {4}}}}, {}), runtime::InternalError);
}

// Heads and vocabularies that a layout cannot divide are refused when their tensors are made.
TEST(ParameterStore, uneven_shards_are_refused) {
  EXPECT_THROW(run_ranks_as_threads(3, [](const Group& tp) { toy_store(tp); }), runtime::Error);
}

}  // namespace
}  // namespace tandem::parallel
