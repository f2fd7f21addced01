#include "launcher/coordinator/worker_registry.h"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::launcher {
namespace {

constexpr std::size_t kMostNamed = 8;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::string WorkerInfo::str() const {
  return endpoint.empty() ? fmt::format("{} role (rank {})", role, rank)
                          : fmt::format("{} role (rank {}, {})", role, rank, endpoint);
}

std::string list_workers(const std::vector<WorkerInfo>& workers) {
  std::string text;
  for (std::size_t i = 0; i < std::min(workers.size(), kMostNamed); ++i) {
    text += (i == 0 ? "" : ", ") + workers[i].str();
  }
  if (workers.size() > kMostNamed) text += fmt::format(" and {} more", workers.size() - kMostNamed);
  return text;
}

WorkerRegistry::WorkerRegistry(std::vector<WorkerInfo> expected, const RegistryOptions& options,
                               TimePoint now)
    : options_(options), start_(now), last_tick_(now) {
  std::sort(expected.begin(), expected.end(),
            [](const WorkerInfo& a, const WorkerInfo& b) { return a.rank < b.rank; });
  for (WorkerInfo& worker : expected) {
    entries_.push_back({.worker = std::move(worker), .last_seen = now, .activity = {}});
  }
}

WorkerRegistry::Entry* WorkerRegistry::find(int rank) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [rank](const Entry& e) { return e.worker.rank == rank; });
  return found == entries_.end() ? nullptr : &*found;
}

Refusal WorkerRegistry::add(const WorkerInfo& worker, TimePoint now, std::string& why) {
  Entry* entry = find(worker.rank);
  if (entry == nullptr || entry->worker.role != worker.role ||
      entry->worker.role_rank != worker.role_rank) {
    why = fmt::format("rank {} came as number {} of the {} role, which the placement does not have",
                      worker.rank, worker.role_rank, worker.role);
    return Refusal::kUnknownWorker;
  }
  if (entry->registered && !(entry->worker == worker)) {
    why = fmt::format("rank {} is registered already by process {} on {}", worker.rank,
                      entry->worker.pid, entry->worker.host);
    return Refusal::kTaken;
  }
  entry->worker = worker;
  entry->registered = true;
  entry->last_seen = now;
  const bool complete =
      std::all_of(entries_.begin(), entries_.end(), [](const Entry& e) { return e.registered; });
  if (complete && phase_ == RunPhase::kGathering) phase_ = RunPhase::kRunning;
  return Refusal::kNone;
}

bool WorkerRegistry::heartbeat(int rank, const std::string& activity, TimePoint now) {
  Entry* entry = find(rank);
  if (entry == nullptr || !entry->registered) return false;
  entry->last_seen = now;
  entry->activity = activity;
  return true;
}

bool WorkerRegistry::done(int rank, const std::string& error) {
  Entry* entry = find(rank);
  if (entry == nullptr || !entry->registered) return false;
  entry->done = true;
  if (!error.empty()) abort(fmt::format("{} failed: {}", entry->worker.str(), error));
  return true;
}

void WorkerRegistry::tick(TimePoint now) {
  const auto gap = now - last_tick_;
  last_tick_ = now;
  if (gap > options_.heartbeat_timeout / 2) {
    for (Entry& entry : entries_) entry.last_seen += gap;
    start_ += gap;
  }
  if (phase_ == RunPhase::kGathering) check_registration(now);
  if (phase_ != RunPhase::kAborted) check_heartbeats(now);
}

void WorkerRegistry::check_registration(TimePoint now) {
  if (now - start_ < options_.registration_timeout) return;
  std::vector<WorkerInfo> missing;
  for (const Entry& entry : entries_) {
    if (!entry.registered) missing.push_back(entry.worker);
  }
  abort(fmt::format("{} of {} ranks did not register within {:g} s: {}; their own output says why",
                    missing.size(), entries_.size(), seconds(options_.registration_timeout),
                    list_workers(missing)));
}

void WorkerRegistry::check_heartbeats(TimePoint now) {
  for (const Entry& entry : entries_) {
    if (!entry.registered || entry.done) continue;
    if (now - entry.last_seen <= options_.heartbeat_timeout) continue;
    abort(fmt::format(
        "{} sent no heartbeat for {:g} s (process {} on {}, last heard: {}); it is dead "
        "or its machine is stuck",
        entry.worker.str(), seconds(options_.heartbeat_timeout), entry.worker.pid,
        entry.worker.host, entry.activity.empty() ? "idle" : entry.activity));
    return;
  }
}

void WorkerRegistry::stop() {
  if (phase_ != RunPhase::kAborted) phase_ = RunPhase::kStopping;
}

void WorkerRegistry::abort(const std::string& reason) {
  if (phase_ == RunPhase::kAborted) return;
  phase_ = RunPhase::kAborted;
  reason_ = reason;
}

std::vector<WorkerInfo> WorkerRegistry::workers() const {
  std::vector<WorkerInfo> workers;
  for (const Entry& entry : entries_) {
    if (entry.registered) workers.push_back(entry.worker);
  }
  return workers;
}

std::vector<WorkerInfo> WorkerRegistry::not_done() const {
  std::vector<WorkerInfo> workers;
  for (const Entry& entry : entries_) {
    if (entry.registered && !entry.done) workers.push_back(entry.worker);
  }
  return workers;
}

}  // namespace tandem::launcher
