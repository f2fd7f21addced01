#include "data/tokenizer/tokenizer.h"

#include <utility>

#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"
#include "data/tokenizer/tokenizer_parts.h"
#include "data/utf8.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/io/atomic_file.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

// Borrows a workspace for the time of one call.
class Borrowed {
 public:
  Borrowed(WorkspacePool& pool, const TokenModel& model)
      : pool_(pool), workspace_(pool.take(model)) {}
  ~Borrowed() { pool_.give_back(std::move(workspace_)); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  TokenModel::Workspace& operator*() { return *workspace_; }

 private:
  WorkspacePool& pool_;
  std::unique_ptr<TokenModel::Workspace> workspace_;
};

// Encodes one text: parts that added tokens left, piece by piece.
class Encoder {
 public:
  Encoder(const TokenizerParts& parts, bool parse_special, TokenModel::Workspace& workspace,
          std::vector<TokenId>& ids)
      : parts_(parts), parse_special_(parse_special), workspace_(workspace), ids_(ids) {}

  void run(std::string_view text) {
    for (const TextPart& part : split(&AddedTokens::split_raw, text)) {
      if (part.token != kNoToken)
        ids_.push_back(part.token);
      else
        encode_part(part.text, part.text.data() == text.data());
    }
  }

 private:
  using Split = void (AddedTokens::*)(std::string_view, bool, std::vector<TextPart>&) const;

  std::vector<TextPart> split(Split how, std::string_view text) const {
    std::vector<TextPart> text_parts;
    (parts_.added.*how)(text, parse_special_, text_parts);
    return text_parts;
  }

  void encode_part(std::string_view text, bool at_start) {
    std::string normalized;
    if (parts_.normalizer) {
      normalized = text;
      parts_.normalizer->apply(normalized);
      text = normalized;
    }
    for (const TextPart& part : split(&AddedTokens::split_normalized, text)) {
      if (part.token != kNoToken)
        ids_.push_back(part.token);
      else if (parts_.pre_tokenizer)
        encode_in_place(part.text);
      else
        encode_in_steps(part.text, at_start && part.text.data() == text.data());
    }
  }

  void encode_in_place(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      ends_.clear();
      const std::size_t end = parts_.pre_tokenizer->split(text, at, ends_);
      parts_.model->encode(text, at, ends_, workspace_, ids_);
      at = end;
    }
  }

  void encode_in_steps(std::string_view text, bool at_start) {
    PieceList pieces;
    pieces.add(text);
    pieces.at_start = at_start;
    for (const PieceStepPtr& step : parts_.piece_steps) step->apply(pieces);
    parts_.model->encode(pieces.text, 0, pieces.ends, workspace_, ids_);
  }

  const TokenizerParts& parts_;
  bool parse_special_;
  TokenModel::Workspace& workspace_;
  std::vector<TokenId>& ids_;
  std::vector<std::size_t> ends_;
};

}  // namespace

void Vocabulary::set(std::string token, TokenId id) {
  if (id >= size()) tokens_.resize(static_cast<std::size_t>(id) + 1);
  ids_.insert_or_assign(token, id);
  tokens_[id] = std::move(token);
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const auto entry = ids_.find(token);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

std::unique_ptr<TokenModel::Workspace> WorkspacePool::take(const TokenModel& model) {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto workspace = std::move(free_.back());
      free_.pop_back();
      return workspace;
    }
  }
  return model.make_workspace();
}

void WorkspacePool::give_back(std::unique_ptr<TokenModel::Workspace> workspace) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(workspace));
}

Tokenizer::Tokenizer(TokenizerFiles files, std::string_view origin)
    : parts_(parse_hf_tokenizer(std::move(files), origin)) {}
Tokenizer::Tokenizer(std::unique_ptr<TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  FoundTokenizer found = find_tokenizer(path);
  return Tokenizer(std::move(found.files), found.origin);
}

