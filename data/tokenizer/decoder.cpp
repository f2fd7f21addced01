#include "data/tokenizer/decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "data/utf8.h"

namespace tandem::data {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

class Bytes : public DecoderStep {
 public:
  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    memory.held += token;
    std::string text;
    const std::size_t incomplete = append_lossy_utf8(memory.held, false, text);
    memory.held.erase(0, memory.held.size() - incomplete);
    out.push_back(std::move(text));
  }
  void finish(Memory& memory, std::vector<std::string>& out) const override {
    append_lossy_utf8(memory.held, true, out.emplace_back());
  }
  bool fuses() const override { return true; }
};

class Joined : public DecoderStep {
 public:
  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    out.push_back(memory.tokens++ == 0 ? std::move(token) : " " + token);
  }
};

class WordPiece : public DecoderStep {
 public:
  WordPiece(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}

  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    if (memory.tokens++ > 0) {
      if (token.starts_with(prefix_))
        token.erase(0, prefix_.size());
      else
        token.insert(token.begin(), ' ');
    }
    if (cleanup_) clean_up(token);
    out.push_back(std::move(token));
  }

 private:
  static void clean_up(std::string& text) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kRules = {
        {{" .", "."},
         {" ?", "?"},
         {" !", "!"},
         {" ,", ","},
         {" ' ", "'"},
         {" n't", "n't"},
         {" 'm", "'m"},
         {" do not", " don't"},
         {" 's", "'s"},
         {" 've", "'ve"},
         {" 're", "'re"}}};
    for (const auto& [from, to] : kRules) replace_all(text, from, to);
  }

  std::string prefix_;
  bool cleanup_;
};

class ByteFallback : public DecoderStep {
 public:
  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    if (const auto byte = byte_of_token(token)) {
      memory.held += *byte;
      return;
    }
    finish(memory, out);
    out.push_back(std::move(token));
  }
  void finish(Memory& memory, std::vector<std::string>& out) const override {
    std::string bytes = std::exchange(memory.held, {});
    if (bytes.empty()) return;
    if (find_invalid_utf8(bytes) == std::string_view::npos)
      out.push_back(std::move(bytes));
    else
      out.insert(out.end(), bytes.size(), std::string(kReplacement));
  }
};

class Fused : public DecoderStep {
 public:
  void push(std::string token, Memory&, std::vector<std::string>& out) const override {
    out.push_back(std::move(token));
  }
  bool fuses() const override { return true; }
  bool takes_parts() const override { return true; }
};

// Puts the parts of a fused token together for a step that must see it whole.
class Collected : public DecoderStep {
 public:
  void push(std::string token, Memory& memory, std::vector<std::string>&) const override {
    memory.held += token;
  }
  void finish(Memory& memory, std::vector<std::string>& out) const override {
    out.push_back(std::exchange(memory.held, {}));
  }
  bool fuses() const override { return true; }
  bool takes_parts() const override { return true; }
};

class Metaspace : public DecoderStep {
 public:
  Metaspace(std::string replacement, bool drop_first)
      : replacement_(std::move(replacement)), drop_first_(drop_first) {}

  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    replace_all(token, replacement_, memory.tokens++ == 0 && drop_first_ ? "" : " ");
    out.push_back(std::move(token));
  }

 private:
  std::string replacement_;
  bool drop_first_;
};

class Replaced : public DecoderStep {
 public:
  Replaced(std::unique_ptr<Finder> finder, std::string content)
      : finder_(std::move(finder)), content_(std::move(content)) {}

  void push(std::string token, Memory&, std::vector<std::string>& out) const override {
    out.push_back(replace_matches(*finder_, token, content_));
  }

 private:
  std::unique_ptr<Finder> finder_;
  std::string content_;
};

class Stripped : public DecoderStep {
 public:
  Stripped(std::string content, std::size_t start, std::size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}

  void push(std::string token, Memory&, std::vector<std::string>& out) const override {
    for (std::size_t i = 0; i < start_ && token.starts_with(content_); ++i)
      token.erase(0, content_.size());
    for (std::size_t i = 0; i < stop_ && token.ends_with(content_); ++i)
      token.resize(token.size() - content_.size());
    out.push_back(std::move(token));
  }

 private:
  std::string content_;
  std::size_t start_;
  std::size_t stop_;
};

// Takes from the start of the whole text, which comes in parts.
class StartStripped : public DecoderStep {
 public:
  StartStripped(std::string content, std::size_t start)
      : content_(std::move(content)), start_(start) {}

  // memory.tokens counts what was taken; start_ once something else came.
  void push(std::string token, Memory& memory, std::vector<std::string>& out) const override {
    while (memory.tokens < start_ && token.starts_with(content_)) {
      token.erase(0, content_.size());
      ++memory.tokens;
    }
    if (!token.empty()) memory.tokens = start_;
    out.push_back(std::move(token));
  }
  bool takes_parts() const override { return true; }

 private:
  std::string content_;
  std::size_t start_;
};

}  // namespace

std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned value = 0;
  const char* end = token.data() + 5;
  const auto [read, error] = std::from_chars(token.data() + 3, end, value, 16);
  if (error != std::errc() || read != end) return std::nullopt;
  return static_cast<char>(value);
}

DecoderStepPtr decode_bytes() {
  return std::make_unique<Bytes>();
}
DecoderStepPtr decode_joined() {
  return std::make_unique<Joined>();
}
DecoderStepPtr decode_wordpiece(std::string prefix, bool cleanup) {
  return std::make_unique<WordPiece>(std::move(prefix), cleanup);
}
DecoderStepPtr decode_byte_fallback() {
  return std::make_unique<ByteFallback>();
}
DecoderStepPtr decode_fused() {
  return std::make_unique<Fused>();
}
DecoderStepPtr decode_metaspace(std::string replacement, bool drop_first) {
  return std::make_unique<Metaspace>(std::move(replacement), drop_first);
}
DecoderStepPtr decode_replaced(std::unique_ptr<Finder> finder, std::string content) {
  return std::make_unique<Replaced>(std::move(finder), std::move(content));
}
DecoderStepPtr decode_stripped(std::string content, std::size_t start, std::size_t stop) {
  return std::make_unique<Stripped>(std::move(content), start, stop);
}
DecoderStepPtr decode_start_stripped(std::string content, std::size_t start) {
  return std::make_unique<StartStripped>(std::move(content), start);
}

void DecoderChain::add(DecoderStepPtr step) {
  if (fused_ && !step->takes_parts()) steps_.push_back(std::make_unique<Collected>());
  fused_ |= step->fuses();
  steps_.push_back(std::move(step));
}

std::string DecoderChain::push(std::vector<std::string> tokens, Memory& memory) const {
  std::vector<std::string> next;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    for (std::string& token : tokens) steps_[i]->push(std::move(token), memory[i], next);
    tokens.swap(next);
    next.clear();
  }
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

std::string DecoderChain::finish(Memory& memory) const {
  std::vector<std::string> tokens;
  std::vector<std::string> next;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    for (std::string& token : tokens) steps_[i]->push(std::move(token), memory[i], next);
    steps_[i]->finish(memory[i], next);
    tokens.swap(next);
    next.clear();
  }
  memory = start();
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

}  // namespace tandem::data
