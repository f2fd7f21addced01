#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/hf_readers.h"

namespace tandem::data {
namespace {

class ChainReader {
 public:
  explicit ChainReader(TokenizerParts& parts) : parts_(parts) {}

  void read(const JsonObject& part, const std::string& type) {
    if (type == "ByteLevel") {
      if (steps_ > 0) part.fail("of type 'ByteLevel' is only supported as the first decoder");
      take_tokens_as_bytes();
      return add(decode_bytes());
    }
    if (type == "WordPiece")
      return add(decode_wordpiece(part.has("prefix") ? part.string("prefix") : "##",
                                  part.boolean("cleanup", true)));
    if (type == "ByteFallback") return add(decode_byte_fallback());
    if (type == "Fuse") return add(decode_fused());
    if (type == "Metaspace")
      return add(decode_metaspace(part.string("replacement"),
                                  read_prepend_scheme(part) != PrependScheme::kNever));
    if (type == "Replace") return add(decode_replaced(read_pattern(part), part.string("content")));
    if (type == "Strip") return read_strip(part);
    refuse_type(part, type,
                "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece");
  }

  // What SentencePiece itself does, beside the steps that come closest to it.
  void read_sentencepiece(const JsonObject& part) {
    add(decode_sentencepiece({.strip_first = part.boolean("strip_first", true),
                              .strip_all = part.boolean("strip_all", true),
                              .unknown = part.string("unknown"),
                              .unknown_surface = part.string("unknown_surface")}));
  }

  void finish() {
    parts_.decodes_bytes = steps_ == 1 && byte_level_;
    if (steps_ == 0) add(decode_joined());
  }

 private:
  // A token with a character that stands for no byte is taken as its own text, as Hugging Face's
  // decoder does.
  void take_tokens_as_bytes() {
    byte_level_ = true;
    for (std::string& token : parts_.decoder_tokens) token = chars_to_bytes(token).value_or(token);
  }

  void read_strip(const JsonObject& part) {
    const std::string content = part.string("content");
    if (content.empty()) part.fail_key("content", "is empty");
    const std::size_t start = part.count("start");
    const std::size_t stop = part.count("stop");
    add(fused_ && stop == 0 ? decode_start_stripped(content, start)
                            : decode_stripped(content, start, stop));
  }

  void add(DecoderStepPtr step) {
    fused_ |= step->fuses();
    ++steps_;
    parts_.decoder.add(std::move(step));
  }

  TokenizerParts& parts_;
  int steps_ = 0;
  bool fused_ = false;
  bool byte_level_ = false;
};

}  // namespace

void read_decoder(const JsonObject& root, TokenizerParts& parts) {
  for (TokenId id = 0; id < parts.vocabulary.size(); ++id)
    parts.decoder_tokens.push_back(parts.vocabulary[id]);
  for (const AddedToken& token : parts.added.tokens())
    if (!token.sought.empty()) parts.decoder_tokens[token.id] = token.sought;
  ChainReader chain(parts);
  if (root.has("decoder") && root.object("decoder").has("sentencepiece"))
    chain.read_sentencepiece(root.object("decoder").object("sentencepiece"));
  else if (root.has("decoder"))
    for_each_part(root.object("decoder"), "decoders",
                  [&](const JsonObject& part, const std::string& type) { chain.read(part, type); });
  chain.finish();
}

}  // namespace tandem::data
