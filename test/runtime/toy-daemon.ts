import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '../../daemons/runtime/program.ts';
import { type ToyReply, type ToyRequest, toyProtocol } from './toy.ts';

/** A daemon around the made-up service: doubles numbers; 13 throws, 50 takes `slow_ms`. */
await runProgram({
  name: 'vmic-toy',
  summary: 'Doubles numbers.',
  protocol: toyProtocol,
  section: 'kvp',
  options: { slow_ms: { type: 'integer', default: 10, min: 0, max: 100_000, help: '' } },
  defaultTransport: 'chardev:/nonexistent/toy',
  create: ({ options }) => ({
    handle: (request: ToyRequest): ToyReply | Promise<ToyReply> => {
      if (request === 13) throw new Error('unlucky');
      const reply = { status: 0, number: request * 2 };
      return request === 50 ? sleep(options.slow_ms, reply) : reply;
    },
    connected: () => {},
    close: () => {},
  }),
});
