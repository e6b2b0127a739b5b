/** The longest beginning of `text` within both limits that ends between two code points. */
export function fitText(
  text: string,
  limit: { readonly units: number; readonly bytes: number },
): string {
  // No UTF-16 unit takes more than 3 bytes of UTF-8
  if (text.length * 3 <= limit.bytes && text.length <= limit.units) return text;
  if (text.length <= limit.units && Buffer.byteLength(text) <= limit.bytes) return text;
  let units = 0;
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > limit.bytes || units + character.length > limit.units) break;
    units += character.length;
  }
  return text.slice(0, units);
}

/** The list joined by ';', as many whole items as fit into `units`. */
export function joinFitting(items: readonly string[], units: number): string {
  let list = '';
  for (const item of items) {
    const longer = list === '' ? item : `${list};${item}`;
    if (longer.length > units) break;
    list = longer;
  }
  return list;
}
