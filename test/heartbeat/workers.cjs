// Threads in place of the watcher: what they do is in workerData.checksDirectory.
const { parentPort, workerData } = require('node:worker_threads');

const HEALTHY = { system: 'running', failedUnits: [], failedChecks: [] };
const parts = {
  silent: () => setInterval(() => {}, 1000),
  talks: () => parentPort.postMessage({ health: HEALTHY }),
  warns: () => parentPort.postMessage({ warning: 'a reason' }),
  throws: () => {
    throw new Error('broken thread');
  },
};
parts[workerData.checksDirectory]();
