/** Starts a program that goes on for ever, tells its number, and goes on. */
import { parentPort } from 'node:worker_threads';
import { native } from '../../native/index.ts';

native.startProgram(
  'sleep',
  { args: ['1000'], env: ['PATH=/usr/bin:/bin'], outputBytes: 0 },
  (pid) => parentPort!.postMessage(pid),
  () => {},
);
