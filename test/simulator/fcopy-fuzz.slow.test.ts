import { testFcopyFuzz } from './fcopy-fuzz-run.ts';

testFcopyFuzz(Number(process.env['VMIC_FUZZ_SEQUENCES'] ?? 1_000_000));
