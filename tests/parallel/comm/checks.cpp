#include "tests/parallel/comm/checks.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>

#include "runtime/base/random.h"

namespace tandem::parallel::testing {

using runtime::BFloat16;
using runtime::DType;
using runtime::Tensor;

namespace {

// Around the borders where algorithms change: empty, one element, slices that are not full, several
// chunks.
const std::vector<std::int64_t> kSizes{0, 1, 3, 17, 1000, 4096, 4097, 16385, 65537, 262145, 600011};

// Small whole numbers: every sum over 8 ranks is exact in every type, bf16 too.
template <typename T>
T whole_number(int rank, std::int64_t i) {
  return static_cast<T>(static_cast<float>((rank + 1) * (i % 7 - 3)));
}

template <typename T>
Tensor whole_numbers(int rank, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) values[i] = whole_number<T>(rank, i);
  return Tensor::from(values, {count});
}

// Numbers of many magnitudes, whose sum depends on the order. They repeat after a prime number of
// elements, so that no two chunks are alike.
constexpr std::int64_t kRoughPeriod = 4093;

std::vector<float> draw_rough_numbers(int rank) {
  const runtime::Philox random(7, "rough", static_cast<std::uint64_t>(rank));
  std::vector<float> values(kRoughPeriod);
  for (std::uint64_t i = 0; i < values.size(); ++i)
    values[i] = std::ldexp(random.normal(i), static_cast<int>(random.bits(i) % 24) - 12);
  return values;
}

template <typename T>
T rough_number(int rank, std::int64_t i) {
  static const std::vector<std::vector<float>> values = [] {
    std::vector<std::vector<float>> all;
    for (int r = 0; r < 16; ++r) all.push_back(draw_rough_numbers(r));
    return all;
  }();
  return static_cast<T>(values[rank][i % kRoughPeriod]);
}

template <typename T>
Tensor rough_numbers(int rank, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) values[i] = rough_number<T>(rank, i);
  return Tensor::from(values, {count});
}

// The definition: one after the other by rank, bf16 in fp32.
template <typename T>
T sum_in_rank_order(int ranks, std::int64_t i) {
  using Accumulator = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;
  auto sum = static_cast<Accumulator>(rough_number<T>(0, i));
  for (int r = 1; r < ranks; ++r) sum += static_cast<Accumulator>(rough_number<T>(r, i));
  return static_cast<T>(sum);
}

template <typename T>
void expect_same_bits(const Tensor& tensor, const std::vector<T>& expected,
                      const std::string& what) {
  ASSERT_EQ(tensor.elements(), static_cast<std::int64_t>(expected.size())) << what;
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_EQ(std::memcmp(&tensor.span<T>()[i], &expected[i], sizeof(T)), 0)
        << what << ": element " << i << " is "
        << static_cast<double>(static_cast<float>(tensor.span<T>()[i])) << " instead of "
        << static_cast<double>(static_cast<float>(expected[i]));
}

template <typename T>
void all_reduce_sums_whole_numbers(const Group& world) {
  const int ranks = world.size();
  for (const std::int64_t size : kSizes) {
    Tensor tensor = whole_numbers<T>(world.rank(), size);
    world.all_reduce(tensor, ReduceOp::kSum, "sum").wait();
    std::vector<T> expected(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i)
      expected[i] = static_cast<T>(static_cast<float>((i % 7 - 3) * (ranks * (ranks + 1) / 2)));
    expect_same_bits(tensor, expected, "size " + std::to_string(size));
  }
}

template <typename T>
void sums_are_taken_in_rank_order(const Group& world) {
  for (const std::int64_t size : {5, 5000, 70001}) {
    Tensor tensor = rough_numbers<T>(world.rank(), size);
    world.all_reduce(tensor, ReduceOp::kSum, "rough sum").wait();
    std::vector<T> expected(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) expected[i] = sum_in_rank_order<T>(world.size(), i);
    expect_same_bits(tensor, expected, "size " + std::to_string(size));
  }
}

void maximum_and_minimum(const Group& world) {
  for (const std::int64_t size : {1, 40000}) {
    Tensor high = whole_numbers<float>(world.rank(), size),
           low = whole_numbers<float>(world.rank(), size);
    world.all_reduce(high, ReduceOp::kMax, "max").wait();
    world.all_reduce(low, ReduceOp::kMin, "min").wait();
    for (std::int64_t i = 0; i < size; ++i) {
      const auto x = static_cast<float>(i % 7 - 3);
      ASSERT_EQ(high.span<float>()[i], x > 0 ? x * world.size() : x) << i;
      ASSERT_EQ(low.span<float>()[i], x < 0 ? x * world.size() : x) << i;
    }
  }
}

