#pragma once

namespace vmic::guard {

/**
 * One freeze for a daemon at the other end of `socket`, from its plan to the thaw. Text lines;
 * words of code and call are as in errno names and system calls, "-" where there is none; times are
 * microseconds; mount points are escaped as in mountinfo.
 *
 *   guard: recovered MOUNT-POINT          for each that an earlier guard had left frozen
 *   guard: hello 1 PID                    or: refused CODE CALL HOLDER, and it ends
 *   daemon: freeze LIMIT-MS BYTES, then BYTES of lines: STAGE r|o MAJOR:MINOR MOUNT-POINT
 * (required, optional), by stage guard: target INDEX frozen|already-frozen|failed CODE CALL
 * FROZEN-FOR       for each; -1: not thawed guard: freeze ok|failed INDEX CODE CALL PREPARED FROZEN
 * INDEX of the target that made it fail, or -1 daemon: thaw guard: thawed INDEX
 * thawed|already-thawed|failed CODE FROZEN-FOR            for each that was frozen, in order guard:
 * thaw told|limit|gone|signal|failed complete|incomplete, and it ends once all is thawed
 *
 * Gives the process's exit status.
 */
int runSession(int socket, const char* recordPath);

}  // namespace vmic::guard
