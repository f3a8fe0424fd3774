/// A device by its SoC: what the runtime says of it and what it can do.
struct Profile {
    /// As `aclrtGetSocName` gives it.
    let name: String
    let cubeCores: Int
    let vectorCores: Int
    /// MHz.
    let clock: Int
    /// Bytes on the card; the driver keeps some of it.
    let memoryBytes: Int
    /// Bytes of the second-level cache.
    let cacheBytes: Int
    let streamLimit: Int
    let eventLimit: Int
    /// No bf16, no paged attention with grouped heads, no scatter into the KV cache, no copies of mapped memory.
    let is310P: Bool
    /// Bytes per second; not from an official source, see `Cost`.
    let memoryRate: Double

    /// Bytes that programs can have.
    var usableBytes: Int { memoryBytes - memoryBytes / 32 }
    /// Multiply-adds of 16-bit floats per second are half of this: cores × 16 × 16 × 16 per cycle.
    var floatRate: Double { Double(cubeCores) * 4096 * 2 * Double(clock) * 1e6 }
    /// The same of 8-bit integers.
    var integerRate: Double { floatRate * 2 }
    /// Element operations per second of the vector units: 128 16-bit lanes per cycle and core.
    var vectorRate: Double { Double(vectorCores) * 128 * Double(clock) * 1e6 }

    static let all: [Profile] = [
        a2("Ascend910B1", cubes: 24, clock: 1850), a2("Ascend910B2", cubes: 24, clock: 1800),
        a2("Ascend910B3", cubes: 20, clock: 1800),
        a2("Ascend910B4", cubes: 20, clock: 1500, gibibytes: 32, cache: 96, rate: 0.8e12),
        a2("Ascend910_9391", cubes: 24, clock: 1850),
        Profile(
            name: "Ascend310P3", cubeCores: 8, vectorCores: 15, clock: 1060, memoryBytes: 24 << 30,
            cacheBytes: 16 << 20, streamLimit: 1024, eventLimit: 1023, is310P: true, memoryRate: 0.204e12),
    ]

    private static func a2(
        _ name: String, cubes: Int, clock: Int, gibibytes: Int = 64, cache: Int = 192, rate: Double = 1.6e12
    ) -> Profile {
        Profile(
            name: name, cubeCores: cubes, vectorCores: 2 * cubes, clock: clock, memoryBytes: gibibytes << 30,
            cacheBytes: cache << 20, streamLimit: 1984, eventLimit: 65536, is310P: false, memoryRate: rate)
    }
}

/// A release of CANN by the functions it exports.
enum Release: String {
    case v81 = "8.1"
    case v85 = "8.5"
    case v91 = "9.1"

    /// Version of the runtime as `aclrtGetVersion` gives it.
    var runtimeVersion: (Int32, Int32, Int32) {
        switch self {
        case .v81: (1, 13, 0)
        case .v85: (1, 15, 0)
        case .v91: (1, 17, 0)
        }
    }

    /// Whether the release exports a function. The second stage of an operator goes with the first.
    func exports(_ function: String) -> Bool {
        let name = Self.operation(function)
        switch self {
        case .v81: return !Self.since85.contains(name) && !Self.since91.contains(name)
        case .v85: return !Self.since91.contains(name)
        case .v91: return true
        }
    }

    /// The name of an operator by either of its stages, and that of any other function.
    static func operation(_ function: String) -> String {
        function.hasSuffix("GetWorkspaceSize") ? String(function.dropLast(16)) : function
    }

    private static let since85: Set<String> = [
        "aclnnScatterPaKvCache", "aclnnFusedInferAttentionScoreV4", "aclnnQuantMatmulV5", "aclnnMatmulWeightNz",
        "aclnnNpuFormatCast", "aclnnNpuFormatCastCalculateSizeAndFormat", "aclnnApplyRotaryPosEmbV2",
        "aclnnGroupedMatmulV5", "aclnnMoeGatingTopK", "aclFinalizeReference", "aclrtGetDeviceInfo",
        "aclrtLaunchHostFunc",
    ]
    private static let since91: Set<String> = [
        "aclnnApplyTopKTopP", "aclsysGetVersionStr", "aclsysGetVersionNum", "aclrtGetStreamAvailableNum",
        "aclrtCtxGetCurrentDefaultStream", "aclmdlRIExecute", "aclmdlRIAbort",
    ]
}

/// What the environment asks for, read when the library is loaded and at `asc_sim_restart`.
struct Settings {
    let profile: Profile
    let release: Release
    /// Functions that the release has and this machine has not; an operator's second stage goes with the first.
    let absent: Set<String>
    let deviceCount: Int
    /// Seed of the delays.
    let seed: UInt64
    /// Longest random delay before a task, in microseconds.
    let delay: UInt32
    /// Usable bytes per device.
    let memoryBytes: Int
    let tracePath: String?
    /// Whether the management library is there.
    let hasManagement: Bool
    /// Whether operators compute, and not only take their time in the model.
    let computes: Bool
    let faults: [Fault]
    /// Seconds that a collective waits for its other ranks.
    let collectiveTimeout: Int

    init() throws(Failure) {
        let soc = variable("LM_ASCENDSIM_SOC") ?? "Ascend910B3"
        guard let profile = Profile.all.first(where: { $0.name == soc }) else {
            throw Failure(100000, "LM_ASCENDSIM_SOC: \(soc) is none of \(Profile.all.map(\.name))")
        }
        guard let release = Release(rawValue: variable("LM_ASCENDSIM_CANN") ?? "9.1") else {
            throw Failure(100000, "LM_ASCENDSIM_CANN is one of 8.1, 8.5, 9.1")
        }
        self.profile = profile
        self.release = release
        absent = Set((variable("LM_ASCENDSIM_ABSENT") ?? "").split(separator: ",").map(String.init))
        deviceCount = try number("LM_ASCENDSIM_DEVICES", 8, 1...64)
        seed = UInt64(try number("LM_ASCENDSIM_SEED", 1, 0...Int.max))
        delay = UInt32(try number("LM_ASCENDSIM_DELAY_US", 30, 0...1_000_000))
        memoryBytes = try number("LM_ASCENDSIM_HBM_BYTES", profile.usableBytes, 1...1 << 42)
        tracePath = variable("LM_ASCENDSIM_TRACE")
        hasManagement = try number("LM_ASCENDSIM_DCMI", 1, 0...1) == 1
        computes = try number("LM_ASCENDSIM_COMPUTE", 1, 0...1) == 1
        collectiveTimeout = try number("HCCL_EXEC_TIMEOUT", 30, 1...1_000_000)
        faults = try Fault.script(variable("LM_ASCENDSIM_FAULTS") ?? "")
    }
}

extension Settings {
    /// Whether programs find a function.
    func exports(_ function: String) -> Bool {
        guard hasManagement || !function.hasPrefix("dcmi_") else { return false }
        return release.exports(function) && !absent.contains(Release.operation(function))
    }
}

private func number(_ name: String, _ standard: Int, _ range: ClosedRange<Int>) throws(Failure) -> Int {
    guard let text = variable(name) else { return standard }
    guard let value = Int(text), range.contains(value) else {
        throw Failure(100000, "\(name) is a whole number within \(range)")
    }
    return value
}
