#include "launcher/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "launcher/cli/generate_options.h"
#include "launcher/cli/option_values.h"
#include "launcher/cli/version.h"
#include "launcher/recipe/suggest.h"

namespace tandem::launcher {

namespace {

constexpr const char* kFooter = R"(Examples:
  ./trainer --ranks 8 recipes/rlhf.yaml
  mpirun -np 8 ./trainer recipes/rlhf.yaml
  ./trainer recipes/rlhf.yaml seed=7 pretrain.steps=100
  ./trainer validate recipes/rlhf.yaml --ranks 8
  ./trainer plan recipes/rlhf.yaml --ranks 8
  ./trainer plan recipes/rlhf.yaml --ranks 64 --device h100 --search
  ./trainer generate --model runs/rlhf/ppo --prompt "The film was"
  ./trainer generate --model model.gguf --chat --prompt "Who are you?" --system "Be brief."
  ./trainer generate --model my-model --input prompts.jsonl --output answers.jsonl --num-beams 4
  ./trainer embed --model my-model --input corpus.txt --query "a film about love" --top 5
  ./trainer export --model runs/rlhf/ppo --output my-model
  ./trainer inspect model.gguf
  ./trainer convert model.gguf my-model --dtype bf16
  ./trainer tokenize --model my-model "The film was"

Exit codes: 0 done, 2 an error that one line explains, 130 interrupted after saving. docs/recipes.md lists every key of a recipe.)";

const NamedValues<runtime::DType> kDTypes = {{"fp32", runtime::DType::kF32},
                                             {"bf16", runtime::DType::kBF16}};

const NamedValues<runtime::DType> kStoredDTypes = {{"fp32", runtime::DType::kF32},
                                                   {"bf16", runtime::DType::kBF16},
                                                   {"fp16", runtime::DType::kF16}};

const NamedValues<models::Pooling> kPoolings = [] {
  NamedValues<models::Pooling> poolings;
  for (const std::string_view name : models::kPoolingNames)
    poolings.emplace_back(name, static_cast<models::Pooling>(poolings.size()));
  return poolings;
}();

constexpr const char* kModelHelp =
    "a stage's folder, a checkpoint, a Hugging Face directory, or a GGUF file";

// Of its groups too, which CLI11 keeps as nameless verbs.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  for (const CLI::App* group :
       app.get_subcommands([](const CLI::App* verb) { return verb->get_name().empty(); })) {
    const std::vector<std::string> more = option_names(*group);
    names.insert(names.end(), more.begin(), more.end());
  }
  return names;
}

class Parser {
 public:
  Parser() : app_("Trains language models: from raw text to an aligned model.", "trainer") {
    app_.set_version_flag("--version", version_line());
    app_.footer(kFooter);
    app_.require_subcommand(0, 1);
    app_.add_option("recipe", run_.recipe, "the recipe to run: one YAML file")->type_name("RECIPE");
    app_.add_option("overrides", run_.overrides, "changes to keys of the recipe")
        ->type_name("key=value");
    add_ranks(app_);
    add_validate();
    add_plan();
    add_generate();
    add_embed();
    add_export();
    add_inspect();
    add_convert();
    add_tokenize();
    docs_app_ = app_.add_subcommand("docs", "write the reference of all recipe keys");
    docs_app_->add_option("--output", docs_.output, "the file")
        ->default_val("docs/recipes.md")
        ->type_name("FILE");
  }

  // Throws CLI::ParseError.
  CommandLine parse(int argc, const char* const* argv) {
    app_.parse(argc, argv);
    return {command(), ranks_};
  }

  CLI::App& app() { return app_; }

  std::string message(const CLI::ParseError& error) const {
    const std::vector<std::string> unknown = app_.remaining(true);
    if (unknown.empty()) return error.what();
    return fmt::format("unknown argument '{}'{}", unknown.front(),
                       suggestion(unknown.front(), option_names(verb())));
  }

  // What prints the help of what was typed: "trainer embed --help" once a verb is known.
  std::string help_command() const {
    return "trainer " + (&verb() == &app_ ? "" : verb().get_name() + " ") + "--help";
  }

 private:
  // The verb that was typed, or the whole program.
  const CLI::App& verb() const {
    const std::vector<CLI::App*> verbs = app_.get_subcommands();
    return verbs.empty() ? app_ : *verbs.front();
  }

  Command command() {
    if (validate_app_->parsed()) return validate_;
    if (plan_app_->parsed()) return plan_;
    if (generate_app_->parsed()) return generate_;
    if (embed_app_->parsed()) return embed_;
    if (export_app_->parsed()) return export_;
    if (inspect_app_->parsed()) return inspect_;
    if (convert_app_->parsed()) return convert_;
    if (tokenize_app_->parsed()) return tokenize_;
    if (docs_app_->parsed()) return docs_;
    if (run_.recipe.empty()) throw CLI::CallForHelp();
    check_recipe_argument();
    return run_;
  }

