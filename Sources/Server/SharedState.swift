internal import LMEngine
internal import LMProtocol
internal import LMTransport

/// What all loops of a server share.
final class SharedState: Sendable {
    /// What can be asked for by name: the model, and behind it the same engine's model with each adapter.
    let models: [ServedModel]
    let limits: ServerLimits
    let access: Access
    let admission: Admission
    let agent: String
    /// Monotonic nanoseconds.
    let started: UInt64

    init(models: [ServedModel], configuration: ServerConfiguration, system: any System) throws(TransportError) {
        self.models = models
        var limits = configuration.limits
        // A generation stays on its loop; with several, a client that comes back could land on another one.
        if configuration.ioThreads > 1 { limits.resumeGrace = 0 }
        self.limits = limits
        access = try Access(configuration)
        admission = Admission(configuration.limits)
        agent = configuration.agent
        started = system.monotonicNanoseconds()
    }

    /// The model itself, without an adapter.
    var model: ServedModel { models[0] }

    /// The model of that name, or the one without an adapter when there is no name.
    ///
    /// - Throws: `modelNotFound`, naming what there is.
    func model(named name: String?) throws(EngineError) -> ServedModel {
        guard let name else { return model }
        if let found = models.first(where: { $0.name == name }) { return found }
        let names = models.prefix(Self.namesInMessages).map { "'\($0.name)'" }.joined(separator: ", ")
        let rest = models.count > Self.namesInMessages ? " and \(models.count - Self.namesInMessages) more" : ""
        throw EngineError(.modelNotFound, "there is no model '\(name)' here; this server has \(names)\(rest)")
    }

    private static let namesInMessages = 8

    /// Counters and gauges of model and server.
    var statistics: [StatisticReply] {
        model.engine.statistics().reply
            + (admission.statistics + access.statistics).map {
                StatisticReply(name: $0.0, value: UInt64(clamping: $0.1))
            }
    }
}
