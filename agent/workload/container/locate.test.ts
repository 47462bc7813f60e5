import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Result } from '../../../src/base/result.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { needsShared, sharedDir } from '../../../test/support/shared.ts';
import { cgroupReader, MAX_CGROUP_LINES, parseCgroupFile } from './cgroup-file.ts';
import { NEIGHBOUR_LAYOUTS, ROOTED_LAYOUTS } from './layouts.ts';
import { type ContainerPlace, createLocator, locateContainer } from './locate.ts';

const C = '9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961';
const OTHER = 'deadbeef'.repeat(8);
const U = '2c48913c-b29f-11e7-9350-020968147796';
const U_SYSTEMD = U.replaceAll('-', '_');
const STATIC = '0123456789abcdef'.repeat(2);

/** `pod UID/id`, `docker/id`, `none`, or the code of the refusal. */
function shown(result: Result<ContainerPlace | undefined>): string {
  if (!result.ok) return result.error.code;
  if (result.value === undefined) return 'none';
  const { owner, podUid, containerId } = result.value;
  return `${owner}${podUid === undefined ? '' : ` ${podUid}`}/${containerId}`;
}

const POD = `pod ${U}/${C}`;
const REFUSED = 'AGENT_CONTAINER_LAYOUT';

describe('the container of a cgroup path', () => {
  const table: readonly [name: string, path: string, expected: string][] = [
    ['cgroupfs, guaranteed', `/kubepods/pod${U}/${C}`, POD],
    ['cgroupfs, burstable', `/kubepods/burstable/pod${U}/${C}`, POD],
    ['cgroupfs, CRI-O', `/kubepods/besteffort/pod${U}/crio-${C}`, POD],
    ['cgroupfs, static pod', `/kubepods/pod${STATIC}/${C}`, `pod ${STATIC}/${C}`],
    ['kind, cgroupfs', `/kubelet/kubepods/besteffort/pod${U}/${C}`, POD],
    [
      'systemd, containerd',
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${U_SYSTEMD}.slice/cri-containerd-${C}.scope`,
      POD,
    ],
    [
      'systemd, guaranteed, CRI-O',
      `/kubepods.slice/kubepods-pod${U_SYSTEMD}.slice/crio-${C}.scope`,
      POD,
    ],
    [
      'systemd, Docker',
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${U}.slice/docker-${C}.scope`,
      POD,
    ],
    [
      'kind, systemd',
      `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${U_SYSTEMD}.slice/cri-containerd-${C}.scope`,
      POD,
    ],
    [
      'containerd below its own unit',
      `/system.slice/containerd.service/kubepods-besteffort-pod${U_SYSTEMD}.slice:cri-containerd:${C}`,
      POD,
    ],
    [
      'containerd with colons',
      `/kubepods-besteffort-pod${U_SYSTEMD}.slice:cri-containerd:${C}`,
      POD,
    ],
    ['cgroups that a container makes inside', `/kubepods/pod${U}/${C}/init.scope/x`, POD],
    ['KubeEdge', `/crio-${C}.scope`, `unknown/${C}`],
    ['Docker, cgroupfs', `/docker/${C}`, `docker/${C}`],
    ['Docker, systemd', `/system.slice/docker-${C}.scope`, `docker/${C}`],
    ['Podman, systemd', `/machine.slice/libpod-${C}.scope/container`, `podman/${C}`],
    ['Podman, cgroupfs', `/libpod_parent/libpod-${C}`, `podman/${C}`],
    ['neighbour, cgroupfs', `/../../pod${U}/${C}`, POD],
    ['neighbour of another class', `/../../../burstable/pod${U}/${C}`, POD],
    [
      'neighbour, systemd',
      `/../../kubepods-besteffort-pod${U_SYSTEMD}.slice/cri-containerd-${C}.scope`,
      POD,
    ],
    [
      'neighbour in kind',
      `/../../kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${U_SYSTEMD}.slice/cri-containerd-${C}.scope`,
      POD,
    ],
    ['same pod, cgroupfs', `/../${C}`, `unknown/${C}`],
    ['same pod, CRI-O', `/../crio-${C}.scope`, `unknown/${C}`],
    ['same pod, containerd', `/../cri-containerd-${C}.scope`, `unknown/${C}`],
    ['Docker from a container', `/../../docker/${C}`, `docker/${C}`],
    ['the root', '/', 'none'],
    ["the agent's own container", '/..', 'none'],
    ['a service of the host', '/system.slice/sshd.service', 'none'],
    ['a service with a name like an engine', '/system.slice/docker-registry.service', 'none'],
    ['a session of the host', '/user.slice/user-1000.slice/session-2.scope', 'none'],
    ['the host from a container', '/../../../../system.slice/sshd.service', 'none'],
    ['the runtime itself', '/../system.slice/containerd.service', 'none'],
  ];
  for (const [name, path, expected] of table) {
    test(`is found: ${name}`, () => assert.equal(shown(locateContainer([path])), expected));
  }

  const hostile: readonly [name: string, path: string][] = [
    ['63 digits', `/kubepods/pod${U}/${C.slice(1)}`],
    ['65 digits', `/kubepods/pod${U}/${C}a`],
    ['digits in capitals', `/kubepods/pod${U}/${C.toUpperCase()}`],
    ['a UID that is short', `/kubepods/pod${U.slice(1)}/${C}`],
    ['no container, only the pod', `/kubepods/burstable/pod${U}`],
    ['the monitor of CRI-O', `/kubepods/pod${U}/crio-conmon-${C}`],
    [
      'a subtree that a user was given',
      `/user.slice/user-1000.slice/user@1000.service/kubepods/pod${U}/${C}`,
    ],
    ['the same from a container', `/../../../../user.slice/kubepods/pod${U}/${C}`],
    ['a rootless engine', `/user.slice/user-1000.slice/user@1000.service/docker-${C}.scope`],
    ['a unit that a user was given', `/system.slice/evil.service/kubepods/pod${U}/${C}`],
    ['a unit and colons', `/system.slice/evil.service/kubepods-pod${U}.slice:cri-containerd:${C}`],
    ['another pod inside of a pod', `/kubepods/pod${U}/${C}/kubepods/pod${U}/${OTHER}`],
    ['another container inside of a pod', `/kubepods/pod${U}/${C}/docker/${OTHER}`],
    ['a pod inside of a container', `/docker/${OTHER}/kubepods/pod${U}/${C}`],
    ['a container inside of a container', `/docker/${OTHER}/docker/${C}`],
    ['dots in the middle', `/kubepods/pod${U}/../${C}`],
    ['a root that is no root', `kubepods/pod${U}/${C}`],
  ];
  for (const [name, path] of hostile) {
    test(`is refused: ${name}`, () => assert.equal(shown(locateContainer([path])), REFUSED));
  }

  test('every layout of the table fits its own example, and no other', () => {
    for (const [layouts, dots] of [
      [ROOTED_LAYOUTS, /^$/],
      [NEIGHBOUR_LAYOUTS, /^(?:\/\.\.)*/],
    ] as const) {
      for (const { name, example, pattern, owner } of layouts) {
        const path = example.replace('podU', `pod${U}`).replace(/\bC\b/, C);
        const tail = path.replace(dots, '');
        assert.match(tail, pattern, name);
        const others = layouts.filter((other) => other.pattern.test(tail));
        assert.deepEqual(
          others.map((other) => other.owner),
          others.map(() => owner),
          name,
        );
        assert.ok(shown(locateContainer([path])).endsWith(`/${C}`), name);
      }
    }
  });

  test('is of all hierarchies, which must agree', () => {
    const pod = `/kubepods/pod${U}/${C}`;
    assert.equal(shown(locateContainer([pod, '/', '/system.slice/crio.service'])), POD);
    assert.equal(shown(locateContainer([pod, `/kubepods/pod${U}/${OTHER}`])), REFUSED);
    assert.equal(shown(locateContainer([pod, `/kubepods/pod${STATIC}/${C}`])), REFUSED);
    assert.equal(shown(locateContainer([pod, `/docker/${C}`])), REFUSED);
  });

  test('is found in a node that is a container itself, only where the agent is in it too', () => {
    const path = `/docker/${OTHER}/kubepods/pod${U}/${C}`;
    const locate = (own: string) =>
      shown(createLocator((pid) => parseCgroupFile(`0::${pid === 'self' ? own : path}\n`))(7));
    assert.equal(locate(`/docker/${OTHER}/kubepods/podx/y`), POD);
    assert.equal(locate('/system.slice/signet-agent.service'), REFUSED);
    assert.equal(locate(`/docker/${C}`), REFUSED);
  });

  test('is never one that the path does not spell out, whatever the path', () => {
    const piece = fc.constantFrom(
      ...[
        '..',
        'kubepods',
        `pod${U}`,
        C,
        OTHER,
        'docker',
        'user.slice',
        'x',
        '',
        `crio-${C}.scope`,
      ],
    );
    const path = fc.array(fc.oneof(piece, fc.string({ maxLength: 6 })), { maxLength: 8 });
    fc.assert(
      fc.property(path, (pieces) => {
        const result = locateContainer([`/${pieces.join('/')}`]);
        if (!result.ok || result.value === undefined) return;
        const first = pieces.findIndex((one) => /[0-9a-f]{64}/.test(one));
        // The outermost id, and nothing above it that a user may make.
        assert.ok(pieces[first]?.includes(result.value.containerId));
        assert.ok(!pieces.slice(0, first).some((one) => one === 'user.slice' || one === 'x'));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a cgroup file', () => {
  test('may have as many lines as there are hierarchies, and no more', () => {
    const lines = (count: number) =>
      Array.from({ length: count }, (_, n) => `${n}:c${n}:/p${n}\n`).join('');
    assert.equal(assertValue(parseCgroupFile(lines(MAX_CGROUP_LINES - 1))).length, 63);
    assert.equal(assertValue(parseCgroupFile(lines(MAX_CGROUP_LINES))).length, 64);
    assertRefused(parseCgroupFile(lines(MAX_CGROUP_LINES + 1)), REFUSED);
    assertRefused(parseCgroupFile(''), REFUSED);
  });

  test('keeps colons of a path', () => {
    assert.deepEqual(assertValue(parseCgroupFile('1:name=systemd:/a:b:c\n')), ['/a:b:c']);
  });

  for (const line of ['0:/', '0::', '0::x', 'a::/', ':/', '', '0::/a\0b']) {
    test(`is refused with the line ${JSON.stringify(line)}`, () => {
      assertRefused(parseCgroupFile(`0::/\n${line}\n1:x:/\n`), REFUSED);
    });
  }

  test('is refused where the cgroup was removed', () => {
    assertRefused(parseCgroupFile(`0::/kubepods/pod${U}/${C} (deleted)\n`), REFUSED);
  });

  test('of a process that is gone is refused', () => {
    assertRefused(cgroupReader()(2 ** 22 + 1), 'AGENT_PROCESS_UNREADABLE');
  });

  test('is read from the kernel', () => {
    assert.ok(assertValue(cgroupReader()(process.pid)).length > 0);
  });

  test('of any text is an answer, never an exception', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => {
        const paths = parseCgroupFile(text);
        if (paths.ok) locateContainer(paths.value);
      }),
    );
  });
});

describe("SPIRE's fixtures", needsShared('vectors/cgroup'), () => {
  const root = join(sharedDir, 'vectors/cgroup');
  const NODE = '93529524695bb00d91c1f6dba692ea8d3550c3b94fb2463af7bc9ec82f992d26';
  const CRIO = '09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6';
  const fixture = (name: string) =>
    assertValue(parseCgroupFile(readFileSync(join(root, 'k8s', name), 'latin1')));

  const expected: Readonly<Record<string, string>> = {
    'cgroups_init_pid_in_pod.txt':
      'pod d488cae9-b2a0-11e7-9350-020968147796/34a2062fd26c805aa8cf814cdfe479322b791f80afb9ea4db02d50375df14b41',
    'cgroups_pid_in_crio_pod.txt': `unknown/${CRIO}`,
    'cgroups_pid_in_kind_pod.txt': `pod a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80/${CRIO}`,
    'cgroups_pid_in_pod.txt': POD,
    'cgroups_pid_not_in_pod.txt': 'none',
    'systemd_cgroups_pid_in_pod.txt': POD,
    'systemd_crio_cgroups_pid_in_pod.txt': `pod a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80/${CRIO}`,
  };
  test('of cgroups give the container that SPIRE gives', () => {
    const names = readdirSync(join(root, 'k8s')).filter((name) => name.includes('cgroups_'));
    assert.deepEqual(names.sort(), Object.keys(expected).sort());
    for (const name of names) {
      const place = locateContainer(fixture(name), [`/docker/${NODE}`]);
      assert.equal(shown(place), expected[name], name);
    }
  });

  test('of a node in a container are refused to an agent outside of it', () => {
    assert.equal(shown(locateContainer(fixture('cgroups_pid_in_kind_pod.txt'))), REFUSED);
  });

  const own = `unknown/${'0123456789abcdef'.repeat(4)}`;
  const trees: Readonly<Record<string, string>> = {
    // The container that the kernel states, not the one that mountinfo shows.
    'other/cgroup-primary': own,
    'other/mountinfo-impersonation': own,
    // What only mountinfo says is not said.
    'other/mountinfo-fallback': 'none',
  };
  test('of mountinfo never name a container', () => {
    const found = readdirSync(join(root, 'containerinfo'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('mountinfo'))
      .map((path) => path.replace('/proc/123/mountinfo', ''));
    assert.ok(found.length >= 14);
    for (const name of found) {
      const read = cgroupReader(join(root, 'containerinfo', name, 'proc'));
      const place = createLocator((pid) => (pid === 'self' ? parseCgroupFile('0::/') : read(pid)))(
        123,
      );
      assert.equal(shown(place), trees[name] ?? 'AGENT_PROCESS_UNREADABLE', name);
    }
  });
});
