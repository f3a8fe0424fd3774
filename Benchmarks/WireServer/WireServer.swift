import CAllocations
import Glibc
import LMEngine
import LMServer

/// The server as it ships, in front of `SyntheticEngine`: one side of `Benchmarks/wire`. The main thread makes the tokens,
/// the thread `io-0` does what is measured.
@main struct WireServer {
    static func main() throws {
        let options = Options(CommandLine.arguments)
        if let path = options["--counters"] {
            let status = ca_share(path)
            guard status == 0 else { fail("cannot share counters at \(path): \(String(cString: strerror(status)))") }
        }
        let interval = options.number("--step-us") ?? 0
        let engine = try SyntheticEngine(pace: interval == 0 ? .saturated : .every(interval * 1_000))

        var configuration = ServerConfiguration()
        configuration.listen = [options["--listen"] ?? "127.0.0.1:0"]
        if let certificate = options["--tls-cert"], let key = options["--tls-key"] {
            configuration.tls = .init(certificate: certificate, privateKey: key)
        }
        // Measured is the work, not how it is rationed.
        configuration.limits.connections = 20_000
        configuration.limits.streamsPerConnection = 1_024
        configuration.limits.openRate = .init(perSecond: 1e9, burst: 1e9)
        let tokenizer = ByteTokenizer()
        let model = ServedModel(
            name: "synthetic", engine: engine, tokenizer: tokenizer, configuration: .synthetic, template: nil,
            format: "none", device: "none")
        let server = try InferenceServer(model: model, configuration: configuration)
        for address in server.addresses { print("listening on \(address)") }
        fflush(nil)
        engine.run()
    }
}

/// `--name value` pairs.
private struct Options {
    private var values: [String: String] = [:]

    init(_ arguments: [String]) {
        for index in stride(from: 1, to: arguments.count - 1, by: 2) { values[arguments[index]] = arguments[index + 1] }
    }

    subscript(name: String) -> String? { values[name] }

    func number(_ name: String) -> UInt64? {
        guard let text = values[name] else { return nil }
        guard let number = UInt64(text) else { fail("\(name) takes a number, not '\(text)'") }
        return number
    }
}

private func fail(_ message: String) -> Never {
    let line = "error: \(message)\n"
    write(STDERR_FILENO, line, line.utf8.count)
    exit(2)
}

/// Every byte is a token: prompts of the measurements are a byte long.
private struct ByteTokenizer: Tokenizer {
    var vocabularySize: Int { 256 }
    var beginningOfSequence: Int32? { nil }
    var endTokens: [Int32] { [] }

    func encode(_ utf8: Span<UInt8>, parseSpecial: Bool, into tokens: inout [Int32]) {
        for index in utf8.indices { tokens.append(Int32(utf8[index])) }
    }

    func appendBytes(of token: Int32, to bytes: inout [UInt8]) { bytes.append(UInt8(truncatingIfNeeded: token)) }

    func isSpecial(_ token: Int32) -> Bool { false }
}

extension ModelConfiguration {
    fileprivate static let synthetic = ModelConfiguration(
        family: .llama, name: "synthetic", layerCount: 1, embeddingLength: 2, feedForwardLength: 2, headCount: 1,
        keyValueHeadCount: 1, headDimension: 2, rotaryDimension: 2, rotaryBase: 10_000, rotaryScaling: .none,
        rotaryLayout: .halves, normEpsilon: 1e-5, vocabularySize: 256, contextLength: Int(Int32.max),
        hasAttentionBias: false, tiesEmbeddings: true)
}
