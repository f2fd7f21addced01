// Readers of the parts of a tokenizer.json; hf_tokenizer.cpp calls them in order.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "data/tokenizer/finder.h"
#include "data/tokenizer/json_object.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/piece_step.h"
#include "data/tokenizer/tokenizer_parts.h"

namespace tandem::data {

// A part may be a Sequence of parts of the same kind, under `list_key`.
void for_each_part(const JsonObject& part, std::string_view list_key,
                   const std::function<void(const JsonObject&, const std::string& type)>& visit);

[[noreturn]] void refuse_type(const JsonObject& part, const std::string& type,
                              std::string_view supported);

// `pattern` of a Split or a Replace: {"String": …} or {"Regex": …}.
std::unique_ptr<Finder> read_pattern(const JsonObject& part);

// `prepend_scheme` of a Metaspace, or the older `add_prefix_space`.
PrependScheme read_prepend_scheme(const JsonObject& part);

// nullptr when there is none.
NormalizerPtr read_normalizer(const JsonObject& root);

// Fills pre_tokenizer or piece_steps. Returns whether the model sees bytes as GPT-2's characters.
bool read_pre_tokenizer(const JsonObject& root, TokenizerParts& parts);

// Fills model and vocabulary.
void read_model(const JsonObject& root, std::string_view origin, bool byte_level,
                TokenizerParts& parts);

// Fills what decoding needs; after all tokens are known.
void read_decoder(const JsonObject& root, TokenizerParts& parts);

}  // namespace tandem::data
