#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>

#include "core/failure.h"
#include "core/fd.h"

namespace vmic {

/// Connects a seqpacket socket; the descriptor is non-blocking and close-on-exec, as all here.
Failure connectSeqpacket(const char* path, Fd& connection);

/// A listening seqpacket socket. A socket file which nobody listens on any more is replaced.
struct ListeningSocket {
  Fd fd;
  dev_t device = 0;
  ino_t inode = 0;
};
Failure listenSeqpacket(const char* path, ListeningSocket& listening);
/// Removes the socket file, unless another file has taken its name since.
void removeSocketFile(const char* path, const ListeningSocket& listening);

/// Sends one datagram to a sd_notify socket; a leading '@' means an abstract name. `heard`:
/// somebody listens there.
Failure sendNotify(const char* address, const char* message, size_t bytes, bool& heard);

/// Sends one datagram to a socket, without waiting. `taken`: somebody listens there and had room
/// for it.
Failure sendDatagram(const char* path, const uint8_t* data, size_t bytes, bool& taken);

/// Makes the memory of a simulated host's channel: both rings, `ringBytes` each.
Failure createRingMemory(size_t ringBytes, Fd& memory);
/// Sends it over a connection: {magic u32 "VRNG", total bytes u32} with the memory as SCM_RIGHTS.
Failure sendRingMemory(int connection, int memory, size_t totalBytes);
/// Waits at most `timeoutSecs` for that message. The memory can't shrink any more, so touching it
/// can't raise SIGBUS.
Failure receiveRingMemory(int connection, int timeoutSecs, Fd& memory, size_t& totalBytes);

}  // namespace vmic
