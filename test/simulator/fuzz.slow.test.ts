import { repetitions } from '../repetitions.ts';
import { testFuzz, testVssFuzz } from './fuzz-run.ts';

const messages = Number(
  process.env['VMIC_FUZZ_MESSAGES'] ?? repetitions({ all: 1_000_000, part: 50_000 }),
);
testFuzz(messages);
testVssFuzz(Math.ceil(messages / 10));
