#include "runtime/kernels/cpu/matmul.h"

#include <cstring>
#include <dnnl.hpp>
#include <functional>
#include <unordered_map>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/kernels/cpu/typed.h"

namespace tandem::runtime::cpu {
namespace {

using dnnl::memory;

struct Problem {
  std::int64_t m, n, k, out_row;
  bool transpose_a, transpose_b, accumulate, has_bias;
  DType in, out;
  bool operator==(const Problem&) const = default;
};

struct Operands {
  const void *a, *b;
  void* out;
  const float* bias;  // null: none
};

struct ProblemHash {
  std::size_t operator()(const Problem& p) const {
    std::size_t hash = 0;
    const auto mix = [&hash](std::int64_t value) {
      hash = (hash ^ static_cast<std::size_t>(value)) * 0x9e3779b97f4a7c15ull;
      hash ^= hash >> 29;
    };
    mix(p.m), mix(p.n), mix(p.k), mix(p.out_row);
    mix(p.transpose_a | p.transpose_b << 1 | p.accumulate << 2 | p.has_bias << 3);
    mix(static_cast<std::int64_t>(p.in) * 16 + static_cast<std::int64_t>(p.out));
    return hash;
  }
};

memory::data_type data_type(DType dtype) {
  TANDEM_CHECK(dtype == DType::kF32 || dtype == DType::kBF16, "matmul of {}", name_of(dtype));
  return dtype == DType::kF32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc rows_apart(std::int64_t rows, std::int64_t columns, DType dtype, std::int64_t row) {
  return {{rows, columns}, data_type(dtype), memory::dims{row, 1}};
}

memory::desc matrix(std::int64_t rows, std::int64_t columns, DType dtype, bool transposed) {
  return {{rows, columns},
          data_type(dtype),
          transposed ? memory::dims{1, rows} : memory::dims{columns, 1}};
}

// The one difference between oneDNN 2 and 3 that concerns us. Empty when the CPU has no such
// product.
dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const memory::desc& a,
                                      const memory::desc& b, const memory::desc& bias,
                                      const memory::desc& out,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, bias, out, attributes, true};
#else
  return {dnnl::matmul::desc(a, b, bias, out), attributes, engine, true};
#endif
}

struct Product {
  dnnl::matmul primitive;
  memory a, b, out, bias;
  memory::desc scratchpad;
};

// One per thread: a primitive's memory objects are changed by every call.
class Products {
 public:
  Products() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  // False where oneDNN has no such product for this CPU.
  bool run(const Problem& problem, const Operands& on) {
    Product& product = find(problem);
    if (!product.primitive) return false;
    product.a.set_data_handle(const_cast<void*>(on.a));
    product.b.set_data_handle(const_cast<void*>(on.b));
    product.out.set_data_handle(on.out);
    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.out}};
    if (problem.has_bias) {
      product.bias.set_data_handle(const_cast<float*>(on.bias));
      arguments.emplace(DNNL_ARG_BIAS, product.bias);
    }
    arguments.emplace(DNNL_ARG_SCRATCHPAD, scratchpad(product));
    product.primitive.execute(stream_, arguments);
    stream_.wait();
    return true;
  }

 private:
  Product& find(const Problem& problem) {
    const auto found = products_.find(problem);
    if (found != products_.end()) return found->second;
    if (products_.size() >= kMaximum) products_.clear();  // ragged batches make ever new shapes
    return products_.emplace(problem, make(problem)).first->second;
  }

  dnnl::matmul::primitive_desc description_of(const Problem& p) {
    const memory::desc a = matrix(p.m, p.k, p.in, p.transpose_a),
                       b = matrix(p.k, p.n, p.in, p.transpose_b);
    const memory::desc out = rows_apart(p.m, p.n, p.out, p.out_row);
    const memory::desc bias = p.has_bias ? matrix(1, p.n, DType::kF32, false) : memory::desc();
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (p.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    return describe(engine_, a, b, bias, out, attributes);
  }

  Product make(const Problem& p) {
    const auto description = description_of(p);
    if (!description) return {};
    Product product{dnnl::matmul(description),
                    memory(description.src_desc(), engine_, nullptr),
                    memory(description.weights_desc(), engine_, nullptr),
                    memory(description.dst_desc(), engine_, nullptr),
                    memory(),
                    description.scratchpad_desc()};
    if (p.has_bias) product.bias = memory(description.bias_desc(), engine_, nullptr);
    return product;
  }

  memory scratchpad(const Product& product) {
    if (product.scratchpad.get_size() > scratch_.size())
      scratch_.resize(product.scratchpad.get_size());
    return memory(product.scratchpad, engine_, scratch_.data());
  }

  static constexpr std::size_t kMaximum = 512;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::unordered_map<Problem, Product, ProblemHash> products_;
  std::vector<std::byte> scratch_;
};

Products& products() {
  static thread_local Products instance;
  return instance;
}

// oneDNN's products of fp16 exist from version 3 on and on few CPUs. Else as measured: without
// AVX-512 our kernels are the faster ones; with it, but without AMX, for bf16, where oneDNN's dot
// products run at half the speed of fp32.
bool own_is_better(const Problem& p) {
  if (p.in == DType::kF16 || p.out == DType::kF16) return true;
  static const bool amx = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_amx;
  return kernel_table().gemm_wins || (!amx && p.in == DType::kBF16);
}

// The product of this instruction set's own kernels.
void run_own(const Problem& p, const Operands& on) {
  by_types(p.in, p.out, [&](auto in, auto to) {
    using In = decltype(in);
    using Out = decltype(to);
    mixed<In, Out>().gemm(static_cast<const In*>(on.a), p.transpose_a, static_cast<const In*>(on.b),
                          p.transpose_b, p.m, p.n, p.k, static_cast<Out*>(on.out), p.out_row,
                          p.accumulate, on.bias);
  });
}

void multiply(const Problem& problem, const Operands& on) {
  if (problem.m == 0 || problem.n == 0) return;
  // Of transposed matrices without rows oneDNN divides by zero.
  const bool own = problem.k == 0 || own_is_better(problem);
  if (own || !products().run(problem, on)) run_own(problem, on);
}

}  // namespace

void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
            bool accumulate, const Tensor& bias) {
  const std::int64_t m = out.dim(0), n = out.dim(1), k = a.dim(transpose_a ? 0 : 1);
  multiply(
      {m, n, k, n, transpose_a, transpose_b, accumulate, bias.defined(), a.dtype(), out.dtype()},
      {a.raw(), b.raw(), out.raw(), pointer<float>(bias)});
}

void matmul_columns(const Tensor& a, const void* b, bool transpose_b, std::int64_t first,
                    std::int64_t count, Tensor& out, const Tensor& bias) {
  auto* columns = static_cast<char*>(out.raw()) + first * size_of(out.dtype());
  multiply({out.dim(0), count, a.dim(1), out.dim(1), false, transpose_b, false, bias.defined(),
            a.dtype(), out.dtype()},
           {a.raw(), b, columns, bias.defined() ? pointer<float>(bias) + first : nullptr});
}

void matmul_bf16_rows(const std::uint16_t* a, const std::uint16_t* b, std::int64_t m,
                      std::int64_t n, std::int64_t k, float* out) {
  multiply({m, n, k, n, false, true, false, false, DType::kBF16, DType::kF32},
           {a, b, out, nullptr});
}

}  // namespace tandem::runtime::cpu
