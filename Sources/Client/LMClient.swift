internal import LMProtocol
package import LMTransport

/// A client of one lmcall server.
///
/// Requests share a few connections, opened when needed and again when they are lost. Any number of tasks may use a client at
/// the same time.
///
///     let client = try LMClient(ClientConfiguration(endpoint: "127.0.0.1:7433"))
///     for try await token in try await client.generate(GenerateRequest("Name three colors.")) {
///         print(token.text, terminator: "")
///     }
///     client.shutdown()
public final class LMClient: Sendable {
    private let configuration: ClientConfiguration
    private let window: UInt32
    private let loop: ClientLoop
    private let budget: RetryBudget

    /// Checks the configuration and starts the client's thread; connects nothing yet.
    ///
    /// - Throws: `configuration` or `invalid`.
    public convenience init(_ configuration: ClientConfiguration) throws(LMError) {
        let eventLoop: EventLoop
        do throws(TransportError) {
            eventLoop = try EventLoop(name: "lmclient")
        } catch {
            throw LMError(.configuration, error.description)
        }
        try self.init(configuration, on: eventLoop)
        do throws(TransportError) {
            try eventLoop.start()
        } catch {
            throw LMError(.configuration, error.description)
        }
    }

    /// A client on a loop that its owner starts or gives its turns.
    ///
    /// - Throws: `configuration` or `invalid`.
    package init(_ configuration: ClientConfiguration, on loop: EventLoop) throws(LMError) {
        self.configuration = configuration
        window = try GenerateRequest.window(configuration.window)
        guard configuration.connections >= 1 else {
            throw LMError(.invalid, "\(configuration.connections) connections carry nothing; use 1 or more")
        }
        budget = RetryBudget(share: configuration.retry.budget)
        self.loop = try ClientLoop(configuration, on: loop)
    }

    deinit { loop.stop() }

    /// The clock of all times that this library reports: nanoseconds that never go back.
    public static var now: UInt64 { LinuxSystem().monotonicNanoseconds() }

    /// Asks for tokens and returns when the server has accepted the request.
    ///
    /// Failures before that are repeated as the configuration says.
    ///
    /// - Throws: why the request was not accepted; `cancelled` when the task was cancelled.
    public func generate(_ request: GenerateRequest) async throws(LMError) -> TokenStream {
        try await generate(request, through: configuration.interceptors[...])
    }

    private func generate(
        _ request: GenerateRequest, through interceptors: ArraySlice<any ClientInterceptor>
    ) async throws(LMError) -> TokenStream {
        guard let first = interceptors.first else { return try await send(request) }
        return try await first.generate(request) { (request) async throws(LMError) in
            try await generate(request, through: interceptors.dropFirst())
        }
    }

    private func send(_ request: GenerateRequest) async throws(LMError) -> TokenStream {
        let window = try request.window.map { (window) throws(LMError) in try GenerateRequest.window(window) }
        let credit = window ?? self.window
        var message = try request.message(window: credit)
        if configuration.resumesStreams { message.idempotencyKey = Opaque128(loop.random(), loop.random()) }
        return try await repeating { (delay) async throws(LMError) in
            let exchange = Exchange(.generate(message))
            loop.submit(exchange, after: delay)
            await exchange.wait(for: .acceptance)
            switch exchange.answer {
            case .success(let acceptance): return TokenStream(exchange, acceptance, window: credit, client: self)
            case .failure(let error): throw error
            case nil: throw .taskCancelled
            }
        }
    }

    /// Asks for tokens, gives their stream to `body`, and returns when the server has ended the generation, also when
    /// `body` left early.
    ///
    /// - Throws: what `generate` or `body` throws.
    public func withGeneration<Result>(
        _ request: GenerateRequest, isolation: isolated (any Actor)? = #isolation,
        _ body: (TokenStream) async throws -> Result
    ) async throws -> Result {
        let stream = try await generate(request)
        do {
            let result = try await body(stream)
            stream.cancel()
            await stream.waitForEnd()
            return result
        } catch {
            stream.cancel()
            await stream.waitForEnd()
            throw error
        }
    }

