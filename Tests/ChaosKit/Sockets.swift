internal import Glibc

/// Blocking and non-blocking loopback sockets, without the product's own transport: what judges it must not share its
/// mistakes.
package enum Sockets {
    /// A socket call that failed.
    package struct Failure: Error, CustomStringConvertible {
        /// What was tried, and the system's word for why it failed.
        package let description: String

        init(_ operation: String) { description = "\(operation): \(String(cString: strerror(errno)))" }
    }

    /// Listens on a free port of this machine; the socket does not block.
    static func listen() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = make()
        var address = loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withSockaddr(&address) { Glibc.bind(descriptor, $0, length) }
        guard status == 0, Glibc.listen(descriptor, 1_024) == 0 else {
            defer { close(descriptor) }
            throw Failure("listening")
        }
        _ = withSockaddr(&address) { getsockname(descriptor, $0, &length) }
        stopBlocking(descriptor)
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// Connects to a port of this machine.
    ///
    /// - Parameters:
    ///   - receiveBuffer: bytes the kernel may keep for the reader; nil for its default.
    ///   - isWaiting: false to return at once with a socket that does not block; its first use tells how it went.
    static func connect(
        to port: UInt16, receiveBuffer: Int32?, isWaiting: Bool = true
    ) throws -> Int32 {
        let descriptor = make()
        guard descriptor >= 0 else { throw Failure("making a socket") }
        if var size = receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4) }
        if !isWaiting { stopBlocking(descriptor) }
        var address = loopback(port: port)
        let status = withSockaddr(&address) {
            Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        guard status == 0 || errno == EINPROGRESS else {
            defer { close(descriptor) }
            throw Failure("connecting to port \(port)")
        }
        tune(descriptor)
        return descriptor
    }

    /// Takes a waiting connection; nil when there is none.
    ///
    /// - Parameter isWaiting: false for a socket that does not block.
    static func accept(_ listener: Int32, isWaiting: Bool) -> Int32? {
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        if !isWaiting { stopBlocking(descriptor) }
        tune(descriptor)
        return descriptor
    }

    /// Closes so that the peer sees a reset.
    static func reset(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    /// Whether everything written has reached the peer's kernel.
    static func isDrained(_ descriptor: Int32) -> Bool {
        var waiting: Int32 = 0
        return ioctl(descriptor, UInt(TIOCOUTQ), &waiting) != 0 || waiting == 0
    }

    private static func make() -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        // Programs started by a test must not keep its connections open.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }

    private static func stopBlocking(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    /// What is written separately leaves separately.
    private static func tune(_ descriptor: Int32) {
        var isOn: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, 4)
    }

    private static func loopback(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func withSockaddr<Result>(
        _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> Result
    ) -> Result {
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
        }
    }
}

/// Nanoseconds that never go back.
func monotonicNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

extension Duration {
    var nanoseconds: UInt64 {
        UInt64(components.seconds) * 1_000_000_000 + UInt64(components.attoseconds / 1_000_000_000)
    }
}
