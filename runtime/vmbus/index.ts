/**
 * Moving a service's VMBus channel between the kernel's own driver (hv_utils) and user space
 * (uio_hv_generic).
 */
export { BindingError, type BindingErrorCode, bind, type Moved, release } from './binding.ts';
export { type BindingPorts, SysfsVmbus } from './sysfs.ts';
