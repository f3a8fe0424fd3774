import Glibc
import LMEngine
import LMProtocol
import LMServer
import TestKit

/// A server on a free loopback port whose model is `FakeBackend`.
final class TestServer {
    let server: InferenceServer
    let engine: InferenceEngine
    let backend: FakeBackend
    let port: UInt16

    init(
        tokenizer: FakeTokenizer = FakeTokenizer(), script: FakeBackend.Script = FakeBackend.Script(),
        options: EngineOptions = EngineOptions(), contextLength: Int = 4_096, adapters: [String] = [],
        configure: (inout ServerConfiguration) -> Void = { _ in }
    ) throws {
        let model = ModelConfiguration.fake(
            vocabularySize: tokenizer.vocabularySize, contextLength: contextLength)
        backend = FakeBackend(vocabularySize: tokenizer.vocabularySize, script: script)
        engine = try InferenceEngine(backend: backend, tokenizer: tokenizer, model: model, options: options)
        let served = ServedModel(
            name: "fake", engine: engine, tokenizer: tokenizer, configuration: model,
            template: try ChatTemplate(source: nil, name: "chatml"), format: "none", device: "fake")
        var configuration = ServerConfiguration()
        configuration.listen = ["127.0.0.1:0"]
        configure(&configuration)
        let adapted = adapters.enumerated().map { served.adapted(by: $0, name: $1) }
        server = try InferenceServer(model: served, adapted: adapted, configuration: configuration)
        port = UInt16(server.addresses[0].split(separator: ":").last ?? "") ?? 0
    }

    deinit {
        server.stop()
        engine.shutdown()
    }

    /// A client that has said HELLO.
    func client(credential: String? = nil, receiveBuffer: Int32? = nil) throws -> RawClient {
        let client = try RawClient(port: port, receiveBuffer: receiveBuffer)
        try client.greet(credential: credential)
        return client
    }

    /// Waits until the engine says so; false after 20 s.
    func wait(until condition: (EngineStatistics) -> Bool) -> Bool {
        for _ in 0..<20_000 {
            if condition(engine.statistics()) { return true }
            usleep(1_000)
        }
        return false
    }

    /// Whether no request is left and no block is owned.
    func isIdle() -> Bool {
        wait { $0.running + $0.waiting + $0.parked == 0 && $0.blocksOwned == 0 }
    }
}

extension GenerateMessage {
    /// A greedy request that ends by length alone.
    static func greedy(_ prompt: String, maxTokens: UInt32, credit: UInt32 = .max) -> GenerateMessage {
        var message = GenerateMessage(prompt: .text(prompt), creditLimit: credit)
        message.isRaw = true
        message.sampling.temperature = 0
        message.stop.maxTokens = maxTokens
        message.stop.ignoresEndOfSequence = true
        return message
    }
}

/// Descriptors that this process has open.
func openDescriptors() -> Int {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return count
}
