#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "data/tokenizer/finder.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

using runtime::throw_error;

std::string message_of(int code) {
  unsigned char buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

class RegexFinder : public Finder {
 public:
  // In Oniguruma's Ruby syntax ^ and $ always match at line ends.
  static constexpr std::uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;

  explicit RegexFinder(const std::string& pattern) : pattern_(pattern) {
    int error = 0;
    PCRE2_SIZE place = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              kOptions, &error, &place, nullptr));
    if (!code_)
      throw_error("is not understood at offset {} of '{}': {}", place, pattern, message_of(error));
  }

  // An empty match that touches the match before it does not count, as in Hugging Face.
  void find(std::string_view text, std::vector<Span>& matches) const override {
    const std::unique_ptr<pcre2_match_data, FreeMatch> data(
        pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    std::size_t last_end = std::string_view::npos;
    for (std::size_t at = 0; at <= text.size();) {
      const auto match = find_one(text, at, data.get());
      if (match.begin == std::string_view::npos) return;
      at = match.end;
      if (match.begin == match.end && match.end == last_end) {
        at += at < text.size() ? decode_utf8(text, at).length : 1;
        continue;
      }
      last_end = match.end;
      matches.push_back(match);
    }
  }

 private:
  Span find_one(std::string_view text, std::size_t from, pcre2_match_data* data) const {
    const int count = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                  text.size(), from, PCRE2_NO_UTF_CHECK, data, nullptr);
    if (count == PCRE2_ERROR_NOMATCH) return {std::string_view::npos, std::string_view::npos};
    if (count < 0)
      throw_error(
          "the tokenizer's regular expression '{}' gave up on a text of {} bytes ({}); cut "
          "the text",
          pattern_, text.size(), message_of(count));
    const PCRE2_SIZE* place = pcre2_get_ovector_pointer(data);
    return {place[0], place[1]};
  }

  std::string pattern_;
  std::unique_ptr<pcre2_code, FreeCode> code_;
};

}  // namespace

std::unique_ptr<Finder> find_regex(const std::string& pattern) {
  return std::make_unique<RegexFinder>(pattern);
}

}  // namespace tandem::data