void not_a_number_survives_every_reduction(const Group& world) {
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin})
    for (int bad = 0; bad < world.size(); ++bad) {
      Tensor tensor = whole_numbers<float>(world.rank(), 4);
      if (world.rank() == bad) tensor.span<float>()[2] = std::numeric_limits<float>::quiet_NaN();
      world.all_reduce(tensor, op, "with a NaN").wait();
      EXPECT_TRUE(std::isnan(tensor.span<float>()[2]));
      EXPECT_FALSE(std::isnan(tensor.span<float>()[1]));
    }
}

void reduce_scatter_gives_each_rank_its_part(const Group& world) {
  const int ranks = world.size();
  for (const std::int64_t part : {0, 1, 33, 5000, 150001}) {
    const Tensor input = rough_numbers<float>(world.rank(), part * ranks);
    Tensor output = Tensor::empty({part}, DType::kF32);
    world.reduce_scatter(input, output, ReduceOp::kSum, "scatter").wait();
    std::vector<float> expected(static_cast<std::size_t>(part));
    for (std::int64_t i = 0; i < part; ++i)
      expected[i] = sum_in_rank_order<float>(ranks, world.rank() * part + i);
    expect_same_bits(output, expected, "part " + std::to_string(part));
    if (part == 0) continue;

    Tensor own = input.rows(world.rank() * part, part);
    world.reduce_scatter(input, own, ReduceOp::kSum, "scatter in place").wait();
    expect_same_bits(own, expected, "in place, part " + std::to_string(part));
  }
}

void all_gather_collects_in_rank_order(const Group& world) {
  for (const std::int64_t part : {0, 1, 33, 150001}) {
    std::vector<float> expected;
    for (int r = 0; r < world.size(); ++r)
      for (std::int64_t i = 0; i < part; ++i) expected.push_back(rough_number<float>(r, i));
    const Tensor input = rough_numbers<float>(world.rank(), part);
    Tensor output = Tensor::zeros({world.size() * part}, DType::kF32);
    world.all_gather(input, output, "gather").wait();
    expect_same_bits(output, expected, "part " + std::to_string(part));
    if (part == 0) continue;

    Tensor in_place = Tensor::zeros({world.size() * part}, DType::kF32);
    const Tensor own = in_place.rows(world.rank() * part, part);
    std::memcpy(own.raw(), input.raw(), static_cast<std::size_t>(own.bytes()));
    world.all_gather(own, in_place, "gather in place").wait();
    expect_same_bits(in_place, expected, "in place, part " + std::to_string(part));
  }
}

void broadcast_from_every_root(const Group& world) {
  for (const std::int64_t size : {0, 1, 1001, 700001})
    for (int root = 0; root < world.size(); ++root) {
      Tensor tensor = whole_numbers<float>(world.rank(), size);
      world.broadcast(tensor, root, "broadcast").wait();
      expect_same_bits(tensor, whole_numbers<float>(root, size).to_vector<float>(),
                       "root " + std::to_string(root));
    }
}

// Every rank sends to the next and hears from the one before, several messages in flight, also
// larger than a ring.
void messages_arrive_in_order(const Group& world) {
  if (world.size() == 1) return;
  const int next = (world.rank() + 1) % world.size();
  const int before = (world.rank() + world.size() - 1) % world.size();
  const std::vector<std::int64_t> sizes{1, 0, 500001, 7, 100000};
  std::vector<Work> works;
  std::vector<Tensor> received;
  for (const std::int64_t size : sizes) {
    received.push_back(Tensor::zeros({size}, DType::kF32));
    works.push_back(world.recv(received.back(), before, "from before"));
    works.push_back(world.send(whole_numbers<float>(world.rank(), size), next, "to next"));
  }
  for (Work& work : works) work.wait();
  for (std::size_t i = 0; i < sizes.size(); ++i)
    expect_same_bits(received[i], whole_numbers<float>(before, sizes[i]).to_vector<float>(),
                     "message " + std::to_string(i));
}

void many_in_flight_waited_out_of_order(const Group& world) {
  constexpr int kCount = 60;
  std::vector<Tensor> tensors;
  std::vector<Work> works;
  for (int i = 0; i < kCount; ++i) {
    tensors.push_back(Tensor::from(
        std::vector<float>(1 + i * 997, static_cast<float>(i + world.rank())), {1 + i * 997}));
    if (i % 3 == 0)
      works.push_back(world.broadcast(tensors[i], i % world.size(), fmt::format("b{}", i)));
    else
      works.push_back(world.all_reduce(tensors[i], ReduceOp::kSum, fmt::format("r{}", i)));
  }
  const int ranks = world.size();
  for (int k = 0; k < kCount; ++k) {
    const int i = (k * 37 + 11 * world.rank()) % kCount;  // 37 and 60 have no common divisor
    works[i].wait();
    const float expected = i % 3 == 0 ? i + i % ranks : ranks * i + ranks * (ranks - 1) / 2;
    for (const float x : tensors[i].span<float>()) ASSERT_EQ(x, expected) << "collective " << i;
  }
}

