#include "launcher/stages/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "runtime/base/error.h"
#include "runtime/io/text_file.h"

namespace tandem::launcher {

RunLock::RunLock(const std::filesystem::path& run_dir)
    : fd_(runtime::open_file(run_dir / ".lock", O_RDWR | O_CREAT)) {
  const std::filesystem::path path = run_dir / ".lock";
  // A filesystem without locks (some network ones) is no reason to refuse the run.
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    runtime::throw_error(
        "{}: another run works here (process {}); wait for it, end it, or name another run_dir",
        run_dir.string(), runtime::read_text_file(path));
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd_.get(), 0) != 0 || ::pwrite(fd_.get(), pid.data(), pid.size(), 0) < 0)
    runtime::throw_environment_error("{}: cannot be written", path.string());
}

}  // namespace tandem::launcher
