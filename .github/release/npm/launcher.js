#!/usr/bin/env node
// Starts the program that the package for this platform brought, and passes streams, signals and the exit code through.
'use strict';
const { spawn } = require('node:child_process');

const windows = process.platform === 'win32'; // which runs programs for x64 on Arm, too
const name = `@SCOPE/sigv4-proxy-${process.platform}-${windows ? 'x64' : process.arch}`;

function fail(code, message) {
  process.stderr.write(`sigv4-proxy: ${message}\n`);
  process.exitCode = code;
}

function start(program) {
  // Before the child, which may be in the middle of a session when `spawn` returns. Windows sends console events to the child
  // as well, and there `kill` would end it at once.
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGBREAK']) process.on(signal, () => windows || child.kill(signal));
  const child = spawn(program, process.argv.slice(2), { stdio: 'inherit', windowsHide: true });
  child.on('error', (error) => {
    fail(126, `cannot start ${program}: ${error.message}\n  fix: reinstall the package ${name}`);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

let program;
try {
  program = require.resolve(`${name}/bin/sigv4-proxy${windows ? '.exe' : ''}`);
} catch {
  fail(1, `the package ${name} is not installed, or there is none for this platform\n`
    + '  fix: install again without --omit=optional or --no-optional; if that fails, see Install in the README');
}
if (program) start(program);
