/**
 * What KVP's two wires have in common: the sizes of its fields, and IP info as text. Source:
 * include/uapi/linux/hyperv.h.
 */
import {
  bool8,
  DecodeError,
  EncodeError,
  type Layout,
  struct,
  type TextEncoding,
  text,
  u8,
} from '../layout/index.ts';

export { KEY_FIELD_BYTES, VALUE_FIELD_BYTES } from './sizes.ts';

/**
 * A value with another form on the wire, where either side may refuse: `fail(expected, actual)`
 * names the place.
 */
export const checkedItem = <Wire, T>(
  layout: Layout<Wire>,
  fromWire: (wire: Wire, fail: (expected: string, actual: string | number) => never) => T,
  toWire: (value: T, fail: (expected: string, actual: string | number) => never) => Wire,
): Layout<T> => ({
  sizeBytes: layout.sizeBytes,
  sizeOf: () => layout.sizeBytes!,
  read: (cursor) => {
    const at = cursor.offset;
    return fromWire(layout.read(cursor), (expected, actual) => {
      throw new DecodeError('value', at, expected, actual);
    });
  },
  write: (cursor, value) => {
    const at = cursor.offset;
    const wire = toWire(value, (expected, actual) => {
      throw new EncodeError('value', at, expected, actual);
    });
    layout.write(cursor, wire);
  },
});

/**
 * A list in one text, ';' between. One ';' at the end is no further entry, so an empty last entry
 * is written with one; empty entries elsewhere stay, since lists belong together by position.
 */
const list = (encoding: TextEncoding, fieldBytes: number): Layout<readonly string[]> =>
  checkedItem(
    text(encoding, fieldBytes),
    (joined) => (joined === '' ? [] : joined.replace(/;$/, '').split(';')),
    (entries, fail) => {
      const bad = entries.find((entry) => entry.includes(';'));
      if (bad !== undefined) fail("entries without ';'", JSON.stringify(bad));
      return entries.join(';') + (entries.at(-1) === '' ? ';' : '');
    },
  );

/**
 * struct hv_kvp_ipaddr_value, 7,426 bytes. The fields are as long on both wires; hv_utils puts
 * UTF-8 into them.
 */
export const ipInfoFields = (encoding: TextEncoding) =>
  struct('ipInfo')
    .field('adapterId', text(encoding, 256))
    .field('addressFamily', u8)
    .field('dhcpEnabled', bool8)
    .field('addresses', list(encoding, 2048))
    .field('subnets', list(encoding, 2048))
    .field('gateways', list(encoding, 1024))
    .field('dnsServers', list(encoding, 2048));

/**
 * A field that a successful reply must have: leaving it out is the service's mistake, and the host
 * must not be told success.
 */
export function needed<T>(field: T | undefined, name: string): T {
  if (field === undefined)
    throw new EncodeError('value', 0, `a reply with ${name}`, 'none').within('kvp');
  return field;
}
