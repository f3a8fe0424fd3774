/// The calls of a step that decodes, planned once and launched again in every step of the same size.
///
/// What is planned for one step and no other: attention, whose lengths are part of the plan, and calls that the library
/// lets be launched once only. Plans hold addresses: when memory moves they are of no use any more.
final class AscendKeptStep {
    private enum Part {
        case kept(AscendKeptCall)
        case attention(AscendAttention, AscendAttentionTask)
        case call(AscendCall)
    }

    private var parts: [Part] = []
    private var blockTableStride: Int
    /// Ends of the rows of each sequence, the same in every step.
    let rowEnds: AscendIntegers

    /// Launches the calls for the first time.
    ///
    /// - Throws: what an operator or the runtime returned.
    init(_ calls: [AscendCall], _ launcher: AscendLauncher) throws(AscendError) {
        rowEnds = launcher.lengths.rowEnds
        blockTableStride = launcher.size.blockTableStride
        var launcher = launcher
        for call in calls {
            switch call {
            case .attention(let attention):
                let task = try AscendAttentionTask(attention, launcher.addresses, launcher.size)
                try task.launch(launcher.lengths, launcher.operators)
                parts.append(.attention(attention, task))
            case .collective:
                try launcher.launch(call)
                parts.append(.call(call))
            default:
                parts.append(try launcher.launchToKeep(call).map { .kept($0) } ?? .call(call))
            }
        }
    }

    /// Launches the calls for another step.
    ///
    /// - Parameter launcher: of the size that they were planned for; block tables may have become wider.
    /// - Throws: what an operator or the runtime returned.
    func launch(_ launcher: AscendLauncher) throws(AscendError) {
        var launcher = launcher
        if blockTableStride != launcher.size.blockTableStride { try renewAttention(launcher) }
        for part in parts {
            switch part {
            case .kept(let call): try call.launch(launcher.operators)
            case .attention(_, let task): try task.launch(launcher.lengths, launcher.operators)
            case .call(let call): try launcher.launch(call)
            }
        }
    }

    private func renewAttention(_ launcher: AscendLauncher) throws(AscendError) {
        for index in parts.indices {
            guard case .attention(let attention, _) = parts[index] else { continue }
            parts[index] = .attention(
                attention, try AscendAttentionTask(attention, launcher.addresses, launcher.size))
        }
        blockTableStride = launcher.size.blockTableStride
    }
}
