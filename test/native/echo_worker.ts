/** Connects to the socket named by its workerData and sends back what comes. */
import { workerData } from 'node:worker_threads';
import { native } from '../../native/index.ts';

const channel = native.connectMessageSocket(workerData as string);
const buffer = new Uint8Array(64);
channel.start(
  buffer,
  (lengthBytes) => channel.write(buffer.subarray(0, lengthBytes)),
  () => channel.close(),
);
