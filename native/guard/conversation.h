#pragma once

namespace vmic::guard {

// clang-format off
/**
 * One freeze for the daemon at the other end of `socket`, from its plan to the thaw. Text lines;
 * "-" stands for no CODE (an errno's name) or no CALL (a system call's name). Times are
 * microseconds, -1 where unknown. Mount points are escaped as in mountinfo.
 *
 *   guard:  recovered MOUNT-POINT           one for each that an earlier guard had left frozen
 *   guard:  hello 1 PID                     or: refused CODE CALL HOLDER, and it ends
 *   daemon: freeze LIMIT-MS BYTES           and BYTES of lines, ordered by stage:
 *           STAGE r|o MAJOR:MINOR MOUNT-POINT                      r: required, o: optional
 *   guard:  target INDEX frozen|already-frozen|failed CODE CALL FROZEN-FOR   one for each;
 *                                           FROZEN-FOR is -1: not thawed
 *   guard:  freeze ok|failed INDEX CODE CALL PREPARED FROZEN
 *                                           INDEX of the target that made it fail, or -1
 *   daemon: thaw
 *   guard:  thawed INDEX thawed|already-thawed|failed CODE FROZEN-FOR   one for each that was
 *                                           frozen, in the order of their thaw
 *   guard:  thaw told|limit|gone|signal|failed complete|incomplete
 *                                           and it ends once all is thawed
 *
 * Returns the process's exit status.
 */
// clang-format on
int runConversation(int socket, const char* recordPath);

}  // namespace vmic::guard
