/*
 * The floor of the benches: registers as a KVP daemon does, then sends every message back with
 * status 0. It reads and writes as cheaply as a daemon can: wait, read, write.
 */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 7432, REGISTER = 100 };

int main(void) {
  static unsigned char message[MESSAGE_BYTES] = {REGISTER};
  int fd = open("/dev/vmbus/hv_kvp", O_RDWR | O_CLOEXEC);
  if (fd < 0 || write(fd, message, sizeof message) != sizeof message) return 1;
  if (read(fd, message, sizeof message) != sizeof message)
    return 1; /* the answer to the registration */
  for (;;) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, -1) < 0) return 1;
    if (read(fd, message, sizeof message) != sizeof message) return 0;
    for (int i = 0; i < 4; i++) message[i] = 0;
    if (write(fd, message, sizeof message) != sizeof message) return 1;
  }
}
