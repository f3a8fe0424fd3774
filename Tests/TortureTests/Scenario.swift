import Foundation
import Glibc
import LMClient
import LMProtocol
import LMServer
import LMTransport
import Testing

/// Something that a client and a server do together, while one system call fails.
struct Scenario: Sendable, CustomTestStringConvertible {
    let name: String
    var link = Stage.Link.plain
    /// Failures besides a lost or impossible connection that are a right answer here.
    var admits: Set<LMError.Code> = []
    /// Whether the server answers afterwards.
    var survives = true
    var configure: @Sendable (inout ServerConfiguration) -> Void = { _ in }
    /// Runs before each step of the engine.
    var pause: @Sendable () -> Void = {}
    /// Returns how each request ended.
    let play: @Sendable (Stage) async -> [Outcome]

    var testDescription: String { name }

    static let all: [Scenario] = [
        Scenario(name: "a generation", play: { [await $0.ask()] }),
        Scenario(name: "a generation over TLS", link: .tls, play: { [await $0.ask()] }),
        Scenario(name: "a generation over a Unix-domain socket", link: .unix, play: { [await $0.ask()] }),
        Scenario(name: "many streams", play: many),
        Scenario(name: "many streams over TLS", link: .tls, play: many),
        Scenario(name: "a cancel", admits: [.cancelled], play: cancel),
        Scenario(name: "half-close", play: halfClose),
        Scenario(
            name: "keep-alive", configure: { $0.limits.pingInterval = 100 }, pause: { usleep(20_000) },
            play: { [await $0.ask(tokens: 12)] }),
        Scenario(
            name: "a drain", admits: [.draining], survives: false, pause: { usleep(500) }, play: drain),
        Scenario(
            name: "a drain over TLS", link: .tls, admits: [.draining], survives: false, pause: { usleep(500) },
            play: drain),
    ]

    private static func many(_ stage: Stage) async -> [Outcome] {
        await withTaskGroup(of: (Int, Outcome).self) { group in
            for index in 0..<12 { group.addTask { (index, await stage.ask("question \(index)")) } }
            var outcomes = [Outcome?](repeating: nil, count: 12)
            for await (index, outcome) in group { outcomes[index] = outcome }
            return outcomes.compactMap(\.self)
        }
    }

    /// Reads three tokens, cancels, and waits for the server to say that it is over.
    private static func cancel(_ stage: Stage) async -> [Outcome] {
        do throws(LMError) {
            let stream = try await stage.client.generate(.greedy("forever", 400, window: 8))
            var tokens = stream.makeAsyncIterator()
            for _ in 0..<3 { _ = try await tokens.next(isolation: nil) }
            stream.cancel()
            await stream.waitForEnd()
            return [.answered("")]
        } catch {
            return [.failed(error.code)]
        }
    }

    /// The server goes while one stream runs.
    private static func drain(_ stage: Stage) async -> [Outcome] {
        do throws(LMError) {
            let stream = try await stage.client.generate(.greedy("last words", 40, window: 16))
            async let isDrained: Void = onThread { stage.server.drain() }
            let text: Result<String, LMError>
            do throws(LMError) { text = .success(try await stream.collect().text) } catch { text = .failure(error) }
            await isDrained
            return [.answered(try text.get())]
        } catch {
            return [.failed(error.code)]
        }
    }

    /// A client that says all it has to say, ends its output, and reads on.
    private static func halfClose(_ stage: Stage) async -> [Outcome] {
        let address = stage.server.addresses[0]
        return [await onThread { HalfCloser.ask(address) }]
    }

    private static func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: body()) }
        }
    }
}

/// A blocking client that ends its output as soon as it has asked.
private enum HalfCloser {
    static func ask(_ address: String) -> Outcome {
        let system = LinuxSystem()
        guard let address = try? Endpoint(address).resolve().first else { return .failed(.configuration) }
        let descriptor = system.openSocket(for: address)
        defer { system.close(descriptor) }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard system.connect(descriptor, to: address) >= 0 else { return .failed(.unreachable) }
        do throws(WireError) {
            return try converse(over: descriptor, system)
        } catch {
            return .failed(.protocolViolation)
        }
    }

    private static func converse(over descriptor: Int32, _ system: LinuxSystem) throws(WireError) -> Outcome {
        var wire = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
        var outbound: [UInt8] = []
        var inbound: [UInt8] = []
        var text: [UInt8] = []
        try wire.start(into: &outbound)
        while true {
            if !outbound.isEmpty { _ = outbound.withUnsafeBytes { system.send(descriptor, $0) } }
            outbound = []
            let part = [UInt8](unsafeUninitializedCapacity: 4_096) { buffer, count in
                count = max(0, system.receive(descriptor, into: UnsafeMutableRawBufferPointer(buffer)))
            }
            if part.isEmpty { return .failed(.connectionLost) }
            inbound += part
            var consumed = 0
            while let action = try wire.receive(inbound.span.bytes, consumed: &consumed) {
                switch action {
                case .maxStreams where wire.openStreamCount == 0 && text.isEmpty:
                    _ = try wire.sendGenerate(.brief, into: &outbound)
                    _ = outbound.withUnsafeBytes { system.send(descriptor, $0) }
                    outbound = []
                    system.shutdownOutput(descriptor)
                case .tokens(_, let tokens): text += tokens.text
                case .finish: return .answered(String(decoding: text, as: UTF8.self))
                case .error: return .failed(.connectionLost)
                default: break
                }
            }
            inbound.removeFirst(consumed)
        }
    }
}

extension GenerateMessage {
    fileprivate static var brief: GenerateMessage {
        var message = GenerateMessage(prompt: .text("half"), creditLimit: .max)
        message.isRaw = true
        message.sampling.temperature = 0
        message.stop.maxTokens = 40
        message.stop.ignoresEndOfSequence = true
        return message
    }
}