void handles_may_be_tested_moved_and_dropped(const Group& world) {
  Tensor a = whole_numbers<float>(world.rank(), 300000), b = a.clone(), c = a.clone();
  Work first = world.all_reduce(a, ReduceOp::kSum, "tested");
  while (!first.test()) std::this_thread::yield();
  EXPECT_TRUE(first.test());
  first.wait();

  Work moved = world.all_reduce(b, ReduceOp::kSum, "replaced");
  moved = world.all_reduce(c, ReduceOp::kSum, "dropped");  // waits for the one it replaces
  EXPECT_EQ(b.span<float>()[299999], a.span<float>()[299999]);
  { const Work dropped = std::move(moved); }
  EXPECT_EQ(c.span<float>()[0], a.span<float>()[0]);
  EXPECT_TRUE(a.exclusive()) << "a finished collective still holds its tensor";
}

// As a mesh makes them: rows and columns of a grid, in flight at the same time, waited in either
// order.
void overlapping_groups(const Group& world) {
  const int columns = world.size() % 2 == 0 ? 2 : world.size();
  const Group row = world.split(world.rank() / columns, "row");
  const Group column = world.split(world.rank() % columns, "column");
  EXPECT_EQ(row.size(), columns);
  EXPECT_EQ(column.size(), world.size() / columns);
  EXPECT_EQ(row.rank(), world.rank() % columns);
  for (int round = 0; round < 10; ++round) {
    const std::int64_t size = 1 + round * 20011;
    Tensor x = Tensor::from(std::vector<float>(size, static_cast<float>(world.rank())), {size});
    Tensor y = x.clone();
    std::vector<float> mine(x.to_vector<float>());
    Work in_row = row.all_reduce(x, ReduceOp::kSum, "row sum");
    Work in_column = column.all_reduce(y, ReduceOp::kSum, "column sum");
    // Rank 0 of a row waits for its column first, the others for their row: only a rank that serves
    // both ends.
    if (row.rank() == 0) in_column.wait();
    in_row.wait();
    in_column.wait();
    float row_sum = 0, column_sum = 0;
    for (int r = 0; r < world.size(); ++r) {
      if (r / columns == world.rank() / columns) row_sum += r;
      if (r % columns == world.rank() % columns) column_sum += r;
    }
    for (const float v : x.span<float>()) ASSERT_EQ(v, row_sum);
    for (const float v : y.span<float>()) ASSERT_EQ(v, column_sum);
  }
}

// Groups of the same ranks keep apart, and collectives from messages: the order of calls counts
// within each of them only.
void what_is_in_flight_together_does_not_mix(const Group& world) {
  const Group a = world.split(0, "a"), b = world.split(0, "b");
  const int ranks = world.size(), rank = world.rank();
  const int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
  for (const std::int64_t size : {1, 3000, 100003}) {
    Tensor in_a = whole_numbers<float>(rank, size), in_b = whole_numbers<float>(2 * rank, size);
    Tensor sent = whole_numbers<float>(rank + 20, size),
           received = Tensor::zeros({size}, DType::kF32);
    std::vector<std::function<Work()>> calls{
        [&] { return a.all_reduce(in_a, ReduceOp::kSum, "in a"); },
        [&] { return b.all_reduce(in_b, ReduceOp::kSum, "in b"); }};
    if (ranks > 1) {
      calls.push_back([&] { return a.recv(received, before, "message"); });
      calls.push_back([&] { return a.send(sent, next, "message"); });
    }
    std::vector<Work> works;
    for (std::size_t i = 0; i < calls.size(); ++i)
      works.push_back(calls[(i + rank) % calls.size()]());
    for (Work& work : works) work.wait();
    for (std::int64_t i = 0; i < size; ++i) {
      const auto x = static_cast<float>(i % 7 - 3);
      ASSERT_EQ(in_a.span<float>()[i], x * static_cast<float>(ranks * (ranks + 1) / 2)) << i;
      ASSERT_EQ(in_b.span<float>()[i], x * static_cast<float>(ranks * ranks)) << i;
      if (ranks > 1) {
        ASSERT_EQ(received.span<float>()[i], x * static_cast<float>(before + 21)) << i;
      }
    }
  }
}

