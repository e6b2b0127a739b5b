import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../../../protocol/kvp/ip-address.ts';

const octets = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

test('IPv4', () => {
  assert.deepEqual(parseIpv4('192.0.2.10'), Uint8Array.of(192, 0, 2, 10));
  assert.equal(formatIpv4(Uint8Array.of(255, 255, 255, 0)), '255.255.255.0');
  for (const bad of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    '1.2.3.-4',
    '1.2.3.4 ',
    '0x1.2.3.4',
    '1..2.3',
  ]) {
    assert.equal(parseIpv4(bad), undefined, bad);
  }
});

test('IPv6 text of RFC 5952, both ways', () => {
  const cases: [string, string][] = [
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['2001:db8::1', '20010db8000000000000000000000001'],
    ['fe80::', 'fe800000000000000000000000000000'],
    ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001'],
    ['2001:0:0:1::1', '20010000000000010000000000000001'],
    ['2001:db8::1:0:0:1', '20010db8000000000001000000000001'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008'],
  ];
  // One zero group is not shortened by RFC 5952, though it may be read so
  for (const [text, hex] of cases.slice(0, -1)) {
    assert.deepEqual(parseIpv6(text), octets(hex), text);
    assert.equal(formatIpv6(octets(hex)), text);
  }
  const [text, hex] = cases.at(-1)!;
  assert.deepEqual(parseIpv6(text), octets(hex));
  assert.equal(formatIpv6(octets(hex)), '0:2:3:4:5:6:7:8');
});

test('IPv6 in other spellings, and what is none', () => {
  assert.deepEqual(parseIpv6('2001:DB8::00FF'), octets('20010db80000000000000000000000ff'));
  assert.deepEqual(parseIpv6('::ffff:192.0.2.1'), octets('00000000000000000000ffffc0000201'));
  for (const bad of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    '12345::',
    'g::',
    ':1::',
    '1:',
    'fe80::1%eth0',
    '192.0.2.1::',
    '::192.0.2.1:1',
    '::1.2.3',
  ]) {
    assert.equal(parseIpv6(bad), undefined, bad);
  }
});
