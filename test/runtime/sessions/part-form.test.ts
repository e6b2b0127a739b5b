import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { partForm } from '../../../runtime/sessions/part-form.ts';

const PLACES = { offsetAt: 2, sizeAt: 4, dataAt: 6, maxDataBytes: 8 };

describe('the form of parts', () => {
  it('counts from the body', () => {
    const sample = Uint8Array.from({ length: 16 }, (_, i) => i);
    const start = Uint8Array.of(0xff, 0xff, 0xff);
    const form = partForm(
      PLACES,
      { sample, bytes: 20, bodyAt: 10, bodyBytes: 9 },
      { start, bytes: 20, limitMs: 500 },
    );
    assert.deepEqual(form, {
      sample,
      messageBytes: 20,
      offsetAt: 12,
      sizeAt: 14,
      roomBytes: 3,
      answer: start,
      answerBytes: 20,
      limitMs: 500,
    });
  });

  it('has room for no more than a part may hold', () => {
    const form = partForm(
      PLACES,
      { sample: new Uint8Array(6), bytes: 100, bodyAt: 0, bodyBytes: 100 },
      { start: new Uint8Array(4), bytes: 4, limitMs: 0 },
    );
    assert.equal(form.roomBytes, PLACES.maxDataBytes);
  });
});
