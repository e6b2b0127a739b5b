// A VSS daemon in a page: registers with hv_utils and answers every request with success. It
// freezes nothing.
import fs from 'node:fs';

const fd = fs.openSync('/dev/vmbus/hv_vss', 'r+');
const msg = Buffer.alloc(12);
msg[0] = 129; // register
fs.writeSync(fd, msg);
const version = Buffer.alloc(4);
fs.readSync(fd, version, 0, 4, null);
console.log(`registered with hv_utils, which says ${version.readUInt32LE()}`);
const names = { 2: 'hot backup check', 3: 'direct-mapped devices', 5: 'freeze', 6: 'thaw' };
for (;;) {
  const n = await new Promise((ok, bad) =>
    fs.read(fd, msg, 0, 12, null, (e, n) => (e ? bad(e) : ok(n))),
  );
  console.log(`request of ${n} bytes: ${names[msg[0]] ?? `operation ${msg[0]}`}`);
  fs.writeSync(fd, Buffer.alloc(12)); // status 0
}
