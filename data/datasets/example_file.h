// Fine-tuning data tokenised once, in a file that every rank maps: only the pages that a batch
// touches are read, and ranks of one machine share them.
//
// Format, version 1, little-endian:
//   bytes 0…7    "TNDMEXMP"
//   8…11         format version (u32)
//   12…15        vocabulary size (u32): every token is below it
//   16…23        examples (u64)
//   24…31        tokens (u64)
//   32…39        predicted parts (u64)
//   40…47        fingerprint (u64) of source, reader settings, templates and tokenizer
//   48…55        records that were skipped as bad (u64)
//   56…63        examples that were left out (u64)
//   64…          tokens (i32), then 0 or 4 zero bytes up to a multiple of 8
//   then         examples [examples] (ExampleEntry), predicted parts [parts] (TokenRange)
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "data/datasets/examples.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {

struct ExampleEntry {
  std::uint64_t first_token = 0;
  std::uint64_t first_part = 0;
  std::int64_t record = 0;
  std::int32_t prompt_length = 0;
  float margin = 0;
};

// What a store holds: vectors in memory, or spans of a mapped file.
struct ExampleContent {
  void add(const ExampleView& example);  // in memory
  ExampleView view(std::int64_t index) const;

  std::vector<TokenId> own_tokens;
  std::vector<ExampleEntry> own_entries;
  std::vector<TokenRange> own_parts;
  runtime::MappedFile file;
  std::int64_t vocab_size = 0;  // of a file
  std::span<const TokenId> tokens;
  std::span<const ExampleEntry> entries;
  std::span<const TokenRange> parts;
};

ExampleContent map_example_file(const std::filesystem::path& path);

// What became of the records that were read.
struct ReadCounts {
  std::int64_t skipped = 0;  // bad ones
  std::int64_t dropped = 0;  // with nothing to learn once they were cut, or not to be learnt
};

// Appends examples. Tokens go to the disk as they come; 32 bytes for each example and 8 for each
// predicted part are held in memory until the end.
class ExampleWriter final : public ExampleSink {
 public:
  ExampleWriter(const std::filesystem::path& path, std::int64_t vocab_size);
  void add(const ExampleView& example) override;
  void finish(std::uint64_t fingerprint, const ReadCounts& counts);

 private:
  runtime::AtomicFile file_;
  std::int64_t vocab_size_;
  std::uint64_t tokens_ = 0;
  std::vector<ExampleEntry> entries_;
  std::vector<TokenRange> parts_;
};

// Writes the file with `read`, unless there is a whole one with this fingerprint already.
void build_example_file(const std::filesystem::path& path, std::uint64_t fingerprint,
                        std::int64_t vocab_size,
                        const std::function<ReadCounts(ExampleSink&)>& read);
// What the file's header says.
ReadCounts read_counts_of(const std::filesystem::path& path);

}  // namespace tandem::data
