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

export const peerOf = (life: Life): Peer | undefined => ('peer' in life ? life.peer : undefined);

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
