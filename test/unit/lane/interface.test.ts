/** An interface between its ports: what it does when the link, the sockets or a send are not as they should be. */
import { describe, expect, it } from "vitest";
import type { LaneSiblings } from "../../../src/lane/interface.ts";
import type { LaneNote } from "../../../src/lane/messages.ts";
import { Drop } from "../../../src/tunnel/drop.ts";
import { hasSource } from "../../../src/tunnel/endpoint.ts";
import type { Moment } from "../../../src/tunnel/state.ts";
import { peerOf, type Stub, speak, stub, withSource } from "./stub-ports.ts";

const EADDRINUSE = -98;
const EINVAL = -22;
const ENETUNREACH = -101;
const EPOLLHUP = 16;

function drops({ iface }: Stub): Float64Array {
  return iface.tunnel.state.drops;
}

function up(siblings?: LaneSiblings): Stub {
  const made = stub(siblings);
  made.iface.followLink(made.moment);
  return made;
}

/** Position among three lanes, and what it posts. */
function siblingsAt(lane: number): {
  siblings: LaneSiblings;
  posted: (readonly [number, LaneNote])[];
} {
  const posted: (readonly [number, LaneNote])[] = [];
  return { siblings: { lane, count: 3, post: (to, note) => posted.push([to, note]) }, posted };
}

describe("the sockets of another namespace", () => {
  it("are opened on the same port; sources of the old one are forgotten", () => {
    const { siblings, posted } = siblingsAt(0);
    const made = up(siblings);
    withSource(made, "192.0.2.1");
    posted.length = 0;
    expect(made.iface.moveSockets(9)).toBe(0);
    expect([made.udp.namespaceFd, made.udp.calls.at(-1)]).toEqual([9, "open 40000 0"]);
    expect(hasSource(peerOf(made).endpoint, 0)).toBe(false);
    // Followers have theirs there, too.
    expect(posted.map(([to, note]) => [to, note.kind])).toEqual([
      [1, "sockets"],
      [2, "sockets"],
    ]);
  });

  it("that can't be opened leave those in use, and where they are", () => {
    const made = up();
    made.udp.openStatus = EADDRINUSE;
    expect(made.iface.moveSockets(9)).toBe(EADDRINUSE);
    expect([made.udp.namespaceFd, made.udp.isOpen]).toEqual([-1, true]);
  });

  it("are opened when the interface comes up, and by its leader alone", () => {
    const down = stub();
    expect(down.iface.moveSockets(9)).toBe(0);
    expect([down.udp.namespaceFd, down.udp.calls]).toEqual([9, []]);
    const follower = up(siblingsAt(1).siblings);
    expect(follower.iface.moveSockets(9)).toBe(0);
    expect(follower.udp.calls.some((call) => call.startsWith("open"))).toBe(false);
  });
});

describe("routes that change", () => {
  it("take the source of a peer whose packets would leave by another interface, and no other", () => {
    for (const isRightlyBound of [true, false]) {
      const made = up();
      withSource(made, "192.0.2.1");
      made.udp.isRightlyBound = isRightlyBound;
      speak(made);
      expect(hasSource(peerOf(made).endpoint, 0)).toBe(true);
      made.iface.handleReady(made.udp.routesTag, 1, made.moment);
      expect(made.udp.calls.at(-1)).toBe("routes");
      made.iface.tunnel.startPeer(peerOf(made), true, {
        ...made.moment,
        now: made.moment.now + 6_000,
      });
      made.iface.flush();
      expect(hasSource(peerOf(made).endpoint, 0)).toBe(isRightlyBound);
    }
  });
});

