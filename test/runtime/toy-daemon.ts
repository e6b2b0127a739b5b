import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '../../runtime/program.ts';
import { type ToyReply, type ToyRequest, toyProtocol } from './toy.ts';

/** At once: the order of lines is what tests look at. */
const say = (message: string): void =>
  void fs.writeSync(2, `${JSON.stringify({ level: 'info', message })}\n`);

/**
 * A daemon around the made-up service: doubles numbers; 13 throws, 14 is told of at length, 50
 * takes `slow_ms`, 66 is an internal error. With `goodbye_ms` it tells of its end.
 */
await runProgram({
  name: 'vmic-toy',
  summary: 'Doubles numbers.',
  protocol: toyProtocol,
  section: 'kvp',
  options: {
    slow_ms: { type: 'integer', default: 10, min: 0, max: 100_000, help: '' },
    goodbye_ms: { type: 'integer', default: 0, min: 0, max: 100_000, help: '' },
  },
  defaultTransport: 'chardev:/nonexistent/toy',
  create: ({ options, log }) => ({
    handle: (request: ToyRequest): ToyReply | Promise<ToyReply> => {
      if (request === 13) throw new Error('unlucky');
      if (request === 14) log.error('Fourteen', { stack: 'at '.repeat(500) });
      if (request === 66) {
        setImmediate(() => {
          throw new Error('on the loop');
        });
      }
      const reply = { status: 0, number: request * 2 };
      return request === 50 ? sleep(options.slow_ms, reply) : reply;
    },
    connected: () => {},
    disconnected: () => {
      if (options.goodbye_ms > 0) say('Disconnected');
    },
    close: async () => {
      if (options.goodbye_ms === 0) return;
      say('Closing');
      await sleep(options.goodbye_ms);
      say('Closed');
    },
  }),
});
