internal import Glibc

/// The seam to the operating system: every call this room makes, its clock and its randomness, so that a test can
/// script faults and a simulation can replace the machine.
///
/// Calls answer as the kernel does: a negative result is minus the error number. None of them blocks but `wait`.
package protocol System: Sendable {
    /// Nanoseconds of a clock that never goes back.
    func monotonicNanoseconds() -> UInt64
    /// 64 unpredictable bits.
    func random() -> UInt64

    /// A non-blocking stream socket of the address's family.
    func openSocket(for address: SocketAddress) -> Int32
    /// bind(2). The path of a Unix-domain socket is made for its owner alone (mode 0600).
    func bind(_ socket: Int32, to address: SocketAddress) -> Int32
    /// listen(2).
    func listen(_ socket: Int32, backlog: Int32) -> Int32
    /// The next waiting connection as a non-blocking socket.
    func accept(_ listener: Int32, peer: inout SocketAddress?) -> Int32
    /// connect(2); minus EINPROGRESS is the ordinary answer of TCP.
    func connect(_ socket: Int32, to address: SocketAddress) -> Int32
    /// Takes the socket's pending error: an error number, or 0.
    func takeError(_ socket: Int32) -> Int32
    /// The user id of the process at the other end of a Unix-domain socket, as the kernel saw it connect; nil for other
    /// sockets.
    func peerUser(_ socket: Int32) -> UInt32?
    /// The address the socket is bound to.
    func localAddress(_ socket: Int32) -> SocketAddress?
    /// setsockopt(2).
    func set(_ option: SocketOption, on socket: Int32) -> Int32
    /// Reads what is there; 0 is the end of the stream.
    func receive(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int
    /// Writes what fits, raising no signal.
    func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Int
    /// Tells the peer that nothing more will be written.
    func shutdownOutput(_ socket: Int32)
    /// close(2).
    func close(_ descriptor: Int32)
    /// A descriptor that stands for nothing, kept to be given up when descriptors run out.
    func openSpare() -> Int32
    /// Removes a Unix-domain socket's path, and only if it is a socket.
    func removeSocket(at path: String)

    /// A new poller.
    func openPoller() -> Int32
    /// Adds, changes or (with nil) removes what a poller watches on a descriptor. `word` comes back in `PollEvent`.
    func watch(_ descriptor: Int32, for interest: Readiness?, word: UInt64, isNew: Bool, poller: Int32) -> Int32
    /// Waits until something is ready: at most `timeout` milliseconds, -1 for ever. Number of events, which are
    /// appended to `events`.
    func wait(_ poller: Int32, timeout: Int32, into events: inout [PollEvent]) -> Int32
    /// A counter that becomes readable when signalled.
    func openWakeup() -> Int32
    /// Makes the counter readable. From any thread.
    func signal(_ wakeup: Int32)
    /// Takes note that a signal was seen: the poller, which watches the counter for `.once`, need not report it again.
    func clear(_ wakeup: Int32)
}

/// What a poller watches for, and what it saw. The values are epoll's.
package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Bytes, a connection, or the end of input.
    package static let input = Readiness(rawValue: 0x001)
    /// Room to write.
    package static let output = Readiness(rawValue: 0x004)
    /// An error is pending; always watched.
    package static let error = Readiness(rawValue: 0x008)
    /// Both directions are closed; always watched.
    package static let hangUp = Readiness(rawValue: 0x010)
    /// The peer will write no more.
    package static let inputClosed = Readiness(rawValue: 0x2000)
    /// Asked for, not seen: report each change once, however long it lasts.
    package static let once = Readiness(rawValue: 0x8000_0000)
}

/// One answer of the poller.
package struct PollEvent: Sendable {
    /// What was given to `watch`.
    package var word: UInt64
    /// What was seen.
    package var readiness: Readiness

    /// Pairs them.
    package init(word: UInt64, readiness: Readiness) {
        self.word = word
        self.readiness = readiness
    }
}

/// The socket options this room uses.
package enum SocketOption: Sendable, Equatable {
    /// SO_REUSEADDR: a restarted server need not wait for old connections to be forgotten.
    case reuseAddress
    /// IPV6_V6ONLY: `[::]` and `0.0.0.0` may listen side by side.
    case onlyIPv6
    /// TCP_NODELAY: a turn is one write already, waiting for more only costs time.
    case noDelay
    /// SO_KEEPALIVE with its times in seconds.
    case keepAlive(idle: Int32, interval: Int32, count: Int32)
    /// TCP_USER_TIMEOUT: milliseconds written bytes may stay unacknowledged.
    case userTimeout(Int32)
    /// TCP_NOTSENT_LOWAT: bytes the kernel takes beyond what is under way.
    case unsentLimit(Int32)
}

/// Repeats a call that a signal interrupted.
@inline(__always)
func uninterrupted<Count: SignedInteger>(_ call: () -> Count) -> Count {
    while true {
        let result = call()
        if result != -Count(EINTR) { return result }
    }
}
