internal import Glibc

/// One connection through the proxy: two sockets, two directions.
struct ProxyLink {
    var isOver: Bool { record.isOver }

    private let number: Int
    private let board: ProxyBoard
    private var record = ChaosProxy.Record()
    private let client: Int32
    private let server: Int32
    private var toServer: Pump
    private var toClient: Pump

    init(number: Int, client: Int32, server: Int32, _ plan: LinkPlan, _ board: ProxyBoard) {
        self.number = number
        self.board = board
        self.client = client
        self.server = server
        toServer = Pump(from: client, to: server, plan.toServer)
        toClient = Pump(from: server, to: client, plan.toClient)
    }

    /// What to wait for. A socket that nothing is wanted from is left out: its end would be reported without end.
    var polls: [pollfd] {
        [(client, toServer, toClient), (server, toClient, toServer)].map { descriptor, input, output in
            let events = (input.wantsInput ? POLLIN : 0) | (output.isBlocked ? POLLOUT : 0)
            return pollfd(fd: events == 0 ? -1 : descriptor, events: Int16(events), revents: 0)
        }
    }

    /// Moves what can be moved now.
    ///
    /// - Returns: when there is more to do, whatever the sockets say.
    mutating func turn(now: UInt64) -> UInt64 {
        guard !record.isOver else { return .max }
        guard toServer.read(now: now), toClient.read(now: now) else {
            end(.reset)
            return .max
        }
        let steps = [toServer.step(now: now), toClient.step(now: now)]
        record.toServer = toServer.forwarded
        record.toClient = toClient.forwarded
        record.faults = toServer.happened + toClient.happened
        board.note(record, for: number)
        var next = UInt64.max
        for step in steps {
            switch step {
            case .wait(let time): next = min(next, time)
            case .end(let kind): end(kind)
            }
        }
        if toServer.isDone, toClient.isDone { end(.close) }
        return record.isOver ? .max : next
    }

    /// Ends both sides; whoever sees the end finds it on the board.
    mutating func end(_ kind: FaultPlan.Kind) {
        guard !record.isOver else { return }
        record.isOver = true
        board.note(record, for: number)
        for descriptor in [client, server] {
            if kind == .reset { Sockets.reset(descriptor) } else { closeInOrder(descriptor) }
        }
    }

    /// Closing with unread input would reset the connection.
    private func closeInOrder(_ descriptor: Int32) {
        shutdown(descriptor, Int32(SHUT_WR))
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while recv(descriptor, &chunk, chunk.count, 0) > 0 {}
        close(descriptor)
    }
}
