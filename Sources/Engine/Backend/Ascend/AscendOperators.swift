internal import CAscend

/// An operator between its stages.
struct AscendPlannedOperator {
    let name: String
    let launch: asc_launch?
    let executor: OpaquePointer?
    let workspaceByteCount: UInt64

    /// Destroys a plan that its launches do not use up.
    func destroy() { _ = AscendLibraries.shared.objects.aclDestroyAclOpExecutor?(executor) }
}

/// Runs operators on a stream, with workspace from an arena that they share: one stream works at one of them at a time.
struct AscendOperators {
    let stream: aclrtStream?
    let workspace: AscendArena
    /// Where plans go that are launched again; nil for plans that their launch uses up.
    var keeper: AscendPlanKeeper?

    init(stream: aclrtStream?, workspace: AscendArena) {
        (self.stream, self.workspace) = (stream, workspace)
    }

    /// Runs an operator's stage 1, which checks and plans, and enqueues it.
    ///
    /// - Parameter stage: the call of stage 1, given where to put the bytes of workspace and the executor.
    /// - Throws: what the operator or the runtime returned.
    func run<Plan>(
        _ name: String, _ plan: Plan?, _ launch: asc_launch?,
        _ stage: (Plan, UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<OpaquePointer?>) -> Int32
    ) throws(AscendError) {
        var byteCount: UInt64 = 0
        var executor: OpaquePointer?
        try AscendLibraries.shared.call("\(name)GetWorkspaceSize", plan) { stage($0, &byteCount, &executor) }
        let planned = AscendPlannedOperator(
            name: name, launch: launch, executor: executor, workspaceByteCount: byteCount)
        // Nothing may be planned between stage 1 and this.
        keeper?.keep(planned)
        try enqueue(planned)
    }

    /// Runs stage 2.
    ///
    /// - Throws: what the operator or the runtime returned.
    func enqueue(_ planned: AscendPlannedOperator) throws(AscendError) {
        try workspace.ensure(Int(clamping: planned.workspaceByteCount))
        let memory = planned.workspaceByteCount == 0 ? nil : workspace.base
        try AscendLibraries.shared.call(planned.name, planned.launch) {
            $0(memory, planned.workspaceByteCount, planned.executor, stream)
        }
    }
}
