import Glibc
import LMClient
import LMEngine
import LMServer
import LMTransport
import Synchronization
import TestKit

/// A server and a client in this process, each on a machine that may fail once.
final class Stage: Sendable {
    /// How the two are connected.
    enum Link: Sendable {
        case plain, tls, unix
    }

    /// The two ends.
    enum Side: String, CaseIterable, Sendable {
        case server, client
    }

    let server: InferenceServer
    let engine: InferenceEngine
    let client: LMClient

    /// - Parameters:
    ///   - pause: runs before each step of the engine.
    /// - Throws: `ServerError` or `LMError`, when a call failed without which there is no server or client.
    init(
        _ link: Link, server serverSystem: FailingSystem, client clientSystem: FailingSystem,
        configure: (inout ServerConfiguration) -> Void, pause: @escaping @Sendable () -> Void
    ) throws {
        let model = ModelConfiguration.fake(vocabularySize: FakeTokenizer().vocabularySize, contextLength: 512)
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in pause() }
        let backend = FakeBackend(vocabularySize: model.vocabularySize, script: script)
        let engine = try InferenceEngine(
            backend: backend, tokenizer: FakeTokenizer(), model: model, options: EngineOptions())
        self.engine = engine
        do {
            let served = ServedModel(
                name: "fake", engine: engine, tokenizer: FakeTokenizer(), configuration: model, template: nil,
                format: "none", device: "fake")
            var configuration = ServerConfiguration()
            configuration.listen = [link == .unix ? "unix:\(Self.freshPath())" : "127.0.0.1:0"]
            if link == .tls {
                configuration.tls = .init(certificate: Self.files.certificate, privateKey: Self.files.key)
            }
            configuration.limits.helloDeadline = 60_000
            configuration.limits.resumeGrace = 10_000
            configure(&configuration)
            let serverLoop = try EventLoop(name: "io", system: serverSystem)
            server = try InferenceServer(model: served, configuration: configuration, on: [serverLoop])
            try serverLoop.start()
        } catch {
            engine.shutdown()
            throw error
        }
        do {
            var settings = ClientConfiguration(endpoint: server.addresses[0])
            if link == .tls { settings.tls = .init(authorityFile: Self.files.certificate) }
            settings.retry.initialDelay = .milliseconds(10)
            settings.connectTimeout = .seconds(100)
            let clientLoop = try EventLoop(name: "lmclient", system: clientSystem)
            client = try LMClient(settings, on: clientLoop)
            try clientLoop.start()
        } catch {
            server.stop()
            engine.shutdown()
            throw error
        }
    }

    /// Ends everything.
    func clear() {
        client.shutdown()
        server.stop()
        engine.shutdown()
    }

    /// Asks for an answer that is always the same.
    func ask(_ prompt: String = "why?", tokens: Int = 40, window: Int = 16) async -> Outcome {
        do {
            return .answered(try await client.generate(.greedy(prompt, tokens, window: window)).collect().text)
        } catch {
            return .failed(error.code)
        }
    }

    private static let files: TestCertificates = {
        do { return try TestCertificates() } catch { fatalError("no certificates: \(error)") }
    }()

    private static let paths = Counter()

    private static func freshPath() -> String { "/tmp/lmcall-torture-\(getpid())-\(paths.next())" }
}

/// How a request ended.
enum Outcome: Equatable, Sendable {
    case answered(String)
    case failed(LMError.Code)
}

extension GenerateRequest {
    static func greedy(_ prompt: String, _ tokens: Int, window: Int) -> GenerateRequest {
        var request = GenerateRequest(prompt)
        request.isRaw = true
        request.window = window
        request.sampling.temperature = 0
        request.stop.maxTokens = tokens
        request.stop.ignoresEndOfSequence = true
        return request
    }
}
