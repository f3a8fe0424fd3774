import LMClient
internal import LMTransport
internal import TestKit

/// An application of the client library: asks for answers one after the other, treats them as its seed says, and holds
/// every token against the oracle.
final class SimulatedClient: @unchecked Sendable {  // one thread: that of the world
    /// What the application itself did to a request: it bounds what may become of it.
    private struct Conduct {
        var timeout: UInt64?
        var isCancelled = false
        var isShutDown = false
    }

    let number: Int
    private unowned let world: World
    private let configuration: ClientConfiguration
    private var random: TestRandom
    private(set) var loop: EventLoop?
    private var client: LMClient?
    private var conduct = Conduct()
    private var nextRequest: UInt64 = 0
    /// Whether all requests have ended.
    private(set) var isDone = false
    /// Requests that ended with their whole answer.
    private(set) var completed = 0

    init(number: Int, seed: UInt64, world: World) throws {
        self.number = number
        self.world = world
        configuration = world.scenario.client
        random = TestRandom(seed: seed)
        try connect()
    }

    private func connect() throws {
        let loop = try EventLoop(name: "client-\(number)", system: world.system)
        client = try LMClient(configuration, on: loop)
        self.loop = loop
    }

    /// Ends the client library's part.
    func shutDown() {
        client?.shutdown()
        client = nil
        loop = nil
    }

    // MARK: - The application

    /// Starts to ask everything there is to ask.
    func start() {
        launch { [self] in
            for _ in 0..<world.scenario.requestsPerClient {
                if random.below(2) == 0 { await world.time.sleep(UInt64(random.below(5_000)) * millisecond) }
                await ask()
            }
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
        isDone = false
        Task(executorPreference: world.executor) { [self] in
            await body()
            isDone = true
        }
    }

    private func ask() async {
        nextRequest += 1
        // Unique, so that a token tells whose it is.
        let seed = world.seed << 20 | UInt64(number) << 12 | nextRequest
        let longest = world.scenario.longestSequence
        let prompt = prompt(longest: longest)
        let maxTokens = 1 + random.below(min(120, longest - prompt.count))
        let answer = world.oracle.expect(seed: seed, maxTokens: maxTokens)
        var request = GenerateRequest(.tokens(prompt))
        request.sampling.seed = seed
        request.stop.maxTokens = maxTokens
        request.priority = random.below(8)
        conduct = Conduct()
        if world.faults.strikes(.deadline, oneIn: 3) {
            let timeout = UInt64(1 + random.below(3_000)) * millisecond
            conduct.timeout = timeout
            request.timeout = .nanoseconds(Int64(timeout))
        }
        await perform(request, answer, Place(client: number, request: nextRequest, asked: world.time.now))
    }

    /// Prompts begin alike, so that they share cached prefixes.
    private func prompt(longest: Int) -> [Int32] {
        let length = 1 + random.below(min(40, longest - 1))
        let kind = Int32(97 + random.below(2))
        return (0..<length).map { $0 + 1 < length ? kind : Int32(48 + random.below(10)) }
    }

    /// Which request a sentence is about.
    private struct Place: CustomStringConvertible {
        var client: Int
        var request: UInt64
        var asked: UInt64

        var description: String { "client \(client) request \(request)" }
    }

    private func perform(_ request: GenerateRequest, _ answer: Oracle.Answer, _ place: Place) async {
        let task = Task(executorPreference: world.executor) { [self] in
            await consume(request, answer, place)
        }
        var timers: [Timer] = []
        if world.faults.strikes(.cancelTask, oneIn: 3) {
            let moment = world.time.now + UInt64(random.below(2_000)) * millisecond
            timers.append(
                world.time.schedule(at: moment) { [self] in
                    conduct.isCancelled = true
                    world.log.note("cancel task", UInt64(number), place.request)
                    task.cancel()
                })
        }
        if world.faults.strikes(.shutdown, oneIn: 8) {
            let moment = world.time.now + UInt64(random.below(2_000)) * millisecond
            timers.append(
                world.time.schedule(at: moment) { [self] in
                    conduct.isShutDown = true
                    world.log.note("shut down", UInt64(number), place.request)
                    client?.shutdown()
                })
        }
        await task.value
        for timer in timers { timer.cancel() }
        if conduct.isShutDown {
            shutDown()
            do { try connect() } catch { world.violations.add("\(place): no new client: \(error)") }
        }
    }

    private func consume(_ request: GenerateRequest, _ answer: Oracle.Answer, _ place: Place) async {
        guard let client else { return }
        var taken = 0
        var text = ""
        do throws(LMError) {
            let stream = try await client.generate(request)
            var iterator = stream.makeAsyncIterator()
            let patience = world.faults.strikes(.leave, oneIn: 3) ? random.below(answer.tokens.count + 1) : nil
            let isEndAsked = random.below(2) == 0
            while let token = try await iterator.next(isolation: nil) {
                check(token, taken, answer, place)
                taken += 1
                text += token.text
                if taken == patience, conduct.isCancelled == false {
                    conduct.isCancelled = true
                    world.log.note("leave", UInt64(number), place.request)
                    guard isEndAsked else { return }
                    stream.cancel()
                }
                if world.faults.strikes(.slowReader, oneIn: 20) {
                    await world.time.sleep(UInt64(random.below(3_000)) * millisecond)
                }
            }
            checkEnd(stream.finish, taken, text, answer, place)
        } catch {
            check(error, taken, place)
        }
    }

    // MARK: - What may be

    private func check(_ token: Token, _ taken: Int, _ answer: Oracle.Answer, _ place: Place) {
        world.log.note("token", UInt64(number), place.request, UInt64(token.index))
        if token.index > taken { world.violations.add("N1: \(place): token \(token.index) follows \(taken) tokens") }
        if token.index < taken { world.violations.add("N2: \(place): token \(token.index) came before") }
        guard token.index < answer.tokens.count, answer.tokens[token.index] == token.id else {
            return world.violations.add("N3: \(place): token \(token.index) is \(token.id)")
        }
    }

    private func checkEnd(
        _ finish: FinishInfo?, _ taken: Int, _ text: String, _ answer: Oracle.Answer, _ place: Place
    ) {
        guard let finish else {
            return world.violations.add("N7: \(place): ended without saying how")
        }
        world.log.note("finish", UInt64(number), place.request, UInt64(taken))
        if finish.reason == .cancelled {
            if !conduct.isCancelled { world.violations.add("\(place): cancelled by nobody") }
            return
        }
        // After a cancel, tokens that came too late are the application's loss.
        if conduct.isCancelled { return }
        let isWhole = taken == answer.tokens.count && text == answer.text
        if !isWhole || (finish.reason == .stop) != answer.isStopped || finish.usage.completionTokens != taken {
            world.violations.add(
                "N10: \(place): \(finish.reason) after \(taken) of \(answer.tokens.count) tokens, "
                    + (text == answer.text ? "the text is whole" : "the text differs"))
        } else {
            completed += 1
        }
    }

    /// Every failure needs a cause that this world has.
    private func check(_ error: LMError, _ taken: Int, _ place: Place) {
        world.log.note("failure", UInt64(number), place.request, UInt64(error.code.rawValue))
        if error.tokensReceived < taken, error.code != .cancelled {
            world.violations.add("\(place): \(error.tokensReceived) tokens received, yet \(taken) taken")
        }
        if world.explains(error, timeout: conduct.timeout, age: world.time.now - place.asked) { return }
        if error.code == .cancelled, conduct.isCancelled { return }
        if error.code == .closed, conduct.isShutDown { return }
        world.violations.add("\(place): failed without a cause: \(error.code): \(error)")
    }
}
