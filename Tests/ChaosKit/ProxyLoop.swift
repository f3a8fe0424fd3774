internal import Glibc

/// The proxy's thread: waits for sockets and for what the plans have in store.
struct ProxyLoop {
    private let listener: Int32
    private let target: UInt16
    private let receiveBuffer: Int32?
    private let board: ProxyBoard
    private let plan: @Sendable (Int) -> LinkPlan
    private var links: [ProxyLink] = []

    init(
        listener: Int32, target: UInt16, receiveBuffer: Int32?, board: ProxyBoard,
        plan: @escaping @Sendable (Int) -> LinkPlan
    ) {
        self.listener = listener
        self.target = target
        self.receiveBuffer = receiveBuffer
        self.board = board
        self.plan = plan
    }

    mutating func run() {
        var next: UInt64 = 0
        while true {
            wait(until: next)
            let orders = board.takeOrders()
            acceptAll()
            let now = monotonicNow()
            next = .max
            for index in links.indices {
                if orders.isStopping || orders.isCutting { links[index].end(.reset) }
                next = min(next, links[index].turn(now: now))
            }
            links.removeAll { $0.isOver }
            if orders.isStopping { break }
        }
        close(listener)
    }

    private func wait(until time: UInt64) {
        var polls = [
            pollfd(fd: board.wakeup, events: Int16(POLLIN), revents: 0),
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
        ]
        for link in links { polls += link.polls }
        let left = time - min(time, monotonicNow())
        // `poll` counts milliseconds; what is shorter is slept through.
        if left < 1_000_000 { usleep(UInt32(left / 1_000)) }
        poll(&polls, nfds_t(polls.count), time == .max ? -1 : Int32(clamping: left / 1_000_000))
    }

    private mutating func acceptAll() {
        while let client = Sockets.accept(listener, isWaiting: false) {
            let number = board.open()
            guard let server = try? Sockets.connect(to: target, receiveBuffer: receiveBuffer, isWaiting: false) else {
                Sockets.reset(client)
                board.note(.refused, for: number)
                continue
            }
            links.append(ProxyLink(number: number, client: client, server: server, plan(number), board))
        }
    }
}

extension ChaosProxy.Record {
    /// Of a connection that the server did not take.
    fileprivate static var refused: ChaosProxy.Record {
        var record = ChaosProxy.Record()
        record.isOver = true
        return record
    }
}
