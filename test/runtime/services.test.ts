/** Facts that stand in files no program can import: each is compared with its declaration. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kvpOptions } from '../../daemons/kvp/options.ts';
import { vssOptions } from '../../daemons/vss/options.ts';
import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import { heartbeatProtocol } from '../../protocol/heartbeat/vmbus.ts';
import { SERVICE_CLASSES, SERVICE_NAMES } from '../../protocol/ic/classes.ts';
import { formatVersion, type Version } from '../../protocol/ic/version.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';
import { shutdownProtocol } from '../../protocol/shutdown/vmbus.ts';
import { timesyncProtocol } from '../../protocol/timesync/vmbus.ts';
import { vssProtocol } from '../../protocol/vss/vmbus.ts';
import { CLOCK_PROGRAMS } from '../../runtime/clock-programs.ts';
import { SECTIONS } from '../../runtime/config.ts';
import { EXIT } from '../../runtime/exit-statuses.ts';
import {
  cDaemonUnits,
  PROCESS_NAME_BYTES,
  SERVICE_FACTS,
  serviceOfProcess,
} from '../../runtime/services.ts';

const file = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name: string): string => fs.readFileSync(file(name), 'utf8');

describe('services', () => {
  it('have facts, a protocol and a section of the configuration each', () => {
    assert.deepEqual(Object.keys(SERVICE_FACTS).sort(), [...SERVICE_NAMES].sort());
    const protocols = [
      heartbeatProtocol,
      shutdownProtocol,
      timesyncProtocol,
      kvpProtocol,
      vssProtocol,
      fcopyProtocol,
    ];
    assert.deepEqual(
      Object.fromEntries(protocols.map(({ name, classId }) => [name, classId])),
      SERVICE_CLASSES,
    );
    const sections: readonly string[] = SECTIONS;
    for (const name of SERVICE_NAMES) assert.ok(sections.includes(name), name);
  });

  it('have the units of systemd/, no more and no less', () => {
    const units = fs
      .readdirSync(file('systemd'))
      .filter((name) => /\.(service|socket)$/.test(name));
    const declared = Object.values(SERVICE_FACTS).flatMap((facts) => facts.units);
    assert.deepEqual([...declared].sort(), units.sort());
  });

  it('have the GUIDs that the udev rules name', () => {
    const rules = read('systemd/70-vmic.rules').replaceAll('\\\n', '');
    const aliases = [...rules.matchAll(/class_id\}=="\{([^}]+)\}".*"\/vmic\/(\w+)"/g)];
    assert.ok(aliases.length >= 4);
    for (const [, guid, name] of aliases)
      assert.equal(guid, SERVICE_CLASSES[name as keyof typeof SERVICE_CLASSES], name);
    const wanted = [...rules.matchAll(/class_id\}=="\{([^}]+)\}".*"vmic-(\w+)@%k\.socket"/g)];
    assert.deepEqual(
      wanted.map(([, guid]) => guid),
      [SERVICE_CLASSES.fcopy],
    );
  });

  it('are not started again by units after an exit status that a restart would repeat', () => {
    for (const name of SERVICE_NAMES)
      assert.match(
        read(`systemd/vmic-${name}.service`),
        new RegExp(`^RestartPreventExitStatus=${EXIT.usage} ${EXIT.configuration}$`, 'm'),
      );
  });

  it('offer the versions that the texts about their options name', () => {
    const version = (versions: readonly Version[]): string => formatVersion(versions[0]!);
    const { offer_version_5: kvp } = kvpOptions;
    assert.ok(kvp.help.includes(`KVP ${version(kvpProtocol.optionalVersions)} `), kvp.help);
    const { offer_versions: vss } = vssOptions;
    assert.ok(vss.help.includes(`beside ${version(vssProtocol.messageVersions)},`), vss.help);
    assert.deepEqual(vss.choices, vssProtocol.optionalVersions.map(formatVersion));
  });

  it('have their executables among the targets of binding.gyp', () => {
    const targets = [...read('binding.gyp').matchAll(/"target_name": "([\w-]+)"/g)].map(
      ([, name]) => name,
    );
    for (const { executables = [] } of Object.values(SERVICE_FACTS))
      for (const name of executables) assert.ok(targets.includes(name), name);
  });
});

describe('C daemons', () => {
  it('are known by the names that the kernel keeps of them', () => {
    assert.equal(serviceOfProcess('hv_kvp_daemon'), 'kvp');
    assert.equal(serviceOfProcess('hypervvssd'), 'vss');
    assert.equal(serviceOfProcess('hv_fcopy_uio_da'), 'fcopy');
    assert.equal(serviceOfProcess('hv_fcopy_daemon'), 'fcopy');
    for (const name of ['vmic-kvp', 'hv_kvp_daemon_x', 'hv_balloon', ''])
      assert.equal(serviceOfProcess(name), undefined, name);
  });

  it('have units, and services without one have none', () => {
    assert.ok(cDaemonUnits('fcopy').includes('hv-fcopy-uio-daemon.service'));
    assert.deepEqual(cDaemonUnits('heartbeat'), []);
  });
});

it('programs that discipline a clock are named as the kernel keeps their names', () => {
  for (const { process, program } of CLOCK_PROGRAMS)
    assert.equal(process, program.slice(0, PROCESS_NAME_BYTES));
});