describe("the link", () => {
  it("that comes up opens the sockets and gives the MTU; that goes down closes them and keeps the port", () => {
    const made = up();
    const { iface, tun, udp, moment } = made;
    expect(udp.calls).toEqual(["open 0 0"]);
    expect([iface.tunnel.state.isUp, iface.tunnel.state.mtu]).toEqual([true, 1_400]);
    tun.link = { index: 3, isUp: false, mtu: 1_400 };
    iface.handleReady(tun.linkTag, 1, moment);
    expect([iface.tunnel.state.isUp, iface.listenPort]).toEqual([false, 40_000]);
    tun.link = { index: 3, isUp: true, mtu: 1_280 };
    iface.handleReady(tun.linkTag, 1, moment);
    expect(udp.calls).toEqual(["open 0 0", "close", "open 40000 0"]);
    expect(iface.tunnel.state.mtu).toBe(1_280);
  });

  it("that comes up while the port is taken is told of; what is sent then is counted", () => {
    const made = stub();
    made.iface.listenPort = 7;
    made.udp.openStatus = EADDRINUSE;
    made.iface.followLink(made.moment);
    expect(made.log).toEqual(["Unable to open UDP port 7: -98"]);
    expect(made.iface.tunnel.state.isUp).toBe(true);
    speak(made);
    expect(made.udp.sent).toBe(0);
    expect(drops(made)[Drop.interfaceDown]).toBe(1);
    made.tun.link = { index: 3, isUp: false, mtu: 1_400 };
    made.iface.followLink(made.moment);
    expect(made.iface.listenPort).toBe(7);
  });

  it("tries a port that is taken again, ever more rarely, until it is free", () => {
    const made = stub();
    const { iface, udp, moment } = made;
    iface.listenPort = 7;
    udp.openStatus = EADDRINUSE;
    const opened = (): number => udp.calls.filter((call) => call === "open 7 0").length;
    iface.followLink(moment);
    expect([opened(), iface.nextDeadline()]).toEqual([1, moment.now + 1_000]);
    const momentAfter = (ms: number): Moment => ({ ...moment, now: moment.now + ms });
    iface.handleTime(momentAfter(999));
    expect(opened()).toBe(1);
    for (const [ms, next] of [
      [1_000, 3_000],
      [3_000, 7_000],
      [7_000, 15_000],
      [15_000, 31_000],
      [31_000, 63_000],
      [63_000, 95_000],
    ] as const) {
      const before = opened();
      iface.handleTime(momentAfter(ms));
      expect([opened(), iface.nextDeadline()]).toEqual([before + 1, moment.now + next]);
    }
    // It is told of once.
    expect(made.log).toHaveLength(1);
    udp.openStatus = 0;
    iface.handleTime(momentAfter(95_000));
    expect([udp.isOpen, iface.nextDeadline()]).toEqual([true, Number.POSITIVE_INFINITY]);
  });

  it("does not try again when it is down, or has another port", () => {
    for (const change of [
      (made: Stub) => {
        made.tun.link = { index: 3, isUp: false, mtu: 1_400 };
        made.iface.followLink(made.moment);
      },
      (made: Stub) => {
        made.udp.openStatus = 0;
        expect(made.iface.setListenPort(8)).toBe(0);
      },
      (made: Stub) => {
        made.udp.openStatus = 0;
        expect(made.iface.moveSockets(9)).toBe(0);
      },
    ]) {
      const made = stub();
      made.udp.openStatus = EADDRINUSE;
      made.iface.followLink(made.moment);
      expect(made.iface.nextDeadline()).toBe(made.moment.now + 1_000);
      change(made);
      expect(made.iface.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it("that is deleted is noticed by its own event, by a read that fails, and by a hang-up", () => {
    const ends: readonly ((made: Stub) => void)[] = [
      ({ iface, tun, moment }) => iface.handleReady(tun.linkTag, 1, moment),
      ({ iface, tun, moment }) => {
        tun.readStatus = EINVAL;
        iface.handleReady(tun.readTag, 1, moment);
      },
      ({ iface, tun, moment }) => iface.handleReady(tun.readTag, 1 | EPOLLHUP, moment),
    ];
    for (const end of ends) {
      const made = up();
      made.tun.link = undefined;
      // An empty read is nothing to look into.
      made.iface.handleReady(made.tun.readTag, 1, made.moment);
      expect(made.iface.isGone).toBe(false);
      end(made);
      expect(made.iface.isGone).toBe(true);
    }
  });
});

describe("a send that fails", () => {
  it("is tried again without the remembered source, which is forgotten; if that helps, nothing is lost", () => {
    const made = up();
    withSource(made, "192.0.2.1");
    made.udp.sendStatus = EINVAL;
    speak(made);
    expect(made.udp.calls.at(-1)).toBe("resend 0");
    expect(hasSource(peerOf(made).endpoint, 0)).toBe(false);
    expect([drops(made)[Drop.sendFailed], peerOf(made).sendErrors]).toEqual([0, 0]);
  });

  it("again is counted, for the interface and for the peer", () => {
    const made = up();
    withSource(made, "192.0.2.1");
    made.udp.sendStatus = EINVAL;
    made.udp.resendStatus = ENETUNREACH;
    speak(made);
    expect(drops(made)[Drop.sendFailed]).toBe(1);
    expect([peerOf(made).sendErrors, peerOf(made).lastSendError]).toEqual([1, ENETUNREACH]);
  });

  it("without a remembered source is not tried again", () => {
    const made = up();
    made.udp.sendStatus = ENETUNREACH;
    speak(made);
    expect(made.udp.calls).toEqual(["open 0 0"]);
    expect(drops(made)[Drop.sendFailed]).toBe(1);
  });

  it("of an answer to nobody in particular is counted, and is nobody's failure", () => {
    const made = up();
    const { iface, udp } = made;
    udp.sendStatus = EINVAL;
    udp.resendStatus = EINVAL;
    withSource(made, "192.0.2.1");
    const { outbox } = iface.tunnel;
    outbox.append(undefined, peerOf(made).endpoint, 0, outbox.compose(64), 64);
    iface.flush();
    expect(drops(made)[Drop.sendFailed]).toBe(1);
    expect(peerOf(made).sendErrors).toBe(0);
    expect(hasSource(peerOf(made).endpoint, 0)).toBe(true);
  });
});

it("packets that TUN refuses are counted", () => {
  const made = up();
  made.tun.refused = 1;
  const { outbox } = made.iface.tunnel;
  outbox.appendPlain(0, 20);
  made.iface.flush();
  expect([made.tun.written, drops(made)[Drop.tunRefused]]).toEqual([1, 1]);
});

describe("port and mark", () => {
  it("a port is bound at once while the link is up; the one in use stays as it is", () => {
    const { iface, udp } = up();
    expect([iface.setListenPort(500), iface.setListenPort(500)]).toEqual([0, 0]);
    expect(udp.calls).toEqual(["open 0 0", "open 500 0"]);
    // Any port: another one than now.
    expect([iface.setListenPort(0), iface.listenPort]).toEqual([0, 0]);
    expect(udp.calls.at(-1)).toBe("open 0 0");
    expect(udp.isOpen).toBe(true);
  });

  it("a port is only tried while the link is down, and none is not", () => {
    const { iface, udp } = stub();
    expect(iface.setListenPort(500)).toBe(0);
    expect([iface.listenPort, udp.isOpen]).toEqual([500, false]);
    expect([iface.setListenPort(0), iface.listenPort]).toEqual([0, 0]);
    expect(udp.calls).toEqual(["open 500 0", "close"]);
  });

  it("a port that is taken is refused, and the old one stays", () => {
    const { iface, udp } = up();
    udp.openStatus = EADDRINUSE;
    expect(iface.setListenPort(500)).toBe(EADDRINUSE);
    expect([iface.listenPort, udp.isOpen]).toEqual([0, true]);
  });

  it("a mark is kept for sockets to come, and is not if those there are refuse it", () => {
    const down = stub();
    expect([down.iface.setMark(7), down.iface.mark]).toEqual([0, 7]);
    down.iface.followLink(down.moment);
    expect(down.udp.calls).toEqual(["open 0 7"]);
    down.udp.markStatus = EINVAL;
    expect([down.iface.setMark(8), down.iface.mark]).toEqual([EINVAL, 7]);
  });
});

describe("over several lanes", () => {
  it("the first opens the sockets and gives each follower a pair, or none if there are too few", () => {
    const { siblings, posted } = siblingsAt(0);
    const made = stub(siblings);
    made.udp.pairs = [{ fd4: 20, fd6: 21 }];
    made.iface.followLink(made.moment);
    made.tun.link = { index: 3, isUp: false, mtu: 1_400 };
    made.iface.followLink(made.moment);
    const sockets = posted.flatMap(([to, note]) =>
      note.kind === "sockets" ? [[to, [note.isUp, note.pair]]] : [],
    );
    expect(sockets).toEqual([
      [1, [true, { fd4: 20, fd6: 21 }]],
      [2, [true, { fd4: -1, fd6: -1 }]],
      [1, [false, { fd4: 20, fd6: 21 }]],
      [2, [false, { fd4: -1, fd6: -1 }]],
    ]);
  });

  it("the first comes up again when all followers have let go of the port", () => {
    const made = stub(siblingsAt(0).siblings);
    const { iface, tun, udp, moment } = made;
    const setLink = (isUp: boolean): void => {
      tun.link = { index: 3, isUp, mtu: 1_400 };
      iface.followLink(moment);
    };
    setLink(true);
    setLink(false);
    setLink(true);
    // A port that is asked for meanwhile can't be tried: their sockets may be on it.
    udp.openStatus = EADDRINUSE;
    expect([iface.setListenPort(500), iface.listenPort]).toEqual([0, 500]);
    udp.openStatus = 0;
    iface.takeNote(1, { kind: "released" }, moment);
    expect(iface.tunnel.state.isUp).toBe(false);
    iface.takeNote(2, { kind: "released" }, moment);
    expect([iface.tunnel.state.isUp, udp.port]).toEqual([true, 500]);
    // Those who come up have nothing to wait for.
    setLink(false);
    iface.takeNote(1, { kind: "released" }, moment);
    iface.takeNote(2, { kind: "released" }, moment);
    udp.openStatus = EADDRINUSE;
    expect(iface.setListenPort(501)).toBe(EADDRINUSE);
  });

  it("a follower says when it has closed what it had", () => {
    const { siblings, posted } = siblingsAt(1);
    const { iface, moment } = up(siblings);
    iface.takeNote(0, { kind: "sockets", isUp: true, pair: { fd4: 20, fd6: 21 } }, moment);
    expect(posted).toEqual([]);
    iface.takeNote(0, { kind: "sockets", isUp: false, pair: { fd4: -1, fd6: -1 } }, moment);
    expect(posted).toEqual([[0, { kind: "released" }]]);
  });

  it("a follower is up when the first is, with the sockets and the mark that it is given; ports are not its business", () => {
    const made = up(siblingsAt(1).siblings);
    const { iface, udp, moment } = made;
    expect([iface.tunnel.state.isUp, udp.calls]).toEqual([false, []]);
    iface.setMark(7);
    expect([iface.setListenPort(500), iface.listenPort]).toEqual([0, 0]);
    iface.takeNote(0, { kind: "sockets", isUp: true, pair: { fd4: 20, fd6: 21 } }, moment);
    expect(iface.tunnel.state.isUp).toBe(true);
    expect(udp.calls).toEqual(["adopt 20 21", "mark 7"]);
    iface.takeNote(0, { kind: "sockets", isUp: false, pair: { fd4: -1, fd6: -1 } }, moment);
    expect([iface.tunnel.state.isUp, udp.isOpen]).toEqual([false, false]);
  });

  it("notes about peers are the tunnel's", () => {
    const { iface, moment } = up(siblingsAt(1).siblings);
    const publicKey = new Uint8Array(32);
    const bytes = new Uint8Array(40);
    iface.takeNote(0, { kind: "packets", publicKey, bytes, lengths: [40] }, moment);
    expect(iface.tunnel.state.drops[Drop.noRoute]).toBe(1);
  });
});

it("closes all of its ports, and wipes its key", () => {
  const { iface, tun, udp } = up();
  const { secret } = iface.tunnel.state.identity!;
  iface.close();
  expect([tun.isClosed, udp.isOpen]).toEqual([true, false]);
  expect(secret.every((byte) => byte === 0)).toBe(true);
});
