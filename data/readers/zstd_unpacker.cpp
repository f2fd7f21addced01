#include <zstd.h>

#include "data/readers/unpacker.h"
#include "runtime/base/error.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {
namespace {

struct Free {
  void operator()(ZSTD_DStream* stream) const { ::ZSTD_freeDStream(stream); }
};

class ZstdUnpacker final : public Unpacker {
 public:
  explicit ZstdUnpacker(const std::string& path) : file_(path), stream_(::ZSTD_createDStream()) {
    TANDEM_CHECK(stream_ != nullptr, "zstd");
    in_ = {file_.bytes().data(), file_.bytes().size(), 0};
  }

  std::size_t read(std::span<char> out) override {
    ZSTD_outBuffer buffer{out.data(), out.size(), 0};
    while (buffer.pos < buffer.size && (in_.pos < in_.size || pending_ > 0)) {
      const std::size_t before = in_.pos + buffer.pos;
      pending_ = ::ZSTD_decompressStream(stream_.get(), &buffer, &in_);
      if (::ZSTD_isError(pending_) != 0) fail(::ZSTD_getErrorName(pending_));
      if (in_.pos + buffer.pos == before) fail("it ends too early");
    }
    return buffer.pos;
  }

  std::int64_t bytes_done() const override { return static_cast<std::int64_t>(in_.pos); }

 private:
  [[noreturn]] void fail(const char* why) const {
    runtime::throw_error("{}: the zstd file cannot be unpacked: {}; fetch it again",
                         file_.path().string(), why);
  }

  runtime::MappedFile file_;
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  ZSTD_inBuffer in_{};
  std::size_t pending_ = 0;  // what the present frame still needs; 0 between frames
};

}  // namespace

std::unique_ptr<Unpacker> open_zstd(const std::string& path) {
  return std::make_unique<ZstdUnpacker>(path);
}

}  // namespace tandem::data
