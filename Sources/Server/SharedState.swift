internal import LMEngine
internal import LMTransport
internal import Synchronization

/// What all loops of a server share. Immutable but for two counters.
final class SharedState: Sendable {
    let model: ServedModel
    let limits: ServerLimits
    let keys: APIKeys?
    let agent: String
    /// Monotonic nanoseconds.
    let started: UInt64
    /// Random per process, so that request ids of two servers or two runs never meet.
    let instance: String

    private let connections = Atomic(0)

    init(model: ServedModel, configuration: ServerConfiguration, system: any System) {
        self.model = model
        limits = configuration.limits
        keys = configuration.keys
        agent = configuration.agent
        started = system.monotonicNanoseconds()
        instance = String(system.random(), radix: 36)
    }

    /// The model of that name, or the only one when there is no name.
    ///
    /// - Throws: `modelNotFound`, naming what there is.
    func model(named name: String?) throws(EngineError) -> ServedModel {
        guard let name, name != model.name else { return model }
        throw EngineError(.modelNotFound, "there is no model '\(name)' here; this server has '\(model.name)'")
    }

    /// False when the server is full; then the connection is not counted.
    func connectionOpened() -> Bool {
        guard connections.add(1, ordering: .relaxed).newValue <= limits.connections else {
            connections.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Connections of all loops.
    var connectionCount: Int { connections.load(ordering: .relaxed) }

    func connectionClosed() { connections.subtract(1, ordering: .relaxed) }
}
