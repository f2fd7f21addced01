#include "data/tokenizer/tokenizer.h"

#include <utility>

#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/tokenizer_parts.h"
#include "data/utf8.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/text_file.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

constexpr std::string_view kTokenizerJson = "tokenizer.json";
constexpr std::string_view kTokenizerConfigJson = "tokenizer_config.json";
constexpr std::string_view kSpecialTokensMapJson = "special_tokens_map.json";

std::string read_if_there(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? runtime::read_text_file(path) : std::string();
}

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

void encode_text(const TokenizerParts& parts, std::string_view text,
                 TokenModel::Workspace& workspace, std::vector<TokenId>& ids) {
  std::string with_space;
  if (parts.add_prefix_space && !text.starts_with(' ')) {
    with_space.append(" ").append(text);
    text = with_space;
  }
  std::vector<std::size_t> ends;
  for (std::size_t at = 0; at < text.size();) {
    ends.clear();
    const std::size_t end = parts.pre_tokenizer->split(text, at, ends);
    parts.model->encode(text, at, ends, workspace, ids);
    at = end;
  }
}

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
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::load(const std::filesystem::path& directory) {
  const auto path = directory / kTokenizerJson;
  if (!std::filesystem::exists(path))
    throw_error(
        "{}: no such file; a tokenizer directory holds tokenizer.json, as the tokenizer stage "
        "and every checkpoint write it",
        path.string());
  return Tokenizer({.tokenizer_json = runtime::read_text_file(path),
                    .tokenizer_config_json = read_if_there(directory / kTokenizerConfigJson),
                    .special_tokens_map_json = read_if_there(directory / kSpecialTokensMapJson)},
                   path.string());
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
  std::vector<TextPart> text_parts;
  parts_->added.split(text, options.parse_special_tokens, text_parts);
  Borrowed workspace(parts_->workspaces, *parts_->model);
  if (options.add_special_tokens)
    ids.insert(ids.end(), parts_->prefix.begin(), parts_->prefix.end());
  for (const TextPart& part : text_parts) {
    if (part.token != kNoToken)
      ids.push_back(part.token);
    else
      encode_text(*parts_, part.text, *workspace, ids);
  }
  if (options.add_special_tokens)
    ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
}

std::vector<TextPart> Tokenizer::split_special(std::string_view text) const {
  std::vector<TextPart> text_parts;
  parts_->added.split(text, true, text_parts);
  return text_parts;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const TokenId id : ids)
    if (!(skip_special_tokens && is_special(id))) bytes += token_bytes(id);
  std::string text;
  append_lossy_utf8(bytes, true, text);
  return text;
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

std::string_view Tokenizer::token_bytes(TokenId id) const {
  id_to_token(id);  // checks the range
  return parts_->decoded[id];
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

std::string StreamDecoder::push(TokenId id) {
  if (skip_special_tokens_ && tokenizer_->is_special(id)) return {};
  pending_ += tokenizer_->token_bytes(id);
  std::string text;
  const std::size_t incomplete = append_lossy_utf8(pending_, false, text);
  pending_.erase(0, pending_.size() - incomplete);
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  append_lossy_utf8(pending_, true, text);
  pending_.clear();
  return text;
}

}  // namespace tandem::data
