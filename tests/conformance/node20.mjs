// The suite imports `globSync` from `fs`, which Node 20 does not have and no command used here calls.
import { register } from 'node:module';
import * as fs from 'node:fs';

const shim = `data:text/javascript,${encodeURIComponent(
  "export * from 'node:fs'; export { default } from 'node:fs'; export const globSync = undefined;",
)}`;
const hooks = `export const resolve = (name, context, next) =>
  name === 'fs' && context.parentURL?.includes('/conformance/dist/')
    ? { url: ${JSON.stringify(shim)}, shortCircuit: true }
    : next(name, context);`;
if (!fs.globSync) register(`data:text/javascript,${encodeURIComponent(hooks)}`);
