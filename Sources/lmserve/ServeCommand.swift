import Glibc
import LMEngine
import LMServer
import LMSupport
import Synchronization

/// `lmserve`: loads, listens, and serves until told to stop.
struct ServeCommand {
    let settings: ServeSettings

    func run() throws(ProgramError) -> ExitCode {
        let stop = StopRequest()
        let tls = try tlsFiles()
        StandardStream.error.note("device: \(try DeviceChoice(settings.model.device).explanation)")
        let source = try ModelSource(settings.model)
        let engine = try startEngine(source)
        defer { engine.shutdown() }

        let server: InferenceServer
        do {
            var configuration = ServerConfiguration()
            configuration.listen = settings.listen.isEmpty ? [ServeSettings.defaultListen] : settings.listen
            configuration.tls = tls
            configuration.agent = "lmserve/\(productVersion)"
            configuration.keys = try settings.apiKeyFile.map { (path) throws(ServerError) in try APIKeys(file: path) }
            configuration.limits.drainTimeout = UInt64(settings.drainTimeout / .milliseconds(1))
            server = try InferenceServer(model: try served(source, engine), configuration: configuration)
        } catch let error as ServerError {
            throw ProgramError(.localInputOutput, error.message)
        } catch let error as EngineError {
            throw ProgramError(error)
        } catch {
            throw ProgramError(.failure, "\(error)")
        }
        for address in server.addresses { StandardStream.output.note("listening on \(address)") }

        stop.serveUntilAsked()
        StandardStream.error.note("draining: running requests may finish; once more stops now")
        server.drain()
        return .success
    }

    private func tlsFiles() throws(ProgramError) -> ServerConfiguration.TLSFiles? {
        switch (settings.certificateFile, settings.privateKeyFile) {
        case (nil, nil): return nil
        case (let certificate?, let key?): return .init(certificate: certificate, privateKey: key)
        case (_?, nil): throw .usage("--tls-cert needs --tls-key, the certificate's private key")
        case (nil, _?): throw .usage("--tls-key needs --tls-cert, the key's certificate")
        }
    }

    private func startEngine(_ source: ModelSource) throws(ProgramError) -> InferenceEngine {
        let threads = settings.model.threads ?? availableProcessorCount()
        let backend = try source.makeBackend(settings.model.backend, threads: threads)
        StandardStream.error.note("back end: \(backend.summary)")
        var options = EngineOptions()
        options.maxModelLength = settings.maxModelLength
        options.maxNumSeqs = settings.maxNumSeqs
        options.maxNumBatchedTokens = settings.maxNumBatchedTokens
        options.keyValueCacheBytes = settings.keyValueCacheBytes
        do {
            let engine = try InferenceEngine(
                backend: backend, tokenizer: source.checkpoint.tokenizer, model: source.checkpoint.configuration,
                options: options)
            let capacity = engine.capacity
            StandardStream.error.note(
                "capacity: \(capacity.keyValueTokens) KV tokens in \(describeBytes(capacity.keyValueCacheBytes)), "
                    + "\(capacity.sequencesAtFullLength) sequences of \(capacity.maxModelLength) tokens, "
                    + "at most \(settings.maxNumSeqs) at the same time")
            return engine
        } catch {
            throw ProgramError(error)
        }
    }

    private func served(_ source: ModelSource, _ engine: InferenceEngine) throws(EngineError) -> ServedModel {
        ServedModel(
            name: settings.servedModelName ?? source.name, engine: engine,
            tokenizer: source.checkpoint.tokenizer, configuration: source.checkpoint.configuration,
            template: try chatTemplate(source.checkpoint),
            format: try source.checkpoint.tensor(.layer(0, .query)).type.rawValue, device: "cpu")
    }

    /// A template that was asked for must exist; a model's own that is not understood leaves raw prompts and ids.
    private func chatTemplate(_ checkpoint: any Checkpoint) throws(EngineError) -> ChatTemplate? {
        if settings.chatTemplate != nil { return try ChatTemplate(source: nil, name: settings.chatTemplate) }
        guard let source = checkpoint.chatTemplateSource else { return nil }
        do {
            return try ChatTemplate(source: source, name: nil)
        } catch {
            StandardStream.error.note("warning: no chat: \(error.message)")
            return nil
        }
    }
}

/// The wish to stop, as signals bring it. While the model loads, nothing can be lost and a signal ends the process; while
/// it serves, the first one asks to drain; after that the next one ends the process.
private final class StopRequest: Sendable {
    private let asked = Latch()
    private let isServing = Atomic(false)

    /// Must be created before the process has other threads.
    init() {
        SignalListener.start([SIGTERM, SIGINT]) { [self] signal in
            guard isServing.exchange(false, ordering: .relaxed) else {
                abandonProgram(signal == SIGINT ? .interrupted : .terminated)
            }
            asked.open()
        }
    }

    /// Returns when the server is to stop.
    func serveUntilAsked() {
        isServing.store(true, ordering: .relaxed)
        asked.wait()
    }
}
