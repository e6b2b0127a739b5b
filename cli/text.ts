export { printable } from '../runtime/text.ts';
