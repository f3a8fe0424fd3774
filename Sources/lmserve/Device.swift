import LMEngine
import LMSupport

/// Which device computes, and why.
struct DeviceChoice {
    /// What was chosen.
    enum Device: String {
        case cpu, npu
    }

    /// What was chosen.
    let device: Device
    /// For people: what was chosen and why.
    let explanation: String
    private let isAskedFor: Bool

    private init(_ device: Device, isAskedFor: Bool, _ reason: String) {
        self.device = device
        self.isAskedFor = isAskedFor
        explanation = "\(device.rawValue) (\(reason))"
    }

    /// Decides what `--device` means on this machine, before a model is opened.
    ///
    /// - Parameter replicas: copies of the model.
    /// - Throws: one sentence with what was looked for, where, and the fix, when the device is not here.
    init(_ settings: ModelSettings, replicas: Int = 1) throws(ProgramError) {
        let needsNPUs = settings.division != .none || replicas > 1
        self = try Self.choose(settings, needsNPUs: needsNPUs)
        guard device == .npu || !needsNPUs else {
            let division = settings.division
            let option =
                switch true {
                case replicas > 1: "--data-parallel-size"
                case division.ranks > 1: "--tensor-parallel-size"
                case division.dividesExperts: "--enable-expert-parallel"
                default: "--flashcomm"
                }
            throw .usage("\(option) is for several NPUs, but the device is \(explanation); leave it out")
        }
    }

    private static func choose(_ settings: ModelSettings, needsNPUs: Bool) throws(ProgramError) -> DeviceChoice {
        if settings.backend == .reference {
            guard settings.device != .npu else {
                throw .usage("--backend reference computes on the CPU; leave it out, or use --device cpu")
            }
            return DeviceChoice(.cpu, isAskedFor: true, "as --backend reference says")
        }
        switch settings.device {
        case .cpu: return DeviceChoice(.cpu, isAskedFor: true, "as asked for")
        case .auto:
            if let missing = try missing() {
                return DeviceChoice(.cpu, isAskedFor: false, "no Ascend NPU: \(missing)")
            }
            return DeviceChoice(.npu, isAskedFor: needsNPUs, "there is one")
        case .npu:
            if let missing = try missing() {
                throw ProgramError(
                    .failure,
                    "--device npu: \(missing); install the Ascend driver and CANN, source their set_env.sh, "
                        + "or use --device cpu")
            }
            return DeviceChoice(.npu, isAskedFor: true, "as asked for")
        }
    }

    /// What of CANN or the device is not here; nil for nothing.
    private static func missing() throws(ProgramError) -> String? {
        do throws(EngineError) {
            return try HungDevices(engines: 1).watch().watching("looking for NPUs") { AscendBackend.missing }
        } catch {
            throw ProgramError(error)
        }
    }

    /// The choice for a model: the CPU where the NPU does not run it, unless the NPU was asked for.
    ///
    /// - Throws: why the NPU that was asked for does not run it.
    func settled(
        for source: ModelSource, _ settings: ModelSettings, hasAdapters: Bool = false
    ) throws(ProgramError) -> DeviceChoice {
        guard device == .npu else { return self }
        do throws(EngineError) {
            try AscendBackend.check(
                source.checkpoint, dataType: settings.dataType, division: settings.division,
                chip: AscendBackend.chip, isOnThisMachine: true)
            if hasAdapters {
                throw EngineError(
                    .unsupportedModel, "--lora is not supported by the NPU back end; use --device cpu")
            }
            guard settings.keyValueDataType == .auto else {
                throw EngineError(
                    .unsupportedModel, "--kv-cache-dtype int8 works on the CPU only; use --device cpu, or leave it out")
            }
            return self
        } catch {
            guard !isAskedFor else { throw ProgramError(error) }
            return DeviceChoice(.cpu, isAskedFor: false, "the NPU does not run it: \(error.message)")
        }
    }
}
