import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { MOCK_ACCOUNT, QUICK_PACE, startMockBmc } from '../../test/support/mock-bmc.ts';
import { ERRORS, type ErrorCode } from '../base/errors.ts';
import type { Result } from '../base/result.ts';
import { errorBody } from '../main/demo/mock-bmc/measurements.ts';
import type { MockFault } from '../main/demo/mock-bmc/mock-bmc.ts';
import { SERVICE_ROOT } from './bmc-client.ts';
import { MAX_ANSWER_BYTES } from './exchange.ts';
import { resourcePath } from './resource-path.ts';

const SYSTEM = resourcePath('/redfish/v1/Systems/Bluefield');
const SESSIONS = '/redfish/v1/SessionService/Sessions';
const basic = { ...MOCK_ACCOUNT, method: 'basic' } as const;

function codeOf(result: Result<unknown>): ErrorCode | 'ok' {
  return result.ok ? 'ok' : result.error.code;
}

/** JSON of so many bytes. */
function jsonOf(bytes: number): string {
  return `{"a":"${'x'.repeat(bytes - 8)}"}`;
}

const json = (body: string, status = 200): MockFault => ({ status, body });
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

/** What a BMC may answer with in place of a resource, and what comes of it. */
const ANSWERS: readonly (readonly [what: string, fault: MockFault, code: ErrorCode | 'ok'])[] = [
  ['an object', json('{}'), 'ok'],
  ['the longest JSON', json(jsonOf(MAX_ANSWER_BYTES)), 'ok'],
  ['a byte more', json(jsonOf(MAX_ANSWER_BYTES + 1)), 'REDFISH_ANSWER_TOO_LARGE'],
  ['JSON of 1 MiB', json(jsonOf(1_048_576)), 'REDFISH_ANSWER_TOO_LARGE'],
  ['a refusal of 1 MiB', json(jsonOf(1_048_576), 404), 'REDFISH_ANSWER_TOO_LARGE'],
  ['objects 16 deep', json(nested(16)), 'ok'],
  ['objects 17 deep', json(nested(17)), 'REDFISH_ANSWER_MALFORMED'],
  ['objects 100,000 deep', json('{"a":'.repeat(50_000)), 'REDFISH_ANSWER_MALFORMED'],
  ['a key twice', json('{"UUID":"a","UUID":"b"}'), 'REDFISH_ANSWER_MALFORMED'],
  ['a key twice, once escaped', json('{"UUID":"a","\\u0055UID":"b"}'), 'REDFISH_ANSWER_MALFORMED'],
  ['an array', json('[]'), 'REDFISH_ANSWER_MALFORMED'],
  ['a number', json('1'), 'REDFISH_ANSWER_MALFORMED'],
  ['half an object', json('{"a":'), 'REDFISH_ANSWER_MALFORMED'],
  ['two objects', json('{}{}'), 'REDFISH_ANSWER_MALFORMED'],
  ['a page of HTML', json('<html>login</html>'), 'REDFISH_ANSWER_MALFORMED'],
  ['a byte order mark', json('\ufeff{}'), 'REDFISH_ANSWER_MALFORMED'],
  ['nothing', json(''), 'REDFISH_ANSWER_SHAPE'],
  ['no content', json('', 204), 'REDFISH_ANSWER_SHAPE'],
  ['an error object', { status: 200, body: errorBody('InternalError') }, 'REDFISH_FAULT'],
  [
    'an error object beside valid fields',
    { status: 200, body: { UUID: 'a', Members: [], ...errorBody('InternalError') } },
    'REDFISH_FAULT',
  ],
  ['an error that is null', json('{"error":null}'), 'REDFISH_FAULT'],
  ['status 400', json('{}', 400), 'REDFISH_REFUSED'],
  ['status 403', json('{}', 403), 'REDFISH_FORBIDDEN'],
  ['status 404', json('{}', 404), 'REDFISH_NOT_FOUND'],
  ['status 404 without JSON', json('gone', 404), 'REDFISH_NOT_FOUND'],
  ['status 429', json('{}', 429), 'REDFISH_BUSY'],
  ['status 500', { status: 500, body: errorBody('InternalError') }, 'REDFISH_FAULT'],
  ['status 502', json('', 502), 'REDFISH_FAULT'],
  ['status 503', json('{}', 503), 'REDFISH_BUSY'],
  ['a reset', 'reset', 'REDFISH_UNREACHABLE'],
  [
    'headers of 20 KiB',
    { status: 200, headers: { 'x-bomb': 'x'.repeat(20_000) }, body: '{}' },
    'REDFISH_ANSWER_TOO_LARGE',
  ],
  [
    'less than it announced',
    { status: 200, headers: { 'content-length': '99' }, body: '{}' },
    'REDFISH_TIMEOUT',
  ],
  ['a redirect to HTTP', redirect('http://127.0.0.1/redfish/v1/Systems'), 'REDFISH_REDIRECT'],
  [
    'a redirect to another host',
    redirect('https://evil.example/redfish/v1/Systems'),
    'REDFISH_REDIRECT',
  ],
  [
    'a redirect to another port',
    redirect('https://127.0.0.1:1/redfish/v1/Systems'),
    'REDFISH_REDIRECT',
  ],
  ['a redirect without scheme', redirect('//evil.example/redfish/v1'), 'REDFISH_REDIRECT'],
  ['a redirect out of Redfish', redirect('/login'), 'REDFISH_REDIRECT'],
  ['a redirect to nowhere', { status: 302 }, 'REDFISH_REDIRECT'],
  ['a redirect in circles', redirect('/redfish/v1/Systems/Bluefield'), 'REDFISH_REDIRECT'],
  ['a redirect on this BMC', redirect('/redfish/v1/Systems'), 'ok'],
];

