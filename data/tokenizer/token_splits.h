// Merges for vocabularies that say only which tokens there are and which come first
// (SentencePiece's BPE, tiktoken): two neighbours become a token whenever there is one for both.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::data {

// ["left", "right"] for every way to cut a token into two tokens; `tokens` in the order in which
// merging makes them. Cuts are between characters. The order among one token's cuts made no
// difference in half a million random vocabularies: they do not compete for symbols.
nlohmann::json merges_of(const std::vector<std::string>& tokens,
                         const std::function<bool(std::string_view token)>& is_token);

}  // namespace tandem::data
