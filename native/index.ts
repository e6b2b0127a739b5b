import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Native } from './interface.ts';

/**
 * Where the compiled addon may be. Run from sources, this file's folder tells; in a bundle
 * (CommonJS, where `import.meta` is empty) the real path of the executable does.
 */
function candidates(): string[] {
  const chosen = process.env['VMIC_ADDON'];
  if (chosen) return [chosen];
  const folder: string =
    import.meta.dirname ?? dirname(realpathSync(process.argv[1] ?? process.execPath));
  const built = join(folder, '..', 'build', 'Release', 'vmic.node');
  // In a package of the system beside the programs; in the npm package one for each architecture
  return [
    built,
    join(folder, 'vmic.node'),
    join(folder, '..', 'prebuilt', process.arch, 'vmic.node'),
  ];
}

function load(): Native {
  const paths = candidates();
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new Error(
      `The addon vmic.node is missing (looked for ${paths.join(', ')}): run \`npm run build\`.`,
    );
  }
  const module = { exports: {} as Native };
  try {
    // What `require` would do; it works in both kinds of modules.
    process.dlopen(module, path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The addon ${path} can't be loaded by Node ${process.version}: ${reason}. Run \`npm ` +
        'run build`.',
      {
        cause: error,
      },
    );
  }
  return module.exports;
}

/** The operating system, through the compiled addon. */
export const native: Native = load();
