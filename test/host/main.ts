import { simulate } from './simulate.ts';

// No await here: the bundle is CommonJS
void simulate(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
