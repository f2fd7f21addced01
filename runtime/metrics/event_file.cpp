#include "runtime/metrics/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <span>
#include <string>
#include <system_error>

#include "runtime/base/error.h"
#include "runtime/metrics/tf_record.h"

namespace tandem::runtime {
namespace {

namespace fs = std::filesystem;

// Field numbers of tensorboard/compat/proto/{event,summary,tensor}.proto.
namespace event {
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
}
namespace session_log {
constexpr int kStatus = 1;
constexpr std::uint64_t kStart = 1;
}  // namespace session_log
namespace summary {
constexpr int kValue = 1;
}
namespace value {
constexpr int kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;
}
namespace metadata {
constexpr int kPluginData = 1, kDataClass = 4, kPluginName = 1;
constexpr std::uint64_t kTensorClass = 2;
}  // namespace metadata
namespace tensor {
constexpr int kDType = 1, kStringValue = 8;
constexpr std::uint64_t kString = 7;
}  // namespace tensor

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

ProtoWriter make_event(std::int64_t step) {
  ProtoWriter proto;
  proto.fixed64(event::kWallTime, now()).varint(event::kStep, static_cast<std::uint64_t>(step));
  return proto;
}

ProtoWriter summary_event(std::int64_t step, const ProtoWriter& value) {
  ProtoWriter summary;
  summary.message(summary::kValue, value);
  ProtoWriter proto = make_event(step);
  proto.message(event::kSummary, summary);
  return proto;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

// Readers go through a folder's files in the order of their names, so the time comes first.
fs::path new_path(const fs::path& folder) {
  for (int attempt = 0;; ++attempt) {
    const fs::path path =
        folder / fmt::format("events.out.tfevents.{:010}.{}.{}.{}",
                             static_cast<std::int64_t>(now()), host_name(), ::getpid(), attempt);
    if (!fs::exists(path)) return path;
  }
}

}  // namespace

EventFile::EventFile(const fs::path& folder, std::int64_t first_step) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw_file_error("create", folder, error.value());
  path_ = new_path(folder);
  fd_ = open_file(path_, O_CREAT | O_EXCL | O_WRONLY | O_APPEND);
  ProtoWriter version;
  version.fixed64(event::kWallTime, now()).bytes(event::kFileVersion, "brain.Event:2");
  append(version);
  if (first_step == 0) return;
  ProtoWriter log;
  log.varint(session_log::kStatus, session_log::kStart);
  append(make_event(first_step).message(event::kSessionLog, log));
}

void EventFile::scalar(std::string_view tag, std::int64_t step, double value) {
  ProtoWriter proto;
  proto.bytes(value::kTag, tag).fixed32(value::kSimpleValue, static_cast<float>(value));
  append(summary_event(step, proto));
}

void EventFile::text(std::string_view tag, std::int64_t step, std::string_view markdown) {
  ProtoWriter plugin;
  plugin.bytes(metadata::kPluginName, "text");
  ProtoWriter meta;
  meta.message(metadata::kPluginData, plugin).varint(metadata::kDataClass, metadata::kTensorClass);
  ProtoWriter content;
  content.varint(tensor::kDType, tensor::kString).bytes(tensor::kStringValue, markdown);
  ProtoWriter proto;
  proto.bytes(value::kTag, tag).message(value::kTensor, content).message(value::kMetadata, meta);
  append(summary_event(step, proto));
}

void EventFile::append(const ProtoWriter& event) {
  const std::string record = tf_record(event.str());
  write_all(fd_.get(), std::as_bytes(std::span(record.data(), record.size())), path_);
}

}  // namespace tandem::runtime
