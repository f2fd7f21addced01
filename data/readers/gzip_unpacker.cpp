#include <zlib.h>

#include <algorithm>

#include "data/readers/unpacker.h"
#include "runtime/base/error.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {
namespace {

class GzipUnpacker final : public Unpacker {
 public:
  explicit GzipUnpacker(const std::string& path) : file_(path) {
    constexpr int kGzipHeader = 16;
    TANDEM_CHECK(::inflateInit2(&stream_, MAX_WBITS + kGzipHeader) == Z_OK, "zlib");
  }
  ~GzipUnpacker() override { ::inflateEnd(&stream_); }
  GzipUnpacker(const GzipUnpacker&) = delete;
  GzipUnpacker& operator=(const GzipUnpacker&) = delete;

  std::size_t read(std::span<char> out) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out > 0) {
      feed();
      if (stream_.avail_in == 0 && !inside_) break;
      inside_ = true;
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        // Files put together with `cat` have several members.
        inside_ = false;
        ::inflateReset(&stream_);
      } else if (status != Z_OK) {
        fail(status == Z_BUF_ERROR ? "it ends too early" : "it is damaged");
      }
    }
    return out.size() - stream_.avail_out;
  }

  std::int64_t bytes_done() const override {
    return static_cast<std::int64_t>(fed_ - stream_.avail_in);
  }

 private:
  // zlib counts in 32 bits: a large file is handed over in parts.
  void feed() {
    constexpr std::size_t kPart = std::size_t{1} << 30;
    const auto bytes = file_.bytes();
    if (stream_.avail_in > 0 || fed_ == bytes.size()) return;
    const auto part = bytes.subspan(fed_, std::min(kPart, bytes.size() - fed_));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(part.data()));
    stream_.avail_in = static_cast<uInt>(part.size());
    fed_ += part.size();
  }

  [[noreturn]] void fail(const char* why) const {
    runtime::throw_error("{}: the gzip file cannot be unpacked: {}; fetch it again",
                         file_.path().string(), why);
  }

  runtime::MappedFile file_;
  z_stream stream_{};
  std::size_t fed_ = 0;
  bool inside_ = false;  // of a member that has not ended
};

}  // namespace

std::unique_ptr<Unpacker> open_gzip(const std::string& path) {
  return std::make_unique<GzipUnpacker>(path);
}

}  // namespace tandem::data
