import type { Native } from '../interface.ts';
import type { MemoryMessageChannel } from './message-channel.ts';
import { nativeError } from './native-error.ts';
import { nextTurn } from './next-turn.ts';
import type { MemoryRingChannel } from './ring-channel.ts';

/** A connection to a listener. Its host's end is taken over by the descriptor. */
export type Connection =
  | { readonly kind: 'message'; readonly fd: number; readonly host: MemoryMessageChannel }
  | {
      readonly kind: 'ring';
      readonly fd: number;
      /** Makes the host's end: only the host says how large its ring is. */
      readonly host: (ringBytes: number) => MemoryRingChannel;
    };

/** The sockets that a test listens on, and connections that the host has not taken over yet. */
export class Listeners {
  private readonly listeners = new Map<string, (connection: Connection) => void>();
  private readonly connections = new Map<number, Connection>();

  /** Returns what hands a connection to whoever listens on `path`. */
  at(path: string): ((connection: Connection) => void) | undefined {
    return this.listeners.get(path);
  }

  connection(fd: number): Connection | undefined {
    return this.connections.get(fd);
  }

  /** The host has taken the connection over. */
  forget(fd: number): void {
    this.connections.delete(fd);
  }

  readonly listen: Native['listen'] = (path) => {
    if (this.listeners.has(path)) throw nativeError('EADDRINUSE', 'bind', path);
    const backlog: Connection[] = [];
    this.listeners.set(path, (connection) => backlog.push(connection));
    return {
      start: (onConnection) => {
        const accept = (connection: Connection): void => {
          this.connections.set(connection.fd, connection);
          onConnection(connection.fd);
        };
        this.listeners.set(path, accept);
        for (const connection of backlog.splice(0)) nextTurn(() => accept(connection));
      },
      close: () => this.listeners.delete(path),
    };
  };
}
