// What every gRPC server and client of a run shares. For .cpp files only: public headers do not
// name gRPC.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/coordinator/run_ticket.h"
#include "proto/tandem.pb.h"

namespace tandem::launcher {

// Silences gRPC's own log (we report errors ourselves; GRPC_VERBOSITY in the environment brings it
// back). Before the first use of gRPC in a process.
void prepare_grpc();

// A channel that never goes through an HTTP proxy and takes messages of any size.
std::shared_ptr<grpc::Channel> connect(const std::string& endpoint);

struct ListeningServer {
  std::unique_ptr<grpc::Server> server;
  std::string endpoint;  // as others dial it
};

// Starts a server for `services` on host:port (0: a free one); others dial `advertise`, or else
// `host`, or else (0.0.0.0) this machine's name. `who` opens the error, for example "coordinator".
// Throws Error (environment) where the address cannot be had.
ListeningServer listen(const std::string& who, const std::string& host, int port,
                       const std::string& advertise, const std::vector<grpc::Service*>& services);

// A status whose message is cut to what gRPC can carry.
grpc::Status failure(grpc::StatusCode code, std::string_view message);

void set_deadline(grpc::ClientContext& context, std::chrono::milliseconds from_now);

void fill(v1::Caller& caller, const std::string& run_id);
// FAILED_PRECONDITION where the caller speaks another protocol or belongs to another run.
grpc::Status check_caller(const v1::Caller& caller, const std::string& run_id);

std::string host_name();

}  // namespace tandem::launcher
