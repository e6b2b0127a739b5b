import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { type FcopyRequest, MAX_FRAGMENT_BYTES } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { dataOf, messagesOf } from '../hosts/fcopy-host.ts';
import { HostError } from '../wire.ts';
import {
  asked,
  BOTH,
  CANCEL,
  COMPLETE,
  contentOf,
  DEVICE,
  filesIn,
  HELLO,
  mustServe,
  onStage,
  openFiles,
  RING,
} from './fcopy-tools.ts';
import { mistreat, type ServiceScene } from './scene.ts';

/** Hosts that fall silent, restart, suspend or fill the ring while a file is copied. */
export const fcopyLife: readonly ServiceScene[] = [
  {
    name: 'fcopy-silent',
    service: 'fcopy',
    wires: BOTH,
    description: 'a host that falls silent in the middle of a file',
    run: (hand, wire) =>
      onStage(
        hand,
        wire,
        async (stage, folder) => {
          const content = contentOf('silent', 3 * MAX_FRAGMENT_BYTES);
          await asked(
            stage,
            'begun',
            messagesOf(HELLO(folder, { content })).slice(0, 3),
            IcStatus.ok,
          );
          assert.notDeepEqual(openFiles(stage), []);
          hand.say('The host says no more…');
          const said = await stage.alive(stage.daemon.log((line) => line['result'] === 'silent'));
          hand.say(String(said.message));
          assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
          await asked(
            stage,
            'it goes on too late',
            [dataOf(content, 2 * MAX_FRAGMENT_BYTES)],
            IcStatus.fail,
          );
          await mustServe(stage, folder);
        },
        { silence_secs: 1 },
      ),
  },
  {
    name: 'fcopy-restart',
    service: 'fcopy',
    wires: BOTH,
    description: 'a device that vanishes in the middle of a file, and comes back',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('gone', 3 * MAX_FRAGMENT_BYTES);
        await asked(
          stage,
          'begun',
          messagesOf(HELLO(folder, { content })).slice(0, 3),
          IcStatus.ok,
        );
        const again = stage.host.nextReady();
        stage.host.hangUp();
        await stage.alive(again);
        assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
        await asked(
          stage,
          'gone on with',
          [dataOf(content, 2 * MAX_FRAGMENT_BYTES)],
          IcStatus.fail,
        );
        await mustServe(stage, folder);
        hand.say('Nothing is left of the copy; the guest found the device again');
      }),
  },
  {
    name: 'fcopy-suspend',
    service: 'fcopy',
    wires: DEVICE,
    description: 'a virtual machine that is suspended in the middle of a file, and wakes',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('suspended', 3 * MAX_FRAGMENT_BYTES);
        await asked(
          stage,
          'begun',
          messagesOf(HELLO(folder, { content })).slice(0, 3),
          IcStatus.ok,
        );
        const again = stage.host.nextReady();
        // hv_utils makes up a cancel, and refuses the answer to it (hv_fcopy_pre_suspend in
        // drivers/hv/hv_fcopy.c)
        stage.utils.refuseNextReply();
        await assert.rejects(
          stage.ask(CANCEL),
          (error) => error instanceof HostError && error.code === 'dropped',
        );
        await stage.alive(again);
        assert.deepEqual([filesIn(stage), openFiles(stage)], [[], []]);
        await mustServe(stage, folder);
        hand.say('Nothing is left of the copy; the guest registered again');
      }),
  },
  {
    name: 'fcopy-renegotiate',
    service: 'fcopy',
    wires: RING,
    description:
      'versions negotiated anew in the middle of a file, and messages a correct host never sends',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('renegotiated', 2 * MAX_FRAGMENT_BYTES);
        const [start, first, second] = messagesOf(HELLO(folder, { content })) as [
          FcopyRequest,
          FcopyRequest,
          FcopyRequest,
        ];
        await asked(stage, 'begun', [start, first], IcStatus.ok);
        assert.ok(await stage.alive(stage.ring.negotiate()));
        await asked(stage, 'gone on with', [second, COMPLETE], IcStatus.ok);
        assert.ok(fs.readFileSync(path.join(folder, 'hello.txt')).equals(content));
        fs.rmSync(path.join(folder, 'hello.txt'));
        await mistreat(
          { host: stage.ring, alive: (work) => stage.alive(work) },
          stage.ring.encode(start),
          1088,
        );
        await mustServe(stage, folder);
      }),
  },
  {
    name: 'fcopy-full-ring',
    service: 'fcopy',
    wires: RING,
    description: 'a host that asks on and on and reads no answers, then reads them all',
    run: (hand, wire) =>
      onStage(hand, wire, async (stage, folder) => {
        const content = contentOf('full', 40 * MAX_FRAGMENT_BYTES);
        const messages = messagesOf(HELLO(folder, { content })).map((request) =>
          stage.ring.encode(request).slice(),
        );
        const statuses: number[] = [];
        const release = stage.ring.takeOver((answer) => statuses.push(stage.ring.statusOf(answer)));
        try {
          stage.ring.pauseReading();
          let sent = 0;
          for (let idle = 0; idle < 30 && sent < messages.length; ) {
            if (stage.ring.trySend(messages[sent]!, BigInt(sent + 1))) {
              sent++;
              idle = 0;
            } else {
              idle++;
              await new Promise((resolve) => setTimeout(resolve, 10));
            }
          }
          hand.say(`${sent} messages fit before the guest stopped reading`);
          assert.ok(sent < messages.length);
          stage.ring.resumeReading();
          while (statuses.length < messages.length) {
            if (sent < messages.length && stage.ring.trySend(messages[sent]!, BigInt(sent + 1)))
              sent++;
            else await stage.alive(new Promise((resolve) => setTimeout(resolve, 1)));
          }
        } finally {
          stage.ring.resumeReading();
          release();
        }
        assert.deepEqual(new Set(statuses), new Set([IcStatus.ok]));
        assert.ok(fs.readFileSync(path.join(folder, 'hello.txt')).equals(content));
        fs.rmSync(path.join(folder, 'hello.txt'));
        await mustServe(stage, folder);
      }),
  },
];
