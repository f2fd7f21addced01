// One function per kind of stage. Each is collective over the ranks of the run; ranks that a stage
// does not use return at once with an empty record. Each goes on from the stage's last checkpoint.
#pragma once

#include "launcher/stages/context.h"

namespace tandem::launcher {

StageRecord run_tokenizer_stage(RunContext& context, const Stage& stage);
StageRecord run_pretrain_stage(RunContext& context, const Stage& stage);
StageRecord run_sft_stage(RunContext& context, const Stage& stage);
StageRecord run_reward_stage(RunContext& context, const Stage& stage);
StageRecord run_classify_stage(RunContext& context, const Stage& stage);
StageRecord run_contrastive_stage(RunContext& context, const Stage& stage);
StageRecord run_dpo_stage(RunContext& context, const Stage& stage);
StageRecord run_ppo_stage(RunContext& context, const Stage& stage);
StageRecord run_rejection_sampling_stage(RunContext& context, const Stage& stage);
StageRecord run_evaluate_stage(RunContext& context, const Stage& stage);

}  // namespace tandem::launcher