void split_leaves_out_negative_colors(const Group& world) {
  const bool last = world.rank() == world.size() - 1;
  const Group rest = world.split(last && world.size() > 1 ? -1 : 5, "rest");
  if (last && world.size() > 1) {
    EXPECT_EQ(rest.size(), 0);
    EXPECT_EQ(rest.rank(), -1);
    EXPECT_THROW(rest.barrier("not mine"), runtime::InternalError);
    return;
  }
  EXPECT_EQ(rest.size(), std::max(1, world.size() - 1));
  EXPECT_EQ(rest.name(), "rest");
  EXPECT_EQ(rest.all_reduce_scalar(std::int64_t{1}, ReduceOp::kSum, "count"), rest.size());
  // A split of a split.
  const Group alone = rest.split(rest.rank(), "alone");
  EXPECT_EQ(alone.size(), 1);
  EXPECT_EQ(alone.all_reduce_scalar(std::int64_t{9}, ReduceOp::kSum, "count"), 9);
}

void strings_and_scalars(const Group& world) {
  for (int root = 0; root < world.size(); ++root) {
    const std::string value =
        root == 0 ? "" : std::string(static_cast<std::size_t>(root) * 50000, 'x') + "end";
    EXPECT_EQ(world.broadcast_string(world.rank() == root ? value : "not this", root, "string"),
              value);
  }
  const std::string mine(static_cast<std::size_t>(world.rank()) * 3,
                         static_cast<char>('a' + world.rank()));
  const auto all = world.all_gather_strings(mine, "strings");
  ASSERT_EQ(static_cast<int>(all.size()), world.size());
  for (int r = 0; r < world.size(); ++r)
    EXPECT_EQ(all[r], std::string(static_cast<std::size_t>(r) * 3, static_cast<char>('a' + r)));
  EXPECT_EQ(world.all_gather_strings("", "empty strings"), std::vector<std::string>(world.size()));
  EXPECT_EQ(world.all_reduce_scalar(0.5 + world.rank(), ReduceOp::kMax, "max"), world.size() - 0.5);
  EXPECT_EQ(world.all_reduce_scalar(std::int64_t{1} << 40, ReduceOp::kSum, "sum"),
            world.size() * (std::int64_t{1} << 40));
}

void meta_tensors_travel_nowhere(const Group& world) {
  if (world.rank() == world.size() - 1)
    return;  // the others would wait for it if anything travelled
  Tensor meta = Tensor::empty({1 << 20}, DType::kF32, {runtime::DeviceType::kMeta});
  Tensor whole = Tensor::empty({world.size() << 20}, DType::kF32, {runtime::DeviceType::kMeta});
  EXPECT_TRUE(world.all_reduce(meta, ReduceOp::kSum, "meta").test());
  EXPECT_TRUE(world.all_gather(meta, whole, "meta").test());
  EXPECT_TRUE(world.reduce_scatter(whole, meta, ReduceOp::kSum, "meta").test());
}

