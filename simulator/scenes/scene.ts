import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import type { Native } from '../../native/interface.ts';
import type { DaemonProcess, Exit, LogLine } from '../stages/daemon.ts';
import type { VmbusStage } from '../stages/vmbus-stage.ts';
import type { Wire, WireTap } from '../wire.ts';

/** What a scene plays for and on. */
export interface Stagehand {
  readonly native: Native;
  readonly tap: WireTap;
  readonly onLog: (line: LogLine) => void;
  /** Tells the audience what comes next. */
  say(text: string): void;
  /** How far a file has come. */
  progress(file: string, doneBytes: number, sizeBytes: number): void;
  /** Waits; less long, or not at all, where nobody watches. Rejects when the show is over. */
  pause(ms: number): Promise<void>;
}

/**
 * A host and one service, from the daemon's start to its end. Throws when something is not as it
 * has to be.
 */
export interface ServiceScene {
  readonly name: string;
  readonly description: string;
  readonly service: string;
  /** Most services have no char device: rings alone carry them. */
  readonly wires: readonly Wire[];
  /** Worth watching again and again, while the demonstration goes on. */
  readonly live?: true;
  run(hand: Stagehand, wire: Wire): Promise<void>;
}

/** Puts an executable script into a folder, made on the way. */
export function script(folder: string, name: string, ...lines: string[]): void {
  fs.mkdirSync(folder, { recursive: true, mode: 0o755 });
  fs.writeFileSync(path.join(folder, name), ['#!/bin/sh', ...lines, ''].join('\n'), {
    mode: 0o755,
  });
}

/** Plays on a stage and has its daemon end as it should, also when the play fails. */
export async function played<
  Stage extends {
    readonly host: { readonly violations: readonly string[] };
    readonly daemon: DaemonProcess;
    close(): Promise<Exit | undefined>;
  },
>(opening: Promise<Stage>, play: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = await opening;
  let exit: Exit | undefined;
  try {
    await play(stage);
    assert.deepEqual(stage.host.violations, [], 'the guest kept to the protocol');
  } finally {
    exit = await stage.close();
  }
  assert.deepEqual(exit, { code: 0, signal: null }, 'SIGTERM ends the daemon with status 0');
  assert.deepEqual(stage.daemon.noise, [], 'it says nothing that is no log line');
}

/**
 * What a correct host never sends, to any service: packets without or with wrong headers are
 * dropped, requests that can't be read are refused, and the service goes on. `valid` is a request's
 * bytes, `bodyBytes` what a request needs at least.
 */
export async function mistreat<Request, Reply extends { readonly status: number }>(
  { host, alive }: Pick<VmbusStage<Request, Reply>, 'host' | 'alive'>,
  valid: Uint8Array,
  bodyBytes: number,
): Promise<void> {
  const changed = (at: number, ...bytes: number[]): Uint8Array => {
    const message = valid.slice();
    message.set(bytes, at);
    return message;
  };
  const sized = (bodySizeBytes: number): Uint8Array => {
    const message = changed(18, bodySizeBytes & 0xff, bodySizeBytes >> 8).slice(
      0,
      28 + bodySizeBytes,
    );
    new DataView(message.buffer).setUint32(4, 20 + bodySizeBytes, true);
    return message;
  };
  const dropped: readonly (readonly [string, Uint8Array])[] = [
    ['an empty packet', new Uint8Array(0)],
    ['eight bytes', new Uint8Array(8)],
    ['a pipe header of another type', changed(0, 2)],
    ['a message longer than its packet', changed(4, 0xff, 0xff, 0xff, 0x7f)],
    ['a body longer than its message', changed(18, 0xff, 0xff)],
    ['an answer to nothing', changed(25, 5)],
    [
      'a negotiation of 65,535 versions',
      host.encodeNegotiation(undefined, { frameworks: 0xffff, messages: 0xffff }),
    ],
  ];
  for (const [what, message] of dropped) {
    assert.equal(await alive(host.exchange(message)), undefined, `${what} was answered`);
  }
  const refused: readonly (readonly [string, Uint8Array])[] = [
    ['a message of an unknown type', changed(12, 99)],
    ['a request without a body', sized(0)],
    ['a request one byte short', sized(bodyBytes - 1)],
  ];
  for (const [what, message] of refused) {
    const answer = await alive(host.exchange(message));
    assert.ok(answer, `${what} was not answered`);
    assert.notEqual(host.statusOf(answer), 0, `${what} was answered with success`);
  }
}
