// How a client of version 1 of the SDK, or of version 2, reaches the proxy: it starts it, or, where LISTENER names the URL of
// one that listens, it connects to it with the token in TOKEN.
import * as v2 from '@modelcontextprotocol/client';
import * as stdio2 from '@modelcontextprotocol/client/stdio';
import * as stdio1 from '@modelcontextprotocol/sdk/client/stdio.js';
import * as http1 from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const { LISTENER, TOKEN } = process.env;
const [command, url] = process.argv.slice(2);

export const way = LISTENER ? 'over HTTP' : 'on stdio';

export function transport(version, more = []) {
  if (LISTENER) {
    const { StreamableHTTPClientTransport } = version === 1 ? http1 : v2;
    const requestInit = { headers: { Authorization: `Bearer ${TOKEN}` } };
    return new StreamableHTTPClientTransport(new URL(LISTENER), { requestInit });
  }
  const { StdioClientTransport } = version === 1 ? stdio1 : stdio2;
  return new StdioClientTransport({
    command,
    args: [url, '--region', 'us-east-1', '--service-name', 'execute-api', ...more],
    env: {
      AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    },
    stderr: 'inherit',
  });
}