    /// Whether the server is fit to answer.
    public func health() async throws(LMError) -> ServerHealth {
        guard case .health(let reply) = try await call(.health) else { throw Self.wrongReply }
        return ServerHealth(reply)
    }

    /// The models that the server can run.
    public func models() async throws(LMError) -> [ModelInfo] {
        guard case .models(let replies) = try await call(.models) else { throw Self.wrongReply }
        return replies.map(ModelInfo.init)
    }

    /// The token ids that `generate` would give the model for this prompt, text taken as raw.
    ///
    /// - Parameters:
    ///   - tools: see `GenerateRequest.tools`; beside messages alone.
    ///   - templateArguments: see `GenerateRequest.templateArguments`; beside messages alone.
    public func tokenize(
        _ prompt: GenerateRequest.Prompt, tools: String? = nil, templateArguments: String? = nil, model: String? = nil
    ) async throws(LMError) -> [Int32] {
        let template = TemplateInput(tools: tools, arguments: templateArguments)
        guard case .tokenize(let tokens) = try await call(.tokenize(prompt.wire, template: template, model: model))
        else { throw Self.wrongReply }
        return tokens
    }

    /// The text of token ids.
    public func detokenize(_ tokens: [Int32], model: String? = nil) async throws(LMError) -> String {
        guard case .detokenize(let text) = try await call(.detokenize(tokens, model: model)) else {
            throw Self.wrongReply
        }
        return text
    }

    /// The embedding of a prompt, text taken as raw. Calls that wait at the same time share the server's steps: for many
    /// texts, make many calls at once.
    ///
    /// - Parameters:
    ///   - isNormalized: whether the vector is scaled to the length 1, so that a dot product of two is their cosine.
    ///   - timeout: time from the server's receipt to failure with `deadline`; nil for the server's own.
    /// - Throws: `notFound` also from a server that is too old to know the call.
    public func embed(
        _ prompt: GenerateRequest.Prompt, pooling: Pooling = .last, isNormalized: Bool = false, model: String? = nil,
        timeout: Duration? = nil
    ) async throws(LMError) -> Embedding {
        var message = EmbedMessage(prompt.wire)
        message.model = model
        message.pooling = pooling.wire
        message.isNormalized = isNormalized
        message.timeout = try GenerateRequest.milliseconds(timeout) ?? 0
        guard case .embed(let reply) = try await call(.embed(message)) else { throw Self.wrongReply }
        return Embedding(reply)
    }

    /// Counters and gauges of the server.
    public func statistics() async throws(LMError) -> [ServerStatistic] {
        guard case .statistics(let replies) = try await call(.statistics) else { throw Self.wrongReply }
        return replies.map { ServerStatistic(name: $0.name, value: $0.value) }
    }

    /// Fails what is open with `closed`, closes the connection and ends the client's thread. Requests made later fail.
    public func shutdown() { loop.stop() }

    private static let wrongReply = LMError(.protocolViolation, "the server answered another question")

    private func call(_ message: CallMessage) async throws(LMError) -> ReplyMessage {
        try await repeating { (delay) async throws(LMError) in
            let exchange = Exchange(.call(message))
            loop.submit(exchange, after: delay)
            await exchange.wait(for: .progress)
            switch exchange.outcome {
            case .success(.reply(let reply)): return reply
            case .success(.finish): throw Self.wrongReply
            case .failure(let error): throw error
            case nil: throw .taskCancelled
            }
        }
    }

    /// Makes attempts until one succeeds, fails for good, or the policy gives up.
    ///
    /// - Parameter attempt: to be made after the delay that it is given.
    private func repeating<Success>(
        _ attempt: (Duration) async throws(LMError) -> Success
    ) async throws(LMError) -> Success {
        var attempts = 0
        var delay = Duration.zero
        budget.deposit()
        while true {
            do throws(LMError) {
                return try await attempt(delay)
            } catch {
                attempts += 1
                guard let next = configuration.retry.delay(after: attempts, error, random: loop.random()),
                    budget.withdraw()
                else { throw error }
                configuration.observer?(.retrying(error, attempt: attempts, after: next))
                delay = next
            }
        }
    }
}
