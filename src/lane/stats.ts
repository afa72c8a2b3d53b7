/** Counters of one interface's traffic through its lane: calls and packets, so that batch sizes can be seen. */
export class LaneStats {
  receiveCalls = 0;
  datagramsReceived = 0;
  sendCalls = 0;
  groupsSent = 0;
  datagramsSent = 0;
  readCalls = 0;
  packetsRead = 0;
  writeCalls = 0;
  packetsWritten = 0;
}
