import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { isLinkLocal } from '../../src/attestation/dpu_host/link-local.ts';
import { DPU_HOST_LIMITS, encodeVoucherRequest } from '../../src/attestation/dpu_host/payload.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { fail, ok, unwrap } from '../../src/base/result.ts';
import { checkConfigValue } from '../../src/runtime/config.ts';
import { voucherRequest } from '../../test/support/dpu-host.ts';
import { makeKey } from '../../test/support/x509.ts';
import { startVoucherEndpoint, type VoucherEndpointParts } from './endpoint.ts';
import { voucherSchema } from './settings.ts';

const BODY = encodeVoucherRequest(voucherRequest(makeKey())).toString();

async function serve(context: TestContext, extra: Partial<VoucherEndpointParts> = {}) {
  const asked: string[] = [];
  const outcomes: (ErrorCode | 'OK')[] = [];
  const endpoint = unwrap(
    await startVoucherEndpoint({
      listen: { address: '127.0.0.1', port: 0, anyAddress: true },
      office: async (body) => {
        asked.push(Buffer.from(body).toString());
        return ok({ voucher: 'v'.repeat(20), x5c: [Buffer.alloc(64)] });
      },
      onOutcome: (error) => outcomes.push(error?.code ?? 'OK'),
      requestMs: 60_000,
      ...extra,
    }),
  );
  context.after(() => endpoint.close());
  return { asked, outcomes, port: endpoint.port };
}

/** Sends bytes as they are; answers with all that came back until the connection ended. */
function send(port: number, text: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (part) => {
    answer += part.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => resolve(answer));
  socket.write(text);
  return promise;
}

interface Wire {
  readonly line?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly more?: readonly string[];
  readonly body?: string;
}

