// Trains the tokenizer on the first rank and writes it to the stage's folder.
#include "data/readers/record_reader.h"
#include "data/tokenizer/tokenizer_trainer.h"
#include "launcher/stages/stages.h"
#include "launcher/stages/training_stage.h"
#include "runtime/metrics/timers.h"

namespace tandem::launcher {

StageRecord run_tokenizer_stage(RunContext& context, const Stage& stage) {
  if (!context.first_rank()) return {};
  const auto& config = std::get<TokenizerStage>(stage.config);
  const runtime::Stopwatch watch;
  const auto trainer = data::make_tokenizer_trainer(config.tokenizer);
  const auto reader = data::open_records(config.data, {data::text_request(config.data)});
  data::Record record;
  while (reader->next(record)) trainer->add_document(record.fields.front().text);
  const data::Tokenizer tokenizer = trainer->train();
  tokenizer.save(context.folder_of(stage));
  StageRecord finished{.result = "",
                       .figures = {{"vocabulary", static_cast<double>(tokenizer.vocab_size())},
                                   {"bytes", static_cast<double>(reader->bytes_total())},
                                   {"seconds", watch.seconds()}}};
  add_counts(finished, {.skipped = reader->skipped()});
  return finished;
}

}  // namespace tandem::launcher
