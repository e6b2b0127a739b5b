import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  encodeNegotiationAnswer,
  negotiate,
  negotiation,
} from '../../../protocol/ic/negotiation.ts';
import { version } from '../../../protocol/ic/version.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const supported = {
  frameworkVersions: [version(3, 0), version(1, 0)],
  messageVersions: [version(4, 0), version(3, 0), version(1, 0)],
};

describe('negotiation message', () => {
  testVectors(
    (bytes) => negotiation.decode(bytes),
    (value) => negotiation.encode(value),
    [
      {
        name: 'what a host offers',
        bytes: message(28, {
          0: '0200 0300 00000000 0100 0000 0300 0000 0300 0000 0400 0000 0500 0100',
        }),
        value: {
          frameworkVersions: [version(1, 0), version(3, 0)],
          messageVersions: [version(3, 0), version(4, 0), version(5, 1)],
        },
      },
      {
        name: 'counts 0 and 0: refused',
        bytes: message(8, {}),
        value: { frameworkVersions: [], messageVersions: [] },
      },
    ],
  );

  test('100 versions of a kind are the most', () => {
    const counts = (framework: string, messages: string) =>
      message(8 + 4 * 201, { 0: framework + messages });
    assert.equal(negotiation.decode(counts('6400', '6400')).messageVersions.length, 100);
    assert.throws(
      () => negotiation.decode(counts('6500', '0100')),
      failsAs(
        'count',
        'negotiation.frameworkCount',
        'negotiation.frameworkCount at offset 0: expected at most 100, got 101',
      ),
    );
    assert.throws(
      () => negotiation.decode(counts('0100', 'ffff')),
      failsAs(
        'count',
        'negotiation.messageCount',
        'negotiation.messageCount at offset 2: expected at most 100, got 65535',
      ),
    );
    const many = new Array(101).fill(version(1, 0));
    assert.throws(
      () => negotiation.encode({ frameworkVersions: many, messageVersions: [] }),
      refuses('count', 'negotiation.frameworkCount'),
    );
  });

  test('counts beyond the packet are malformed', () => {
    assert.throws(
      () => negotiation.decode(message(16, { 0: '0100 0300' })),
      failsAs('truncated', 'negotiation.messageVersions[1].major'),
    );
  });
});

describe('negotiate', () => {
  const offer = (frameworkVersions: [number, number][], messageVersions: [number, number][]) => ({
    frameworkVersions: frameworkVersions.map(([major, minor]) => version(major, minor)),
    messageVersions: messageVersions.map(([major, minor]) => version(major, minor)),
  });
  const cases: [string, ReturnType<typeof offer>, ReturnType<typeof negotiate>][] = [
    [
      "our best wins, whatever the host's order",
      offer(
        [
          [1, 0],
          [3, 0],
        ],
        [
          [3, 0],
          [5, 0],
          [4, 0],
        ],
      ),
      { framework: version(3, 0), message: version(4, 0) },
    ],
    [
      'the only one in common',
      offer(
        [[1, 0]],
        [
          [9, 0],
          [1, 0],
        ],
      ),
      { framework: version(1, 0), message: version(1, 0) },
    ],
    [
      'major and minor must match',
      offer(
        [[3, 0]],
        [
          [4, 1],
          [3, 1],
        ],
      ),
      undefined,
    ],
    ['no framework in common', offer([[9, 0]], [[4, 0]]), undefined],
    ['no message version in common', offer([[3, 0]], [[9, 0]]), undefined],
    ['nothing offered', offer([], []), undefined],
    // A framework version is no message version, though they lie in one list on the wire
    ['kinds are not mixed up', offer([[4, 0]], [[3, 0]]), undefined],
  ];
  for (const [name, offered, expected] of cases) {
    test(name, () => assert.deepEqual(negotiate(offered, supported), expected));
  }
});

describe('answer to a negotiation', () => {
  const body = () =>
    message(28, { 0: '0200 0300 00000000 0100 0000 0300 0000 0300 0000 0400 0000 0500 0000' });

  test('is written over the offer, whose tail stays', () => {
    const answer = body();
    assert.equal(
      encodeNegotiationAnswer(answer, { framework: version(3, 0), message: version(4, 0) }),
      16,
    );
    assert.equal(
      hex(answer),
      hex(
        message(28, { 0: '0100 0100 00000000 0300 0000 0400 0000 0300 0000 0400 0000 0500 0000' }),
      ),
    );
  });

  test('refuses with counts 0 and 0', () => {
    const answer = body();
    assert.equal(encodeNegotiationAnswer(answer, undefined), 16);
    assert.equal(hex(answer.subarray(0, 8)), '0000000000000000');
  });

  test('to an offer shorter than an answer says no more than there is', () => {
    assert.equal(
      encodeNegotiationAnswer(message(12, { 0: '0100 0000 00000000 0900 0000' }), undefined),
      12,
    );
  });
});
