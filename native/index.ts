import type { Native } from './interface.ts';
import { locateAddon } from './locate.ts';

function load(): Native {
  const path = locateAddon();
  const module = { exports: {} as Native };
  try {
    // What `require` would do; it works in both kinds of modules.
    process.dlopen(module, path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The addon ${path} can't be loaded by Node ${process.version}: ${reason}. Run \`npm run ` +
        'build` in a clone, or install the package again.',
      { cause: error },
    );
  }
  return module.exports;
}

/** The operating system, through the compiled addon. */
export const native: Native = load();
