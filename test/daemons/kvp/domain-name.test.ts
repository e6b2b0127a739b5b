import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { domainNameFromHosts, searchDomains } from '../../../daemons/kvp/domain-name.ts';

const hostsCases: [name: string, hosts: string, expected: string | undefined][] = [
  [
    "Debian's own line",
    '127.0.0.1 localhost\n127.0.1.1\tweb1.example.org\tweb1\n',
    'web1.example.org',
  ],
  ['the full name as an alias', '10.0.0.4 web1 web1.example.org', 'web1.example.org'],
  ['a canonical name of another first label', '10.0.0.4 www.example.org web1', 'www.example.org'],
  ['letter case', '10.0.0.4 Web1.Example.org WEB1', 'Web1.Example.org'],
  ['a comment behind', '10.0.0.4 web1.example.org web1 # primary', 'web1.example.org'],
  ['a line that is a comment', '# 10.0.0.4 web1.example.org web1', undefined],
  ['no domain', '127.0.1.1 web1', undefined],
  ['localhost.localdomain', '127.0.0.1 localhost.localdomain localhost web1', undefined],
  ['localhost4.localdomain4', '127.0.0.1 localhost4.localdomain4 web1', undefined],
  ['a longer name', '10.0.0.4 web10.example.org web10', undefined],
  ['an empty file', '', undefined],
];

const resolvCases: [name: string, text: string, expected: string[]][] = [
  ['search', 'nameserver 1.1.1.1\nsearch a.example b.example\n', ['a.example', 'b.example']],
  ['domain', 'domain a.example\n', ['a.example']],
  ['the last of both', 'search a.example\ndomain b.example\n', ['b.example']],
  ["systemd-resolved's root", 'search .\n', []],
  ['a final dot', 'search a.example.\n', ['a.example']],
  ['what is no domain', 'search a..b -x/y a$b ok\n', ['ok']],
  ['comments', '# search a.example\n; search b.example\n', []],
];

describe('domain name', () => {
  for (const [name, hosts, expected] of hostsCases) {
    it(`from hosts: ${name}`, () => assert.equal(domainNameFromHosts(hosts, 'web1'), expected));
  }
  for (const [name, text, expected] of resolvCases) {
    it(`search domains: ${name}`, () => assert.deepEqual(searchDomains(text), expected));
  }
});