function redirect(location: string): MockFault {
  return { status: 308, headers: { location } };
}

for (const [what, fault, code] of ANSWERS) {
  test(`${what} is ${code}`, async (context) => {
    const patient = code !== 'REDFISH_TIMEOUT';
    const pace = { ...QUICK_PACE, requestTimeoutMs: patient ? 60_000 : 300 };
    const { mock, client } = await startMockBmc(context, {}, { pace, credentials: basic });
    mock.decide = (request) => (request === `GET ${SYSTEM}` ? fault : undefined);
    assert.equal(codeOf(await client.get(SYSTEM)), code);
  });
}

test('a resource is asked for once more where the connection broke, and no third time', async (context) => {
  const { mock, client } = await startMockBmc(context, {}, { credentials: basic });
  let asked = 0;
  let resets = 1;
  mock.decide = () => {
    asked += 1;
    return asked <= resets ? 'reset' : undefined;
  };
  assert.equal(codeOf(await client.get(SYSTEM)), 'ok');
  assert.equal(asked, 2);
  asked = 0;
  resets = 2;
  assert.equal(codeOf(await client.get(SYSTEM)), 'REDFISH_UNREACHABLE');
  assert.equal(asked, 2);
});

test('what does something is never sent twice', async (context) => {
  const { mock, client } = await startMockBmc(context, {}, { credentials: basic });
  let asked = 0;
  mock.decide = () => {
    asked += 1;
    return 'reset';
  };
  assert.equal(codeOf(await client.post(SYSTEM, {})), 'REDFISH_UNREACHABLE');
  assert.equal(asked, 1);
});

test('a BMC that stays silent is REDFISH_TIMEOUT', async (context) => {
  const pace = { ...QUICK_PACE, requestTimeoutMs: 50 };
  const { mock, client } = await startMockBmc(context, {}, { pace });
  mock.decide = () => 'silence';
  assert.equal(codeOf(await client.get(SYSTEM)), 'REDFISH_TIMEOUT');
});

test('who stops waiting gets REDFISH_TIMEOUT at once', async (context) => {
  const { mock, client } = await startMockBmc(context);
  const controller = new AbortController();
  mock.decide = (request) => {
    if (request !== `GET ${SYSTEM}`) return undefined;
    controller.abort();
    return 'silence';
  };
  assert.equal(codeOf(await client.get(SYSTEM, { signal: controller.signal })), 'REDFISH_TIMEOUT');
});

test('one session serves all requests, and ends with the client', async (context) => {
  const { mock, connect } = await startMockBmc(context);
  const seen: string[] = [];
  mock.seen = (request, { authorization, 'x-auth-token': token }) => {
    assert.equal(authorization, undefined);
    seen.push(`${request} ${token === undefined ? 'nobody' : 'session'}`);
  };
  const client = connect();
  await Promise.all([client.get(SYSTEM), client.get(SERVICE_ROOT), client.get(SYSTEM)]);
  assert.equal(seen.filter((line) => line === `POST ${SESSIONS} nobody`).length, 1);
  assert.equal(mock.sessions.size, 1);
  await client.close();
  assert.equal(mock.sessions.size, 0);
  assert.equal(seen.at(-1), `DELETE ${SESSIONS}/s1 session`);
  await client.close();
  assert.equal(seen.filter((line) => line.startsWith('DELETE')).length, 1);
});

test('a client that was never used makes no session to end', async (context) => {
  const { mock, connect } = await startMockBmc(context);
  mock.seen = (request) => assert.fail(request);
  await connect().close();
});