// Of one clock, which all ranks of a machine read.
double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Nobody leaves before everybody has come.
void barrier_holds_everyone(const Group& world) {
  if (world.rank() == world.size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const double came = seconds_now();
  world.barrier("all here");
  const double left = seconds_now();
  EXPECT_LE(world.all_reduce_scalar(came, ReduceOp::kMax, "last to come"),
            world.all_reduce_scalar(left, ReduceOp::kMin, "first to leave"));
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

void waiting_costs_no_cpu(const Group& world) {
  world.barrier("start together");
  if (world.rank() == world.size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const double before = cpu_seconds();
  world.barrier("the last is late");
  EXPECT_LT(cpu_seconds() - before, 0.25) << "a wait that spins takes 0.5";
}

// ---- failures ----

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

int world_rank_of_last(const Group& world) {
  return world.size() - 1;
}

void deadline_names_what_is_missing(const Group& world) {
  const Group group = world.split(0, "doomed");
  group.set_deadline(std::chrono::milliseconds(300));
  if (group.rank() != world_rank_of_last(world)) {
    Tensor tensor = Tensor::zeros({5000}, DType::kF32);
    const auto start = std::chrono::steady_clock::now();
    Work work = group.all_reduce(tensor, ReduceOp::kSum, "layers.3.down");
    Work later = group.all_reduce(tensor, ReduceOp::kSum, "never");
    const std::string text = message_of([&] { work.wait(); });
    EXPECT_TRUE(text.starts_with("rank " + std::to_string(world.rank()) + " has waited ")) << text;
    EXPECT_NE(text.find(" s for all_reduce 'layers.3.down' (20000 bytes, number 0 of group "
                        "'doomed'): "),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("no answer from rank " + std::to_string(world_rank_of_last(world)) + ";"),
              std::string::npos)
        << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    // The group is of no use any more, and says so at once; handles let go without waiting.
    EXPECT_EQ(message_of([&] { group.barrier("after"); }), text);
    later = Work();
    const auto waited = std::chrono::steady_clock::now() - start;
    EXPECT_GE(waited, std::chrono::milliseconds(300));
    EXPECT_LT(waited, std::chrono::seconds(10));
  }
  world.barrier("the world goes on");
}

void deadline_names_a_silent_peer(const Group& world) {
  const Group group = world.split(0, "silent");
  group.set_deadline(std::chrono::milliseconds(200));
  if (group.rank() == 0) {
    Tensor tensor = Tensor::zeros({10}, DType::kI32);
    const std::string text = message_of([&] { group.recv(tensor, 1, "activations").wait(); });
    EXPECT_NE(
        text.find(
            "recv 'activations' (40 bytes, number 0 of group 'silent'): no answer from rank 1;"),
        std::string::npos)
        << text;
  }
  world.barrier("the world goes on");
}

void a_message_of_another_size_is_a_bug(const Group& world) {
  for (const std::int64_t received : {99, 101}) {
    const Group group = world.split(0, "sizes");
    if (group.rank() == 0) {
      const Tensor tensor = Tensor::zeros({100}, DType::kF32);
      Work work = group.send(tensor, 1, "hundred");
      work.wait();
    } else if (group.rank() == 1) {
      Tensor tensor = Tensor::zeros({received}, DType::kF32);
      EXPECT_THROW(group.recv(tensor, 0, "other").wait(), runtime::InternalError);
    }
    world.barrier("the world goes on");
  }
}

// Nobody waits for peers that an exception keeps from calling.
void unwinding_does_not_wait(const Group& world) {
  const Group group = world.split(0, "unwound");
  group.set_deadline(std::chrono::seconds(15));
  const auto start = std::chrono::steady_clock::now();
  if (group.rank() == 0) {
    Tensor tensor = Tensor::zeros({100000}, DType::kF32);
    const std::string text = message_of([&] {
      const Work work = group.all_reduce(tensor, ReduceOp::kSum, "abandoned");
      throw std::runtime_error("something else");
    });
    EXPECT_EQ(text, "something else");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  world.barrier("the world goes on");
}

}  // namespace

const std::vector<Check>& all_checks() {
  static const std::vector<Check> checks{
      {"sums_fp32", all_reduce_sums_whole_numbers<float>},
      {"sums_bf16", all_reduce_sums_whole_numbers<BFloat16>},
      {"sums_fp64", all_reduce_sums_whole_numbers<double>},
      {"sums_int32", all_reduce_sums_whole_numbers<std::int32_t>},
      {"sums_int64", all_reduce_sums_whole_numbers<std::int64_t>},
      {"rank_order_fp32", sums_are_taken_in_rank_order<float>},
      {"rank_order_bf16", sums_are_taken_in_rank_order<BFloat16>},
      {"maximum_and_minimum", maximum_and_minimum},
      {"not_a_number_survives", not_a_number_survives_every_reduction},
      {"reduce_scatter", reduce_scatter_gives_each_rank_its_part},
      {"all_gather", all_gather_collects_in_rank_order},
      {"broadcast", broadcast_from_every_root},
      {"messages_arrive_in_order", messages_arrive_in_order},
      {"many_in_flight", many_in_flight_waited_out_of_order},
      {"handles", handles_may_be_tested_moved_and_dropped},
      {"overlapping_groups", overlapping_groups},
      {"in_flight_together", what_is_in_flight_together_does_not_mix},
      {"negative_colors", split_leaves_out_negative_colors},
      {"strings_and_scalars", strings_and_scalars},
      {"meta_tensors", meta_tensors_travel_nowhere},
      {"barrier", barrier_holds_everyone},
      {"waiting_costs_no_cpu", waiting_costs_no_cpu},
  };
  return checks;
}

const std::vector<Check>& failure_checks() {
  static const std::vector<Check> checks{
      {"deadline_names_what_is_missing", deadline_names_what_is_missing},
      {"deadline_names_a_silent_peer", deadline_names_a_silent_peer},
      {"a_message_of_another_size_is_a_bug", a_message_of_another_size_is_a_bug},
      {"unwinding_does_not_wait", unwinding_does_not_wait},
  };
  return checks;
}

}  // namespace tandem::parallel::testing
