#include "launcher/planner/plan_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "launcher/planner/svg.h"

namespace tandem::launcher {

namespace {

using parallel::PipelineAction;
using parallel::SimulatedAction;
using parallel::SimulatedStep;

constexpr double kWidth = 960, kMargin = 20, kLabel = 230, kRow = 26, kBar = 18;
// Where bars and schedules begin and how wide they are.
constexpr double kLeft = kMargin + kLabel, kPlot = kWidth - kLeft - kMargin - 70;

struct Part {
  const char* name;
  const char* color;
  std::int64_t RoleMemory::*bytes;
};
// A rank holds the first three from the beginning to the end; then either of the others.
constexpr std::array<Part, 5> kParts{{{"parameters", "#4c78a8", &RoleMemory::parameters},
                                      {"gradients", "#f58518", &RoleMemory::gradients},
                                      {"optimizer", "#54a24b", &RoleMemory::optimizer},
                                      {"activations", "#b279a2", &RoleMemory::activations},
                                      {"generation", "#9d755d", &RoleMemory::generation}}};
constexpr const char *kForward = "#72b7b2", *kBackward = "#e45756";

// A drawing that grows downwards.
class Picture {
 public:
  explicit Picture(std::int64_t limit) : limit_(limit) {}

  std::string draw(const std::vector<StageMemory>& stages) {
    bars(stages);
    for (const StageMemory& stage : stages)
      if (stage.pipeline.stages > 1) schedule(stage);
    return svg_.str(kWidth, y_ + kMargin);
  }

 private:
  void bars(const std::vector<StageMemory>& stages) {
    std::int64_t most = limit_;
    for (const StageMemory& stage : stages)
      for (const RoleMemory& role : stage.roles) most = std::max(most, role.peak());
    if (most == 0) return;
    const double scale = kPlot / static_cast<double>(most);
    svg_.text(kMargin, y_, "Memory of a rank", "start", 16);
    double x = kLeft;
    for (const Part& part : kParts) {
      svg_.rectangle(x, y_ - 10, 11, 11, part.color, part.name);
      svg_.text(x + 15, y_, part.name);
      x += 110;
    }
    const double top = y_ + 8;
    y_ = top;
    for (const StageMemory& stage : stages)
      for (const RoleMemory& role : stage.roles) bar(stage, role, scale);
    if (limit_ > 0) {
      const double at = kLeft + static_cast<double>(limit_) * scale;
      svg_.line(at, top, at, y_ + 4, "#d62728");
      svg_.text(at, y_ + 16, format_bytes(limit_), "middle");
      y_ += 12;
    }
    y_ += 36;
  }

  void bar(const StageMemory& stage, const RoleMemory& role, double scale) {
    const std::string name = stage.roles.size() == 1 ? stage.stage : stage.stage + " " + role.role;
    svg_.text(kLeft - 8, y_ + 14, fmt::format("{} ({})", name, role.layout), "end");
    const bool generates = role.generation > role.activations;
    double x = kLeft;
    for (const Part& part : kParts) {
      const bool other =
          part.bytes == (generates ? &RoleMemory::activations : &RoleMemory::generation);
      const std::int64_t bytes = role.*part.bytes;
      if (bytes == 0 || other) continue;
      const double width = static_cast<double>(bytes) * scale;
      svg_.rectangle(x, y_, width, kBar, part.color,
                     fmt::format("{}: {}", part.name, format_bytes(bytes)));
      x += width;
    }
    svg_.text(x + 6, y_ + 14, format_bytes(role.peak()));
    y_ += kRow;
  }

  // As many micro-batches as show the pattern.
  void schedule(const StageMemory& stage) {
    const std::int64_t drawn =
        std::min<std::int64_t>(stage.micro_batches, 4 * stage.pipeline.stages);
    const SimulatedStep step = parallel::simulate_pipeline(stage.pipeline, drawn, 1, 2);
    svg_.text(
        kMargin, y_,
        fmt::format("{}: {} of a step's {} micro-batches; its ranks wait {:.0f} % of the step",
                    stage.stage, drawn, stage.micro_batches, 100 * stage.pipeline_wait()),
        "start", 16);
    y_ += 8;
    const double scale = kPlot / step.seconds;
    for (int rank = 0; rank < stage.pipeline.stages; ++rank)
      svg_.text(kLeft - 8, y_ + rank * kRow + 14, fmt::format("pipeline rank {}", rank), "end");
    for (const SimulatedAction& a : step.actions) action(a, scale);
    y_ += stage.pipeline.stages * kRow + 36;
  }

  void action(const SimulatedAction& a, double scale) {
    const bool forward = a.action.kind == PipelineAction::Kind::kForward;
    const double x = kLeft + a.begin * scale, width = (a.end - a.begin) * scale,
                 y = y_ + a.stage * kRow;
    svg_.rectangle(x, y, width, kBar, forward ? kForward : kBackward,
                   fmt::format("{} of micro-batch {}, chunk {}", forward ? "forward" : "backward",
                               a.action.micro_batch, a.action.chunk));
    const std::string number = std::to_string(a.action.micro_batch);
    if (width >= 7.0 * static_cast<double>(number.size()))
      svg_.text(x + width / 2, y + 13, number, "middle", 10);
  }

  std::int64_t limit_;
  Svg svg_;
  double y_ = kMargin + 14;
};

}  // namespace

std::string picture_of(const std::vector<StageMemory>& stages, std::int64_t limit) {
  return Picture(limit).draw(stages);
}

}  // namespace tandem::launcher
