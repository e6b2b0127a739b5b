import { runProgram } from '../../runtime/program.ts';
import { type ToyReply, type ToyRequest, toyProtocol } from '../runtime/toy.ts';

let busy = false;

/** A daemon around the made-up service that must not leave between requests 1 and 2. */
void runProgram({
  name: 'vmic-toy',
  summary: 'Is busy for a while.',
  protocol: toyProtocol,
  section: 'kvp',
  options: {},
  defaultTransport: 'chardev:/nonexistent/toy',
  create: () => ({
    handle: (request: ToyRequest): ToyReply => {
      if (request < 3) busy = request === 1;
      return { status: 0, number: request };
    },
    connected: () => {},
    get busy() {
      return busy;
    },
    close: () => {},
  }),
});
