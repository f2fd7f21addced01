#include "data/tokenizer/stop_strings.h"

#include <algorithm>

namespace tandem::data {

std::size_t find_stop(std::string_view text, std::span<const std::string> stop_strings) {
  std::size_t end = std::string_view::npos;
  for (const std::string& stop : stop_strings)
    if (const std::size_t at = text.find(stop); at != std::string_view::npos)
      end = std::min(end, at + stop.size());
  return end;
}

}  // namespace tandem::data
