#include "launcher/recipe/source.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "data/utf8.h"
#include "runtime/base/error.h"
#include "runtime/io/mapped_file.h"

namespace tandem::launcher {

using runtime::throw_error;

namespace {

using Kind = SourceNode::Kind;
using OriginOf = std::function<std::string(int line)>;

constexpr std::size_t kMaxBytes = 4 << 20;
// Aliases of aliases grow exponentially; no recipe has this many parts.
constexpr std::size_t kMaxNodes = 100'000;

std::size_t count_nodes(const SourceNode& node) {
  std::size_t count = 1;
  for (const SourceNode& item : node.items) count += count_nodes(item);
  for (const SourceEntry& entry : node.entries) count += count_nodes(entry.value);
  return count;
}

// Builds the tree from the parser's events: `open_` are the containers that are not complete,
// outermost first.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(OriginOf origin_of) : origin_of_(std::move(origin_of)) {}

  SourceNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add({.origin = at(mark)}, anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    add({.kind = Kind::kScalar, .text = value, .quoted = tag == "!", .origin = at(mark)}, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw_error("{}: an alias inside its own anchor", at(mark));
    add(found->second, 0);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back({{.kind = Kind::kList, .origin = at(mark)}, anchor});
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open_.push_back({{.kind = Kind::kMapping, .origin = at(mark)}, anchor});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    SourceNode node;
    YAML::anchor_t anchor = 0;
    bool expects_value = false;  // a mapping whose last entry has its key only
  };

  std::string at(const YAML::Mark& mark) const { return origin_of_(mark.line + 1); }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  void add(SourceNode node, YAML::anchor_t anchor) {
    nodes_ += count_nodes(node);
    if (nodes_ > kMaxNodes) throw_error("{}: too many values for a recipe", node.origin);
    if (anchor != 0) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().node.kind == Kind::kList) {
      open_.back().node.items.push_back(std::move(node));
    } else if (open_.back().expects_value) {
      SourceEntry& entry = open_.back().node.entries.back();
      // The parser notices that there is no value when it has read on.
      if (node.kind == Kind::kNull) node.origin = entry.origin;
      entry.value = std::move(node);
      open_.back().expects_value = false;
    } else {
      add_key(open_.back(), node);
    }
  }

  static void add_key(Open& mapping, const SourceNode& key) {
    if (key.kind != Kind::kScalar)
      throw_error("{}: a key must be a word, got {}", key.origin, key.shown());
    if (const SourceEntry* first = mapping.node.find(key.text))
      throw_error("{}: '{}' is given twice (first at {})", key.origin, key.text, first->origin);
    mapping.node.entries.push_back({key.text, key.origin, {}});
    mapping.expects_value = true;
  }

  OriginOf origin_of_;
  SourceNode root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, SourceNode> anchors_;
  std::size_t nodes_ = 0;
};

SourceNode parse(const std::string& text, const OriginOf& origin_of) {
  std::istringstream stream(text);
  TreeBuilder builder(origin_of);
  YAML::Parser parser(stream);
  try {
    if (!parser.HandleNextDocument(builder)) return {.origin = origin_of(1)};
    SourceNode root = builder.take();
    TreeBuilder rest(origin_of);
    if (parser.HandleNextDocument(rest))
      throw_error("{}: a second document; a recipe is one", rest.take().origin);
    return root;
  } catch (const YAML::Exception& error) {
    throw_error("{}: not valid YAML: {}", origin_of(std::max(error.mark.line, 0) + 1), error.msg);
  }
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\n") + 1 - begin);
}

void check_utf8(std::string_view text, const std::string& name) {
  const std::size_t bad = data::find_invalid_utf8(text);
  if (bad == std::string_view::npos) return;
  const auto line =
      1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
  throw_error("{}:{}: not UTF-8 text (byte 0x{:02x}); save the file as UTF-8", name, line,
              static_cast<unsigned char>(text[bad]));
}

}  // namespace

const SourceEntry* SourceNode::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &SourceEntry::key);
  return found == entries.end() ? nullptr : &*found;
}

SourceEntry* SourceNode::find(std::string_view key) {
  return const_cast<SourceEntry*>(static_cast<const SourceNode*>(this)->find(key));
}

std::string SourceNode::shown() const {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return fmt::format("{}'{}'", quoted ? "the text " : "", text);
    case Kind::kList:
      return "a list";
    case Kind::kMapping:
      return "a mapping";
  }
  return {};
}

SourceNode parse_recipe_text(std::string_view text, const std::string& name) {
  check_utf8(text, name);
  return parse(std::string(text), [&name](int line) { return fmt::format("{}:{}", name, line); });
}

SourceNode parse_recipe_file(const std::filesystem::path& file) {
  const runtime::MappedFile mapped(file);
  if (mapped.bytes().size() > kMaxBytes)
    throw_error("{}: {} bytes; this is not a recipe", file.string(), mapped.bytes().size());
  return parse_recipe_text(
      {reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()}, file.string());
}

SourceNode parse_override_value(const std::string& text, const std::string& origin) {
  const SourceNode as_text{.kind = Kind::kScalar, .text = text, .quoted = true, .origin = origin};
  if (text.empty()) return as_text;
  try {
    SourceNode value = parse(text, [&origin](int) { return origin; });
    if (!value.quoted) value.text = trimmed(text);
    return value;
  } catch (const runtime::Error&) {
    return as_text;
  }
}

}  // namespace tandem::launcher
