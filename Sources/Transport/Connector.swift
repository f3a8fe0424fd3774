internal import Glibc

/// Makes one outgoing TCP or Unix-domain connection: looks the name up on a thread of its own, then tries each address
/// until one answers.
final class Connector: Pollable, @unchecked Sendable {
    // Loop thread only; the resolver's thread reads the immutable endpoint and loop.
    private let endpoint: Endpoint
    private let loop: EventLoop
    private var completion: ((Result<AcceptedSocket, TransportError>) -> Void)?
    private let deadline: UInt64
    private var addresses: ArraySlice<SocketAddress> = []
    private var attempt: AcceptedSocket?
    private var timer: Timer?
    private var lastError: TransportError?

    init(
        to endpoint: Endpoint, on loop: EventLoop, within timeout: Duration,
        completion: @escaping (Result<AcceptedSocket, TransportError>) -> Void
    ) {
        self.endpoint = endpoint
        self.loop = loop
        self.completion = completion
        let (deadline, overflow) = loop.now.addingReportingOverflow(timeout.nanoseconds)
        self.deadline = overflow ? .max : deadline
    }

    func start() {
        if let address = endpoint.numericAddress {
            addresses = [address]
            return tryNext()
        }
        do throws(TransportError) {
            try Thread(name: "resolver") { [self] in
                let outcome = Result { () throws(TransportError) in try endpoint.resolve() }
                loop.post { [self] in resolved(outcome) }
            }.detach()
        } catch {
            finish(.failure(error))
        }
    }

    func cancel() {
        completion = nil
        closeAttempt()
    }

    func ready(_ readiness: Readiness) {
        guard let attempt else { return }
        let errno = loop.system.takeError(attempt.descriptor)
        errno == 0 ? succeed() : failAttempt(TransportError("connecting to \(attempt.peer)", errno: errno))
    }

    func loopStopped(_ error: TransportError) {
        closeAttempt()
        finish(.failure(error))
    }

    private func resolved(_ outcome: Result<[SocketAddress], TransportError>) {
        guard completion != nil else { return }
        switch outcome {
        case .success(let addresses):
            self.addresses = addresses[...]
            tryNext()
        case .failure(let error): finish(.failure(error))
        }
    }

    private func tryNext() {
        guard let address = addresses.popFirst() else {
            return finish(.failure(lastError ?? TransportError("connecting to \(endpoint)", errno: EADDRNOTAVAIL)))
        }
        let descriptor = loop.system.openSocket(for: address)
        guard descriptor >= 0 else {
            return failAttempt(TransportError("opening a socket for \(address)", errno: -descriptor))
        }
        attempt = AcceptedSocket(descriptor: descriptor, peer: address)
        do throws(TransportError) {
            _ = try loop.register(descriptor, self, for: .output)
        } catch {
            loop.system.close(descriptor)
            attempt = nil
            return finish(.failure(error))
        }
        let status = uninterrupted { loop.system.connect(descriptor, to: address) }
        guard status >= 0 || status == -EINPROGRESS else {
            return failAttempt(Self.refusal(of: address, -status))
        }
        // A dead address must leave time for those after it.
        let share = (deadline - min(deadline, loop.now)) / UInt64(addresses.count + 1)
        timer = loop.schedule(after: .nanoseconds(Int64(clamping: share))) { [self] in
            failAttempt(TransportError("connecting to \(address)", errno: ETIMEDOUT))
        }
    }

    private static func refusal(of address: SocketAddress, _ errno: Int32) -> TransportError {
        // To a listener this number means another thing.
        guard errno == EADDRNOTAVAIL else { return TransportError("connecting to \(address)", errno: errno) }
        return TransportError(
            .unreachable, "connecting to \(address)", "no local port is free",
            advice: "Use fewer connections, or widen net.ipv4.ip_local_port_range.", errno: errno)
    }

    private func succeed() {
        guard let attempt else { return }
        // The channel registers it anew, as its own.
        loop.unregister(attempt.descriptor)
        self.attempt = nil
        timer?.cancel()
        finish(.success(attempt))
    }

    private func failAttempt(_ error: TransportError) {
        lastError = error
        closeAttempt()
        tryNext()
    }

    private func closeAttempt() {
        timer?.cancel()
        guard let attempt else { return }
        loop.unregister(attempt.descriptor)
        loop.system.close(attempt.descriptor)
        self.attempt = nil
    }

    private func finish(_ outcome: Result<AcceptedSocket, TransportError>) {
        let completion = self.completion
        self.completion = nil
        completion?(outcome)
    }
}

extension Endpoint {
    /// The name or address a certificate must carry; the empty string for paths.
    var host: String {
        switch self {
        case .host(let host, _): host
        case .unix: ""
        }
    }
}
