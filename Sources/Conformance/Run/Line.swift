internal import Glibc
internal import LMTransport

/// One connection to the server: bytes in, bytes out, and how it ended.
///
/// While it writes it reads too, so that a server that waits for its answers to be taken never waits for us.
final class Line {
    /// How the server ended the connection.
    enum Closing: String {
        /// An orderly end of file, under TLS after close_notify.
        case clean
        /// Under TLS, an end of file without close_notify: whoever cuts the line could have made it.
        case abrupt
        /// A reset: frames may be lost that the server sent before.
        case reset
        /// Not at all while the case waited.
        case hang
    }

    private let descriptor: Int32
    private let target: Target
    private(set) var tls: TLSFilter?
    /// What arrived, of which the first `taken` bytes were read.
    private var received: [UInt8] = []
    private var taken = 0
    private(set) var closing: Closing?
    private var isWritable = true

    /// Connects, and completes the TLS handshake.
    init(_ target: Target) throws {
        self.target = target
        descriptor = try connectedSocket(to: target.endpoint, milliseconds: target.connectTimeout)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        if let options = target.tls { try startTLS(options) }
    }

    deinit { close(descriptor) }

    private func startTLS(_ options: Target.TLS) throws {
        let host = if case .host(let host, _) = target.endpoint { host } else { "localhost" }
        let filter = try TLSFilter(options, host: host)
        while true {
            let step = filter.handshake()
            writeRaw(filter.takeOutput())
            switch step {
            case .done:
                tls = filter
                return
            case .needsInput:
                guard wait(for: POLLIN, target.timeout), let bytes = readRaw() else {
                    throw Stop.failed("the TLS handshake was not answered, or the connection ended in it")
                }
                filter.feed(bytes)
            case .ended: throw Stop.failed("the server ended the TLS handshake")
            case .failed(let reason): throw Stop.failed("TLS handshake: \(reason)")
            }
        }
    }

    /// Writes everything, as far as the server takes it; that it does not is seen when reading.
    func write(_ bytes: [UInt8]) {
        guard target.isByteAtATime else { return writeWhole(bytes) }
        // The start of a long write is enough to meet every boundary; its rest would only take time.
        let slow = bytes.prefix(4_096)
        for byte in slow { writeWhole([byte]) }
        writeWhole(Array(bytes[slow.count...]))
    }

    private func writeWhole(_ bytes: [UInt8]) {
        guard let tls else { return writeRaw(bytes) }
        guard !bytes.isEmpty, tls.encrypt(bytes) == .done else { return }
        writeRaw(tls.takeOutput())
    }

    private func writeRaw(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty, isWritable {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EAGAIN || !wait(for: POLLIN | POLLOUT, target.timeout) {
                isWritable = false
            } else if closing == nil {
                takeInput()
            }
        }
    }

    /// What arrived by `deadline`: at least a byte, or nothing once the time is up or the connection has ended.
    func read(until deadline: ContinuousClock.Instant) -> [UInt8] {
        while taken == received.count, closing == nil {
            let left = ContinuousClock.now.duration(to: deadline) / .milliseconds(1)
            guard wait(for: POLLIN, Int(max(0, left).rounded(.up))) else { break }
            takeInput()
        }
        let start = taken
        taken += target.isByteAtATime ? min(3, received.count - taken) : received.count - taken
        return Array(received[start..<taken])
    }

    /// Moves what is there from the socket to `received`.
    private func takeInput() {
        if taken == received.count { (received, taken) = ([], 0) }
        guard let bytes = readRaw() else { return }
        guard let tls else {
            received += bytes
            return
        }
        tls.feed(bytes)
        switch tls.decrypt(into: &received) {
        case .ended: closing = .clean
        case .failed: closing = .abrupt
        case .done, .needsInput: writeRaw(tls.takeOutput())
        }
    }

    /// Bytes of the socket; none while nothing is there, nil once it has ended.
    private func readRaw() -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count > 0 { return Array(chunk[..<count]) }
        if count < 0, errno == EAGAIN || errno == EINTR { return [] }
        closing = count < 0 ? .reset : tls == nil ? .clean : .abrupt
        return nil
    }

    private func wait(for events: Int32, _ milliseconds: Int) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        var status: Int32
        repeat { status = poll(&entry, 1, Int32(clamping: milliseconds)) } while status < 0 && errno == EINTR
        return status > 0
    }

    /// Closes our sending half; under TLS after close_notify.
    func endOutput() {
        if let tls {
            tls.endOutput()
            writeRaw(tls.takeOutput())
        }
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Makes the connection end in a reset, as when a machine is gone.
    func cut() {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        // The descriptor's number stays taken until deinit, so that it cannot become another socket's.
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        dup2(null, descriptor)
        close(null)
        closing = .reset
        isWritable = false
    }
}
