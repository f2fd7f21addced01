#include "data/datasets/example_file.h"

#include <cstring>

#include "data/kept_file.h"
#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

constexpr std::string_view kMagic = "TNDMEXMP";
constexpr std::string_view kKind = "example file";
constexpr std::uint32_t kVersion = 1;

struct Header {
  char magic[8] = {};
  std::uint32_t version = kVersion;
  std::uint32_t vocab_size = 0;
  std::uint64_t examples = 0;
  std::uint64_t tokens = 0;
  std::uint64_t parts = 0;
  std::uint64_t fingerprint = 0;
  std::uint64_t skipped = 0;
  std::uint64_t dropped = 0;
};
static_assert(sizeof(Header) == 64 && sizeof(ExampleEntry) == 32 && sizeof(TokenRange) == 8);

std::uint64_t padded_token_bytes(std::uint64_t tokens) {
  return (tokens * sizeof(TokenId) + 7) / 8 * 8;
}

Header read_header(const runtime::MappedFile& file) {
  const auto bytes = file.bytes();
  const auto header = read_kept_header<Header>(file, kMagic, kVersion, kKind);
  // Each bounded by the file's size, so that the sum below cannot overflow.
  const std::uint64_t size = bytes.size();
  if (header.examples > size / sizeof(ExampleEntry) || header.tokens > size / sizeof(TokenId) ||
      header.parts > size / sizeof(TokenRange))
    throw_damaged(file.path(), kKind, "shorter than its header says");
  if (sizeof(header) + padded_token_bytes(header.tokens) + header.examples * sizeof(ExampleEntry) +
          header.parts * sizeof(TokenRange) !=
      size)
    throw_damaged(file.path(), kKind, "its size is not what its header says");
  return header;
}

template <typename T>
std::span<const T> array_at(const runtime::MappedFile& file, std::uint64_t offset,
                            std::uint64_t count) {
  return {reinterpret_cast<const T*>(file.bytes().data() + offset), count};
}

void check_entries(const ExampleContent& content) {
  std::uint64_t token = 0, part = 0;
  for (const ExampleEntry& entry : content.entries) {
    if (entry.first_token < token || entry.first_part < part || entry.prompt_length < 0)
      throw_damaged(content.file.path(), kKind, "examples out of order");
    token = entry.first_token;
    part = entry.first_part;
  }
  if (token > content.tokens.size() || part > content.parts.size())
    throw_damaged(content.file.path(), kKind, "examples beyond its end");
}

bool is_current(const std::filesystem::path& path, std::uint64_t fingerprint) {
  if (!std::filesystem::exists(path)) return false;
  try {
    return read_header(runtime::MappedFile(path)).fingerprint == fingerprint;
  } catch (const runtime::Error&) {
    return false;  // damaged or of another version: build it again
  }
}

}  // namespace

void ExampleContent::add(const ExampleView& example) {
  own_entries.push_back({own_tokens.size(), own_parts.size(), example.record,
                         static_cast<std::int32_t>(example.prompt_length), example.margin});
  own_tokens.insert(own_tokens.end(), example.tokens.begin(), example.tokens.end());
  own_parts.insert(own_parts.end(), example.predicted.begin(), example.predicted.end());
  tokens = own_tokens;
  entries = own_entries;
  parts = own_parts;
}

ExampleView ExampleContent::view(std::int64_t index) const {
  const ExampleEntry& entry = entries[index];
  const bool last = index + 1 == std::ssize(entries);
  const std::uint64_t token_end = last ? tokens.size() : entries[index + 1].first_token;
  const std::uint64_t part_end = last ? parts.size() : entries[index + 1].first_part;
  const ExampleView view{
      tokens.subspan(entry.first_token, token_end - entry.first_token), entry.prompt_length,
      entry.record, parts.subspan(entry.first_part, part_end - entry.first_part), entry.margin};
  // Checked here and not when the file is opened, which would read all of it.
  for (const TokenId token : view.tokens)
    if (vocab_size > 0 && (token < 0 || token >= vocab_size))
      throw_damaged(file.path(), kKind,
                    fmt::format("token {} is outside its vocabulary of {}", token, vocab_size));
  return view;
}

ExampleContent map_example_file(const std::filesystem::path& path) {
  ExampleContent content;
  content.file = runtime::MappedFile(path);
  const Header header = read_header(content.file);
  const std::uint64_t entries_at = sizeof(header) + padded_token_bytes(header.tokens);
  content.vocab_size = header.vocab_size;
  content.tokens = array_at<TokenId>(content.file, sizeof(header), header.tokens);
  content.entries = array_at<ExampleEntry>(content.file, entries_at, header.examples);
  content.parts = array_at<TokenRange>(
      content.file, entries_at + header.examples * sizeof(ExampleEntry), header.parts);
  check_entries(content);
  return content;
}

ExampleWriter::ExampleWriter(const std::filesystem::path& path, std::int64_t vocab_size)
    : file_(path), vocab_size_(vocab_size) {
  const Header header;
  file_.write(std::as_bytes(std::span(&header, 1)));
}

void ExampleWriter::add(const ExampleView& example) {
  entries_.push_back({tokens_, parts_.size(), example.record,
                      static_cast<std::int32_t>(example.prompt_length), example.margin});
  tokens_ += example.tokens.size();
  parts_.insert(parts_.end(), example.predicted.begin(), example.predicted.end());
  file_.write(std::as_bytes(example.tokens));
}

void ExampleWriter::finish(std::uint64_t fingerprint, const ReadCounts& counts) {
  const std::vector<std::byte> padding(padded_token_bytes(tokens_) - tokens_ * sizeof(TokenId));
  file_.write(padding);
  file_.write(std::as_bytes(std::span(entries_)));
  file_.write(std::as_bytes(std::span(parts_)));
  Header header{.vocab_size = static_cast<std::uint32_t>(vocab_size_),
                .examples = entries_.size(),
                .tokens = tokens_,
                .parts = parts_.size(),
                .fingerprint = fingerprint,
                .skipped = static_cast<std::uint64_t>(counts.skipped),
                .dropped = static_cast<std::uint64_t>(counts.dropped)};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  file_.write_at(0, std::as_bytes(std::span(&header, 1)));
  file_.commit();
}

void build_example_file(const std::filesystem::path& path, std::uint64_t fingerprint,
                        std::int64_t vocab_size,
                        const std::function<ReadCounts(ExampleSink&)>& read) {
  if (is_current(path, fingerprint)) return;
  ExampleWriter writer(path, vocab_size);
  const ReadCounts counts = read(writer);
  writer.finish(fingerprint, counts);
}

ReadCounts read_counts_of(const std::filesystem::path& path) {
  const Header header = read_header(runtime::MappedFile(path));
  return {static_cast<std::int64_t>(header.skipped), static_cast<std::int64_t>(header.dropped)};
}

}  // namespace tandem::data
