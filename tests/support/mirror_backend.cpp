#include "tests/support/mirror_backend.h"

#include <cstring>
#include <deque>
#include <memory>

#include "runtime/base/error.h"

namespace tandem::test {
namespace {

using namespace tandem::runtime;

// The copies of one call. What shares memory on the host (q, k and v of one matrix) shares it here.
class Copies {
 public:
  Copies(Device device) : device_(device) {}

  Tensor& operator()(const Tensor& host) {
    if (!host.defined()) return undefined_;
    for (Copy& copy : copies_)
      if (copy.host.raw() == host.raw() && copy.host.bytes() == host.bytes() &&
          copy.host.shape() == host.shape() && host.bytes() > 0)
        return copy.device;
    return copies_.emplace_back(Copy{host, copy_of(host)}).device;
  }
  HeadsView operator()(const HeadsView& heads) {
    return {(*this)(heads.rows), heads.offset, heads.heads, heads.head_dim};
  }
  KvCacheView operator()(const KvCacheView& cache) {
    return {(*this)(cache.keys), (*this)(cache.values)};
  }

  DistanceBias operator()(const DistanceBias& bias) {
    return {(*this)(bias.values), (*this)(bias.grad), bias.zero};
  }
  IndexList operator()(const IndexList& list) { return {list.values, (*this)(list.on_device)}; }
  QuantizedMatrix operator()(const QuantizedMatrix& weight) {
    QuantizedMatrix copy = weight;
    for (Tensor* part : {&copy.codes, &copy.scales, &copy.first_block, &copy.groups})
      *part = (*this)(*part);
    return copy;
  }
  Fp8Rows operator()(const Fp8Rows& rows) {
    return {(*this)(rows.codes), (*this)(rows.inverse_scale)};
  }
  Fp8Matrix operator()(const Fp8Matrix& matrix) {
    return {(*this)(matrix.rows), (*this)(matrix.columns), (*this)(matrix.inverse_scale)};
  }
  QuantizedMoment operator()(const QuantizedMoment& moment) {
    return {(*this)(moment.codes), (*this)(moment.maxima)};
  }
  AttentionShape operator()(const AttentionShape& shape) {
    AttentionShape copy = shape;
    copy.bias = (*this)(shape.bias);
    copy.borders.values = (*this)(shape.borders.values);
    return copy;
  }

  // All of them, changed or not.
  std::vector<Tensor> fetch() const {
    std::vector<Tensor> values;
    for (const Copy& copy : copies_) values.push_back(copy.device.to(Device{}));
    return values;
  }
  void write_back(const std::vector<Tensor>& values) const {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (values[i].bytes() > 0)
        std::memcpy(copies_[i].host.raw(), values[i].raw(),
                    static_cast<std::size_t>(values[i].bytes()));
  }

 private:
  struct Copy {
    Tensor host, device;
  };
  // At an address as far from a multiple of 64 as on the host.
  Tensor copy_of(const Tensor& host) const {
    const auto size = static_cast<std::uintptr_t>(runtime::size_of(host.dtype()));
    const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(host.raw()) % 64;
    if (host.bytes() == 0 || offset == 0 || offset % size != 0) return host.to(device_);
    const auto before = static_cast<std::int64_t>(offset / size);
    const Tensor room = Tensor::empty({before + host.elements()}, host.dtype(), device_);
    Tensor copy = room.slice(before, host.shape());
    backend_of(device_).copy(host, copy);
    return copy;
  }
  Device device_;
  std::deque<Copy> copies_;
  Tensor undefined_;
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), static_cast<std::size_t>(a.bytes())) == 0;
}

class MirrorBackend final : public Backend {
 public:
  MirrorBackend(Device device, std::vector<Variant> variants)
      : device_(device), variants_(std::move(variants)) {}

  Device device() const override { return {}; }
  void synchronize() override {}
  void set_options(const DeviceOptions& options) override {
    backend_of(device_).set_options(options);
  }

