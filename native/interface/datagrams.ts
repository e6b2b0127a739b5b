/** What of `Native` sends datagrams. */
export interface NativeDatagrams {
  /**
   * Sends one datagram to a sd_notify socket (abstract with a leading "@"). False when nobody
   * listens.
   */
  notify(socketPath: string, message: string): boolean;

  /**
   * Sends one datagram to a Unix socket, without waiting. False when nobody listens there, or has
   * no room for it.
   */
  sendDatagram(socketPath: string, bytes: Uint8Array): boolean;
}
