internal import Glibc
internal import Synchronization

/// A proxy on loopback that mistreats connections as planned: between a real client and a real server it is the bad
/// network. One thread of its own, on plain sockets. It ends, and so do its connections, when the object goes away.
package final class ChaosProxy: Sendable {
    /// What happened to one connection so far.
    package struct Record: Sendable {
        /// Bytes that were handed to the server.
        package internal(set) var toServer = 0
        /// Bytes that were handed to the client.
        package internal(set) var toClient = 0
        /// What struck, in either direction.
        package internal(set) var faults: [FaultPlan.Fault] = []
        /// The connection is gone, on both sides.
        package internal(set) var isOver = false
    }

    /// Where clients connect.
    package let port: UInt16
    /// The same, as programs are told.
    package var address: String { "127.0.0.1:\(port)" }

    private let board: ProxyBoard
    private let thread: pthread_t

    /// Starts to forward connections to a port of this machine.
    ///
    /// - Parameters:
    ///   - receiveBuffer: bytes of the server's that the kernel may hold for the proxy; nil for its default. A small one
    ///     lets a slow client slow the server soon.
    ///   - plan: for each connection by its number, from 0. Called on the proxy's thread.
    package init(
        to target: UInt16, receiveBuffer: Int32? = nil,
        plan: @escaping @Sendable (Int) -> LinkPlan = { _ in LinkPlan() }
    ) throws {
        let board = try ProxyBoard()
        let (listener, port) = try Sockets.listen()
        let body = Unmanaged.passRetained(
            ThreadBody { [board] in
                var loop = ProxyLoop(
                    listener: listener, target: target, receiveBuffer: receiveBuffer, board: board, plan: plan)
                loop.run()
            })
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, body.toOpaque())
        precondition(status == 0, "a test has a thread left")
        self.port = port
        self.board = board
        self.thread = thread
    }

    deinit {
        board.stop()
        pthread_join(thread, nil)
    }

    /// What happened so far, by the connections' numbers.
    package var records: [Record] { board.records }

    /// Resets every connection that is open.
    package func cutAll() { board.cut() }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// What the proxy's thread and everyone else tell each other.
final class ProxyBoard: Sendable {
    private struct State {
        var records: [ChaosProxy.Record] = []
        var isStopping = false
        var isCutting = false
    }

    /// Readable when there is something to be told.
    let wakeup: Int32
    private let bell: Int32
    private let state = Mutex(State())

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Sockets.Failure("making a pipe") }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (wakeup, bell) = (ends[0], ends[1])
    }

    deinit {
        close(wakeup)
        close(bell)
    }

    var records: [ChaosProxy.Record] { state.withLock { $0.records } }

    func stop() {
        state.withLock { $0.isStopping = true }
        ring()
    }

    func cut() {
        state.withLock { $0.isCutting = true }
        ring()
    }

    /// A pipe that is full has been rung enough.
    private func ring() { _ = Glibc.write(bell, [1], 1) }

    /// What was asked since the last time.
    func takeOrders() -> (isStopping: Bool, isCutting: Bool) {
        var rings = [UInt8](repeating: 0, count: 64)
        while read(wakeup, &rings, rings.count) > 0 {}
        return state.withLock { state in
            defer { state.isCutting = false }
            return (state.isStopping, state.isCutting)
        }
    }

    /// Makes room for a connection; its number.
    func open() -> Int {
        state.withLock { state in
            state.records.append(ChaosProxy.Record())
            return state.records.count - 1
        }
    }

    func note(_ record: ChaosProxy.Record, for number: Int) { state.withLock { $0.records[number] = record } }
}
