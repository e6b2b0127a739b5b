import { fcopyCopies } from './fcopy-copies.ts';
import { fcopyLife } from './fcopy-life.ts';
import { fcopyOrders } from './fcopy-orders.ts';
import type { ServiceScene } from './scene.ts';

export { contentOf, filesIn, guestFolder, openFcopy, openFiles } from './fcopy-tools.ts';

/** Everything played with the file copy service. */
export const fcopyScenes: readonly ServiceScene[] = [...fcopyCopies, ...fcopyOrders, ...fcopyLife];
