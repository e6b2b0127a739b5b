/**
 * Runs a program from its source, in place of its bundle: what scripts/dev.mjs starts the simulated
 * host with. The environment says more:
 *   VMIC_DEV_INSPECT=HOST:PORT      lets a debugger attach there
 *   VMIC_DEV_INSPECT_WAIT=1         waits for it first
 *   VMIC_DEV_PROFILE=FOLDER         writes a CPU profile there at the end
 */

const { writeFileSync } = require('node:fs');
const inspector = require('node:inspector');
const { basename, join } = require('node:path');
const { pathToFileURL } = require('node:url');

/** @param {string} folder */
function profile(folder) {
  const program = basename(process.argv[1] ?? '');
  const session = new inspector.Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.start');
  process.on('exit', () => {
    session.post('Profiler.stop', (error, result) => {
      const file = join(folder, `${program}-${process.pid}.cpuprofile`);
      if (error === null) writeFileSync(file, JSON.stringify(result.profile));
    });
  });
}

/**
 * @param {string} entry path of the source
 * @param {boolean} isDaemon
 */
module.exports = function runSource(entry, isDaemon) {
  process.setSourceMapsEnabled(true);
  const { VMIC_DEV_INSPECT, VMIC_DEV_INSPECT_WAIT, VMIC_DEV_PROFILE } = process.env;
  if (isDaemon && VMIC_DEV_INSPECT !== undefined) {
    const [host, port] = VMIC_DEV_INSPECT.split(':');
    inspector.open(Number(port), host, VMIC_DEV_INSPECT_WAIT === '1');
  }
  if (isDaemon && VMIC_DEV_PROFILE !== undefined) profile(VMIC_DEV_PROFILE);
  // @ts-ignore tsx has no types for this; it registers its hooks when it is loaded
  void import('tsx').then(() => import(pathToFileURL(entry).href));
};