  // For commands that ranks work on together.
  void add_ranks(CLI::App& app) {
    app.add_option(
           "--ranks", ranks_,
           "start this many ranks on this machine (without: those of mpirun or srun, or one)")
        ->type_name("N")
        ->check(above_zero());
  }

  void add_validate() {
    validate_app_ = app_.add_subcommand("validate", "check a recipe without running it");
    validate_app_->add_option("recipe", validate_.recipe, "the recipe")
        ->required()
        ->type_name("RECIPE");
    validate_app_->add_option("overrides", validate_.overrides, "changes to keys of the recipe")
        ->type_name("key=value");
    validate_app_
        ->add_option("--ranks", validate_.ranks,
                     "also check that it fits this number of ranks (default: the number started)")
        ->type_name("N")
        ->check(above_zero());
    validate_app_->add_flag("--print", validate_.print,
                            "print the recipe with every key filled in");
  }

  void add_plan() {
    plan_app_ =
        app_.add_subcommand("plan", "say what memory and time a recipe needs, without running it");
    plan_app_->add_option("recipe", plan_.recipe, "the recipe")->required()->type_name("RECIPE");
    plan_app_->add_option("overrides", plan_.overrides, "changes to keys of the recipe")
        ->type_name("key=value");
    plan_app_
        ->add_option("--ranks", plan_.ranks,
                     "on this number of ranks (default: the number started)")
        ->type_name("N")
        ->check(above_zero());
    plan_app_
        ->add_option("--memory-gb", plan_.memory_gb,
                     "memory of each rank in GB: say what to change where a stage needs more")
        ->type_name("GB")
        ->check(above_zero());
    plan_app_
        ->add_option("--plot", plan_.plot,
                     "also draw memory and the schedules of pipelines into this SVG file")
        ->type_name("FILE");
    add_plan_of_time();
  }

  void add_plan_of_time() {
    plan_app_
        ->add_option("--device", plan_.device,
                     "also predict how long updates take on a100, b200, h100, h200, l40s, on this "
                     "machine (cpu, which takes a second to measure), or on what a file describes")
        ->type_name("NAME|FILE");
    plan_app_
        ->add_option("--save-device", plan_.save_device,
                     "write the description of the device, to be read again or changed")
        ->type_name("FILE");
    plan_app_->add_flag("--search", plan_.search,
                        "look for the fastest layouts that fit, whatever the recipe's");
    plan_app_->add_option("--stage", plan_.stage, "search for this stage alone")
        ->type_name("STAGE");
  }

  void add_generate() {
    generate_app_ = app_.add_subcommand(
        "generate", "continue texts; the model is tensor-parallel over all ranks");
    auto& g = *generate_app_;
    add_ranks(g);
    g.add_option("--model", generate_.model, kModelHelp)->required()->type_name("DIR");
    add_generate_options(g, generate_);
    add_named(g, "--precision", generate_.precision, kDTypes, "numbers to compute with")
        ->default_str("bf16");
    g.add_option("--device", generate_.device, "auto, cpu, cuda (a GPU for each rank) or cuda:N")
        ->capture_default_str();
  }

  void add_embed() {
    embed_app_ = app_.add_subcommand(
        "embed",
        "embed the texts of a file: into another file, or to find those closest to a query");
    auto& e = *embed_app_;
    add_ranks(e);
    e.add_option("--model", embed_.model, kModelHelp)->required()->type_name("DIR");
    e.add_option("--input", embed_.input, "the texts, one a line, or JSONL")
        ->required()
        ->type_name("FILE");
    e.add_option("--text-field", embed_.text_field, "JSONL field with the text")
        ->capture_default_str();
    e.add_option("--output", embed_.output, "a .safetensors or .jsonl file")->type_name("FILE");
    e.add_option("--query", embed_.queries,
                 "print the texts closest to this one, by cosine; may be given several times")
        ->type_name("TEXT");
    e.add_option("--top", embed_.top, "texts that are printed for each query")
        ->capture_default_str()
        ->check(above_zero());
    add_embedding(e);
  }

