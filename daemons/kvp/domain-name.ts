/**
 * Where the domain of a host name can be read. Pure: works on the texts of the resolver's files.
 */

/**
 * The full name hosts(5) gives a host name: one that continues it, else the line's canonical name
 * as the C library reads it.
 */
export function domainNameFromHosts(hosts: string, hostName: string): string | undefined {
  const wanted = hostName.toLowerCase();
  for (const line of hosts.split('\n')) {
    const [, ...names] = (line.split('#', 1)[0] as string).trim().split(/\s+/);
    const lower = names.map((name) => name.toLowerCase());
    const continued = lower.findIndex((name) => name.startsWith(`${wanted}.`));
    if (continued >= 0) return names[continued];
    if (!lower.includes(wanted)) continue;
    const canonical = lower[0] as string;
    if (canonical.includes('.') && !/^localhost\d*\./.test(canonical)) return names[0];
  }
  return undefined;
}

/**
 * The domains resolv.conf(5) appends to a short name; of several `search` and `domain` lines the
 * last one counts.
 */
export function searchDomains(resolvConf: string): string[] {
  let domains: string[] = [];
  for (const line of resolvConf.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    if (keyword === 'search') domains = words;
    else if (keyword === 'domain') domains = words.slice(0, 1);
  }
  return domains
    .map((domain) => domain.replace(/\.$/, ''))
    .filter((domain) => /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(domain));
}