function request(port: number, { line, headers, more = [], body = BODY }: Wire = {}): string {
  const all = {
    Host: `127.0.0.1:${port}`,
    'Signet-Voucher': '1',
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return `${[line ?? 'POST /v1/voucher HTTP/1.1', ...lines, ...more].join('\r\n')}\r\n\r\n${body}`;
}

const statusOf = (answer: string): number => Number(answer.split(' ')[1] ?? 0);

describe('the endpoint for vouchers', () => {
  test('answers a request that keeps the rules, once on a connection', async (context) => {
    const { port, asked, outcomes } = await serve(context);
    const answer = await send(port, request(port) + request(port));
    assert.equal(statusOf(answer), 200);
    assert.match(answer, /Connection: close/);
    assert.deepEqual([asked, outcomes], [[BODY], ['OK']]);
  });

  const forwarded = ['X-Forwarded-For', 'X-Forwarded-Host', 'Forwarded', 'Via', 'X-Real-IP'];
  const browser = ['Origin', 'Referer', 'Cookie', 'Sec-Fetch-Mode', 'Proxy-Authorization'];
  const cases: readonly (readonly [string, number, (port: number) => Wire])[] = [
    ...[...forwarded, ...browser].map(
      (name) => [`with ${name}`, 403, () => ({ headers: { [name]: 'x' } })] as const,
    ),
    ['without its header', 403, () => ({ headers: { 'Signet-Voucher': undefined } })],
    ['with another value of it', 403, () => ({ headers: { 'Signet-Voucher': 'true' } })],
    ['with its header twice', 400, () => ({ more: ['Signet-Voucher: 1'] })],
    ['with another host', 403, () => ({ headers: { Host: 'dpu.example.org' } })],
    ['with another port', 403, () => ({ headers: { Host: '127.0.0.1:1' } })],
    ['with two hosts', 400, (port) => ({ more: [`Host: 127.0.0.1:${port}`] })],
    ['without a host', 400, () => ({ headers: { Host: undefined } })],
    ['by GET', 405, () => ({ line: 'GET /v1/voucher HTTP/1.1' })],
    ['by PUT', 405, () => ({ line: 'PUT /v1/voucher HTTP/1.1' })],
    ['on another path', 404, () => ({ line: 'POST /v1/voucher?x HTTP/1.1' })],
    [
      'in the form for proxies',
      404,
      (port) => ({ line: `POST http://127.0.0.1:${port}/v1/voucher HTTP/1.1` }),
    ],
    ['of another type', 415, () => ({ headers: { 'Content-Type': 'text/plain' } })],
    [
      'of a form',
      415,
      () => ({ headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }),
    ],
    ['without a length', 411, () => ({ headers: { 'Content-Length': undefined }, body: '' })],
    [
      'in chunks',
      403,
      () => ({
        headers: { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' },
        body: '0\r\n\r\n',
      }),
    ],
    ['that is too large', 413, () => ({ body: 'x'.repeat(DPU_HOST_LIMITS.requestBytes + 1) })],
    ['with headers that are too large', 400, () => ({ headers: { 'X-A': 'x'.repeat(9000) } })],
    ['with two lengths', 400, () => ({ more: ['Content-Length: 1'] })],
    ['that expects to be told to go on', 417, () => ({ headers: { Expect: '100-continue' } })],
  ];
  for (const [name, status, wire] of cases) {
    test(`refuses a request ${name}`, async (context) => {
      const { port, asked } = await serve(context);
      assert.equal(statusOf(await send(port, request(port, wire(port)))), status);
      assert.deepEqual(asked, []);
    });
  }

  test('ends a connection that wants to be something else', async (context) => {
    const { port, asked } = await serve(context);
    const more = ['Connection: Upgrade', 'Upgrade: h2c'];
    assert.equal(await send(port, request(port, { more })), '');
    assert.deepEqual(asked, []);
  });

  test('takes a body of just the size that it may have', async (context) => {
    const { port, asked } = await serve(context);
    const body = 'x'.repeat(DPU_HOST_LIMITS.requestBytes);
    assert.equal(statusOf(await send(port, request(port, { body }))), 200);
    assert.deepEqual(asked, [body]);
  });

  test('waits for no body that comes slowly, or not at all', async (context) => {
    const { port, asked } = await serve(context, { requestMs: 200 });
    const whole = request(port);
    for (const part of [whole.slice(0, 20), whole.slice(0, -10)]) {
      assert.ok([0, 400, 408].includes(statusOf(await send(port, part))));
    }
    assert.deepEqual(asked, []);
  });

  test('refuses peers that are not on the link', async (context) => {
    const listen = { address: '127.0.0.1', port: 0, anyAddress: false };
    const { port, asked, outcomes } = await serve(context, { listen });
    assert.equal(statusOf(await send(port, request(port))), 403);
    assert.deepEqual([asked, outcomes], [[], ['VOUCHER_REQUEST']]);
  });

  test('tells whoever asks the kind of a refusal, and whether to ask again', async (context) => {
    for (const [code, status] of [
      ['VOUCHER_SECOND_KEY', 403],
      ['DPU_HOST_POSSESSION', 403],
      ['DPU_HOST_MESSAGE', 400],
      ['VOUCHER_NOT_READY', 503],
      ['DISK_FULL', 503],
    ] as const) {
      const office = async () => fail(code, 'a secret of the card');
      const { port } = await serve(context, { office });
      const answer = await send(port, request(port));
      assert.equal(statusOf(answer), status);
      assert.ok(answer.includes(code) && !answer.includes('secret'));
    }
  });
});

describe('where vouchers may be asked for', () => {
  for (const [address, local] of [
    ['169.254.0.1', true],
    ['169.254.255.255', true],
    ['169.253.0.1', false],
    ['169.255.0.1', false],
    ['fe80::1', true],
    ['fe80::1%eth0', true],
    ['febf::1', true],
    ['fec0::1', false],
    ['fe7f::1', false],
    ['::ffff:169.254.0.1', false],
    ['0.0.0.0', false],
    ['::', false],
    ['127.0.0.1', false],
    ['169.254.0.1.example', false],
    ['', false],
  ] as const) {
    test(`"${address}" is ${local ? '' : 'not '}on one link only`, () => {
      assert.equal(isLinkLocal(address), local);
      const section = { listen: { address, port: 7080 } };
      assert.equal(checkConfigValue(section, voucherSchema).ok, local);
    });
  }

  test('any other address has to be asked for by name', () => {
    const listen = { address: '127.0.0.1', port: 7080, anyAddress: true };
    assert.equal(checkConfigValue({ listen }, voucherSchema).ok, true);
  });
});
