#include "parallel/pipeline/shared_parameters.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

namespace tandem::parallel {

namespace {

using Holders = std::vector<int>;

std::string text_of(const Holders& holders) {
  std::string text;
  for (const int stage : holders) text += std::to_string(stage) + " ";
  return text + "\n";
}

// The sets of holders that occur on any stage, in one order for all.
std::set<Holders> all_holders(const ParameterStore& store) {
  std::string own;
  for (const auto& stored : store.parameters())
    if (!stored->options.holders.empty()) own += text_of(stored->options.holders);
  std::set<Holders> all;
  for (const std::string& text : store.pp().all_gather_strings(own, "shared parameters")) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream numbers(line);
      all.emplace(std::istream_iterator<int>(numbers), std::istream_iterator<int>());
    }
  }
  return all;
}

}  // namespace

SharedParameters::SharedParameters(ParameterStore& store) {
  const Group& pp = store.pp();
  if (pp.size() == 1 || pp.on_paper()) return;
  std::map<Holders, Group> groups;
  for (const Holders& holders : all_holders(store)) {
    const bool member = std::ranges::find(holders, pp.rank()) != holders.end();
    groups[holders] = pp.split(member ? 0 : -1, "pp_shared");
  }
  for (const OwnedPart& part : store.owned()) {
    const Holders& holders = store.parameters()[part.parameter]->options.holders;
    if (!holders.empty()) shared_.push_back({part.grad, groups.at(holders)});
  }
}

void SharedParameters::sum_gradients() {
  std::vector<Work> works;
  for (Shared& shared : shared_)
    works.push_back(shared.holders.all_reduce(shared.grad, ReduceOp::kSum, "shared gradients"));
  for (Work& work : works) work.wait();
}

}  // namespace tandem::parallel
