import LMClient
internal import LMTransport
internal import TestKit

/// An application of the client library: a few users ask for answers, each one after the other over the same connection,
/// treat them as their seed says, and hold every token against the oracle.
final class SimulatedClient: @unchecked Sendable {  // one thread: that of the world
    let number: Int
    unowned let world: World
    private var random: TestRandom
    private(set) var loop: EventLoop?
    private(set) var library: LMClient?
    private var lastRequest: UInt64 = 0
    /// When the library was last shut down in mid-stream.
    private(set) var shutDownAt: UInt64 = 0
    private var busyUsers = 0
    /// Requests that ended with their whole answer.
    var completed = 0

    init(number: Int, seed: UInt64, world: World) throws {
        self.number = number
        self.world = world
        random = TestRandom(seed: seed)
        try connect()
    }

    private func connect() throws {
        let loop = try EventLoop(name: "client-\(number)", system: world.system)
        library = try LMClient(world.scenario.client, on: loop)
        self.loop = loop
    }

    /// Ends the client library's part.
    func shutDown() {
        library?.shutdown()
        library = nil
        loop = nil
    }

    /// Shuts the library down, whatever it is doing, and starts it anew.
    func restart() {
        shutDownAt = world.time.now
        world.log.note("shut down", UInt64(number))
        shutDown()
        do { try connect() } catch { world.violations.add("client \(number): no new client: \(error)") }
    }

    /// Whether all that was started has ended.
    var isDone: Bool { busyUsers == 0 }

    /// Starts to ask everything there is to ask.
    func start() {
        for _ in 0..<world.scenario.usersPerClient {
            launch { [self] in
                for _ in 0..<world.scenario.requestsPerUser {
                    if random.below(2) == 0 { await world.time.sleep(UInt64(random.below(5_000)) * millisecond) }
                    await ask()
                }
            }
        }
        if world.faults.strikes(.shutdown, oneIn: 2) {
            world.time.schedule(after: UInt64(random.below(10_000)) * millisecond) { [self] in restart() }
        }
    }

    /// Starts to ask one thing of a world that behaves, again if the server happened to end the idle connection.
    func startProbe() {
        let before = completed
        launch { [self] in
            for _ in 0..<3 where completed == before { await ask() }
        }
    }

    private func launch(_ body: @escaping @Sendable () async -> Void) {
        busyUsers += 1
        Task(executorPreference: world.executor) { [self] in
            await body()
            busyUsers -= 1
        }
    }

    private func ask() async {
        lastRequest += 1
        let request = SimulatedRequest(number: lastRequest, client: self, seed: random.next())
        let task = Task(executorPreference: world.executor) { await request.run() }
        var timer: Timer?
        if world.faults.strikes(.cancelTask, oneIn: 3) {
            timer = world.time.schedule(after: UInt64(random.below(2_000)) * millisecond) {
                request.noteCancel()
                task.cancel()
            }
        }
        await task.value
        timer?.cancel()
    }
}
