import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { LinuxGuest } from '../../../daemons/kvp/system.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-guest-'));
after(() => fs.rmSync(root, { recursive: true }));
let count = 0;

/** A guest whose files are these; its interfaces are this machine's. */
function guest(files: Record<string, string> = {}) {
  const folder = path.join(root, `${count++}`);
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  const warnings: string[] = [];
  let changed = false;
  let open = true;
  const system = new LinuxGuest(
    {
      watchAddresses: () => ({
        changed: () => changed,
        close: () => {
          open = false;
        },
      }),
    },
    { warning: (message) => void warnings.push(message) },
    folder,
  );
  return { system, warnings, change: () => (changed = true), isOpen: () => open };
}

describe('the running guest', () => {
  it('reads os-release, from its second place too', () => {
    assert.equal(
      guest({ 'etc/os-release': 'A=1', 'usr/lib/os-release': 'A=2' }).system.facts.osRelease,
      'A=1',
    );
    assert.equal(guest({ 'usr/lib/os-release': 'A=2' }).system.facts.osRelease, 'A=2');
    assert.equal(guest().system.facts.osRelease, undefined);
  });

  it('tells what uname tells', () => {
    const { facts } = guest().system;
    const [sysName, release] =
      fs
        .readFileSync('/proc/version', 'utf8')
        .match(/^(\S+) version (\S+)/)
        ?.slice(1) ?? [];
    assert.equal(facts.sysName, sysName);
    assert.equal(facts.kernelRelease, release);
    assert.notEqual(facts.machine, '');
  });

  it('has the host name of the kernel', () => {
    const name = fs.readFileSync('/proc/sys/kernel/hostname', 'utf8').trim();
    assert.equal(guest().system.hostName(), name);
  });

  it('takes the domain from hosts, and has none without hosts and search domains', async () => {
    const { system } = guest({ 'etc/hosts': '127.0.1.1 web1.example.org web1\n' });
    assert.equal(await system.resolveDomainName('web1'), 'web1.example.org');
    assert.equal(await system.resolveDomainName('web2'), undefined);
  });

  it(
    'knows of changes from the kernel, and without its reports takes everything for ' + 'changed',
    () => {
      const { system, change, isOpen } = guest();
      assert.equal(system.networkChanged(), false);
      change();
      assert.equal(system.networkChanged(), true);
      system.close();
      assert.equal(isOpen(), false);
      const warnings: string[] = [];
      const blind = new LinuxGuest(
        {
          watchAddresses: () => {
            throw new Error('bind: EPERM');
          },
        },
        { warning: (message) => void warnings.push(message) },
        root,
      );
      assert.equal(blind.networkChanged(), true);
      assert.equal(warnings.length, 1);
      blind.close();
    },
  );

  const outside = Object.entries(os.networkInterfaces()).find(([, infos]) =>
    infos?.some((info) => !info.internal),
  );
  it('reads interfaces and tables', {
    skip: outside ? false : 'this machine has no interface but loopback',
  }, () => {
    const name = (outside as [string, unknown])[0].split(':')[0] as string;
    const { system } = guest({
      [`sys/class/net/${name}/ifindex`]: '7\n',
      [`sys/class/net/${name}/type`]: '1\n',
      [`sys/class/net/${name}/uevent`]: `DEVTYPE=vlan\nINTERFACE=${name}\nIFINDEX=7\n`,
      [`sys/class/net/${name}/lower_real0/mtu`]: '1500\n',
      'sys/class/net/real0/ifindex': '3\n',
      'sys/class/net/real0/type': '1\n',
      'sys/class/net/real0/uevent': 'INTERFACE=real0\nIFINDEX=3\n',
      'sys/class/net/real0/device/vendor': '0x1414\n',
      'sys/class/net/real0/tun_flags': '0x1002\n',
      'proc/net/route': 'v4 routes',
      'proc/net/ipv6_route': 'v6 routes',
      'proc/net/if_inet6': 'v6 flags',
    });
    const facts = system.readNetwork();
    assert.deepEqual(facts.links.get(name), {
      index: 7,
      hardwareType: 1,
      deviceType: 'vlan',
      hasDevice: false,
      isTun: false,
      lower: ['real0'],
    });
    assert.deepEqual(facts.links.get('real0'), {
      index: 3,
      hardwareType: 1,
      deviceType: '',
      hasDevice: true,
      isTun: true,
      lower: [],
    });
    assert.deepEqual(
      [facts.ipv4Routes, facts.ipv6Routes, facts.ipv6Flags],
      ['v4 routes', 'v6 routes', 'v6 flags'],
    );
    assert.ok(
      facts.addresses.some((address) => address.name.startsWith(name) && !address.isLoopback),
    );
  });

  it('survives a system that shows nothing of itself', () => {
    const facts = guest().system.readNetwork();
    assert.deepEqual(
      [facts.links.size, facts.ipv4Routes, facts.ipv6Routes, facts.ipv6Flags],
      [0, '', '', ''],
    );
  });
});
