#include "data/token_file.h"

#include <cstring>

#include "data/kept_file.h"
#include "data/readers/record_reader.h"
#include "data/source_description.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/io/atomic_file.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

constexpr std::string_view kMagic = "TNDMTOKS";
constexpr std::string_view kKind = "token file";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderSize = 64;
constexpr std::int64_t kMaxSmallVocabulary = 65536;
// Tokens are gathered and written in pieces of about this size.
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

struct Header {
  char magic[8] = {};
  std::uint32_t version = kVersion;
  std::uint32_t bytes_per_token = 0;
  std::uint64_t documents = 0;
  std::uint64_t tokens = 0;
  std::uint64_t fingerprint = 0;
  std::uint64_t vocab_size = 0;
  std::uint64_t skipped = 0;
  std::uint64_t reserved = 0;
};
static_assert(sizeof(Header) == kHeaderSize);

std::uint64_t padded(std::uint64_t bytes) {
  return (bytes + 7) / 8 * 8;
}

std::span<const std::byte> as_bytes(const Header& header) {
  return {reinterpret_cast<const std::byte*>(&header), sizeof(header)};
}

// Appends tokens, then offsets, then the header in front.
class TokenWriter {
 public:
  TokenWriter(const std::filesystem::path& path, std::int64_t vocab_size)
      : file_(path),
        vocab_size_(vocab_size),
        bytes_per_token_(vocab_size <= kMaxSmallVocabulary ? 2 : 4) {
    file_.write(as_bytes(Header{}));
  }

  void add_document(std::span<const TokenId> tokens) {
    for (const TokenId token : tokens) {
      const auto value = static_cast<std::uint32_t>(token);
      const auto* bytes = reinterpret_cast<const std::byte*>(&value);  // little-endian
      buffer_.insert(buffer_.end(), bytes, bytes + bytes_per_token_);
    }
    offsets_.push_back(offsets_.back() + tokens.size());
    if (buffer_.size() >= kBufferBytes) flush();
  }

  void finish(std::uint64_t fingerprint, std::int64_t skipped) {
    const std::uint64_t tokens = offsets_.back();
    buffer_.resize(buffer_.size() + padded(tokens * bytes_per_token_) - tokens * bytes_per_token_);
    flush();
    file_.write(std::as_bytes(std::span(offsets_)));
    Header header{.bytes_per_token = bytes_per_token_,
                  .documents = offsets_.size() - 1,
                  .tokens = tokens,
                  .fingerprint = fingerprint,
                  .vocab_size = static_cast<std::uint64_t>(vocab_size_),
                  .skipped = static_cast<std::uint64_t>(skipped)};
    std::memcpy(header.magic, kMagic.data(), kMagic.size());
    file_.write_at(0, as_bytes(header));
    file_.commit();
  }

 private:
  void flush() {
    file_.write(buffer_);
    buffer_.clear();
  }

  runtime::AtomicFile file_;
  std::int64_t vocab_size_;
  std::uint32_t bytes_per_token_;
  std::vector<std::byte> buffer_;
  std::vector<std::uint64_t> offsets_ = {0};
};

Header read_header(const runtime::MappedFile& file) {
  const auto bytes = file.bytes();
  const auto header = read_kept_header<Header>(file, kMagic, kVersion, kKind);
  if (header.bytes_per_token != 2 && header.bytes_per_token != 4)
    throw_damaged(file.path(), kKind, "wrong token size");
  // Each bounded by the file's size, so that the sum below cannot overflow.
  if (header.documents >= bytes.size() / 8 || header.tokens > bytes.size() / header.bytes_per_token)
    throw_damaged(file.path(), kKind, "shorter than its header says");
  if (kHeaderSize + padded(header.tokens * header.bytes_per_token) + (header.documents + 1) * 8 !=
      bytes.size())
    throw_damaged(file.path(), kKind, "its size is not what its header says");
  return header;
}

void check_offsets(const Header& header, const std::uint64_t* offsets,
                   const std::filesystem::path& path) {
  bool ordered = offsets[0] == 0 && offsets[header.documents] == header.tokens;
  for (std::uint64_t i = 0; i < header.documents; ++i)
    ordered = ordered && offsets[i] <= offsets[i + 1];
  if (!ordered) throw_damaged(path, kKind, "document offsets out of order");
}

