import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PartStream } from '../../../runtime/sessions/part-stream.ts';

const PLACES = { offsetAt: 2, sizeAt: 4, dataAt: 6, maxDataBytes: 8 };

describe('the form of parts', () => {
  it('counts from the body, and keeps what was before the answer', () => {
    const parts = PartStream.on(PLACES, 10, 500)!;
    const message = Uint8Array.from({ length: 20 }, (_, i) => i);
    const sample = parts.sample(message);
    message.fill(0xff, 0, 10);
    assert.deepEqual(parts.form(sample, message, { endAt: 19, headBytes: 3, answerBytes: 20 }), {
      sample: Uint8Array.from({ length: 16 }, (_, i) => i),
      messageBytes: 20,
      offsetAt: 12,
      sizeAt: 14,
      roomBytes: 3,
      answer: Uint8Array.of(0xff, 0xff, 0xff),
      answerBytes: 20,
      limitMs: 500,
    });
  });

  it('has room for no more than a part may hold', () => {
    const parts = PartStream.on(PLACES, 0, 0)!;
    const message = new Uint8Array(100);
    const answer = { endAt: 100, headBytes: 4, answerBytes: 4 };
    const form = parts.form(parts.sample(message), message, answer);
    assert.equal(form.roomBytes, PLACES.maxDataBytes);
  });

  it('is none where requests carry no parts', () => {
    assert.equal(PartStream.on(undefined, 10, 0), undefined);
  });
});
