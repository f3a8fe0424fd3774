import LMClient
internal import TestKit

/// One request of a simulated user, from the question to the verdict.
final class SimulatedRequest: @unchecked Sendable, CustomStringConvertible {  // one thread: that of the world
    private let number: UInt64
    private let client: SimulatedClient
    private let world: World
    private var random: TestRandom
    private let asked: UInt64
    // What the user itself did: it bounds what may become of the request.
    private var timeout: UInt64?
    private var isCancelled = false
    private var isAccepted = false
    // What arrived.
    private var answer = Oracle.Answer(tokens: [], text: "", isStopped: false)
    private var taken = 0
    private var text = ""

    init(number: UInt64, client: SimulatedClient, seed: UInt64) {
        self.number = number
        self.client = client
        world = client.world
        random = TestRandom(seed: seed)
        asked = client.world.time.now
    }

    var description: String { "client \(client.number) request \(number)" }

    private func note(_ what: StaticString, _ value: UInt64 = 0) {
        world.log.note(what, UInt64(client.number), number, value)
    }

    private func blame(_ what: String) { world.violations.add(what) }

    /// The user's task is about to be cancelled.
    func noteCancel() {
        note("cancel task")
        isCancelled = true
    }

    /// Asks and consumes.
    func run() async {
        guard let library = client.library else { return }
        do throws(LMError) {
            if random.below(12) == 0 { return try await call(library) }
            let stream = try await library.generate(question())
            isAccepted = true
            switch random.below(4) {
            case 0: try await collect(stream)
            default: try await consume(stream)
            }
        } catch {
            check(error)
        }
    }

    private func question() -> GenerateRequest {
        // Unique, so that a token tells whose it is.
        let seed = world.seed << 20 | UInt64(client.number) << 12 | number
        let longest = world.scenario.longestSequence
        let prompt = prompt(longest: longest)
        let maxTokens = 1 + random.below(min(120, longest - prompt.count))
        answer = world.oracle.expect(seed: seed, maxTokens: maxTokens)
        var request = GenerateRequest(.tokens(prompt))
        request.sampling.seed = seed
        request.stop.maxTokens = maxTokens
        request.priority = random.below(8)
        if world.faults.strikes(.deadline, oneIn: 3) {
            let timeout = UInt64(1 + random.below(3_000)) * millisecond
            self.timeout = timeout
            request.timeout = .nanoseconds(Int64(timeout))
        }
        return request
    }

    /// Prompts begin alike, so that they share cached prefixes.
    private func prompt(longest: Int) -> [Int32] {
        let length = 1 + random.below(min(40, longest - 1))
        let kind = Int32(97 + random.below(2))
        return (0..<length).map { $0 + 1 < length ? kind : Int32(48 + random.below(10)) }
    }

    private func consume(_ stream: TokenStream) async throws(LMError) {
        var iterator = stream.makeAsyncIterator()
        let patience = world.faults.strikes(.leave, oneIn: 3) ? random.below(answer.tokens.count + 1) : nil
        let isEndAsked = random.below(2) == 0
        while let token = try await iterator.next(isolation: nil) {
            take(token)
            if taken == patience {
                note("leave")
                isCancelled = true
                guard isEndAsked else { return }
                stream.cancel()
            }
            if world.faults.strikes(.slowReader, oneIn: 20) {
                await world.time.sleep(UInt64(random.below(3_000)) * millisecond)
            }
        }
        checkEnd(stream.finish)
    }

    private func collect(_ stream: TokenStream) async throws(LMError) {
        let completion = try await stream.collect()
        for token in completion.tokens { take(token) }
        if completion.text != text { blame("\(self): the collected text is not that of its tokens") }
        checkEnd(completion.finish)
    }

    /// A question that is no generation.
    private func call(_ library: LMClient) async throws(LMError) {
        note("call")
        if random.below(2) == 0 { return try await embed(library) }
        let tokens = try await library.tokenize(.text("again and \(number)"))
        if tokens != Array("again and \(number)".utf8).map(Int32.init) { blame("\(self): tokenized as \(tokens)") }
        client.completed += 1
    }

    private func embed(_ library: LMClient) async throws(LMError) {
        let prompt = prompt(longest: world.scenario.longestSequence)
        let pooling: Pooling = random.below(2) == 0 ? .mean : .last
        let embedding = try await library.embed(.tokens(prompt), pooling: pooling)
        let states = prompt.indices.map { FakeBackend.hiddenState(after: Array(prompt[...$0])) }
        let counted = pooling == .mean ? states[...] : states.suffix(1)
        let expected = (0..<3).map { column in
            Float(counted.reduce(0) { $0 + Double($1[column]) } / Double(counted.count))
        }
        if embedding.vector != expected { blame("\(self): embedded as \(embedding.vector)") }
        client.completed += 1
    }

    // MARK: - What may be

    private func take(_ token: Token) {
        note("token", UInt64(token.index))
        if token.index > taken { blame("N1: \(self): token \(token.index) follows \(taken) tokens") }
        if token.index < taken { blame("N2: \(self): token \(token.index) came before") }
        if token.index >= answer.tokens.count || answer.tokens[token.index] != token.id {
            blame("N3: \(self): token \(token.index) is \(token.id)")
        }
        taken += 1
        text += token.text
    }

    private func checkEnd(_ finish: FinishInfo?) {
        guard let finish else { return blame("N7: \(self): ended without saying how") }
        note("finish", UInt64(taken))
        // After a cancel, tokens that came too late are the user's loss.
        if isCancelled { return }
        if finish.reason == .cancelled { return blame("\(self): cancelled by nobody") }
        let isWhole = taken == answer.tokens.count && text == answer.text
        if isWhole, (finish.reason == .stop) == answer.isStopped, finish.usage.completionTokens == taken {
            client.completed += 1
        } else {
            blame(
                "N10: \(self): \(finish.reason) after \(taken) of \(answer.tokens.count) tokens, "
                    + (text == answer.text ? "the text is whole" : "the text differs"))
        }
    }

    /// Every failure needs a cause that this world has.
    private func check(_ error: LMError) {
        note("failure", UInt64(error.code.rawValue))
        if error.tokensReceived < taken, error.code != .cancelled {
            blame("\(self): \(error.tokensReceived) tokens received, yet \(taken) taken")
        }
        if world.explains(error, isAccepted: isAccepted, timeout: timeout, age: world.time.now - asked) { return }
        if error.code == .cancelled, isCancelled { return }
        if error.code == .closed, client.shutDownAt >= asked { return }
        blame("\(self): failed without a cause: \(error.code): \(error)")
    }
}
