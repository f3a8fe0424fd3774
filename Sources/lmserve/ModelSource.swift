import LMEngine
import LMSupport

/// A model found and opened, not yet arranged for what computes.
struct ModelSource {
    let checkpoint: any Checkpoint
    /// Where it was found.
    let path: String
    /// The file's or folder's name without directory and suffix.
    let name: String

    /// Opens the model that the settings name.
    ///
    /// - Parameter isOutline: for the model's sizes alone: nothing is quantized.
    init(_ settings: ModelSettings, isOutline: Bool = false) throws(ProgramError) {
        guard !settings.name.isEmpty else { throw .usage("--model is missing: which model shall be served?") }
        let original: any Checkpoint
        do throws(EngineError) {
            path = try locateModel(settings.name, directories: Self.directories)
            original = try loadCheckpoint(path: path)
            name = Self.name(of: path)
        } catch {
            throw ProgramError(error)
        }
        let quantization = QuantizationStep(settings, name: name)
        checkpoint = try isOutline ? quantization.outline(of: original) : quantization.apply(to: original)
    }

    /// Tells people on standard error what was opened.
    func announce() {
        let size = describeBytes(checkpoint.weightByteCount)
        StandardStream.error.note(
            "model: \(name), \(checkpoint.configuration.family.rawValue), \(size) of weights, "
                + "context \(checkpoint.configuration.contextLength)")
    }

    /// What requests call the model. In the hub's cache the name is that of the folder `models--ORG--NAME`, above the
    /// snapshots.
    private static func name(of path: String) -> String {
        let parts = path.split(separator: "/")
        let prefix = "models--"
        if let repository = parts.last(where: { $0.hasPrefix(prefix) }) {
            return String(repository.dropFirst(prefix.count)).split(separator: "--").last.map { String($0) } ?? ""
        }
        let last = parts.last ?? ""
        return String(last.hasSuffix(".gguf") ? last.dropLast(5) : last)
    }

    /// Where models are looked for by name: what the user says, then where our scripts put them.
    private static var directories: [String] {
        let own = (environmentValue("LM_MODELS") ?? "").split(separator: ":").map(String.init)
        return own + (cacheFolder.map { ["\($0)/models"] } ?? [])
    }

    /// Where our files go that can be made again.
    static var cacheFolder: String? {
        (environmentValue("XDG_CACHE_HOME") ?? environmentValue("HOME").map { $0 + "/.cache" }).map { $0 + "/lmcall" }
    }

    /// Arranges the weights for what computes, with progress on a terminal.
    ///
    /// - Parameters:
    ///   - threads: instead of what the settings say.
    ///   - place: which of several copies this is; NPUs are taken in their order.
    ///   - hangs: what watches the device.
    func makeBackend(
        _ settings: ModelSettings, on device: DeviceChoice.Device, threads: Int? = nil, adapters: [Adapter] = [],
        place: ReplicaPlace = .alone, hangs: DeviceHang.Watch = HungDevices(engines: 1).watch()
    ) throws(ProgramError) -> any Backend {
        let threads = threads ?? settings.threads ?? availableProcessorCount()
        let progress = ProgressLine()
        defer { progress.clear() }
        @Sendable func show(_ fraction: Double) { progress.show("loading \(name): \(Int(fraction * 100)) %") }
        do throws(EngineError) {
            switch (settings.backend, device) {
            case (.reference, _):
                return try ReferenceBackend(
                    checkpoint: checkpoint, dataType: settings.dataType,
                    keyValueDataType: settings.keyValueDataType, adapters: adapters)
            case (.cpu, .cpu):
                return try CPUBackend(
                    checkpoint: checkpoint, threads: threads, dataType: settings.dataType,
                    keyValueDataType: settings.keyValueDataType, adapters: adapters,
                    progress: show)
            case (.cpu, .npu):
                let batches = settings.enforcesEager ? .none : try BatchBuckets(settings.graphBatchSizes)
                return try AscendBackend(
                    checkpoint: checkpoint, device: place.index * settings.division.ranks,
                    division: settings.division, dataType: settings.dataType,
                    batches: batches, tiling: settings.tiling, threads: threads, hangs: hangs,
                    notice: { StandardStream.error.note("NPU: \($0)") }, progress: show)
            }
        } catch {
            throw ProgramError(error)
        }
    }
}

extension ProgramError {
    /// What a failure of the engine means to whoever started the program.
    init(_ error: EngineError) {
        let code: ExitCode =
            switch error.code {
            case .modelNotFound: .missingInput
            case .invalidModel, .unsupportedModel: .badInput
            case .invalidRequest, .tooLarge: .usage
            case .overloaded, .draining, .deadlineExceeded, .nonFiniteLogits, .backend, .deviceUnavailable,
                .deviceMemory, .deviceLost, .insufficientMemory:
                .failure
            }
        self.init(code, error.message)
    }
}
