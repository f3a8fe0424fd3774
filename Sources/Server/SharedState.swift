internal import LMEngine
internal import LMProtocol
internal import LMTransport

/// What all loops of a server share.
final class SharedState: Sendable {
    let model: ServedModel
    let limits: ServerLimits
    let access: Access
    let admission: Admission
    let agent: String
    /// Monotonic nanoseconds.
    let started: UInt64

    init(model: ServedModel, configuration: ServerConfiguration, system: any System) throws(TransportError) {
        self.model = model
        var limits = configuration.limits
        // A generation stays on its loop; with several, a client that comes back could land on another one.
        if configuration.ioThreads > 1 { limits.resumeGrace = 0 }
        self.limits = limits
        access = try Access(configuration)
        admission = Admission(configuration.limits)
        agent = configuration.agent
        started = system.monotonicNanoseconds()
    }

    /// The model of that name, or the only one when there is no name.
    ///
    /// - Throws: `modelNotFound`, naming what there is.
    func model(named name: String?) throws(EngineError) -> ServedModel {
        guard let name, name != model.name else { return model }
        throw EngineError(.modelNotFound, "there is no model '\(name)' here; this server has '\(model.name)'")
    }

    /// Counters and gauges of model and server.
    var statistics: [StatisticReply] {
        model.engine.statistics().reply
            + (admission.statistics + access.statistics).map {
                StatisticReply(name: $0.0, value: UInt64(clamping: $0.1))
            }
    }
}
