#pragma once

namespace vmic {

/// The name of an errno ("EIO"), "ERING" for kRingFault, "EUNKNOWN" for what Linux does not define.
const char* errnoName(int code);

}  // namespace vmic
