// What flagd's own evaluator makes of a file of flags: prints, as JSON, whether it fits flagd's published schemas and
// what each flag comes to, a boolean where it is one. Run in the folder that has it in its node_modules: flagd.js FILE
const { readFileSync } = require('node:fs');

const { FlagdCore, MemoryStorage } = require(require.resolve('@openfeature/flagd-core', { paths: [process.cwd()] }));

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const text = readFileSync(process.argv[2], 'utf8');
const said = { fits: true, flags: {} };
try {
  new MemoryStorage(quiet).setConfigurations(text, true);
} catch (error) {
  said.fits = false;
  said.why = String(error.message);
}
if (said.fits) {
  const core = new FlagdCore(undefined, quiet);
  core.setConfigurations(text);
  for (const name of core.getFlags().keys()) {
    const found = core.resolveBooleanEvaluation(name, null, { email: 'ada@example.org' }, quiet);
    said.flags[name] = found.reason === 'DISABLED' ? 'disabled' : (found.errorCode ?? found.value);
  }
}
console.log(JSON.stringify(said));
