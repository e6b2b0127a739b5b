import { testFuzz } from './fuzz-run.ts';

testFuzz(Number(process.env['VMIC_FUZZ_MESSAGES'] ?? 1_000_000));
