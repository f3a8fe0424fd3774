internal import CLinux
internal import Glibc

/// The real machine.
package struct LinuxSystem: System {
    /// Creates the seam; it has no state.
    package init() {}

    package func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    package func random() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}

// Sockets.
extension LinuxSystem {
    package func openSocket(for address: SocketAddress) -> Int32 {
        let flags = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        return answer(socket(address.family, flags, 0))
    }

    package func bind(_ socket: Int32, to address: SocketAddress) -> Int32 {
        // The path takes the socket's mode: with chmod after bind there would be a moment at which others can connect.
        if case .unix = address, fchmod(socket, 0o600) != 0 { return -errno }
        return answer(address.withSockaddr { Glibc.bind(socket, $0, $1) })
    }

    package func listen(_ socket: Int32, backlog: Int32) -> Int32 {
        answer(Glibc.listen(socket, backlog))
    }

    package func accept(_ listener: Int32, peer: inout SocketAddress?) -> Int32 {
        let (socket, address) = withAddress { cl_accept(listener, $0, &$1) }
        peer = address
        return socket
    }

    package func connect(_ socket: Int32, to address: SocketAddress) -> Int32 {
        answer(address.withSockaddr { Glibc.connect(socket, $0, $1) })
    }

    package func takeError(_ socket: Int32) -> Int32 {
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno
    }

    package func peerUser(_ socket: Int32) -> UInt32? {
        var user: UInt32 = 0
        return cl_peer_user(socket, &user) == 0 ? user : nil
    }

    package func localAddress(_ socket: Int32) -> SocketAddress? {
        withAddress { getsockname(socket, $0, &$1) }.1
    }

    package func set(_ option: SocketOption, on socket: Int32) -> Int32 {
        func set(_ level: Int32, _ name: Int32, _ value: Int32) -> Int32 {
            withUnsafePointer(to: value) {
                answer(setsockopt(socket, level, name, $0, socklen_t(MemoryLayout<Int32>.size)))
            }
        }
        let tcp = Int32(IPPROTO_TCP)
        switch option {
        case .reuseAddress: return set(SOL_SOCKET, SO_REUSEADDR, 1)
        case .onlyIPv6: return set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
        case .noDelay: return set(tcp, TCP_NODELAY, 1)
        case .userTimeout(let milliseconds): return set(tcp, TCP_USER_TIMEOUT, milliseconds)
        case .unsentLimit(let bytes): return set(tcp, TCP_NOTSENT_LOWAT, bytes)
        case .keepAlive(let idle, let interval, let count):
            let answers = [
                set(SOL_SOCKET, SO_KEEPALIVE, 1), set(tcp, TCP_KEEPIDLE, idle),
                set(tcp, TCP_KEEPINTVL, interval), set(tcp, TCP_KEEPCNT, count),
            ]
            return answers.first { $0 < 0 } ?? 0
        }
    }

    package func receive(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        answer(recv(socket, buffer.baseAddress, buffer.count, 0))
    }

    package func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        answer(Glibc.send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)))
    }

    package func shutdownOutput(_ socket: Int32) {
        shutdown(socket, Int32(SHUT_WR))
    }

    package func close(_ descriptor: Int32) {
        // Linux has released the descriptor even when close reports EINTR: never repeat it.
        _ = Glibc.close(descriptor)
    }

    package func openSpare() -> Int32 {
        answer(open("/dev/null", O_RDONLY | O_CLOEXEC))
    }

    package func removeSocket(at path: String) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        unlink(path)
    }

    private func withAddress(
        _ call: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> Int32
    ) -> (Int32, SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { answer(call($0, &length)) }
        }
        return (result, result < 0 ? nil : SocketAddress(storage))
    }
}

// The poller.
extension LinuxSystem {
    package func openPoller() -> Int32 {
        answer(epoll_create1(Int32(EPOLL_CLOEXEC)))
    }

    package func watch(
        _ descriptor: Int32, for interest: Readiness?, word: UInt64, isNew: Bool, poller: Int32
    ) -> Int32 {
        guard let interest else { return answer(epoll_ctl(poller, EPOLL_CTL_DEL, descriptor, nil)) }
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: word))
        return answer(epoll_ctl(poller, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event))
    }

    package func wait(_ poller: Int32, timeout: Int32, into events: inout [PollEvent]) -> Int32 {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: Self.eventsPerWait) { ready in
            let count = answer(epoll_wait(poller, ready.baseAddress, Int32(ready.count), timeout))
            for index in 0..<max(0, Int(count)) {
                events.append(
                    PollEvent(word: ready[index].data.u64, readiness: Readiness(rawValue: ready[index].events)))
            }
            return count
        }
    }

    package func openWakeup() -> Int32 {
        answer(eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC)))
    }

    package func signal(_ wakeup: Int32) {
        // EAGAIN means the counter is full, hence readable: the purpose is reached.
        _ = uninterrupted { answer(Int32(eventfd_write(wakeup, 1))) }
    }

    package func clear(_ wakeup: Int32) {
        // Watched for `.once`, a counter is reported again when it is written to again, read or not: the system call that
        // would read it is saved in every turn.
    }

    /// Enough for a busy turn; what does not fit is reported by the next wait. Memory up to 1 KiB is the stack's.
    private static let eventsPerWait = 80
}

/// The kernel's convention from libc's.
private func answer<Count: SignedInteger>(_ result: Count) -> Count {
    result >= 0 ? result : -Count(errno)
}
