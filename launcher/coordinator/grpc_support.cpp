#include "launcher/coordinator/grpc_support.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>

#include "runtime/base/error.h"

namespace tandem::launcher {
namespace {

constexpr int kAnySize = -1;

// A status travels in a header of limited size.
constexpr std::size_t kLongestMessage = 2048;

// "[::1]:80"
std::string with_port(const std::string& host, int port) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return bare_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

// Nobody can dial "every interface"; the machine's name reaches one of them.
std::string dialed_host(const std::string& host, const std::string& advertise) {
  if (!advertise.empty()) return advertise;
  return host == "0.0.0.0" || host == "::" || host == "[::]" ? host_name() : host;
}

// gRPC does not say why it could not listen; the system does when asked directly. Reason and
// remedy.
std::string reason_not_listening(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  int error = 0;
  if (code == 0) {
    const int fd = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0) error = errno;
    if (fd >= 0) close(fd);
    freeaddrinfo(found);
  }
  if (code != 0 || error == EADDRNOTAVAIL)
    return fmt::format("({}); set services.host to an address of this machine",
                       code != 0 ? gai_strerror(code) : std::strerror(error));
  return fmt::format("({}); set services.port to another one, or to 0 for a free one",
                     error == 0 ? "gRPC could not listen" : std::strerror(error));
}

}  // namespace

void prepare_grpc() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0); });
}

std::shared_ptr<grpc::Channel> connect(const std::string& endpoint) {
  prepare_grpc();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Connections of its own: another channel's failed attempts must not delay this one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kAnySize);
  arguments.SetMaxSendMessageSize(kAnySize);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

ListeningServer listen(const std::string& who, const std::string& host, int port,
                       const std::string& advertise, const std::vector<grpc::Service*>& services) {
  prepare_grpc();
  grpc::ServerBuilder builder;
  int bound = 0;
  builder.AddListeningPort(with_port(host, port), grpc::InsecureServerCredentials(), &bound);
  // Else two servers could share a port and each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(kAnySize);
  builder.SetMaxSendMessageSize(kAnySize);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || bound == 0)
    runtime::throw_environment_error("{}: cannot listen on {} {}", who, with_port(host, port),
                                     reason_not_listening(host, port));
  return {std::move(server), with_port(dialed_host(host, advertise), bound)};
}

grpc::Status failure(grpc::StatusCode code, std::string_view message) {
  if (message.size() <= kLongestMessage) return {code, std::string(message)};
  std::size_t end = kLongestMessage;
  // Not within a character.
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
  return {code, fmt::format("{} …", message.substr(0, end))};
}

void set_deadline(grpc::ClientContext& context, std::chrono::milliseconds from_now) {
  context.set_deadline(std::chrono::system_clock::now() + from_now);
}

void fill(v1::Caller& caller, const std::string& run_id) {
  caller.set_protocol_version(kProtocolVersion);
  caller.set_run_id(run_id);
}

grpc::Status check_caller(const v1::Caller& caller, const std::string& run_id) {
  if (caller.protocol_version() != kProtocolVersion) {
    return {
        grpc::StatusCode::FAILED_PRECONDITION,
        fmt::format("the caller speaks protocol version {}, this process {}; start all ranks from "
                    "the same build",
                    caller.protocol_version(), kProtocolVersion)};
  }
  if (caller.run_id() != run_id) {
    return {grpc::StatusCode::FAILED_PRECONDITION,
            "the caller belongs to another run; end processes left over from it"};
  }
  return grpc::Status::OK;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown host";
}

}  // namespace tandem::launcher
