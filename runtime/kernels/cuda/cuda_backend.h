// A GPU's Backend: settles dtypes, takes pointers out of tensors and launches the kernels of this
// folder and cuBLASLt (matmul.cpp) on one stream. Calls return before their work is done;
// synchronize, copies to the host and results as values (sum_of_squares, sample) wait.
#pragma once

#include "runtime/kernels/backend.h"
#include "runtime/kernels/cuda/attention_engine.h"
#include "runtime/kernels/cuda/context.h"
#include "runtime/kernels/cuda/kernels.h"

namespace tandem::runtime::cuda {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index) : context_(index) {}
  Device device() const override { return {DeviceType::kCUDA, context_.index()}; }
  void synchronize() override;
  void set_options(const DeviceOptions& options) override;
  std::unique_ptr<Replay> make_replay() override;
  bool replays() const override { return graphs_; }
  cudaStream_t stream() const { return context_.stream(); }
  bool recorded() const { return context_.recorded(); }

  void fill(Tensor& out, float value) override;
  void copy(const Tensor& in, Tensor& out) override;
  void add(const Tensor& a, const Tensor& b, Tensor& out) override;
  void scale(Tensor& x, float factor) override;
  void dropout(const Tensor& x, float p, const MaskDraws& draws, Tensor& out) override;
  void add_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override;
  void take_columns(const Tensor& x, float factor, std::int64_t first, Tensor& out) override;
  void gather_rows(const Tensor& x, const Tensor& rows, Tensor& out) override;
  void scatter_add_rows(const Tensor& x, const Tensor& rows, Tensor& out) override;

  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, Tensor& out,
              bool accumulate, const Tensor& bias) override;
  void quantized_matmul(const Tensor& a, const QuantizedMatrix& weight, bool transposed,
                        Tensor& out, const Tensor& bias) override;
  void column_sum(const Tensor& dy, Tensor& dbias, bool accumulate) override;
  void add_amax(const Tensor& x, Tensor& amax) override;
  void fp8_scale_of(const Tensor& amax, DType format, Tensor& scale) override;
  void quantize_fp8(const Tensor& x, const Tensor& scale, Fp8Matrix& out, Tensor& amax) override;
  void fp8_matmul(const Fp8Rows& a, const Fp8Rows& b, Tensor& out, bool accumulate,
                  const Tensor& bias) override;
  void linear_gradients(const Tensor& dy, const Tensor& x, Tensor& dweight, bool accumulate_weight,
                        Tensor& dbias, bool accumulate_bias) override;
  void product_and_gelu(const Tensor& x, const Tensor& weight, const Tensor& bias, bool tanh,
                        Tensor& product, Tensor& y) override;
  bool fuses_gelu() const override { return gelu_fusion_; }
  void gelu_backward_of_product(const Tensor& dy, const Tensor& weight, const Tensor& x, bool tanh,
                                Tensor& dx) override;

  void embedding_forward(const Tensor& tokens, const Tensor& weight, std::int64_t first_row,
                         Tensor& out) override;
  void embedding_backward(const Tensor& tokens, const Tensor& dy, std::int64_t first_row,
                          Tensor& dweight) override;

  void rms_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                        Tensor& h, Tensor& y, Tensor& rstd) override;
  void rms_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& rstd,
                         const Tensor& dy, const Tensor& dh_in, Tensor& dh, Tensor& dweight,
                         bool accumulate) override;
  void layer_norm_forward(const Tensor& x, const Tensor& residual, const Tensor& weight,
                          const Tensor& bias, float eps, Tensor& h, Tensor& y, Tensor& mean,
                          Tensor& rstd) override;
  void layer_norm_backward(const Tensor& h, const Tensor& weight, const Tensor& mean,
                           const Tensor& rstd, const Tensor& dy, const Tensor& dh_in, Tensor& dh,
                           Tensor& dweight, Tensor& dbias, bool accumulate) override;

  void rope(const HeadsView& heads, const Tensor& positions, const Tensor& cos, const Tensor& sin,
            bool inverse) override;
  void swiglu_forward(const Tensor& gate_up, Tensor& out) override;
  void swiglu_backward(const Tensor& gate_up, const Tensor& dy, Tensor& dgate_up) override;
  void geglu_forward(const Tensor& gate_up, bool tanh, Tensor& out) override;
  void geglu_backward(const Tensor& gate_up, bool tanh, const Tensor& dy,
                      Tensor& dgate_up) override;
  void relu_forward(const Tensor& x, Tensor& y) override;
  void relu_backward(const Tensor& x, const Tensor& dy, Tensor& dx) override;
  void tanh_forward(const Tensor& x, Tensor& y) override;
  void tanh_backward(const Tensor& y, const Tensor& dy, Tensor& dx) override;
  void gelu_forward(const Tensor& x, bool tanh, Tensor& y) override;
  void gelu_backward(const Tensor& x, bool tanh, const Tensor& dy, Tensor& dx) override;

  void attention_forward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                         const AttentionShape& shape, Tensor& out, Tensor& lse) override;
  void attention_backward(const HeadsView& q, const HeadsView& k, const HeadsView& v,
                          const Tensor& out, const Tensor& lse, const Tensor& dout,
                          const AttentionShape& shape, const HeadsView& dq, const HeadsView& dk,
                          const HeadsView& dv) override;
  void kv_cache_write(const HeadsView& k, const HeadsView& v, const IndexList& slots,
                      const IndexList& positions, KvCacheView& cache) override;
  void attention_decode(const HeadsView& q, const KvCacheView& cache, const IndexList& slots,
                        const IndexList& lengths, float scale, std::int64_t window,
                        const DistanceBias& bias, Tensor& out) override;

  void row_max(const Tensor& logits, Tensor& maximum) override;
  void softmax_sums(const Tensor& logits, const Tensor& maximum, const Tensor& targets,
                    std::int64_t first_column, Tensor& sums) override;
  void row_max_and_sums(const Tensor& logits, const Tensor& targets, std::int64_t first_column,
                        Tensor& maximum, Tensor& sums) override;
  void softmax_stats(const Tensor& maximum, const Tensor& sums, Tensor& lse, Tensor& log_prob,
                     Tensor& entropy) override;
  void add_dot(const Tensor& a, const Tensor& b, Tensor& out) override;
  void concat_columns(const Tensor& parts, Tensor& out) override;
  void softmax_backward(const Tensor& logits, const Tensor& lse, const Tensor& targets,
                        std::int64_t first_column, const Tensor& g_logp, const Tensor& entropy,
                        const Tensor& g_entropy, Tensor& dlogits) override;

  void adamw(Tensor& master, const Tensor& grad, Tensor& exp_avg, Tensor& exp_avg_sq,
             Tensor& compute, const AdamWStep& step) override;
  void adamw_8bit(Tensor& master, const Tensor& grad, QuantizedMoment& exp_avg,
                  QuantizedMoment& exp_avg_sq, Tensor& compute, const AdamWStep& step) override;
  void round_stochastically(const Tensor& in, std::uint64_t seed, std::string_view purpose,
                            const ElementIndices& indices, Tensor& out) override;
  double sum_of_squares(std::span<const Tensor> parts) override;
  bool all_finite(const Tensor& x) override;

  void sample(const Tensor& logits, const SamplingParams& params, std::span<const float> uniform,
              std::span<std::int32_t> tokens) override;

 private:
  void copy_on_device(const Tensor& in, Tensor& out);
  void activate(const char* name, Activation activation, const Tensor& x, Tensor& y);
  void activate_backward(const char* name, Activation activation, const Tensor& x, const Tensor& dy,
                         Tensor& dx);
  void gate(const char* name, Activation activation, const Tensor& gate_up, Tensor& out);
  void gate_backward(const char* name, Activation activation, const Tensor& gate_up,
                     const Tensor& dy, Tensor& dgate_up);
  void add_rows(const Tensor& x, const Tensor& rows, std::int64_t first_row, Tensor& out);
  // False where cuDNN does not take the call.
  bool cudnn_forward(const AttentionCall& call, Tensor& out, Tensor& lse);
  bool cudnn_backward(const AttentionCall& call, const Tensor& out, const Tensor& lse,
                      const Tensor& dout);

  // On the device.
  const std::int32_t* indices(const IndexList& list);
  struct AttentionTiles {
    const AttentionTile* queries;
    std::int64_t query_count;
    const AttentionTile* keys;
    std::int64_t key_count;
  };
  AttentionTiles tiles_on_device(const AttentionShape& shape, std::int64_t rows,
                                 std::int64_t head_dim, bool with_keys);
  const std::int32_t* cudnn_lists_on_device(const CudnnProblem& problem,
                                            const AttentionShape& shape,
                                            const SequenceGroup& group);

  Context context_;
  bool graphs_ = true;
  bool gelu_fusion_ = false;
};

}  // namespace tandem::runtime::cuda
