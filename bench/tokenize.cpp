// How fast texts become ids, on one thread: every line of a text with a tokenizer that is trained
// on its beginning and left in --folder, for the peer (bench/peers/tokenize_hf.py) to read.
//
//   bench_tokenize --text FILE --folder DIR [--model bpe|wordpiece|unigram] [--vocab 8192] …
#include <cstdio>
#include <filesystem>

#include "bench/support.h"
#include "data/tokenizer/tokenizer_trainer.h"
#include "runtime/base/error.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace {

using namespace tandem;

// The text's lines, again and again, until they have so many bytes.
std::vector<std::string> lines_of(const std::string& text, std::size_t bytes) {
  std::vector<std::string> lines;
  for (std::size_t at = 0, total = 0; total < bytes;) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    total += lines.back().size();
    at = end + 1 < text.size() ? end + 1 : 0;
  }
  return lines;
}

data::TokenizerConfig config_of(const bench::Options& options) {
  data::TokenizerConfig config;
  const std::string& model = options.text("model");
  if (model == "wordpiece")
    config.model = data::TokenizerModel::kWordPiece;
  else if (model == "unigram")
    config.model = data::TokenizerModel::kUnigram;
  else if (model != "bpe")
    runtime::throw_error("--model {}: known are bpe, wordpiece, unigram", model);
  config.vocab_size = options.number("vocab");
  return config;
}

void measure(int argc, char** argv) {
  const bench::Options options(argc, argv,
                               {{"text", ""},
                                {"folder", ""},
                                {"model", "bpe"},
                                {"vocab", "8192"},
                                {"megabytes", "10"},
                                {"training-megabytes", "2"},
                                {"steps", "3"},
                                {"warmup", "1"}});
  const std::string text = runtime::read_text_file(options.text("text"));
  const auto trainer = data::make_tokenizer_trainer(config_of(options));
  const auto megabytes = [&](const char* name) {
    return static_cast<std::size_t>(options.number(name)) << 20;
  };
  for (const std::string& line : lines_of(text, megabytes("training-megabytes")))
    trainer->add_document(line);
  const data::Tokenizer tokenizer = trainer->train();
  std::filesystem::create_directories(options.text("folder"));
  tokenizer.save(options.text("folder"));
  const std::vector<std::string> lines = lines_of(text, megabytes("megabytes"));
  std::size_t bytes = 0, tokens = 0;
  for (const std::string& line : lines) bytes += line.size();
  std::vector<data::TokenId> ids;
  const auto times = bench::timed(options.number("warmup"), options.number("steps"), {}, [&] {
    tokens = 0;
    for (const std::string& line : lines) {
      ids.clear();
      tokenizer.encode(line, {}, ids);
      tokens += ids.size();
    }
  });
  auto row = bench::report("tandem-tokenize", options.text("model"), "-", times,
                           static_cast<std::int64_t>(tokens));
  row["bytes"] = bytes;
  row["tokens"] = tokens;
  std::printf("%s\n", runtime::json_text(row).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_main([&] { measure(argc, argv); });
}
