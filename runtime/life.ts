import type { Peer } from './service.ts';
import type { Session, SessionEnd } from './sessions/session.ts';
import type { ServiceStatus } from './status/status.ts';

/** Why a daemon no longer serves a channel. */
export type ServeEnd =
  | SessionEnd
  /** The daemon was told to stop. */
  | { readonly reason: 'stopped' }
  /** There was nothing to do, and another process keeps the channel for the next life. */
  | { readonly reason: 'left' };

/** Where a daemon is in its life. */
export type Life =
  /** It has not had a channel yet. */
  | { readonly is: 'opening' }
  /** Its channel is absent, taken or gone. */
  | { readonly is: 'waiting'; readonly reason: string }
  | {
      readonly is: 'serving';
      readonly session: Session;
      readonly peer: Peer | undefined;
      readonly end: (end: ServeEnd) => void;
    }
  /** Its channel has ended. It opens another one at once, or the process ends. */
  | { readonly is: 'between'; readonly peer: Peer | undefined }
  /** It has left its channel, with these last figures. */
  | {
      readonly is: 'left';
      readonly peer: Peer | undefined;
      readonly lastRequestMs: number | undefined;
      readonly counters: Readonly<Record<string, number>>;
    };

/** The life of one daemon, and its changes. */
export class CurrentLife {
  #now: Life = { is: 'opening' };

  get now(): Life {
    return this.#now;
  }

  get session(): Session | undefined {
    return this.#now.is === 'serving' ? this.#now.session : undefined;
  }

  /** Returns whether the daemon has not waited for that already. */
  wait(reason: string): boolean {
    if (this.#now.is === 'waiting' && this.#now.reason === reason) return false;
    this.#now = { is: 'waiting', reason };
    return true;
  }

  serve(session: Session, end: (end: ServeEnd) => void): void {
    const peer = 'peer' in this.#now ? this.#now.peer : undefined;
    this.#now = { is: 'serving', session, peer, end };
  }

  /** Notes who is at the other end. Returns whether that is new. */
  meet(peer: Peer): boolean {
    const now = this.#now;
    if (now.is !== 'serving') return false;
    this.#now = { ...now, peer };
    return JSON.stringify(peer) !== JSON.stringify(now.peer);
  }

  /** Has the session leave its channel. Returns what ends serving; undefined: it stays. */
  leave(): ((end: ServeEnd) => void) | undefined {
    const now = this.#now;
    if (now.is !== 'serving' || !now.session.leave()) return undefined;
    const { session, peer, end } = now;
    const { lastRequestMs } = session;
    this.#now = { is: 'left', peer, lastRequestMs, counters: session.counters() };
    return end;
  }

  /** The channel has ended. */
  part(): void {
    if (this.#now.is === 'serving') this.#now = { is: 'between', peer: this.#now.peer };
  }
}

type Told = Pick<ServiceStatus, 'state' | 'waitingFor' | 'peer' | 'counters'> & {
  readonly lastRequestMs: number | undefined;
};

/** Returns what a status file says of a life. */
export function tellLife(life: Life): Told {
  switch (life.is) {
    case 'opening':
      return { state: 'waiting', ...NOTHING_SERVED };
    case 'waiting':
      return { state: 'waiting', waitingFor: life.reason, ...NOTHING_SERVED };
    case 'serving': {
      const { session, peer } = life;
      const { lastRequestMs } = session;
      return { state: 'serving', ...tellPeer(peer), lastRequestMs, counters: session.counters() };
    }
    case 'between':
      return { state: 'serving', ...tellPeer(life.peer), ...NOTHING_SERVED };
    case 'left': {
      const { peer, lastRequestMs, counters } = life;
      return { state: 'left', ...tellPeer(peer), lastRequestMs, counters };
    }
  }
}

const NOTHING_SERVED = { lastRequestMs: undefined, counters: {} } as const;

const tellPeer = (peer: Peer | undefined) => (peer === undefined ? {} : { peer });
