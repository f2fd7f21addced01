// The bells of a group's ranks, for whoever has news for them.
#pragma once

#include <memory>
#include <vector>

#include "parallel/comm/engine/doorbell.h"

namespace tandem::parallel {

class Bells {
 public:
  // `bells`: place on the board, by group rank.
  Bells(std::shared_ptr<NodeBoard> board, std::vector<int> bells, int own_rank)
      : board_(std::move(board)), bells_(std::move(bells)), own_rank_(own_rank) {}

  void ring(int rank, News news) const { board_->bell(bells_[rank]).ring(news); }
  void ring_others(News news) const {
    for (int rank = 0; rank < static_cast<int>(bells_.size()); ++rank)
      if (rank != own_rank_) ring(rank, news);
  }

 private:
  std::shared_ptr<NodeBoard> board_;
  std::vector<int> bells_;
  int own_rank_;
};

}  // namespace tandem::parallel
