import { testFuzz, testVssFuzz } from './fuzz-run.ts';

const messages = Number(process.env['VMIC_FUZZ_MESSAGES'] ?? 1_000_000);
testFuzz(messages);
testVssFuzz(Math.ceil(messages / 10));
