import Glibc
import LMTransport
import Synchronization

/// A queue between a loop and a test's thread. Waiting has an end, so that a lost event fails a test and never hangs it.
final class Waiting<Element: Sendable>: @unchecked Sendable {
    // Behind `mutex`.
    private var elements: [Element] = []
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()

    init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    func put(_ element: Element) {
        pthread_mutex_lock(&mutex)
        elements.append(element)
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
    }

    /// The next element; nil after half a minute without one.
    func next() -> Element? {
        var deadline = timespec()
        clock_gettime(CLOCK_REALTIME, &deadline)
        deadline.tv_sec += 30
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while elements.isEmpty {
            if pthread_cond_timedwait(&condition, &mutex, &deadline) == ETIMEDOUT { return nil }
        }
        return elements.removeFirst()
    }

    var isEmpty: Bool {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        return elements.isEmpty
    }
}

/// What a channel told its handler.
enum Told: Sendable, Equatable {
    case ready
    case bytes([UInt8])
    case inputEnded
    case congested(Bool)
    case closed(TransportError?)
}

/// Records what it is told; echoes, or does what a test says.
final class Recorder: ChannelHandler, @unchecked Sendable {
    let told = Waiting<Told>()
    /// Loop thread only. Returns how much it consumed.
    var onBytes: (Channel, [UInt8]) -> Int
    /// Loop thread only.
    var onReady: (Channel) -> Void = { _ in }
    /// Loop thread only.
    var onEnd: (Channel) -> Void = { _ in }
    /// Loop thread only.
    var onWritability: (Channel) -> Void = { _ in }

    init(onBytes: @escaping (Channel, [UInt8]) -> Int = { $1.count }) { self.onBytes = onBytes }

    static func echo() -> Recorder {
        Recorder { channel, bytes in
            channel.write { $0.append(contentsOf: bytes) }
            return bytes.count
        }
    }

    func channelReady(_ channel: Channel) {
        told.put(.ready)
        onReady(channel)
    }

    func channel(_ channel: Channel, received bytes: RawSpan) -> Int {
        let bytes = bytes.withUnsafeBytes { Array($0) }
        told.put(.bytes(bytes))
        return onBytes(channel, bytes)
    }

    func channelInputEnded(_ channel: Channel) {
        told.put(.inputEnded)
        onEnd(channel)
    }

    func channelWritabilityChanged(_ channel: Channel) {
        told.put(.congested(channel.isCongested))
        onWritability(channel)
    }

    func channelClosed(_ channel: Channel, error: TransportError?) { told.put(.closed(error)) }

    /// Skips what was told before the closing; nil when none came.
    func closing() -> Told? {
        while let next = told.next() {
            if case .closed = next { return next }
        }
        return nil
    }

    /// The next bytes of at least `count`, whatever else was told.
    func bytes(_ count: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count, let next = told.next() {
            if case .bytes(let bytes) = next { all += bytes }
            if case .closed = next { break }
        }
        return all
    }
}

/// A loop on its own thread with one listener whose connections go to `handler`.
final class TestServer {
    let loop: EventLoop
    let listener: Listener
    var address: SocketAddress { listener.address }

    init(
        at address: SocketAddress = loopback, system: any System = LinuxSystem(), tls: TLSContext? = nil,
        options: ChannelOptions = ChannelOptions(), handler: @escaping @Sendable () -> Recorder
    ) throws {
        let loop = try EventLoop(name: "test-server", system: system)
        let listener = try Listener(at: address, on: loop)
        try listener.start { socket in
            _ = Channel(accepted: socket, on: loop, tls: tls, options: options, handler: handler())
        }
        self.loop = loop
        self.listener = listener
        try loop.start()
    }

    deinit { loop.stop() }
}

let loopback = SocketAddress.ipv4(0x7F00_0001, port: 0)

/// The other end: a blocking socket in the test's thread.
final class Peer {
    let descriptor: Int32
    private var isOpen = true

    init(to address: SocketAddress, receiveBuffer: Int32? = nil) throws {
        let system = LinuxSystem()
        descriptor = system.openSocket(for: address)
        if var receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<Int32>.size))
        }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let status = system.connect(descriptor, to: address)
        guard status >= 0 else { throw TransportError("connecting the test's peer", errno: -status) }
    }

    deinit { close() }

    func send(_ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                LinuxSystem().send(descriptor, UnsafeRawBufferPointer(rebasing: $0[sent...]))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// Up to `count` bytes; fewer at the end of the stream, on a reset or after half a minute of silence.
    func receive(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = [UInt8](unsafeUninitializedCapacity: min(65536, count - bytes.count)) { buffer, used in
                used = max(0, LinuxSystem().receive(descriptor, into: UnsafeMutableRawBufferPointer(buffer)))
            }
            if part.isEmpty { break }
            bytes += part
        }
        return bytes
    }

    /// From now on reading gives up after this.
    func setReceiveLimit(microseconds: Int) {
        var limit = timeval(tv_sec: 0, tv_usec: microseconds)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Whether something can be read now.
    var hasInput: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) == 1
    }

    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    func reset() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        LinuxSystem().close(descriptor)
    }
}

/// Bytes that tell their position. Compared with `elementsEqual`: a failed `==` would compute a difference for minutes.
func pattern(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    // Repeated, because sanitizers make each computed byte dear.
    while bytes.count < count { bytes += patternPeriod.prefix(count - bytes.count) }
    return bytes
}

private let patternPeriod = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
