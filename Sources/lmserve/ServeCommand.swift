import Glibc
import LMEngine
import LMServer
import LMSupport

/// `lmserve`: loads, listens, and serves until told to stop.
struct ServeCommand {
    let settings: ServeSettings

    func run() throws(ProgramError) -> ExitCode {
        let signals = try ServerSignals()
        let tls = try tlsFiles()
        let limits = try limits()
        if tls != nil || settings.apiKeyFile != nil { keepMemoryOutOfDumps() }
        let wish = try DeviceChoice(settings.model, replicas: settings.dataParallelSize)
        let source = try ModelSource(settings.model)
        source.announce()
        let choice = try wish.settled(for: source, settings.model, hasAdapters: !settings.adapters.isEmpty)
        StandardStream.error.note("device: \(choice.explanation)")
        let defaults = try generationDefaults(source)
        let template = try ChatTemplateChoice(named: settings.chatTemplate).template(for: source)
        let name = settings.servedModelName ?? source.name
        let adapters = try AdapterOption.open(settings.adapters, for: source, named: name)
        let engines = try startEngines(source, choice, adapters)
        defer { for engine in engines { engine.shutdown() } }
        let engine: any GenerationEngine = engines.count == 1 ? engines[0] : ReplicatedEngine(engines)

        let server: InferenceServer
        do {
            var configuration = ServerConfiguration()
            configuration.listen = settings.listen.isEmpty ? [ServeSettings.defaultListen] : settings.listen
            configuration.tls = tls
            configuration.agent = "lmserve/\(productVersion)"
            configuration.keys = try settings.apiKeyFile.map { (path) throws(ServerError) in try APIKeys(file: path) }
            configuration.limits = limits
            let model = try served(source, choice, engine, name: name, template, defaults)
            let adapted = adapters.enumerated().map { model.adapted(by: $0, name: $1.name) }
            server = try InferenceServer(model: model, adapted: adapted, configuration: configuration)
        } catch let error as ServerError {
            throw ProgramError(.localInputOutput, error.message)
        } catch let error as EngineError {
            throw ProgramError(error)
        } catch {
            throw ProgramError(.failure, "\(error)")
        }
        noteCertificate(of: server)
        signals.beginServing { reload(server) }
        for address in server.addresses { StandardStream.output.note("listening on \(address)") }

        signals.waitForStop()
        StandardStream.error.note("draining: running requests may finish; once more stops now")
        server.drain()
        for engine in engines { engine.shutdown() }
        // An orderly end of the process would wait for a driver that does not come back.
        if engines.contains(where: \.isHung) { abandonProgram(.success) }
        return .success
    }

    private func reload(_ server: InferenceServer) {
        do throws(ServerError) {
            try server.reload()
            StandardStream.error.note("reloaded keys and certificates")
            noteCertificate(of: server)
        } catch {
            StandardStream.error.note("not reloaded, keys and certificates stay as they were: \(error.message)")
        }
    }

    private func noteCertificate(of server: InferenceServer) {
        guard let days = server.certificateDaysLeft, days < Self.certificateWarningDays else { return }
        let state = days < 0 ? "has ended; clients refuse it" : "ends in \(days) days"
        StandardStream.error.note(
            "warning: the certificate \(state); renew the file and send SIGHUP")
    }

    private static let certificateWarningDays = 30

    private func tlsFiles() throws(ProgramError) -> ServerConfiguration.TLSFiles? {
        let files = try CertificateFiles(certificate: settings.certificateFile, key: settings.privateKeyFile)
        guard let files else {
            guard settings.clientAuthorityFile == nil else {
                throw .usage("--tls-client-ca needs --tls-cert and --tls-key")
            }
            return nil
        }
        var tls = ServerConfiguration.TLSFiles(certificate: files.certificate, privateKey: files.key)
        tls.clientAuthority = settings.clientAuthorityFile
        tls.minimumVersion = settings.minimumTLSVersion
        return tls
    }

    private func limits() throws(ProgramError) -> ServerLimits {
        var limits = ServerLimits()
        do throws(ServerError) {
            for assignment in settings.limits { try limits.set(assignment) }
        } catch {
            throw .usage("--limit: \(error.message)")
        }
        if let timeout = settings.drainTimeout { limits.drainTimeout = UInt64(timeout / .milliseconds(1)) }
        return limits
    }

    private func startEngines(
        _ source: ModelSource, _ choice: DeviceChoice, _ adapters: [Adapter]
    ) throws(ProgramError) -> [InferenceEngine] {
        let count = settings.dataParallelSize
        let hangs = HungDevices(engines: count)
        if choice.device == .npu {
            do throws(EngineError) {
                try hangs.watch().watching("counting NPUs") { () throws(EngineError) in
                    try settings.model.division.requireDevices(copies: count)
                }
            } catch {
                throw ProgramError(error)
            }
        }
        var engines: [InferenceEngine] = []
        for index in 0..<count {
            let place = ReplicaPlace(index: index, of: count)
            engines.append(try startEngine(source, choice, adapters, place, hangs.watch(ofEngine: index)))
        }
        return engines
    }

    private func startEngine(
        _ source: ModelSource, _ choice: DeviceChoice, _ adapters: [Adapter], _ place: ReplicaPlace,
        _ hangs: DeviceHang.Watch
    ) throws(ProgramError) -> InferenceEngine {
        let backend = try source.makeBackend(
            settings.model, on: choice.device, adapters: adapters, place: place, hangs: hangs)
        StandardStream.error.note("back end: \(backend.summary)")
        var options = EngineOptions()
        if choice.device == .npu { options.blockSize = AscendBackend.preferredBlockSize }
        options.maxModelLength = settings.maxModelLength
        options.maxNumSeqs = settings.maxNumSeqs
        options.maxNumBatchedTokens = settings.maxNumBatchedTokens
        options.keyValueCacheBytes = settings.keyValueCacheBytes
        options.hangs = hangs
        do {
            let engine = try InferenceEngine(
                backend: backend, tokenizer: source.checkpoint.tokenizer, model: source.checkpoint.configuration,
                options: options, place: place)
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

    /// What the model recommends, said on standard error if it does.
    private func generationDefaults(_ source: ModelSource) throws(ProgramError) -> GenerationDefaults {
        guard settings.generationConfig == .auto else { return GenerationDefaults() }
        do throws(EngineError) {
            let defaults = try GenerationDefaults(modelPath: source.path)
            if defaults != GenerationDefaults() {
                StandardStream.error.note("where requests do not say, as the model recommends: \(defaults.text)")
            }
            return defaults
        } catch {
            throw ProgramError(error)
        }
    }

    private func served(
        _ source: ModelSource, _ choice: DeviceChoice, _ engine: any GenerationEngine, name: String,
        _ template: ChatTemplate?, _ defaults: GenerationDefaults
    ) throws(EngineError) -> ServedModel {
        ServedModel(
            name: name, engine: engine,
            tokenizer: source.checkpoint.tokenizer, configuration: source.checkpoint.configuration,
            template: template, defaults: defaults,
            format: settings.model.dataType.stored(try source.checkpoint.tensor(.layer(0, .query)).type).rawValue,
            device: choice.device.rawValue)
    }
}
