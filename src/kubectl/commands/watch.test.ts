import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type CliOutcome, cli } from '../../../test/support/cli.ts';
import { FakeKube } from '../../../test/support/fake-kube.ts';
import { soon } from '../../../test/support/processes.ts';
import { makeRoot } from '../../../test/support/x509.ts';
import { ManualClock } from '../../base/clock.ts';
import { kubectlCommands, kubectlProgram } from '../commands.ts';

const ROOT = makeRoot('example.org');
const MAPS = '/api/v1/configmaps';
const map = (data: string) => ({
  metadata: { name: 'spire-bundle', namespace: 'shop' },
  data: { 'bundle.crt': data },
});

describe('watch', () => {
  let kube: FakeKube;
  before(async () => {
    kube = await FakeKube.start();
  });
  after(() => kube.stop());

  /** Runs it, until `steps` have each seen what they wait for; the clock runs as it has to. */
  async function watch(
    more: readonly string[],
    steps: readonly (readonly [wait: string, act: () => void])[],
  ): Promise<CliOutcome> {
    const clock = new ManualClock(Date.UTC(2027, 0, 1));
    const stop = new AbortController();
    let said = '';
    const done = cli(
      kubectlCommands,
      ['watch', '-A', ...more],
      {
        env: { KUBECONFIG: kube.kubeconfigPath },
        clock,
        signal: stop.signal,
        onOut: (text) => {
          said = text;
        },
      },
      kubectlProgram,
    );
    for (const [wait, act] of steps) {
      await soon(async () => {
        if (said.includes(wait)) return true;
        clock.advance(1000);
        return false;
      });
      act();
    }
    stop.abort();
    return done;
  }

  test('prints a line a change, outlives looks that fail, and ends by an interrupt with 0', async () => {
    kube.put(MAPS, map(ROOT.pem));
    const { code, out, err } = await watch(
      [],
      [
        ['watching 1 copy', () => kube.put(MAPS, map('-----BEGIN nothing'))],
        ['InSync > Unreadable', () => Object.assign(kube, { fault: () => 'reset' })],
        ['could not look: KUBE_UNREACHABLE', () => Object.assign(kube, { fault: () => undefined })],
        ['looking again', () => kube.remove(MAPS, 'shop/spire-bundle')],
        ['gone', () => {}],
      ],
    );
    assert.deepEqual([code, err], [0, '']);
    assert.equal(out.trimEnd().split('\n').length, 5, out);
  });

  test('copies that may not be listed for a while are not taken for gone', async () => {
    kube.put(MAPS, map(ROOT.pem));
    const refuse = { fault: () => ({ status: 403, text: '{}' }) };
    const { out } = await watch(
      [],
      [
        ['watching 1 copy', () => Object.assign(kube, refuse)],
        ['cm/*/*  new  Unreadable', () => Object.assign(kube, { fault: () => undefined })],
        ['cm/*/*  gone', () => {}],
      ],
    );
    assert.doesNotMatch(out, /spire-bundle/);
  });

  test('-o json is one object a line', async () => {
    kube.put(MAPS, map(ROOT.pem));
    const { out } = await watch(
      ['-o', 'json'],
      [
        ['Watching', () => kube.put(MAPS, map(`${ROOT.pem}${makeRoot('example.org').pem}`))],
        ['BundleChange', () => {}],
      ],
    );
    const [first, second] = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual([first.kind, first.copies], ['Watching', 1]);
    assert.deepEqual(
      [second.apiVersion, second.kind, second.ref, second.change, second.came.length],
      ['kubectl.signet.dev/v1', 'BundleChange', 'cm/shop/spire-bundle:bundle.crt', 'Changed', 1],
    );
  });

  test('an API server that is not there from the start ends it with 2, as does a bad interval', async () => {
    Object.assign(kube, { fault: () => 'reset' });
    assert.equal((await watch([], [])).code === 0, true, 'interrupted before the first look');
    const env = { KUBECONFIG: kube.kubeconfigPath };
    const plain = (...argv: string[]): Promise<CliOutcome> =>
      cli(kubectlCommands, ['watch', ...argv], { env }, kubectlProgram);
    assert.equal((await plain()).code, 2);
    Object.assign(kube, { fault: () => undefined });
    for (const interval of ['0', '999ms', '2d']) {
      const { code, err } = await plain('--interval', interval);
      assert.equal(code, 2);
      assert.match(err, /code: CLI_USAGE/);
    }
  });
});
