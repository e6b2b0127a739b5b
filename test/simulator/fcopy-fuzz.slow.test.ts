import { repetitions } from '../repetitions.ts';
import { testFcopyFuzz } from './fcopy-fuzz-run.ts';

testFcopyFuzz(
  Number(process.env['VMIC_FUZZ_SEQUENCES'] ?? repetitions({ all: 1_000_000, part: 50_000 })),
);