  void fill(Tensor& out, float value) override {
    each("fill", [&](Backend& backend, Copies& on) { backend.fill(on(out), value); });
  }
  void copy(const Tensor& in, Tensor& out) override {
    each("copy", [&](Backend& backend, Copies& on) { backend.copy(on(in), on(out)); });
  }
  void add(const Tensor& a, const Tensor& b, Tensor& out) override {
    each("add", [&](Backend& backend, Copies& on) { backend.add(on(a), on(b), on(out)); });
  }
  void scale(Tensor& x, float factor) override {
    each("scale", [&](Backend& backend, Copies& on) { backend.scale(on(x), factor); });
  }
  void dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) override {
    each("dropout",
         [&](Backend& backend, Copies& on) { backend.dropout(on(x), p, draws, on(out)); });
  }
  void add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override {
    each("add_columns",
         [&](Backend& backend, Copies& on) { backend.add_columns(on(x), factor, first, on(out)); });
  }
  void take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override {
    each("take_columns", [&](Backend& backend, Copies& on) {
      backend.take_columns(on(x), factor, first, on(out));
    });
  }
  void gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) override {
    each("gather_rows",
         [&](Backend& backend, Copies& on) { backend.gather_rows(on(x), on(rows), on(out)); });
  }
  void scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) override {
    each("scatter_add_rows",
         [&](Backend& backend, Copies& on) { backend.scatter_add_rows(on(x), on(rows), on(out)); });
  }
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
              bool accumulate, const Tensor& bias) override {
    each("matmul", [&](Backend& backend, Copies& on) {
      backend.matmul(on(a), transpose_a, on(b), transpose_b, on(out), accumulate, on(bias));
    });
  }
  void quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                        Tensor& out, const Tensor& bias) override {
    each("quantized_matmul", [&](Backend& backend, Copies& on) {
      backend.quantized_matmul(on(a), on(weight), transposed, on(out), on(bias));
    });
  }
  void column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) override {
    each("column_sum",
         [&](Backend& backend, Copies& on) { backend.column_sum(on(dy), on(dbias), accumulate); });
  }
  void add_amax(const Tensor& x, Tensor& amax) override {
    each("add_amax", [&](Backend& backend, Copies& on) { backend.add_amax(on(x), on(amax)); });
  }
  void fp8_scale_of(const Tensor& amax, DType format, Tensor& scale) override {
    each("fp8_scale_of",
         [&](Backend& backend, Copies& on) { backend.fp8_scale_of(on(amax), format, on(scale)); });
  }
  void quantize_fp8(const Tensor& x, const Tensor& scale, Fp8Matrix& out, Tensor& amax) override {
    each("quantize_fp8", [&](Backend& backend, Copies& on) {
      Fp8Matrix codes = on(out);
      backend.quantize_fp8(on(x), on(scale), codes, on(amax));
    });
  }
  void fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                  const Tensor& bias) override {
    each("fp8_matmul", [&](Backend& backend, Copies& on) {
      backend.fp8_matmul(on(a), on(b), on(out), accumulate, on(bias));
    });
  }
  void linear_gradients(const Tensor& dy, const Tensor& x, Tensor& dweight, bool accumulate_weight,
                        Tensor& dbias, bool accumulate_bias) override {
    each("linear_gradients", [&](Backend& backend, Copies& on) {
      backend.linear_gradients(on(dy), on(x), on(dweight), accumulate_weight, on(dbias),
                               accumulate_bias);
    });
  }
  void product_and_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias, bool tanh,
                        Tensor& product, Tensor& y) override {
    each("product_and_gelu", [&](Backend& backend, Copies& on) {
      backend.product_and_gelu(on(x), on(weight), on(bias), tanh, on(product), on(y));
    });
  }
  void gelu_backward_of_product(const Tensor& dy, const Tensor& weight, const Tensor& x, bool tanh,
                                Tensor& dx) override {
    each("gelu_backward_of_product", [&](Backend& backend, Copies& on) {
      backend.gelu_backward_of_product(on(dy), on(weight), on(x), tanh, on(dx));
    });
  }
  void embedding_forward(const Tensor& tokens, const Tensor& weight, std::int64_t first_row,
                         Tensor& out) override {
    each("embedding_forward", [&](Backend& backend, Copies& on) {
      backend.embedding_forward(on(tokens), on(weight), first_row, on(out));
    });
  }
  void embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                          Tensor& dweight) override {
    each("embedding_backward", [&](Backend& backend, Copies& on) {
      backend.embedding_backward(on(tokens), on(dy), first_row, on(dweight));
    });
  }
  void rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                        Tensor& h, Tensor& y, Tensor& rstd) override {
    each("rms_norm_forward", [&](Backend& backend, Copies& on) {
      backend.rms_norm_forward(on(x), on(residual), on(weight), eps, on(h), on(y), on(rstd));
    });
  }
  void rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                         const Tensor& dy, const Tensor& dh_in, Tensor& dh, Tensor& dweight,
                         bool accumulate) override {
    each("rms_norm_backward", [&](Backend& backend, Copies& on) {
      backend.rms_norm_backward(on(h), on(weight), on(rstd), on(dy), on(dh_in), on(dh), on(dweight),
                                accumulate);
    });
  }
  void layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                          const Tensor& bias, float eps, Tensor& h, Tensor& y, Tensor& mean,
                          Tensor& rstd) override {
    each("layer_norm_forward", [&](Backend& backend, Copies& on) {
      backend.layer_norm_forward(on(x), on(residual), on(weight), on(bias), eps, on(h), on(y),
                                 on(mean), on(rstd));
    });
  }
  void layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                           const Tensor& rstd, const Tensor& dy, const Tensor& dh_in, Tensor& dh,
                           Tensor& dweight, Tensor& dbias, bool accumulate) override {
    each("layer_norm_backward", [&](Backend& backend, Copies& on) {
      backend.layer_norm_backward(on(h), on(weight), on(mean), on(rstd), on(dy), on(dh_in), on(dh),
                                  on(dweight), on(dbias), accumulate);
    });
  }
  void rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos, const Tensor& sin,
            bool inverse) override {
    each("rope", [&](Backend& backend, Copies& on) {
      backend.rope(on(heads), on(positions), on(cos), on(sin), inverse);
    });
  }
  void swiglu_forward(const Tensor& gate_up, Tensor& out) override {
    each("swiglu_forward",
         [&](Backend& backend, Copies& on) { backend.swiglu_forward(on(gate_up), on(out)); });
  }
  void swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) override {
    each("swiglu_backward", [&](Backend& backend, Copies& on) {
      backend.swiglu_backward(on(gate_up), on(dy), on(dgate_up));
    });
  }
  void gelu_forward(const Tensor& x, bool tanh, Tensor& y) override {
    each("gelu_forward",
         [&](Backend& backend, Copies& on) { backend.gelu_forward(on(x), tanh, on(y)); });
  }
  void gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) override {
    each("gelu_backward",
         [&](Backend& backend, Copies& on) { backend.gelu_backward(on(x), tanh, on(dy), on(dx)); });
  }
  void attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                         const AttentionShape& shape, Tensor& out, Tensor& lse) override {
    each("attention_forward", [&](Backend& backend, Copies& on) {
      backend.attention_forward(on(q), on(k), on(v), on(shape), on(out), on(lse));
    });
  }
  void attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                          const Tensor& out, const Tensor& lse, const Tensor& dout,
                          const AttentionShape& shape, const HeadsView& dq, const HeadsView& dk,
                          const HeadsView& dv) override {
    each("attention_backward", [&](Backend& backend, Copies& on) {
      backend.attention_backward(on(q), on(k), on(v), on(out), on(lse), on(dout), on(shape), on(dq),
                                 on(dk), on(dv));
    });
  }
  void kv_cache_write(const HeadsView& k, const HeadsView& v, const IndexList& slots,
                      const IndexList& positions, KvCacheView& cache) override {
    each("kv_cache_write", [&](Backend& backend, Copies& on) {
      KvCacheView copy = on(cache);
      backend.kv_cache_write(on(k), on(v), on(slots), on(positions), copy);
    });
  }
  void attention_decode(const HeadsView& q, const KvCacheView& cache, const IndexList& slots,
                        const IndexList& lengths, float scale, std::int64_t window,
                        const DistanceBias& bias, Tensor& out) override {
    each("attention_decode", [&](Backend& backend, Copies& on) {
      backend.attention_decode(on(q), on(cache), on(slots), on(lengths), scale, window, on(bias),
                               on(out));
    });
  }
  void row_max(const Tensor& logits, Tensor& maximum) override {
    each("row_max",
         [&](Backend& backend, Copies& on) { backend.row_max(on(logits), on(maximum)); });
  }
  void softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                    std::int64_t first_column, Tensor& sums) override {
    each("softmax_sums", [&](Backend& backend, Copies& on) {
      backend.softmax_sums(on(logits), on(maximum), on(targets), first_column, on(sums));
    });
  }
  void row_max_and_sums(const Tensor& logits, const Tensor& targets, std::int64_t first_column,
                        Tensor& maximum, Tensor& sums) override {
    each("row_max_and_sums", [&](Backend& backend, Copies& on) {
      backend.row_max_and_sums(on(logits), on(targets), first_column, on(maximum), on(sums));
    });
  }
  void softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse, Tensor& log_prob,
                     Tensor& entropy) override {
    each("softmax_stats", [&](Backend& backend, Copies& on) {
      backend.softmax_stats(on(maximum), on(sums), on(lse), on(log_prob), on(entropy));
    });
  }
  void add_dot(const Tensor& a, const Tensor& b, Tensor& out) override {
    each("add_dot", [&](Backend& backend, Copies& on) { backend.add_dot(on(a), on(b), on(out)); });
  }
  void concat_columns(const Tensor& parts, Tensor& out) override {
    each("concat_columns",
         [&](Backend& backend, Copies& on) { backend.concat_columns(on(parts), on(out)); });
  }
  void softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                        std::int64_t first_column, const Tensor& g_logp, const Tensor& entropy,
                        const Tensor& g_entropy, Tensor& dlogits) override {
    each("softmax_backward", [&](Backend& backend, Copies& on) {
      backend.softmax_backward(on(logits), on(lse), on(targets), first_column, on(g_logp),
                               on(entropy), on(g_entropy), on(dlogits));
    });
  }
  void adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
             Tensor& compute, const AdamWStep& step) override {
    each("adamw", [&](Backend& backend, Copies& on) {
      backend.adamw(on(master), on(grad), on(exp_avg), on(exp_avg_sq), on(compute), step);
    });
  }
  void adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                  QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) override {
    each("adamw_8bit", [&](Backend& backend, Copies& on) {
      QuantizedMoment avg = on(exp_avg), avg_sq = on(exp_avg_sq);
      backend.adamw_8bit(on(master), on(grad), avg, avg_sq, on(compute), step);
    });
  }
  void round_stochastically(const Tensor& in, std::uint64_t seed, std::string_view purpose,
                            const ElementIndices& indices, Tensor& out) override {
    each("round_stochastically", [&](Backend& backend, Copies& on) {
      backend.round_stochastically(on(in), seed, purpose, indices, on(out));
    });
  }
  double sum_of_squares(std::span<const Tensor> parts) override {
    return each_value<double>("sum_of_squares", [&](Backend& backend, Copies& on) {
      std::vector<Tensor> copies;
      for (const Tensor& part : parts) copies.push_back(on(part));
      return backend.sum_of_squares(copies);
    });
  }
  bool all_finite(const Tensor& x) override {
    return each_value<bool>(
        "all_finite", [&](Backend& backend, Copies& on) { return backend.all_finite(on(x)); });
  }
  void sample(const Tensor& logits, const SamplingParams& params, std::span<const float> uniform,
              std::span<std::int32_t> tokens) override {
    std::vector<std::int32_t> first;
    each("sample", [&](Backend& backend, Copies& on) {
      backend.sample(on(logits), params, uniform, tokens);
      const std::vector<std::int32_t> now(tokens.begin(), tokens.end());
      TANDEM_CHECK(first.empty() || first == now, "sample: other tokens in another variant");
      first = now;
    });
  }

  void geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) override {
    each("geglu_forward",
         [&](Backend& backend, Copies& on) { backend.geglu_forward(on(gate_up), tanh, on(out)); });
  }
  void geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                      Tensor& dgate_up) override {
    each("geglu_backward", [&](Backend& backend, Copies& on) {
      backend.geglu_backward(on(gate_up), tanh, on(dy), on(dgate_up));
    });
  }
  void relu_forward(const Tensor& x, Tensor& y) override {
    each("relu_forward", [&](Backend& backend, Copies& on) { backend.relu_forward(on(x), on(y)); });
  }
  void relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) override {
    each("relu_backward",
         [&](Backend& backend, Copies& on) { backend.relu_backward(on(x), on(dy), on(dx)); });
  }
  void tanh_forward(const Tensor& x, Tensor& y) override {
    each("tanh_forward", [&](Backend& backend, Copies& on) { backend.tanh_forward(on(x), on(y)); });
  }
  void tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) override {
    each("tanh_backward",
         [&](Backend& backend, Copies& on) { backend.tanh_backward(on(y), on(dy), on(dx)); });
  }

 private:
  // body(backend of the device, copies) once per variant.
  template <typename Body>
  void each(const char* name, const Body& body) {
    std::vector<Tensor> first;
    for (std::size_t v = 0; v < variants_.size(); ++v) {
      variants_[v].prepare();
      Backend& backend = backend_of(device_);
      Copies copies(device_);
      body(backend, copies);
      backend.synchronize();
      const std::vector<Tensor> values = copies.fetch();
      if (v == 0) first = values;
      for (std::size_t i = 0; i < values.size(); ++i)
        TANDEM_CHECK(same_bits(first[i], values[i]), "{}: tensor {} {} differs between {} and {}",
                     name, i, values[i].str(), variants_[0].name, variants_[v].name);
      if (v + 1 == variants_.size()) copies.write_back(values);
    }
  }

  template <typename Value, typename Body>
  Value each_value(const char* name, const Body& body) {
    std::vector<Value> values;
    each(name, [&](Backend& backend, Copies& copies) { values.push_back(body(backend, copies)); });
    for (const Value value : values)
      TANDEM_CHECK(value == values[0], "{}: {} and {}", name, values[0], value);
    return values[0];
  }

  Device device_;
  std::vector<Variant> variants_;
};

}  // namespace

Backend& mirror_backend(Device device, std::vector<Variant> variants) {
  static std::vector<std::unique_ptr<MirrorBackend>> instances;
  instances.push_back(std::make_unique<MirrorBackend>(device, std::move(variants)));
  return *instances.back();
}

}  // namespace tandem::test
