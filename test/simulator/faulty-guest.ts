/**
 * A guest on a simulated char device with one fault, to see that the fuzz test finds it: FAULT
 * SOCKET.
 */
import { native } from '../../native/index.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';

const [fault, path] = process.argv.slice(2) as [string, string];
const codec = kvpProtocol.hvUtils!;
const channel = native.connectMessageSocket(path);
const buffer = new Uint8Array(codec.messageBytes + 1);
const message = buffer.subarray(0, codec.messageBytes);
const kept: Uint8Array[] = [];
let count = 0;

channel.start(
  buffer,
  (lengthBytes) => {
    if (lengthBytes !== codec.messageBytes || ++count === 1) return; // the registration's answer
    if (fault === 'dies' && count === 1000) process.exit(3);
    if (fault === 'forgets' && count === 1000) return;
    if (fault === 'leaks') kept.push(new Uint8Array(codec.messageBytes).fill(1));
    channel.write(answer());
  },
  () => process.exit(0),
);
channel.write(codec.encodeRegistration());

/**
 * Statuses a host may expect, without a pool: no data but for the auto pool, no operation or pool
 * beyond what there is.
 */
function answer(): Uint8Array {
  const [operation, pool] = [message[0]!, message[1]!];
  const valid = operation <= 3 && pool <= 4;
  const status = fault !== 'lies' && (!valid || (operation === 3 && pool !== 2)) ? 0x80070103 : 0;
  new DataView(message.buffer).setUint32(0, status, true);
  return message;
}
