import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { type FcopyRequest, MAX_FRAGMENT_BYTES } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { dataOf, messagesOf, startOf } from '../hosts/fcopy-host.ts';
import { formatStatus } from '../hosts/kvp-host.ts';
import {
  asked,
  BOTH,
  CANCEL,
  COMPLETE,
  contentOf,
  filesIn,
  HELLO,
  mustServe,
  onStage,
  openFiles,
} from './fcopy-tools.ts';
import type { ServiceScene } from './scene.ts';

/** What hosts ask for in the wrong order, size or form. */
export const fcopyOrders: readonly ServiceScene[] = [
  {
    name: 'fcopy-cancel',
    service: 'fcopy',
    wires: BOTH,
    description: 'copies that are cancelled, or given up for another one: nothing is left of them',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('cancelled', 3 * MAX_FRAGMENT_BYTES);
        const copy = HELLO(folder, { content });
        const [start, first, second, third] = messagesOf(copy) as [
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
        ];
        for (const requests of [[start], [start, first], [start, first, second, third]]) {
          await asked(stage, 'cancelled', [...requests, CANCEL], IcStatus.ok);
          assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
        }
        await asked(stage, 'nothing to cancel', [CANCEL], IcStatus.ok);
        const folders = [start, first, CANCEL].map((request) =>
          request.operation === 'start'
            ? { ...request, path: `${folder}new/`, flags: { ...request.flags, createPath: true } }
            : request,
        );
        await asked(stage, 'with a folder to be made', folders, IcStatus.ok);
        assert.deepEqual(fs.readdirSync(folder), [], 'no folder either');

        for (let i = 0; i < 50; i++)
          await asked(stage, 'begun', [startOf({ ...copy, fileName: `file ${i}` })], IcStatus.ok);
        assert.ok(openFiles(stage).length <= 2, 'files begun before are closed');
        assert.deepEqual(filesIn(stage), []);
        await mustServe(stage, folder);
        hand.say('Nothing is left of 54 copies that were given up');
      }),
  },
  {
    name: 'fcopy-order',
    service: 'fcopy',
    wires: BOTH,
    description: 'messages in an order, and with sizes, that no correct host sends',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('order', 2 * MAX_FRAGMENT_BYTES + 100);
        const [start, first, second, third] = messagesOf(HELLO(folder, { content })) as [
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
        ];
        const { invalidArgument, fail } = IcStatus;
        const refused: (readonly [string, readonly FcopyRequest[], number])[] = [
          ['data before a start', [first], fail],
          ['complete before a start', [COMPLETE], fail],
          ['the second part first', [start, second], invalidArgument],
          ['a part twice', [start, first, first], invalidArgument],
          ['a part left out', [start, first, third], invalidArgument],
          [
            'parts that overlap',
            [start, first, dataOf(content, MAX_FRAGMENT_BYTES - 1)],
            invalidArgument,
          ],
          [
            'a part at 2^63',
            [start, { operation: 'data', offset: 1n << 63n, data: new Uint8Array(1) }],
            invalidArgument,
          ],
          [
            'more than announced',
            [startOf(HELLO(folder, { content }), 10n), first],
            invalidArgument,
          ],
          [
            'something of nothing',
            [startOf(HELLO(folder), 0n), dataOf(content, 0, 1)],
            invalidArgument,
          ],
          ['complete after less than announced', [start, first, second, COMPLETE], fail],
          [
            'more than any disk has',
            [startOf(HELLO(folder), 0xffff_ffff_ffff_ffffn)],
            IcStatus.diskFull,
          ],
        ];
        for (const [what, requests, status] of refused) {
          await asked(stage, what, requests, status);
          await asked(stage, what, [CANCEL], IcStatus.ok);
          assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []], what);
          hand.say(`${what}: ${formatStatus(status)}`);
        }
        // What was refused counts for nothing: the right part may follow
        await asked(stage, 'begun', [start, first, third], invalidArgument);
        await asked(stage, 'gone on with', [second, third, COMPLETE], IcStatus.ok);
        assert.ok(fs.readFileSync(path.join(folder, 'hello.txt')).equals(content));
        fs.rmSync(path.join(folder, 'hello.txt'));
        await mustServe(stage, folder);
      }),
  },
  {
    name: 'fcopy-sizes',
    service: 'fcopy',
    wires: BOTH,
    description: 'parts that say they are longer than their message, messages that are cut short',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('sizes', 20_000);
        const [start, first] = messagesOf(HELLO(folder, { content })) as [
          FcopyRequest,
          FcopyRequest,
        ];
        const { host } = stage;
        await asked(stage, 'begun', [start], IcStatus.ok);
        for (const sizeBytes of [
          MAX_FRAGMENT_BYTES + 1,
          8192,
          0x7fff_ffff,
          0x8000_0000,
          0xffff_ffff,
        ]) {
          const message = host.encode(first).slice();
          new DataView(message.buffer).setUint32(host.bodyOffset + SIZE_AT, sizeBytes, true);
          const answer = await stage.alive(host.exchange(message));
          assert.equal(
            answer && host.statusOf(answer),
            IcStatus.invalidArgument,
            `a part of ${sizeBytes} bytes`,
          );
        }
        for (const request of [start, first]) {
          const whole = host.encode(request);
          for (const cut of [
            host.bodyOffset + 36,
            host.bodyOffset + 51,
            host.bodyOffset + 80,
            whole.length - 9,
          ]) {
            const message = whole.slice(0, cut);
            if (wire === 'unix-ring') {
              const view = new DataView(message.buffer);
              view.setUint32(4, cut - 8, true);
              view.setUint16(18, cut - host.bodyOffset, true);
            }
            const answer = await stage.alive(host.exchange(message));
            assert.notEqual(
              answer && host.statusOf(answer),
              IcStatus.ok,
              `${request.operation} cut to ${cut} bytes`,
            );
          }
        }
        assert.deepEqual(filesIn(stage), []);
        await asked(stage, 'cancelled', [CANCEL], IcStatus.ok);
        await mustServe(stage, folder);
        hand.say('None of it was written');
      }),
  },
];

/** Byte offset in a body (struct hv_do_fcopy in include/uapi/linux/hyperv.h). */
const SIZE_AT = 48;