test('a session that the BMC forgot is made once more, and not a third time', async (context) => {
  const { mock, client } = await startMockBmc(context);
  await client.get(SYSTEM);
  mock.sessions.clear();
  assert.equal(codeOf(await client.get(SYSTEM)), 'ok');
  mock.decide = (request) => (request.startsWith('GET') ? json('{}', 401) : undefined);
  let logIns = 0;
  mock.seen = (request) => {
    if (request === `POST ${SESSIONS}`) logIns += 1;
  };
  assert.equal(codeOf(await client.get(SYSTEM)), 'REDFISH_UNAUTHENTICATED');
  assert.equal(logIns, 1);
});

test('a wrong password is sent once, however often is asked: BMCs lock accounts', async (context) => {
  const { mock, connect } = await startMockBmc(context);
  let logIns = 0;
  mock.seen = () => {
    logIns += 1;
  };
  const client = connect({ credentials: { ...MOCK_ACCOUNT, password: 'wrong' } });
  for (let round = 0; round < 3; round++) {
    assert.equal(codeOf(await client.get(SYSTEM)), 'REDFISH_UNAUTHENTICATED');
  }
  assert.equal(logIns, 1);
});

test('a BMC that was away is logged in to when it is back', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.decide = () => json('{}', 503);
  assert.equal(codeOf(await client.get(SYSTEM)), 'REDFISH_BUSY');
  mock.decide = () => undefined;
  assert.equal(codeOf(await client.get(SYSTEM)), 'ok');
});

const NO_SESSIONS: readonly (readonly [what: string, fault: MockFault, code: ErrorCode])[] = [
  ['no token', { status: 201, body: {} }, 'REDFISH_ANSWER_SHAPE'],
  [
    'a token of 1,025 characters',
    { status: 201, headers: { 'x-auth-token': 'a'.repeat(1025) } },
    'REDFISH_ANSWER_SHAPE',
  ],
  [
    'a token with a space',
    { status: 201, headers: { 'x-auth-token': 'a b' } },
    'REDFISH_ANSWER_SHAPE',
  ],
  ['a redirect', { status: 307, headers: { location: '/redfish/v1/Other' } }, 'REDFISH_REDIRECT'],
  ['no session service', json('{}', 404), 'REDFISH_NOT_FOUND'],
];

for (const [what, fault, code] of NO_SESSIONS) {
  test(`a log-in that is answered with ${what} is ${code}`, async (context) => {
    const { mock, client } = await startMockBmc(context);
    mock.decide = (request) => (request === `POST ${SESSIONS}` ? fault : undefined);
    assert.equal(codeOf(await client.get(SYSTEM)), code);
  });
}

test('the account goes with every request where sessions are not wanted', async (context) => {
  const { mock, client } = await startMockBmc(context, {}, { credentials: basic });
  let authorization = '';
  mock.seen = (_, headers) => {
    authorization = headers.authorization ?? '';
  };
  assert.equal(codeOf(await client.get(SYSTEM)), 'ok');
  assert.equal(authorization, `Basic ${btoa(`${basic.userName}:${basic.password}`)}`);
  assert.equal(mock.sessions.size, 0);
});

test('no refusal tells the password, the token, or what the BMC wrote', async (context) => {
  const { mock, connect } = await startMockBmc(context);
  const secret = 'correct-horse-battery';
  const mirror = { error: { code: `Base.1.0.${secret}/`, message: secret }, token: secret };
  const faults: MockFault[] = [
    { status: 400, body: mirror },
    { status: 200, body: mirror },
    { status: 500, body: secret },
    { status: 200, body: `{"${secret}":1,"${secret}":2}` },
    { status: 302, headers: { location: `http://${secret}.example/` } },
    'reset',
  ];
  for (const fault of faults) {
    for (const method of ['basic', 'session'] as const) {
      mock.decide = (request) => (request === `GET ${SYSTEM}` ? fault : undefined);
      const client = connect({ credentials: { ...MOCK_ACCOUNT, method } });
      const answer = await client.get(SYSTEM);
      const told = inspect(answer, { depth: 10 });
      assert.ok(!answer.ok);
      assert.ok(!told.includes(secret), told);
      for (const token of mock.sessions.keys()) assert.ok(!told.includes(token), told);
      assert.ok(!told.includes(btoa(`${MOCK_ACCOUNT.userName}:${secret}`)), told);
      assert.ok(!inspect(client, { depth: 10 }).includes(secret), 'a client that is logged');
    }
  }
});

test('every refusal that may pass by itself says so', () => {
  const passing = Object.entries(ERRORS).filter(
    ([code, { retryable }]) => code.startsWith('REDFISH_') && retryable,
  );
  assert.deepEqual(passing.map(([code]) => code).sort(), [
    'REDFISH_BUSY',
    'REDFISH_FAULT',
    'REDFISH_QUEUE_FULL',
    'REDFISH_RESULT_OVERWRITTEN',
    'REDFISH_TASK_FAILED',
    'REDFISH_TASK_GONE',
    'REDFISH_TIMEOUT',
    'REDFISH_UNREACHABLE',
  ]);
});
