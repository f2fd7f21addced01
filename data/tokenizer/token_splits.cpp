#include "data/tokenizer/token_splits.h"

#include <nlohmann/json.hpp>

#include "data/utf8.h"

namespace tandem::data {

using nlohmann::json;

json merges_of(const std::vector<std::string>& tokens,
               const std::function<bool(std::string_view token)>& is_token) {
  json merges = json::array();
  for (const std::string& token : tokens) {
    const std::string_view whole = token;
    for (std::size_t cut = 0; (cut += decode_utf8(whole, cut).length) < whole.size();) {
      const auto left = whole.substr(0, cut), right = whole.substr(cut);
      if (is_token(left) && is_token(right))
        merges.push_back({std::string(left), std::string(right)});
    }
  }
  return merges;
}

}  // namespace tandem::data