bool is_current(const std::filesystem::path& path, std::uint64_t fingerprint) {
  if (!std::filesystem::exists(path)) return false;
  try {
    return TokenFile::open(path).fingerprint() == fingerprint;
  } catch (const runtime::Error&) {
    return false;  // damaged or of another version: build it again
  }
}

}  // namespace

TokenFile TokenFile::open(const std::filesystem::path& path) {
  TokenFile result;
  result.file_ = runtime::MappedFile(path);
  const Header header = read_header(result.file_);
  const std::byte* const data = result.file_.bytes().data();
  result.documents_ = static_cast<std::int64_t>(header.documents);
  result.tokens_ = static_cast<std::int64_t>(header.tokens);
  result.vocab_size_ = static_cast<std::int64_t>(header.vocab_size);
  result.fingerprint_ = header.fingerprint;
  result.skipped_ = static_cast<std::int64_t>(header.skipped);
  result.bytes_per_token_ = static_cast<int>(header.bytes_per_token);
  result.token_data_ = data + kHeaderSize;
  result.offsets_ = reinterpret_cast<const std::uint64_t*>(
      data + kHeaderSize + padded(header.tokens * header.bytes_per_token));
  check_offsets(header, result.offsets_, path);
  return result;
}

std::int64_t TokenFile::document_length(std::int64_t document) const {
  TANDEM_CHECK(document >= 0 && document < documents_, "document {} of {}", document, documents_);
  return static_cast<std::int64_t>(offsets_[document + 1] - offsets_[document]);
}

void TokenFile::read(std::int64_t document, std::int64_t begin, std::int64_t length,
                     std::vector<TokenId>& out) const {
  TANDEM_CHECK(begin >= 0 && length >= 0 && begin + length <= document_length(document),
               "tokens [{}, {}) of document {} of length {}", begin, begin + length, document,
               document_length(document));
  const std::size_t before = out.size();
  out.resize(before + length);
  const std::uint64_t first = offsets_[document] + begin;
  if (bytes_per_token_ == 4) {
    std::memcpy(out.data() + before, token_data_ + first * 4, length * 4);
  } else {
    const auto* tokens = reinterpret_cast<const std::uint16_t*>(token_data_) + first;
    std::copy(tokens, tokens + length, out.begin() + static_cast<std::ptrdiff_t>(before));
  }
  check_tokens(std::span(out).subspan(before));
}

// Checked here and not when the file is opened, which would read all of it.
void TokenFile::check_tokens(std::span<const TokenId> tokens) const {
  for (const TokenId token : tokens)
    if (token < 0 || token >= vocab_size_)
      throw_damaged(file_.path(), kKind,
                    fmt::format("token {} is outside its vocabulary of {}",
                                static_cast<std::uint32_t>(token), vocab_size_));
}

std::uint64_t corpus_fingerprint(const DataConfig& config, const Tokenizer& tokenizer) {
  const std::string description = fmt::format(
      "version {} {} documents {} field {} records {} bad {} tokenizer {:016x}", kVersion,
      describe_source(config), static_cast<int>(config.documents), config.text_field,
      config.max_records, static_cast<int>(config.on_bad_record), tokenizer.fingerprint());
  return runtime::stable_hash(description);
}

bool build_token_file(const DataConfig& config, const Tokenizer& tokenizer,
                      const std::filesystem::path& path, const BytesProgress& progress) {
  // Opened first: it reports a missing or unusable file better than anything below.
  const auto reader = open_records(config, {text_request(config)});
  const std::uint64_t fingerprint = corpus_fingerprint(config, tokenizer);
  if (is_current(path, fingerprint)) return false;
  const SpecialTokenIds& special = tokenizer.special_ids();
  TokenWriter writer(path, tokenizer.vocab_size());
  std::vector<TokenId> tokens;
  Record record;
  while (reader->next(record)) {
    tokens.clear();
    tokenizer.encode(record.fields[0].text,
                     {.add_special_tokens = true, .parse_special_tokens = false}, tokens);
    if (special.bos != kNoToken && (tokens.empty() || tokens.front() != special.bos))
      tokens.insert(tokens.begin(), special.bos);
    if (special.eos != kNoToken && (tokens.empty() || tokens.back() != special.eos))
      tokens.push_back(special.eos);
    writer.add_document(tokens);
    if (progress) progress(reader->bytes_done(), reader->bytes_total());
  }
  writer.finish(fingerprint, reader->skipped());
  return true;
}

}  // namespace tandem::data
