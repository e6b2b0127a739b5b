import { SERVICE_NAMES } from '../../protocol/ic/classes.ts';
import { answersInKernel } from '../status/status.ts';
import { serviceUnit } from '../status/units.ts';
import type { Check } from './finding.ts';

/** From about this Linux on uio_hv_generic takes channels without a monitor page. */
const UIO_KERNEL = [6, 12] as const;

function hasUio(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return major > UIO_KERNEL[0] || (major === UIO_KERNEL[0] && minor >= UIO_KERNEL[1]);
}

const kernelTooOld: Check = ({ snapshot: { kernel, units } }) => {
  if (hasUio(kernel)) return [];
  const wanted = SERVICE_NAMES.filter(
    (service) => answersInKernel(service) && units?.[serviceUnit(service)]?.enabled === 'enabled',
  );
  if (wanted.length === 0) return [];
  return [
    {
      id: 'kernel-too-old',
      severity: 'warning',
      title:
        `This kernel (${kernel}) gives no channel to user space: ` +
        `${wanted.join(', ')} ${wanted.length > 1 ? 'are' : 'is'} answered by hv_utils.`,
      explanation:
        'uio_hv_generic refuses them with error 524 before about Linux 6.12. What only ' +
        'vmic does (the state of applications, the reason of a shutdown, a disciplined ' +
        'clock) takes a newer kernel.',
      mend: wanted.map((service) => `systemctl disable ${serviceUnit(service)}`),
    },
  ];
};

export const kernelChecks: readonly Check[] = [kernelTooOld];