  // How the embeddings are made.
  void add_embedding(CLI::App& e) {
    add_named(e, "--pooling", embed_.pooling, kPoolings,
              "what of a text's tokens makes its vector (default: as the model's modules.json "
              "says, else mean)");
    e.add_option("--normalize", embed_.normalize,
                 "embeddings of length 1 (default: as the model's modules.json says, else true)")
        ->type_name("BOOL");
    e.add_option("--max-length", embed_.max_length,
                 "tokens of a text; longer ones are cut (default: the model's)")
        ->check(above_zero());
    e.add_option("--batch-size", embed_.batch_size, "texts that are embedded together")
        ->capture_default_str()
        ->check(above_zero());
    add_named(e, "--precision", embed_.precision, kDTypes, "numbers to compute with")
        ->default_str("fp32");
    e.add_option("--device", embed_.device, "auto, cpu, cuda (a GPU for each rank) or cuda:N")
        ->capture_default_str();
  }

  void add_export() {
    export_app_ = app_.add_subcommand(
        "export", "write a model as a Hugging Face directory (every checkpoint is one, in fp32)");
    add_ranks(*export_app_);
    export_app_->add_option("--model", export_.model, kModelHelp)->required()->type_name("DIR");
    export_app_->add_option("--output", export_.output, "the new directory")
        ->required()
        ->type_name("DIR");
    add_named(*export_app_, "--dtype", export_.dtype, kDTypes, "type of the written weights")
        ->default_str("bf16");
  }

  void add_inspect() {
    inspect_app_ = app_.add_subcommand("inspect", "say what a model's files hold");
    inspect_app_
        ->add_option("model", inspect_.model, std::string(kModelHelp) + ", or a safetensors file")
        ->required()
        ->type_name("PATH");
  }

  void add_convert() {
    convert_app_ = app_.add_subcommand(
        "convert", "write a model as a Hugging Face directory, tensor by tensor");
    auto& c = *convert_app_;
    c.add_option("from", convert_.from, kModelHelp)->required()->type_name("FROM");
    c.add_option("to", convert_.to, "the new directory")->required()->type_name("TO");
    add_named(c, "--dtype", convert_.dtype, kStoredDTypes,
              "type of the written weights (default: as stored, and fp32 for what is quantized)");
    c.add_option("--shard-size", convert_.shard_bytes, "largest file, as 500MB or 2GB")
        ->transform(file_size())
        ->default_str("5GB")
        ->type_name("SIZE");
  }

  void add_tokenize() {
    tokenize_app_ = app_.add_subcommand(
        "tokenize", "show the tokens of texts, given or one a line on standard input");
    auto& t = *tokenize_app_;
    t.add_option("--model", tokenize_.model,
                 "a directory with a tokenizer, or a tokenizer.json, SentencePiece, tiktoken or "
                 "GGUF file")
        ->required()
        ->type_name("PATH");
    t.add_option("texts", tokenize_.texts, "the texts")->type_name("TEXT");
    t.add_flag("--decode", tokenize_.decode, "the texts are ids: print what they stand for");
    t.add_flag("--special", tokenize_.special_tokens,
               "with the special tokens that belong around a text");
    t.add_flag("--json", tokenize_.json, "one JSON object for each text");
  }

  // `trainer validat my.yaml` is a mistyped verb, not a recipe.
  void check_recipe_argument() const {
    if (run_.recipe.find_first_of("./") != std::string::npos ||
        std::filesystem::exists(run_.recipe))
      return;
    const std::vector<std::string> verbs = {"validate", "plan",    "generate", "embed", "export",
                                            "inspect",  "convert", "tokenize", "docs"};
    throw CLI::ValidationError(
        "RECIPE", "no such recipe or verb '" + run_.recipe + "'" + suggestion(run_.recipe, verbs));
  }

  CLI::App app_;
  CLI::App* validate_app_ = nullptr;
  CLI::App* plan_app_ = nullptr;
  CLI::App* generate_app_ = nullptr;
  CLI::App* embed_app_ = nullptr;
  CLI::App* export_app_ = nullptr;
  CLI::App* inspect_app_ = nullptr;
  CLI::App* convert_app_ = nullptr;
  CLI::App* tokenize_app_ = nullptr;
  CLI::App* docs_app_ = nullptr;
  std::optional<int> ranks_;
  RunCommand run_;
  ValidateCommand validate_;
  PlanCommand plan_;
  GenerateCommand generate_;
  EmbedCommand embed_;
  ExportCommand export_;
  InspectCommand inspect_;
  ConvertCommand convert_;
  TokenizeCommand tokenize_;
  DocsCommand docs_;
};

}  // namespace

std::variant<CommandLine, int> parse_command_line(int argc, const char* const* argv, bool speaks) {
  Parser parser;
  try {
    return parser.parse(argc, argv);
  } catch (const CLI::Success& wish) {  // --help, --version
    if (speaks) parser.app().exit(wish);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (speaks)
      std::fprintf(stderr, "trainer: %s (see: %s)\n", parser.message(error).c_str(),
                   parser.help_command().c_str());
    return 2;
  }
}

}  // namespace tandem::launcher
