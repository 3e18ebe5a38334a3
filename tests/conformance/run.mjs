// `make conformance`: every part, a line for each scenario, exit code 1 if one of them failed.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startBridge } from './bridge.mjs';
import { differential } from './differential.mjs';
import { startGate, startListener, startServer } from './launch.mjs';

const here = import.meta.dirname;
const suite = path.join(here, 'node_modules/@modelcontextprotocol/conformance');
const REVISIONS = ['2025-11-25', '2026-07-28'];

// An extension that the server of this test does not have.
const NOT_OFFERED = /^tasks-/;
// About HTTP before the bridge.
const NOT_ABOUT_STDIO =
  /^(dns-rebinding-protection|server-session-lifecycle|server-sse-polling|http-header-validation|http-custom-header-server-validation)$/;

const only = process.argv[2];
const counts = {};
function report({ part, revision, name, why }) {
  const count = (counts[`${part} ${revision}`] ??= { passed: 0, all: 0 });
  count.all += 1;
  count.passed += why.length === 0;
  console.log(`${why.length ? 'FAIL' : 'pass'}  ${part} ${revision}  ${name}`);
  for (const line of why.slice(0, 8)) console.log(`        ${line}`);
}

/** Runs the suite; gives the checks of each scenario. */
async function runSuite(args) {
  const out = fs.mkdtempSync(path.join(os.tmpdir(), 'conformance-'));
  const node = ['--import', path.join(here, 'node20.mjs'), path.join(suite, 'dist/index.js')];
  const child = spawn(process.execPath, [...node, ...args, '-o', out], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (log += text));
  const code = await new Promise((exit) => child.once('exit', exit));
  const results = checkFiles(out).map((file) => ({
    name: path.basename(path.dirname(file)).replace(/^(server|client)-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, ''),
    checks: JSON.parse(fs.readFileSync(file, 'utf8')),
  }));
  fs.rmSync(out, { recursive: true });
  return { code, log, results };
}

const checkFiles = (folder) =>
  fs.readdirSync(folder, { recursive: true })
    .filter((file) => path.basename(file) === 'checks.json')
    .map((file) => path.join(folder, file));

const failures = (checks) => checks
  .filter(({ status }) => status === 'FAILURE')
  .map(({ id, errorMessage, description }) => `${id}: ${(errorMessage ?? description ?? '').split('\n')[0].slice(0, 250)}`);

/** The client scenarios that a revision requires, as the suite's own file lists them. */
function clientScenarios(revision) {
  const lines = fs.readFileSync(path.join(suite, 'requirements', `${revision}.yaml`), 'utf8').split('\n');
  const start = lines.findIndex((line) => line.startsWith('client:'));
  const end = lines.findIndex((line, at) => at > start && /^\w/.test(line));
  return lines
    .slice(start + 1, end < 0 ? undefined : end)
    .map((line) => /^ {2}- (\S+)/.exec(line)?.[1])
    .filter((name) => name && !name.startsWith('auth/'));
}

async function clients(revision) {
  for (const name of clientScenarios(revision)) {
    if (only && !name.includes(only)) continue;
    const command = `${process.execPath} ${path.join(here, 'client.mjs')}`;
    const args = ['client', '--command', command, '--scenario', name, '--spec-version', revision];
    const { code, log, results } = await runSuite(args);
    const why = results.flatMap(({ checks }) => failures(checks));
    const ran = results.some(({ checks }) => checks.some(({ status }) => status === 'SUCCESS'));
    if (!ran || (code !== 0 && why.length === 0)) why.push(...log.trim().split('\n').slice(-6));
    report({ part: 'client', revision, name, why });
  }
}

/** The suite at `url`, which stands for the server; a line for each scenario, unless it is left out. */
async function suiteAt(url, part, revision, isLeftOut) {
  const scenarios = only ? ['--scenario', only, '--spec-version', revision] : ['--requirements', revision];
  const { log, results } = await runSuite(['server', '--url', url, ...scenarios]);
  if (results.length === 0 && !only) report({ part, revision, name: 'the suite', why: log.split('\n').slice(-6) });
  for (const { name, checks } of results) {
    if (!isLeftOut(name)) report({ part, revision, name, why: failures(checks) });
  }
}

async function servers(revision) {
  const server = await startServer(path.join(here, 'server.mjs'));
  const gate = await startGate(server.url);
  const bridge = await startBridge(gate.url);
  await suiteAt(bridge.url, 'server', revision, (name) => NOT_OFFERED.test(name) || NOT_ABOUT_STDIO.test(name));
  await bridge.end();
  gate.end();
  server.end();
  report({ part: 'server', revision, name: 'nothing but JSON on stdout', why: bridge.impure() });
}

async function listeners(revision) {
  const server = await startServer(path.join(here, 'server.mjs'));
  const gate = await startGate(server.url);
  const listener = await startListener(gate.url);
  await suiteAt(listener.url, 'listener', revision, (name) => NOT_OFFERED.test(name));
  const code = await listener.end();
  gate.end();
  server.end();
  report({ part: 'listener', revision, name: 'ends in order', why: code === 0 ? [] : [`exit code ${code}`] });
}

for (const revision of REVISIONS) await clients(revision);
for (const revision of REVISIONS) await servers(revision);
for (const revision of REVISIONS) await listeners(revision);
if (!only) await differential(report);

console.log();
let failed = false;
for (const [group, { passed, all }] of Object.entries(counts)) {
  console.log(`${group}: ${passed} of ${all}`);
  failed ||= passed < all;
}
process.exit(failed ? 1 : 0);
