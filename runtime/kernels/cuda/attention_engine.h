// Which code attends on a card: cuDNN's fused kernels, or this folder's own, which take everything
// (attention_forward.cu, attention_backward.cu). A function of shapes alone: the same call gets the
// same one every time.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "runtime/kernels/backend.h"

namespace tandem::runtime::cuda {

enum class AttentionEngine { kOwn, kCudnn };

// What cuDNN is here.
struct CudnnSupport {
  std::int64_t version = 0;  // 91900: 9.19.0; 0: there is none
  int architecture = 0;      // the card's: 90 for sm_90
  // Memory that a backward may take, where the batch can be divided so; and where it cannot.
  std::int64_t workspace = std::int64_t{1} << 30;
  std::int64_t most_workspace = std::int64_t{4} << 30;
};

struct AttentionChoice {
  AttentionEngine engine;
  std::string_view reason;  // against cuDNN; empty where it is taken
};

// One call of the backend; a forward has no gradients: q, k and v stand there once more.
struct AttentionCall {
  HeadsView q, k, v;
  AttentionShape shape;
  HeadsView dq = q, dk = k, dv = v;
};

AttentionChoice choose_forward(const CudnnSupport& cudnn, const AttentionCall& call);
AttentionChoice choose_backward(const CudnnSupport& cudnn, const AttentionCall& call);

// What a plan of cuDNN is made for: a batch of packed sequences (rows one behind the other, each
// with its heads side by side). Sizes that batches vary in are rounded up, so that few plans serve
// many batches; the sequences that this adds are empty.
struct CudnnProblem {
  std::int64_t sequences, max_q, max_k;  // rows of the longest one
  std::int64_t total_q, total_k;
  std::int64_t heads, kv_heads, head_dim;
  std::int64_t q_stride, k_stride, v_stride;  // elements between rows
  std::int64_t dq_stride, dk_stride, dv_stride;
  float scale;
  bool causal, last_meets_last;  // the causal mask begins at the first keys, or ends at the last
  std::int64_t window;
  bool operator==(const CudnnProblem&) const = default;
};

// Sequences [first, first + count) of a batch.
struct SequenceGroup {
  std::int64_t first, count;
  bool operator==(const SequenceGroup&) const = default;
};

CudnnProblem problem_of(const AttentionCall& call, const SequenceGroup& group);

// What cuDNN 9.19 asks for a backward with one order of sums on sm_90: bf16 gradients of all scores
// and, of grouped heads, fp32 gradients of k and v for every query head.
std::int64_t backward_workspace(const CudnnProblem& problem);

// The batch in consecutive parts of at most that workspace, or of one sequence.
std::vector<SequenceGroup> sequence_groups(const AttentionCall& call, std::int64_t workspace);

// The lists of int32 that cuDNN reads on the card: rows of each sequence, and for every tensor
// where each sequence begins, in elements from the group's first row (kInLse: the batch's).
enum CudnnList {
  kRowsQ,
  kRowsK,
  kInQ,
  kInK,
  kInV,
  kInOut,
  kInLse,
  kInDq,
  kInDk,
  kInDv,
  kCudnnLists
};
// Elements of a row of the tensor that each list is about; 0: the list has rows.
std::array<std::int64_t, kCudnnLists> list_widths(const CudnnProblem& problem);
// All lists, one every list_pitch() elements.
std::vector<std::int32_t> cudnn_lists(const CudnnProblem& problem, const AttentionShape& shape,
                                      const SequenceGroup& group);
std::int64_t list_pitch(const CudnnProblem& problem);

}  // namespace tandem::runtime::cuda
