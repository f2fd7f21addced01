// A corpus tokenised once, in a file that every rank maps.
//
// Format, version 1, little-endian:
//   bytes 0…7    "TNDMTOKS"
//   8…11         format version (u32)
//   12…15        bytes per token (u32): 2 when the vocabulary has at most 65,536 entries, else 4
//   16…23        documents (u64)
//   24…31        tokens (u64)
//   32…39        fingerprint (u64) of source, reader settings and tokenizer
//   40…47        vocabulary size (u64): every token is below it
//   48…55        records that were skipped as bad (u64)
//   56…63        0
//   64…          tokens (u16 or u32), then 0 to 7 zero bytes up to a multiple of 8
//   then         document offsets (u64) [documents + 1], in tokens: 0, …, tokens
//
// The file is written atomically, so a reader sees a whole one or none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "data/config.h"
#include "data/tokenizer/tokenizer.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {

class TokenFile {
 public:
  // Checks the header, the size of the file and the document offsets; throws Error naming the file.
  static TokenFile open(const std::filesystem::path& path);

  std::int64_t document_count() const { return documents_; }
  std::int64_t token_count() const { return tokens_; }
  std::int64_t vocab_size() const { return vocab_size_; }
  std::uint64_t fingerprint() const { return fingerprint_; }
  std::int64_t skipped() const { return skipped_; }
  std::int64_t document_length(std::int64_t document) const;
  // Appends tokens [begin, begin + length) of a document. Throws Error when one of them is outside
  // the vocabulary.
  void read(std::int64_t document, std::int64_t begin, std::int64_t length,
            std::vector<TokenId>& out) const;

 private:
  void check_tokens(std::span<const TokenId> tokens) const;

  runtime::MappedFile file_;
  std::int64_t documents_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t vocab_size_ = 0;
  std::uint64_t fingerprint_ = 0;
  std::int64_t skipped_ = 0;
  int bytes_per_token_ = 2;
  const std::byte* token_data_ = nullptr;
  const std::uint64_t* offsets_ = nullptr;
};

// bytes of the source done and in all.
using BytesProgress = std::function<void(std::int64_t done, std::int64_t total)>;

// What a token file of this corpus must carry: a hash over the source's files
// (source_description.h), the reader's settings, and the tokenizer.
std::uint64_t corpus_fingerprint(const DataConfig& config, const Tokenizer& tokenizer);

// Tokenises every document (with what the tokenizer's template puts around a text, and bos and eos
// where it has them and the template does not) into `path`, unless a file with the right
// fingerprint is there already. Returns whether it wrote. Only one process may do this at a time:
// with several ranks, rank 0 calls it and the others wait at a barrier before they open the file.
bool build_token_file(const DataConfig& config, const Tokenizer& tokenizer,
                      const std::filesystem::path& path, const BytesProgress& progress = {});

}  // namespace tandem::data
