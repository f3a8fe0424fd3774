internal import CAscend

/// A captured step of one batch size, from the copy of its inputs to that of its results: replayed with one call, and one
/// update of each attention, whose lengths are read on the host.
///
/// While it is replayed, the stream waits before each attention for an event that the update stream records behind the
/// update.
final class AscendGraph {
    private struct Attention {
        let task: AscendAttentionTask
        let group: aclrtTaskGrp?
        let event: aclrtEvent?
    }

    private let libraries = AscendLibraries.shared
    private let stream: aclrtStream?
    private let operators: AscendOperators
    private var graph: aclmdlRI?
    private var attentions: [Attention] = []
    /// Ends of the rows of each sequence, the same in every replay.
    let rowEnds: AscendIntegers

    /// Whether the runtime has what graphs need.
    static var isSupported: Bool {
        let runtime = AscendLibraries.shared.runtime
        return runtime.aclmdlRICaptureBegin != nil && runtime.aclmdlRICaptureEnd != nil
            && runtime.aclmdlRIExecuteAsync != nil && runtime.aclmdlRIDestroy != nil
            && runtime.aclmdlRICaptureTaskGrpBegin != nil && runtime.aclmdlRICaptureTaskGrpEnd != nil
            && runtime.aclmdlRICaptureTaskUpdateBegin != nil && runtime.aclmdlRICaptureTaskUpdateEnd != nil
    }

    /// Captures the calls. Every one of them must have run before in this size, so that its kernels are loaded and the
    /// workspace is there.
    ///
    /// - Parameters:
    ///   - updateStream: where attention is updated while the graph is replayed.
    ///   - before: puts the copy of the inputs on the stream, which is captured too.
    ///   - after: puts the copy of the results on the stream.
    /// - Throws: what the runtime or an operator returned; nothing is left of the capture then.
    init(
        _ calls: [AscendCall], _ launcher: AscendLauncher, updateStream: aclrtStream?,
        before: () throws(AscendError) -> Void, after: () throws(AscendError) -> Void
    ) throws(AscendError) {
        rowEnds = launcher.lengths.rowEnds
        stream = launcher.operators.stream
        operators = AscendOperators(stream: updateStream, workspace: launcher.operators.workspace)
        let (runtime, stream) = (libraries.runtime, stream)
        try libraries.call("aclmdlRICaptureBegin", runtime.aclmdlRICaptureBegin) {
            $0(stream, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL)
        }
        var failure: AscendError?
        do throws(AscendError) {
            try before()
            var launcher = launcher
            for call in calls {
                guard case .attention(let attention) = call else {
                    try launcher.launch(call)
                    continue
                }
                try capture(attention, launcher)
            }
            try after()
        } catch {
            failure = error
        }
        // A capture that failed has to be ended all the same.
        do throws(AscendError) {
            try libraries.call("aclmdlRICaptureEnd", runtime.aclmdlRICaptureEnd) { $0(stream, &graph) }
        } catch {
            failure = failure ?? error
        }
        if let failure { throw failure }
    }

    private func capture(_ call: AscendAttention, _ launcher: AscendLauncher) throws(AscendError) {
        let task = try AscendAttentionTask(call, launcher.addresses, launcher.size)
        let (runtime, stream) = (libraries.runtime, stream)
        var event: aclrtEvent?
        try libraries.call("aclrtCreateEventWithFlag", runtime.aclrtCreateEventWithFlag) {
            $0(&event, UInt32(ACL_EVENT_EXTERNAL))
        }
        attentions.append(Attention(task: task, group: nil, event: event))
        try libraries.call("aclrtStreamWaitEvent", runtime.aclrtStreamWaitEvent) { $0(stream, event) }
        try libraries.call("aclrtResetEvent", runtime.aclrtResetEvent) { $0(event, stream) }
        try libraries.call("aclmdlRICaptureTaskGrpBegin", runtime.aclmdlRICaptureTaskGrpBegin) { $0(stream) }
        try task.launch(launcher.lengths, launcher.operators)
        var group: aclrtTaskGrp?
        try libraries.call("aclmdlRICaptureTaskGrpEnd", runtime.aclmdlRICaptureTaskGrpEnd) { $0(stream, &group) }
        attentions[attentions.count - 1] = Attention(task: task, group: group, event: event)
    }

    deinit {
        let runtime = libraries.runtime
        if let graph { _ = runtime.aclmdlRIDestroy?(graph) }
        for attention in attentions { _ = runtime.aclrtDestroyEvent?(attention.event) }
    }

    /// Puts a replay on the stream, for sequences of these lengths.
    ///
    /// - Throws: what the runtime or an operator returned.
    func replay(_ lengths: AscendLengths) throws(AscendError) {
        let (runtime, stream, updates) = (libraries.runtime, stream, operators.stream)
        try libraries.call("aclmdlRIExecuteAsync", runtime.aclmdlRIExecuteAsync) { $0(graph, stream) }
        for attention in attentions {
            try libraries.call("aclmdlRICaptureTaskUpdateBegin", runtime.aclmdlRICaptureTaskUpdateBegin) {
                $0(updates, attention.group)
            }
            try attention.task.launch(lengths, operators)
            try libraries.call("aclmdlRICaptureTaskUpdateEnd", runtime.aclmdlRICaptureTaskUpdateEnd) { $0(updates) }
            try libraries.call("aclrtRecordEvent", runtime.aclrtRecordEvent) { $0(attention.event, updates) }
        }
    }
}
