internal import CAscend

/// What of an NPU is on this machine, step by step, as far as it goes: for whoever sets one up.
public struct AscendDiagnosis: Sendable {
    /// One thing that was looked at.
    public struct Finding: Sendable {
        /// What was looked at.
        public let subject: String
        /// What was found.
        public let text: String
        /// Whether the back end can work with it.
        public let isGood: Bool
    }

    /// In the order in which one needs the other; what cannot be looked at without an earlier one is not in the list.
    public private(set) var findings: [Finding] = []

    /// Whether the back end can work.
    public var isGood: Bool { findings.allSatisfy(\.isGood) }

    /// Looks at libraries, operators and the first device.
    public init() {
        let libraries = AscendLibraries.shared
        for (kind, name) in [(ASC_RUNTIME, "runtime"), (ASC_OBJECTS, "objects"), (ASC_OPERATORS_KIND, "operators")] {
            let report = libraries.report(kind)
            let counts = "\(report.found) of \(report.wanted) functions"
            note(name, report.isFound ? "\(report.text): \(counts)" : "found no \(report.text)", report.isFound)
        }
        guard isGood else { return }
        noteOperators()
        do throws(AscendError) {
            let chip = try AscendChip.current()
            noteChip(chip)
            noteGraphs(chip)
            noteTiles(chip)
            try noteDevice(libraries)
        } catch {
            note("device", error.message, false)
        }
    }

    private mutating func note(_ subject: String, _ text: String, _ isGood: Bool) {
        findings.append(Finding(subject: subject, text: text, isGood: isGood))
    }

    private mutating func noteOperators() {
        for kind in AscendOperator.allCases {
            let found = kind.names.first(where: AscendLibraries.shared.hasOperator)
            let consequence = kind.consequenceOfAbsence
            let absent = "none of \(kind.names.joined(separator: ", "))" + (consequence.map { "; \($0)" } ?? "")
            note(kind.names[0], found ?? absent, found != nil || consequence != nil)
        }
    }

    private mutating func noteGraphs(_ chip: AscendChip) {
        let isCaptured = AscendGraph.isSupported && chip.capturesGraphs
        note("graphs", isCaptured ? "can be captured" : "cannot be captured; every operator is launched", true)
    }

    private mutating func noteTiles(_ chip: AscendChip) {
        let libraries = AscendLibraries.shared
        let integers = chip.multipliesIntegers ? [("8-bit integers", AscendTiledForms.integerProduct)] : []
        let forms = integers + [("floats", AscendTiledForms.floatProduct)]
        let found = forms.filter { libraries.hasOperator($0.1) }.map(\.0)
        let converts = libraries.hasOperator(AscendTiledForms.conversion) && !found.isEmpty
        note(
            "NZ weights", converts ? "matrices of \(found.joined(separator: ", "))" : "none; matrices lie row by row",
            true)
    }

    private mutating func noteChip(_ chip: AscendChip) {
        note("chip", chip.summary, true)
        guard chip.attendsByRows else { return }
        let name = "IncreFlashAttentionV4"
        let isThere = AscendLibraries.shared.hasOperator(name)
        note(name, isThere ? name : "absent", isThere)
    }

    private mutating func noteDevice(_ libraries: AscendLibraries) throws(AscendError) {
        let count = try AscendDevice.count()
        note("devices", "\(count)", count > 0)
        guard count > 0 else { return }
        let runtime = libraries.runtime
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        try libraries.call("aclrtGetVersion", runtime.aclrtGetVersion) { $0(&major, &minor, &patch) }
        note("runtime version", "\(major).\(minor).\(patch)", true)
        let device = try AscendDevice(index: 0)
        defer {
            device.stop(isForced: false)
            device.close(isForced: false)
        }
        let memory = try device.memory()
        note("device 0", "\(device.chip.name), \(memory.free >> 20) of \(memory.total >> 20) MiB free", true)
    }
}