void Tokenizer::save(const std::filesystem::path& directory) const {
  const auto write = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) runtime::write_file_atomically(directory / name, text);
  };
  write(kTokenizerConfigJson, files().tokenizer_config_json);
  write(kSpecialTokensMapJson, files().special_tokens_map_json);
  write(kTokenizerJson,
        files().tokenizer_json);  // last: its presence says that the others are there
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> ids;
  encode(text, options, ids);
  return ids;
}

void Tokenizer::encode(std::string_view text, const EncodeOptions& options,
                       std::vector<TokenId>& ids) const {
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    throw_error(
        "text is not UTF-8: byte 0x{:02X} at offset {} cannot be encoded; convert the text first",
        static_cast<unsigned char>(text[bad]), bad);
  Borrowed workspace(parts_->workspaces, *parts_->model);
  if (options.add_special_tokens)
    ids.insert(ids.end(), parts_->prefix.begin(), parts_->prefix.end());
  Encoder(*parts_, options.parse_special_tokens, *workspace, ids).run(text);
  if (options.add_special_tokens)
    ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
}

std::vector<TextPart> Tokenizer::split_special(std::string_view text) const {
  std::vector<TextPart> raw;
  parts_->added.split_raw(text, true, raw);
  if (parts_->normalizer) return raw;
  std::vector<TextPart> text_parts;
  for (const TextPart& part : raw) {
    if (part.token != kNoToken)
      text_parts.push_back(part);
    else
      parts_->added.split_normalized(part.text, true, text_parts);
  }
  return text_parts;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  std::string bytes;
  for (const TokenId id : ids) {
    const std::string& token = decoder_token(id);
    if (token.empty() || (skip_special_tokens && is_special(id))) continue;
    if (parts_->decodes_bytes)
      bytes += token;
    else
      tokens.push_back(token);
  }
  if (parts_->decodes_bytes) {
    std::string text;
    append_lossy_utf8(bytes, true, text);
    return text;
  }
  auto memory = parts_->decoder.start();
  std::string text = parts_->decoder.push(std::move(tokens), memory);
  return text + parts_->decoder.finish(memory);
}

const std::string& Tokenizer::kind() const {
  return parts_->kind;
}

std::int64_t Tokenizer::vocab_size() const {
  return parts_->vocabulary.size();
}
const SpecialTokenIds& Tokenizer::special_ids() const {
  return parts_->special_ids;
}
const TokenizerFiles& Tokenizer::files() const {
  return parts_->files;
}

bool Tokenizer::is_special(TokenId id) const {
  return id >= 0 && id < vocab_size() && parts_->special[id];
}

std::optional<TokenId> Tokenizer::token_to_id(std::string_view token) const {
  return parts_->vocabulary.find(token);
}

std::string_view Tokenizer::id_to_token(TokenId id) const {
  if (id < 0 || id >= vocab_size())
    throw_error(
        "token id {} is outside the tokenizer's vocabulary of {}; was it made by another "
        "tokenizer?",
        id, vocab_size());
  return parts_->vocabulary[id];
}

const std::string& Tokenizer::decoder_token(TokenId id) const {
  static const std::string nothing;
  return id >= 0 && id < vocab_size() ? parts_->decoder_tokens[id] : nothing;
}

Tokenizer Tokenizer::with_special_tokens(std::span<const std::string> tokens) const {
  return Tokenizer(add_special_tokens(files(), {tokens.begin(), tokens.end()},
                                      static_cast<TokenId>(vocab_size())));
}

std::uint64_t Tokenizer::fingerprint() const {
  const auto& [tokenizer, config, special] = files();
  return runtime::stable_hash(tokenizer,
                              runtime::stable_hash(config, runtime::stable_hash(special)));
}

struct StreamDecoder::Memory {
  DecoderChain::Memory steps;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      memory_(std::make_unique<Memory>(tokenizer.parts_->decoder.start())) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(TokenId id) {
  const std::string& token = tokenizer_->decoder_token(id);
  if (token.empty() || (skip_special_tokens_ && tokenizer_->is_special(id))) return {};
  return tokenizer_->parts_->decoder.push({token}, memory_->steps);
}

std::string StreamDecoder::finish() {
  return tokenizer_->parts_->decoder.finish(memory_->steps);
}

}  // namespace tandem::data
